#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <system_error>
#include <utility>

#include "engine/engine_thread.h"
#include "engine/engine_validate.h"

namespace weir::engine {
namespace {

Error down_error(const std::string& why) {
  return {.kind = ErrorKind::internal,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 502,
          .detail = "the engine is down: " + why,
          .code = "upstream_error"};
}

Error shutdown_error() {
  return {.kind = ErrorKind::cancelled,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 503,
          .detail = "the engine is shutting down",
          .code = "no_available_target"};
}

}  // namespace

EngineThread::EngineThread(EngineParts parts)
    : name_(std::move(parts.name)),
      scheduler_config_(parts.scheduler),
      backend_(std::move(parts.backend)),
      tokenizer_(std::move(parts.tokenizer)),
      chat_template_(std::move(parts.chat_template)),
      eos_ids_(std::move(parts.eos_ids)),
      inbox_(std::make_shared<Inbox>(static_cast<int32_t>(
          std::min<int64_t>(int64_t{parts.scheduler.max_sequences} + parts.queue_max, INT32_MAX)))),
      scheduler_(parts.scheduler) {
  publish();
}

EngineThread::~EngineThread() {
  inbox_->stop();
  if (thread_.joinable()) thread_.join();
}

Result<void> EngineThread::start() {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& e) {
    return down_error(std::string("no thread for it: ") + e.what());
  }
  return {};
}

Result<std::unique_ptr<Stream>> EngineThread::submit(GenerateRequest request) {
  if (auto valid = validate(request, scheduler_config_.vocab_size, scheduler_config_.context_tokens); !valid) {
    return std::move(valid).error();
  }
  auto& ids = request.stop.token_ids;
  ids.insert(ids.end(), eos_ids_.begin(), eos_ids_.end());
  const uint64_t id = next_id_.fetch_add(1, std::memory_order_relaxed);
  auto outbox = std::make_shared<Outbox>();
  outbox->set_usage({.prompt_tokens = static_cast<int32_t>(request.prompt.size())});
  if (auto sent = inbox_->submit({id, std::move(request), outbox}); !sent) return std::move(sent).error();
  return make_stream(id, std::move(outbox), inbox_);
}

EngineStats EngineThread::stats() const {
  const int32_t queued = inbox_->arrivals();
  const std::lock_guard lock(stats_mutex_);
  EngineStats stats = stats_;
  stats.waiting += queued;
  return stats;
}

void EngineThread::run() {
  while (true) {
    const bool idle = scheduler_.idle();
    if (idle) check_invariants();
    if (!take_mail(idle)) return end_all(shutdown_error());
    if (auto stepped = run_step(); !stepped) {
      broken_ = std::move(stepped).error().detail;
      return end_all(down_error(broken_));
    }
  }
}

/// False if the engine should end.
bool EngineThread::take_mail(bool wait) {
  Inbox::Mail mail = inbox_->take(wait);
  for (auto& arrival : mail.arrivals) begin(std::move(arrival));
  for (const uint64_t id : mail.aborts) {
    scheduler_.abort(id);
    ended_ += static_cast<int32_t>(live_.erase(id));
  }
  return !mail.stop;
}

void EngineThread::begin(Arrival arrival) {
  GenerateRequest& request = arrival.request;
  Live live{.outbox = std::move(arrival.outbox),
            .text = OutputAssembler(request.stop.strings, tokenizer_ != nullptr),
            .detokenizer = std::nullopt,
            .usage = {.prompt_tokens = static_cast<int32_t>(request.prompt.size())}};
  if (tokenizer_) {
    live.detokenizer.emplace(tokenizer_, Detokenizer::Options{request.skip_special, request.continues_text});
  }
  live_.emplace(arrival.id, std::move(live));

  auto sequence = std::make_unique<Sequence>();
  sequence->id = arrival.id;
  sequence->tokens = std::move(request.prompt);
  sequence->sampling = std::move(request.sampling);
  sequence->stop = std::move(request.stop);
  sequence->salt = request.cache_salt;
  sequence->deadline = request.deadline;
  scheduler_.add(std::move(sequence));
}

