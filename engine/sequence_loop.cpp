#include "engine/sequence_loop.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace weir::engine {

SequenceLoop::SequenceLoop(EngineParts parts)
    : EngineLoop(parts.step_max),
      name_(std::move(parts.name)),
      backend_(std::move(parts.backend)),
      tokenizer_(std::move(parts.tokenizer)),
      inbox_(std::make_shared<Inbox>(static_cast<int32_t>(
          std::min<int64_t>(int64_t{parts.scheduler.max_sequences} + parts.queue_max, INT32_MAX)))),
      scheduler_(parts.scheduler) {
  const BackendInfo& info = backend_->info();
  stats_.device = info.reason.empty() ? info.name : info.name + " (" + info.reason + ")";
  publish();
}

EngineStats SequenceLoop::stats() const {
  const int32_t queued = inbox_->arrivals();
  EngineStats stats;
  {
    const std::lock_guard lock(stats_mutex_);
    stats = stats_;
  }
  stats.waiting += queued;
  add_health(stats);
  return stats;
}

void SequenceLoop::run() {
  while (true) {
    const bool idle = scheduler_.idle();
    if (idle) check_invariants();
    if (!take_mail(idle)) return end_all(shutdown_error());
    step_begins();
    auto stepped = run_step();
    const bool in_time = step_ends();
    if (stepped && !in_time) stepped = start_anew();
    if (!stepped) {
      broke(stepped.error().detail);
      return end_all(down_error(stepped.error().detail));
    }
  }
}

/// The step was late: what it worked on has failed, and nobody waits for it, nor for the step after it.
Result<void> SequenceLoop::start_anew() {
  for (; scheduler_.in_flight() > 0; progress_.clear()) {
    const auto result = backend_->wait();
    if (!result) return result.error();
    if (auto committed = scheduler_.commit(*result, progress_); !committed) return committed;
  }
  scheduler_.drop_all();
  live_.clear();
  progress_.clear();
  under_way_.clear();
  ended_.clear();
  publish();
  inbox_->reopen();
  recovered();
  return {};
}

/// The scheduler is the engine thread's, which may be in the middle of it.
void SequenceLoop::fail_all(const Error& reason) {
  {
    const std::lock_guard lock(stats_mutex_);
    stats_.running = 0;
    stats_.waiting = 0;
  }
  inbox_->fail_all(reason);
}

/// False if the engine should end.
bool SequenceLoop::take_mail(bool wait) {
  Inbox::Mail mail = inbox_->take(wait);
  for (auto& arrival : mail.arrivals) begin(std::move(arrival));
  for (const uint64_t id : mail.aborts) {
    scheduler_.abort(id);
    if (live_.erase(id) > 0) ended_.push_back(id);
  }
  return !mail.stop;
}

void SequenceLoop::begin(Arrival arrival) {
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
  if (request.grammar) sequence->matcher.emplace(std::move(request.grammar));
  sequence->salt = request.cache_salt;
  sequence->deadline = request.deadline;
  sequence->priority = request.priority;
  sequence->arrived = now();
  scheduler_.add(std::move(sequence));
}

/// One turn of schedule, submit, commit. An Error means the backend is broken.
Result<void> SequenceLoop::run_step() {
  const TimePoint begin = now();
  if (auto submitted = submit_steps(begin); !submitted) return submitted;
  if (scheduler_.in_flight() > 0) {
    take_mail(false);  // a stop stays in the inbox and is seen by run()
    auto result = backend_->wait();
    if (!result) return std::move(result).error();
    if (auto committed = scheduler_.commit(*result, progress_); !committed) return committed;
    StepSeen seen = under_way_.front();
    under_way_.pop_front();
    seen.seconds = std::chrono::duration<double>(now() - begin).count();
    observe_step(seen);
  }
  tell();
  return {};
}

