#include "engine/encoder_engine.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <optional>
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

Error failed(ErrorKind kind, int status, const char* code, std::string why) {
  return {.kind = kind,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = status,
          .detail = std::move(why),
          .code = code};
}

EmbeddingShape shape_of(const EncoderSpec& spec) {
  EmbeddingShape shape{.width = static_cast<int32_t>(spec.hidden),
                       .normalized = spec.normalize,
                       .shortens = spec.shortens,
                       .widths = {}};
  for (const int64_t width : spec.widths) shape.widths.push_back(static_cast<int32_t>(width));
  return shape;
}

}  // namespace

struct EncoderEngine::Job {
  std::vector<std::vector<TokenId>> texts;  // under the engine's mutex, as the next four
  Embeddings vectors;
  size_t next = 0;  // the first text that no batch has taken
  size_t computed = 0;
  std::optional<Error> error;

  std::mutex done_mutex;  // held while `done` runs, so that after give_up() no call is under way
  OnEmbedded done;        // empty: given up or finished
  int64_t tokens_taken = 0;

  bool ended() const { return error || computed == texts.size(); }
  void finish() {
    const std::lock_guard lock(done_mutex);
    if (!done) return;
    std::exchange(done, {})(error ? Result<Embeddings>(*error) : Result<Embeddings>(std::move(vectors)));
  }
  void give_up() {
    const std::lock_guard lock(done_mutex);
    done = {};
  }
  bool given_up() {
    const std::lock_guard lock(done_mutex);
    return !done;
  }
  /// Books `tokens` of a text that a step takes. False: the job was given up.
  bool take(size_t tokens) {
    const std::lock_guard lock(done_mutex);
    if (done) tokens_taken += static_cast<int64_t>(tokens);
    return done != nullptr;
  }
  int64_t taken() {
    const std::lock_guard lock(done_mutex);
    return tokens_taken;
  }
};

class EncoderEngine::Handle final : public EmbedJob {
 public:
  explicit Handle(std::shared_ptr<Job> job) : job_(std::move(job)) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() override { job_->give_up(); }
  void give_up() override { job_->give_up(); }
  int64_t tokens_taken() const override { return job_->taken(); }

 private:
  std::shared_ptr<Job> job_;
};

EncoderEngine::EncoderEngine(const config::EngineConfig& config, std::shared_ptr<const EncoderModel> model,
                             std::shared_ptr<const Tokenizer> tokenizer)
    : name_(config.name),
      model_(std::move(model)),
      tokenizer_(std::move(tokenizer)),
      shape_(shape_of(model_->spec)),
      context_tokens_(
          static_cast<int32_t>(config.context_tokens.value_or(static_cast<uint32_t>(model_->spec.context_tokens)))),
      jobs_max_(static_cast<int32_t>(
          std::min<uint64_t>(uint64_t{config.max_sequences} + config.queue_max, uint64_t{INT32_MAX}))),
      step_tokens_max_(config.step_tokens_max),
      pool_(static_cast<int>(std::min<uint32_t>(config.threads, kKernelThreadsMax))) {}

EncoderEngine::~EncoderEngine() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const auto& job : jobs_) {
    job->error = failed(ErrorKind::cancelled, 503, "no_available_target", "the engine is shutting down");
    job->finish();
  }
}

Result<void> EncoderEngine::start() {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& e) {
    return failed(ErrorKind::internal, 502, "upstream_error", std::string("no thread for the engine: ") + e.what());
  }
  return {};
}

Result<std::unique_ptr<Stream>> EncoderEngine::submit(GenerateRequest) {
  return failed(ErrorKind::bad_request, 400, "unsupported_operation",
                "the model of engine \"" + name_ + "\" makes embeddings and writes no text");
}