/// One turn of schedule, submit, commit. An Error means the backend is broken.
Result<void> EngineThread::run_step() {
  const TimePoint begin = now();
  const StepPlan& plan = scheduler_.step(begin, progress_);
  if (plan.rows() > 0) {
    if (auto submitted = backend_->submit(plan); !submitted) return submitted;
    take_mail(false);  // a stop stays in the inbox and is seen by run()
    auto result = backend_->wait();
    if (!result) return std::move(result).error();
    if (auto committed = scheduler_.commit(*result, progress_); !committed) return committed;
    if (on_step_) on_step_(std::chrono::duration<double>(now() - begin).count());
  }
  for (auto& progress : std::exchange(progress_, {})) digest(std::move(progress));
  publish();
  deliver();
  return {};
}

void EngineThread::digest(Progress progress) {
  const auto found = live_.find(progress.sequence);
  if (found == live_.end()) return;  // aborted
  Live& live = found->second;
  live.usage.cached_tokens = progress.cached_tokens;
  auto finish = progress.finish;
  if (progress.token >= 0) finish = digest_token(live, progress);
  if (finish) {
    scheduler_.abort(progress.sequence);  // a stop string ends what the scheduler would go on with
    live.text.finish(*finish, live.detokenizer ? live.detokenizer->flush() : std::string());
  }
  if (auto piece = live.text.take()) {
    piece->error = std::move(progress.error);
    deliveries_.push_back({live.outbox, std::move(*piece), live.usage});
  } else {
    live.outbox->set_usage(live.usage);
  }
  if (!finish) return;
  ++ended_;
  live_.erase(found);
}

/// Feeds one token to the text; gives how the sequence ends, if it does.
std::optional<Finish> EngineThread::digest_token(Live& live, Progress& progress) {
  ++live.usage.output_tokens;
  if (progress.finish == Finish::stop) {
    live.text.add_hidden(progress.token);
    return Finish::stop;
  }
  if (progress.logprob && tokenizer_) {
    progress.logprob->bytes = tokenizer_->token_bytes(progress.token);
    for (auto& alternative : progress.logprob->top) alternative.bytes = tokenizer_->token_bytes(alternative.token);
  }
  const std::string text = live.detokenizer ? live.detokenizer->push(progress.token) : std::string();
  const bool stopped = live.text.add(progress.token, std::move(progress.logprob), text);
  return stopped ? Finish::stop : progress.finish;
}

void EngineThread::deliver() {
  for (auto& delivery : deliveries_) delivery.outbox->push(std::move(delivery.piece), delivery.usage);
  deliveries_.clear();
}

/// Every sequence, those still in the inbox too, ends with `reason`; nothing is accepted any more.
void EngineThread::end_all(const Error& reason) {
  inbox_->close(reason);
  progress_.clear();
  take_mail(false);
  scheduler_.drop_all();
  for (auto& [id, live] : live_) {
    Output piece;
    live.text.finish(Finish::error, live.detokenizer ? live.detokenizer->flush() : std::string());
    if (auto last = live.text.take()) piece = std::move(*last);
    piece.finish = Finish::error;
    piece.error = reason;
    deliveries_.push_back({live.outbox, std::move(piece), live.usage});
  }
  ended_ += static_cast<int32_t>(live_.size());
  live_.clear();
  publish();
  deliver();
}