/// Until as many are under way as the backend has use for, or there is nothing more to do.
Result<void> SequenceLoop::submit_steps(TimePoint now) {
  const int32_t steps = backend_->info().overlaps ? 2 : 1;
  while (scheduler_.in_flight() < steps) {
    const StepPlan& plan = scheduler_.step(now, progress_);
    if (plan.empty()) break;
    if (auto submitted = backend_->submit(plan); !submitted) return submitted;
    under_way_.push_back({.sequences = plan.rows(), .tokens = static_cast<int32_t>(plan.tokens.size())});
  }
  return {};
}

/// What happened becomes text and goes to the outboxes.
void SequenceLoop::tell() {
  for (auto& progress : std::exchange(progress_, {})) digest(std::move(progress));
  publish();
  deliver();
}

void SequenceLoop::digest(Progress progress) {
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
    if (finish == Finish::error) piece->error = std::move(progress.error);
    deliveries_.push_back({live.outbox, std::move(*piece), live.usage});
  } else {
    live.outbox->set_usage(live.usage);
  }
  if (!finish) return;
  ended_.push_back(found->first);
  live_.erase(found);
}

/// Feeds one token to the text; gives how the sequence ends, if it does.
std::optional<Finish> SequenceLoop::digest_token(Live& live, Progress& progress) {
  ++live.usage.output_tokens;
  if (progress.hidden) {
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

void SequenceLoop::deliver() {
  for (auto& delivery : deliveries_) delivery.outbox->push(std::move(delivery.piece), delivery.usage);
  deliveries_.clear();
}

/// Every sequence, those still in the inbox too, ends with `reason`; nothing is accepted any more.
void SequenceLoop::end_all(const Error& reason) {
  inbox_->close(reason);
  tell();
  take_mail(false);
  scheduler_.drop_all();
  for (auto& [id, live] : live_) {
    Output piece;
    live.text.finish(Finish::error, live.detokenizer ? live.detokenizer->flush() : std::string());
    if (auto last = live.text.take()) piece = std::move(*last);
    piece.finish = Finish::error;
    piece.error = reason;
    deliveries_.push_back({live.outbox, std::move(piece), live.usage});
    ended_.push_back(id);
  }
  live_.clear();
  publish();
  deliver();
}

void SequenceLoop::publish() {
  inbox_->ended(ended_);
  ended_.clear();
  const SchedulerStats& s = scheduler_.stats();
  const BlockPool& blocks = scheduler_.blocks();
  const std::lock_guard lock(stats_mutex_);
  stats_.running = s.running;
  stats_.waiting = s.waiting;
  stats_.blocks_total = blocks.total();
  stats_.blocks_free = blocks.free();
  stats_.blocks_cached = blocks.cached();
  stats_.blocks_active = blocks.active();
  stats_.host_blocks_total = scheduler_.host_blocks().total();
  stats_.host_blocks_cached = scheduler_.host_blocks().total() - scheduler_.host_blocks().free();
  stats_.host_hit_tokens = s.host_hit_tokens;
  stats_.blocks_copied_out = s.copied_out;
  stats_.blocks_copied_in = s.copied_in;
  stats_.prefix_hit_tokens = s.prefix_hit_tokens;
  stats_.prefix_miss_tokens = s.prefix_miss_tokens;
  stats_.prefill_tokens = s.prefill_tokens;
  stats_.decode_tokens = s.decode_tokens;
  stats_.steps = s.steps;
  stats_.preemptions = s.preemptions;
}

/// In debug and sanitizer builds, when nothing runs: every block is accounted for, or the program is wrong.
void SequenceLoop::check_invariants() const {
#if !defined(NDEBUG) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  std::string wrong = scheduler_.check();
  if (wrong.empty() && scheduler_.blocks().active() != 0) wrong = "an idle engine holds blocks";
  if (wrong.empty() && scheduler_.host_blocks().active() != 0) wrong = "an idle engine copies host blocks";
  if (wrong.empty() && !live_.empty()) wrong = "an idle engine has live sequences";
  if (wrong.empty()) return;
  std::fprintf(stderr, "engine %s: invariant broken: %s\n", name_.c_str(), wrong.c_str());
  std::abort();
#endif
}

}  // namespace weir::engine
