#include "engine/encoder_loop.h"

#include <algorithm>
#include <new>
#include <utility>

namespace weir::engine {
namespace {

Error overloaded(const std::string& name) {
  return {.kind = ErrorKind::overloaded,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 429,
          .detail = "too many calls wait at engine \"" + name + "\"; try again in a moment",
          .code = "engine_overloaded"};
}

Error no_memory(uint64_t tokens) {
  return {.kind = ErrorKind::internal,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 502,
          .detail = "no memory for " + std::to_string(tokens) + " tokens at once; lower step_tokens",
          .code = "upstream_error"};
}

}  // namespace

struct EncoderLoop::Job {
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

class EncoderLoop::Handle final : public EmbedJob {
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

EncoderLoop::EncoderLoop(const config::EngineConfig& config, std::shared_ptr<const EncoderModel> model)
    : EngineLoop(config.step_timeout),
      name_(config.name),
      model_(std::move(model)),
      jobs_max_(static_cast<int32_t>(
          std::min<uint64_t>(uint64_t{config.max_sequences} + config.queue_max, uint64_t{INT32_MAX}))),
      step_tokens_max_(config.step_tokens_max),
      pool_(static_cast<int>(std::min<uint32_t>(config.threads, kKernelThreadsMax))) {}

Result<std::unique_ptr<EmbedJob>> EncoderLoop::add(std::vector<std::vector<TokenId>> texts, OnEmbedded done) {
  auto job = std::make_shared<Job>();
  job->vectors.resize(texts.size());
  job->texts = std::move(texts);
  job->done = std::move(done);
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return *closed_;
    if (jobs_.size() >= static_cast<size_t>(jobs_max_)) return overloaded(name_);
    jobs_.push_back(job);
  }
  wake_.notify_one();
  return std::unique_ptr<EmbedJob>(std::make_unique<Handle>(std::move(job)));
}

void EncoderLoop::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
}

/// One text of each job in turn, until the budget of tokens is spent; the next batch goes on where this one ends.
EncoderLoop::Batch EncoderLoop::take_batch() {
  std::erase_if(jobs_, [](const std::shared_ptr<Job>& job) { return job->given_up(); });
  Batch batch;
  for (size_t idle = 0; idle < jobs_.size();) {  // until a whole round finds nothing to take
    const std::shared_ptr<Job> job = jobs_.front();
    const bool left = job->next < job->texts.size();
    const size_t tokens = left ? job->texts[job->next].size() : 0;
    if (left && !batch.texts.empty() && batch.tokens + tokens > step_tokens_max_) break;  // the next batch's first
    jobs_.pop_front();
    jobs_.push_back(job);
    if (!left || !job->take(tokens)) {
      ++idle;
      continue;
    }
    idle = 0;
    batch.tokens += tokens;
    batch.texts.push_back(job->texts[job->next]);
    batch.from.emplace_back(job, job->next++);
  }
  return batch;
}

Result<Embeddings> EncoderLoop::compute(const Batch& batch) {
  try {
    EncoderPass pass{cpu_ops(), pool_, scratch_};
    return encode(*model_, batch.texts, pass);
  } catch (const std::bad_alloc&) {
    return no_memory(batch.tokens);
  }
}

/// Gives the vectors to whose they are; returns the jobs that have ended with it, which are then forgotten.
std::vector<std::shared_ptr<EncoderLoop::Job>> EncoderLoop::book(const Batch& batch, Result<Embeddings> vectors) {
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

void EncoderLoop::fail_all(const Error& reason) {
  std::deque<std::shared_ptr<Job>> jobs;
  {
    const std::lock_guard lock(mutex_);
    closed_ = reason;
    jobs.swap(jobs_);
    for (const auto& job : jobs) job->error = reason;
  }
  for (const auto& job : jobs) job->finish();
}

void EncoderLoop::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) break;
    const Batch batch = take_batch();
    if (batch.texts.empty()) continue;  // all were given up
    lock.unlock();
    step_begins();
    const TimePoint begin = now();
    auto vectors = compute(batch);
    observe_step({.seconds = std::chrono::duration<double>(now() - begin).count(),
                  .sequences = static_cast<int32_t>(batch.texts.size()),
                  .tokens = static_cast<int32_t>(batch.tokens)});
    const bool in_time = step_ends();
    lock.lock();
    const auto ended = book(batch, std::move(vectors));
    if (!in_time) closed_.reset();
    lock.unlock();
    if (!in_time) recovered();
    for (const auto& job : ended) job->finish();
    lock.lock();
  }
  lock.unlock();
  fail_all(shutdown_error());
}

EngineStats EncoderLoop::stats() const {
  EngineStats stats;
  {
    const std::lock_guard lock(mutex_);
    stats = stats_;
    for (const auto& job : jobs_) ++(job->next > 0 ? stats.running : stats.waiting);
  }
  stats.device = "cpu";
  add_health(stats);
  return stats;
}

}  // namespace weir::engine
