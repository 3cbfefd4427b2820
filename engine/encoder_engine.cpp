#include "engine/encoder_engine.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>

namespace weir::engine {
namespace {

Error config_error(const config::EngineConfig& config, const std::string& key, const std::string& what) {
  return Error{
      .kind = ErrorKind::config, .source = "engine", .detail = "engines." + config.name + "." + key + ": " + what};
}

Error overloaded(const std::string& name) {
  return {.kind = ErrorKind::overloaded,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 429,
          .detail = "too many calls wait at engine \"" + name + "\"; try again in a moment",
          .code = "engine_overloaded"};
}

Error ended(ErrorKind kind, int status, const char* code, std::string why) {
  return {.kind = kind,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = status,
          .detail = std::move(why),
          .code = code};
}

}  // namespace

struct EncoderEngine::Job {
  std::vector<std::vector<TokenId>> texts;
  Embeddings vectors;  // engine thread, as the next two
  size_t next = 0;     // the first text that no batch has taken
  size_t done_count = 0;

  std::mutex mutex;  // held while `done` runs, so that after drop() no call is under way
  OnEmbedded done;   // empty: dropped or finished

  void finish(Result<Embeddings> result) {
    const std::lock_guard lock(mutex);
    if (done) std::exchange(done, {})(std::move(result));
  }
  void drop() {
    const std::lock_guard lock(mutex);
    done = {};
  }
  bool dropped() {
    const std::lock_guard lock(mutex);
    return !done;
  }
};

class EncoderEngine::Handle final : public EmbedJob {
 public:
  explicit Handle(std::shared_ptr<Job> job) : job_(std::move(job)) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() override { job_->drop(); }

 private:
  std::shared_ptr<Job> job_;
};

EncoderEngine::EncoderEngine(const config::EngineConfig& config, std::shared_ptr<const EncoderModel> model,
                             std::shared_ptr<const Tokenizer> tokenizer)
    : name_(config.name),
      model_(std::move(model)),
      tokenizer_(std::move(tokenizer)),
      context_tokens_(
          static_cast<int32_t>(config.context_tokens.value_or(static_cast<uint32_t>(model_->spec.context_tokens)))),
      jobs_max_(size_t{config.max_sequences} + config.queue_max),
      step_tokens_max_(config.step_tokens_max),
      pool_(static_cast<int>(std::min<uint32_t>(config.threads, 1024))) {}

EncoderEngine::~EncoderEngine() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const auto& job : jobs_) {
    job->finish(ended(ErrorKind::cancelled, 503, "no_available_target", "the engine is shutting down"));
  }
}

Result<void> EncoderEngine::start() {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& e) {
    return ended(ErrorKind::internal, 502, "upstream_error", std::string("no thread for the engine: ") + e.what());
  }
  return {};
}

Result<std::unique_ptr<Stream>> EncoderEngine::submit(GenerateRequest) {
  return ended(ErrorKind::bad_request, 400, "unsupported_operation",
               "the model of engine \"" + name_ + "\" makes embeddings and writes no text");
}

Result<std::unique_ptr<EmbedJob>> EncoderEngine::embed(std::vector<std::vector<TokenId>> texts, OnEmbedded done) {
  const auto bad = [](std::string what) {
    Error error = ended(ErrorKind::bad_request, 400, "invalid_request_error", "input: " + std::move(what));
    error.param = "input";
    return error;
  };
  if (texts.empty()) return bad("must hold at least one text");
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string which = "text " + std::to_string(i);
    if (texts[i].empty()) return bad(which + " has no tokens");
    if (texts[i].size() > static_cast<size_t>(context_tokens_)) {
      Error error = bad(which + " has " + std::to_string(texts[i].size()) + " tokens; this model takes at most " +
                        std::to_string(context_tokens_));
      error.kind = ErrorKind::context_length;
      error.code = "context_length_exceeded";
      return error;
    }
    for (const TokenId id : texts[i]) {
      if (id < 0 || id >= model_->spec.vocab) {
        return bad(which + " has the token " + std::to_string(id) + ", and the vocabulary has " +
                   std::to_string(model_->spec.vocab));
      }
    }
  }
  auto job = std::make_shared<Job>();
  job->vectors.resize(texts.size());
  job->texts = std::move(texts);
  job->done = std::move(done);
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() >= jobs_max_) return overloaded(name_);
    jobs_.push_back(job);
  }
  wake_.notify_one();
  return std::unique_ptr<EmbedJob>(std::make_unique<Handle>(std::move(job)));
}

EncoderEngine::Batch EncoderEngine::take_batch() {
  std::erase_if(jobs_, [](const std::shared_ptr<Job>& job) { return job->dropped(); });
  Batch batch;
  for (bool more = true; more;) {
    more = false;
    for (const auto& job : jobs_) {
      if (job->next == job->texts.size()) continue;
      const auto& text = job->texts[job->next];
      if (!batch.texts.empty() && batch.tokens + text.size() > step_tokens_max_) return batch;
      batch.tokens += text.size();
      batch.texts.push_back(text);
      batch.from.emplace_back(job, job->next++);
      more = true;
    }
  }
  return batch;
}

void EncoderEngine::hand_out(const Batch& batch, std::vector<std::vector<float>> vectors) {
  for (size_t i = 0; i < batch.from.size(); ++i) {
    const auto& [job, text] = batch.from[i];
    job->vectors[text] = std::move(vectors[i]);
    if (++job->done_count == job->texts.size()) job->finish(std::move(job->vectors));
  }
}

void EncoderEngine::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
    if (closing_) return;
    const Batch batch = take_batch();
    if (batch.texts.empty()) continue;
    lock.unlock();
    const auto begin = std::chrono::steady_clock::now();
    try {
      EncoderPass pass{cpu_ops(), pool_, scratch_};
      hand_out(batch, encode(*model_, batch.texts, pass));
    } catch (const std::bad_alloc&) {
      for (const auto& [job, text] : batch.from) {
        job->finish(ended(ErrorKind::internal, 502, "upstream_error", "no memory for a batch of embeddings"));
      }
    }
    if (on_step_) on_step_(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    lock.lock();
    ++stats_.steps;
    stats_.prefill_tokens += batch.tokens;
  }
}

EngineStats EncoderEngine::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  for (const auto& job : jobs_) ++(job->next > 0 ? stats.running : stats.waiting);
  return stats;
}

Result<std::unique_ptr<Engine>> make_encoder_engine(const config::EngineConfig& config,
                                                    std::shared_ptr<const EncoderModel> model,
                                                    std::shared_ptr<const Tokenizer> tokenizer) {
  const EncoderSpec& spec = model->spec;
  if (config.quantization != "none") {
    return config_error(config, "quantization",
                        "must be none for " + spec.architecture + ", is '" + config.quantization + "'");
  }
  if (config.context_tokens && (*config.context_tokens < 1 || *config.context_tokens > spec.context_tokens)) {
    return config_error(config, "context", "must be between 1 and the model's " + std::to_string(spec.context_tokens));
  }
  if (config.max_sequences < 1) return config_error(config, "max_sequences", "must be at least 1");
  if (tokenizer->vocab_size() > spec.vocab) {
    return config_error(config, "model",
                        "tokenizer.json has ids up to " + std::to_string(tokenizer->vocab_size() - 1) +
                            ", and config.json's vocab_size is " + std::to_string(spec.vocab));
  }
  auto engine = std::make_unique<EncoderEngine>(config, std::move(model), std::move(tokenizer));
  if (auto started = engine->start(); !started) return std::move(started).error();
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace weir::engine