void EngineThread::publish() {
  if (ended_ > 0) inbox_->ended(std::exchange(ended_, 0));
  const SchedulerStats& s = scheduler_.stats();
  const BlockPool& blocks = scheduler_.blocks();
  const std::lock_guard lock(stats_mutex_);
  stats_.running = s.running;
  stats_.waiting = s.waiting;
  stats_.blocks_total = blocks.total();
  stats_.blocks_free = blocks.free();
  stats_.blocks_cached = blocks.cached();
  stats_.blocks_active = blocks.active();
  stats_.prefix_hit_tokens = s.prefix_hit_tokens;
  stats_.prefix_miss_tokens = s.prefix_miss_tokens;
  stats_.prefill_tokens = s.prefill_tokens;
  stats_.decode_tokens = s.decode_tokens;
  stats_.steps = s.steps;
  stats_.preemptions = s.preemptions;
  stats_.healthy = broken_.empty();
  stats_.reason = broken_;
}

/// In debug and sanitizer builds, when nothing runs: every block is accounted for, or the program is wrong.
void EngineThread::check_invariants() const {
#if !defined(NDEBUG) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  std::string wrong = scheduler_.check();
  if (wrong.empty() && scheduler_.blocks().active() != 0) wrong = "an idle engine holds blocks";
  if (wrong.empty() && !live_.empty()) wrong = "an idle engine has live sequences";
  if (wrong.empty()) return;
  std::fprintf(stderr, "engine %s: invariant broken: %s\n", name_.c_str(), wrong.c_str());
  std::abort();
#endif
}

Result<std::unique_ptr<Engine>> make_engine(const config::EngineConfig& config, std::unique_ptr<Backend> backend,
                                            std::shared_ptr<const Tokenizer> tokenizer,
                                            std::shared_ptr<const ChatTemplate> chat_template,
                                            std::vector<TokenId> eos_ids) {
  const auto wrong = [&](std::string what) {
    return Error{
        .kind = ErrorKind::config, .source = "engine", .detail = "engine " + config.name + ": " + std::move(what)};
  };
  if (!backend) return wrong("has no backend");
  const BackendInfo& info = backend->info();
  const int64_t slots = int64_t{info.blocks} * info.block_tokens;
  if (info.blocks < 1 || info.block_tokens < 1 || info.vocab_size < 1)
    return wrong("its backend has no KV or no model");
  if (slots > INT32_MAX) return wrong("more than 2^31 KV slots; lower kv_cache.memory");
  if (config.max_sequences < 1) return wrong("max_sequences must be at least 1");
  if (config.step_tokens_max < 1) return wrong("step_tokens must be at least 1");
  const auto bounded = [](uint32_t n) { return static_cast<int32_t>(std::min<uint32_t>(n, INT32_MAX)); };
  if (config.kv_cache.policy != "lru" && config.kv_cache.policy != "cost")
    return wrong("kv_cache.policy must be lru or cost, is '" + config.kv_cache.policy + "'");
  int64_t context = std::min<int64_t>(info.context_tokens, slots);
  if (config.context_tokens) context = std::min<int64_t>(context, *config.context_tokens);
  if (context < 2) return wrong("its context is " + std::to_string(context) + " tokens; at least 2 are needed");

  EngineParts parts{
      .name = config.name,
      .scheduler = {.blocks = info.blocks,
                    .block_tokens = info.block_tokens,
                    .context_tokens = static_cast<int32_t>(context),
                    .vocab_size = info.vocab_size,
                    .max_sequences = bounded(std::min(config.max_sequences, config.step_tokens_max)),
                    .step_tokens_max = bounded(config.step_tokens_max),
                    .prefix_reuse = config.kv_cache.prefix_reuse,
                    .hash_seed = std::random_device{}(),
                    .eviction = config.kv_cache.policy == "cost" ? EvictionPolicy::cost : EvictionPolicy::lru},
      .queue_max = bounded(config.queue_max),
      .backend = std::move(backend),
      .tokenizer = std::move(tokenizer),
      .chat_template = std::move(chat_template),
      .eos_ids = std::move(eos_ids)};
  auto engine = std::make_unique<EngineThread>(std::move(parts));
  if (auto started = engine->start(); !started) return std::move(started).error();
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace weir::engine