Result<void> EncoderEngine::check(const std::vector<std::vector<TokenId>>& texts) const {
  const auto bad = [](const std::string& what) {
    Error error = failed(ErrorKind::bad_request, 400, "invalid_request_error", "input: " + what);
    error.param = "input";
    return error;
  };
  if (texts.empty()) return bad("must hold at least one text");
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string which = texts.size() == 1 ? "the text" : "text " + std::to_string(i);
    if (texts[i].empty()) return bad(which + " has no tokens");
    if (texts[i].size() > static_cast<size_t>(context_tokens_)) {
      Error error = bad(which + " has " + std::to_string(texts[i].size()) + " tokens, and this model takes at most " +
                        std::to_string(context_tokens_) + "; shorten it or send it in parts");
      error.kind = ErrorKind::context_length;
      error.code = "context_length_exceeded";
      return error;
    }
    for (const TokenId id : texts[i]) {
      if (id >= 0 && id < model_->spec.vocab) continue;
      return bad(which + " has the token " + std::to_string(id) + ", and this model's tokens are 0 to " +
                 std::to_string(model_->spec.vocab - 1));
    }
  }
  return {};
}

Result<std::unique_ptr<EmbedJob>> EncoderEngine::embed(std::vector<std::vector<TokenId>> texts, OnEmbedded done) {
  if (auto checked = check(texts); !checked) return std::move(checked).error();
  auto job = std::make_shared<Job>();
  job->vectors.resize(texts.size());
  job->texts = std::move(texts);
  job->done = std::move(done);
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() >= static_cast<size_t>(jobs_max_)) return overloaded(name_);
    jobs_.push_back(job);
  }
  wake_.notify_one();
  return std::unique_ptr<EmbedJob>(std::make_unique<Handle>(std::move(job)));
}

/// One text of each job in turn, until the budget of tokens is spent.
EncoderEngine::Batch EncoderEngine::take_batch() {
  std::erase_if(jobs_, [](const std::shared_ptr<Job>& job) { return job->given_up(); });
  Batch batch;
  for (bool more = true; more;) {
    more = false;
    for (const auto& job : jobs_) {
      if (job->next == job->texts.size()) continue;
      const auto& text = job->texts[job->next];
      if (!batch.texts.empty() && batch.tokens + text.size() > step_tokens_max_) return batch;
      if (!job->take(text.size())) continue;
      batch.tokens += text.size();
      batch.texts.push_back(text);
      batch.from.emplace_back(job, job->next++);
      more = true;
    }
  }
  return batch;
}

Result<Embeddings> EncoderEngine::compute(const Batch& batch) {
  try {
    EncoderPass pass{cpu_ops(), pool_, scratch_};
    return encode(*model_, batch.texts, pass);
  } catch (const std::bad_alloc&) {
    return failed(ErrorKind::internal, 502, "upstream_error",
                  "no memory for " + std::to_string(batch.tokens) + " tokens at once; lower step_tokens");
  }
}

/// Gives the vectors to whose they are; returns the jobs that have ended with it, which are then forgotten.
std::vector<std::shared_ptr<EncoderEngine::Job>> EncoderEngine::book(const Batch& batch, Result<Embeddings> vectors) {
  for (size_t i = 0; i < batch.from.size(); ++i) {
    const auto& [job, text] = batch.from[i];
    ++job->computed;
    if (vectors) {
      job->vectors[text] = std::move((*vectors)[i]);
    } else {
      job->error = vectors.error();
    }
  }
  std::vector<std::shared_ptr<Job>> ended;
  std::erase_if(jobs_, [&](const std::shared_ptr<Job>& job) {
    if (job->ended()) ended.push_back(job);
    return job->ended();
  });
  ++stats_.steps;
  stats_.prefill_tokens += batch.tokens;
  return ended;
}

void EncoderEngine::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
    if (closing_) return;
    const Batch batch = take_batch();
    if (batch.texts.empty()) continue;  // all were given up
    lock.unlock();
    const TimePoint begin = now();
    auto vectors = compute(batch);
    if (on_step_) on_step_(std::chrono::duration<double>(now() - begin).count());
    lock.lock();
    const auto ended = book(batch, std::move(vectors));
    lock.unlock();
    for (const auto& job : ended) job->finish();
    lock.lock();
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
