#include "engine/sched/scheduler.h"

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "engine/sched/policy.h"

namespace weir::engine {
namespace {

void insert_in_order(std::vector<Sequence*>& list, Sequence& sequence) {
  const auto place = std::upper_bound(list.begin(), list.end(), &sequence,
                                      [](const Sequence* a, const Sequence* b) { return policy::before(*a, *b); });
  list.insert(place, &sequence);
}

Error deadline_error(const Sequence& sequence) {
  return {.kind = ErrorKind::timeout,
          .source = "engine",
          .http_status = 504,
          .detail = "the deadline passed after " + std::to_string(sequence.output_length()) + " output tokens",
          .code = "upstream_timeout"};
}

Error never_fits_error(const Sequence& sequence, int32_t needed, const BlockPool& pool, int32_t block_tokens) {
  return {.kind = ErrorKind::context_length,
          .source = "engine",
          .http_status = 400,
          .detail = "a sequence of " + std::to_string(sequence.length()) + " tokens needs " + std::to_string(needed) +
                    " KV blocks of " + std::to_string(block_tokens) + " tokens, and the engine has " +
                    std::to_string(pool.total()) + " in all; shorten it or raise kv_cache.memory",
          .code = "context_length_exceeded"};
}

Error too_ambiguous_error(const Sequence& sequence) {
  return {.kind = ErrorKind::bad_request,
          .source = "engine",
          .http_status = 400,
          .detail = "the form that the answer must have became too ambiguous to follow after " +
                    std::to_string(sequence.output_length()) + " tokens; give it fewer alternatives that begin alike",
          .code = "invalid_request_error"};
}

Error broken_result(std::string what) {
  return {.kind = ErrorKind::internal,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 502,
          .detail = "the backend's result does not fit its plan: " + std::move(what),
          .code = "upstream_error"};
}

}  // namespace

Scheduler::Scheduler(const SchedulerConfig& config)
    : config_(config),
      pool_(config.blocks),
      cache_(pool_, {.block_tokens = config.block_tokens,
                     .host_blocks = config.host_blocks,
                     .hash_seed = config.hash_seed,
                     .policy = config.eviction,
                     .cost_context_tokens = config.cost_context_tokens}) {
  assert(config.blocks >= 1 && config.block_tokens >= 1 && config.context_tokens >= 2 && config.step_tokens_max >= 1);
  assert(config.host_blocks >= 0 && config.copies_in_max >= 1);
  config_.max_sequences = std::clamp(config.max_sequences, 1, config.step_tokens_max);
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  assert(!sequence->tokens.empty() && sequence->length() < config_.context_tokens);
  sequence->arrival = arrivals_++;
  sequence->prompt_length = sequence->length();
  if (sequence->matcher) sequence->mask = sequence->matcher->mask();
  Sequence& s = *sequence;
  [[maybe_unused]] const bool fresh = sequences_.emplace(s.id, std::move(sequence)).second;
  assert(fresh);
  insert_in_order(waiting_, s);
  update_gauges();
}

void Scheduler::abort(uint64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  leave(*found->second);
  update_gauges();
}

const Sequence* Scheduler::find(uint64_t id) const {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

const StepPlan& Scheduler::step(TimePoint now, std::vector<Progress>& progress) {
  assert(in_flight_ < 2);
  Step& step = next();
  step.plan.clear();
  step.rows.clear();
  step.fetches.clear();
  step.plan.row_begin.push_back(0);
  step.plan.block_table_begin.push_back(0);
  budget_ = config_.step_tokens_max;
  copies_in_ = config_.copies_in_max;

  expire(now, progress);
  const uint64_t preemptions = stats_.preemptions;
  if (plan_decodes(now)) {
    // Who was just preempted would be the first to be admitted again, and take back what was needed.
    const bool admits = stats_.preemptions == preemptions || running_.empty();
    plan_prefills(now, admits);
    if (admits) admit_waiting(now, progress);
  }
  cache_.take_copies(step.plan.copies_out, step.plan.copies_in);
  assert(in_flight_ > 0 || step.plan.empty() == sequences_.empty());
  if (!step.plan.empty()) {
    step.plan.step = ++stats_.steps;
    ++in_flight_;
  }
  update_gauges();
  return step.plan;
}

/// Ends what may not go on.
void Scheduler::expire(TimePoint now, std::vector<Progress>& progress) {
  for (auto* list : {&running_, &waiting_}) {
    for (size_t i = list->size(); i-- > 0;) {
      Sequence& s = *(*list)[i];
      if (s.in_flight > 0) continue;
      if (s.deadline <= now) {
        end(s, Finish::error, deadline_error(s), progress);
      } else if (s.matcher && !s.mask) {
        end(s, Finish::error, too_ambiguous_error(s), progress);
      }
    }
  }
}

/// Whether a running sequence is to have a row in the next step, for all that is known.
bool Scheduler::goes_on(const Sequence& s, TimePoint now) const {
  if (s.matcher && (s.pending > 0 || !s.mask)) return false;
  return s.state != SequenceState::finished && s.deadline > now && !s.ends_in_flight(config_.context_tokens);
}

/// False if blocks have run out and none may be taken from a sequence, as a step in flight may name it.
bool Scheduler::plan_decodes(TimePoint now) {
  if (in_flight_ > 0 && !grow_all(now)) return false;
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& s = *running_[i];
    if (s.state != SequenceState::decoding || !goes_on(s, now)) continue;
    // The youngest gives way, be it this one; those before i are older and already planned, so they are safe.
    while (s.state == SequenceState::decoding && !grow(s)) preempt(*running_.back());
    if (s.state == SequenceState::decoding) plan_row(s, 1);
  }
  return true;
}

bool Scheduler::grow_all(TimePoint now) {
  return std::ranges::all_of(
      running_, [&](Sequence* s) { return s->state != SequenceState::decoding || !goes_on(*s, now) || grow(*s); });
}

void Scheduler::plan_prefills(TimePoint now, bool admits) {
  Sequence* first = nullptr;
  for (Sequence* s : running_) {
    if (s->state != SequenceState::prefilling || !goes_on(*s, now)) continue;
    plan_fetch(*s);
    if (first == nullptr && computable(*s, now)) first = s;
  }
  if (first != nullptr && first->rest() > budget_) plan_passing(*first, now, admits);
  if (first != nullptr) plan_chunk(*first, budget_);
  for (Sequence* s : running_) {
    if (computable(*s, now)) plan_chunk(*s, budget_);
  }
}

/// A chunk of it can be computed in this step: what of its prefix lies on the host is copied, by a step before.
bool Scheduler::computable(const Sequence& s, TimePoint now) const {
  return s.state == SequenceState::prefilling && goes_on(s, now) && s.fetch.empty() && s.filled_by <= stats_.steps;
}

/// `first` takes more than this step. Up to half of the budget goes to those that need not wait for it, the least rest
/// first. Of those waiting, only as many are looked at as could all be admitted: nobody is passed who waits for memory.
void Scheduler::plan_passing(const Sequence& first, TimePoint now, bool admits) {
  passing_.clear();
  const auto consider = [&](Sequence& s, int32_t rest) {
    if (policy::passes(s, rest, first)) passing_.emplace_back(rest, &s);
  };
  for (Sequence* s : running_) {
    if (s != &first && computable(*s, now)) consider(*s, s->rest());
  }
  const int32_t watermark = policy::watermark_blocks(pool_.total());
  int32_t room = cache_.available() - promised_ - watermark;
  const size_t places = static_cast<size_t>(config_.max_sequences) - running_.size();
  for (size_t i = 0; admits && i < std::min(places, waiting_.size()); ++i) {
    room -= match(*waiting_[i]);
    if (room < 0) break;
    consider(*waiting_[i], waiting_[i]->length() - matched_tokens());
  }
  std::ranges::stable_sort(passing_, {}, &std::pair<int32_t, Sequence*>::first);
  const int32_t kept = budget_ - budget_ / 2;
  for (const auto& [rest, s] : passing_) {
    if (budget_ <= kept) return;
    if (s->state == SequenceState::waiting) {
      if (!try_admit(*s, watermark)) continue;
      plan_fetch(*s);
    }
    if (computable(*s, now)) plan_chunk(*s, budget_ - kept);
  }
}

void Scheduler::plan_chunk(Sequence& s, int32_t tokens_max) {
  if (tokens_max > 0) plan_row(s, std::min(tokens_max, s.rest()));
}

void Scheduler::plan_fetch(Sequence& s) {
  const uint64_t step = stats_.steps + 1;
  while (!s.fetch.empty() && copies_in_ > 0) {
    const RadixCache::Fetched fetched = cache_.fetch(s.fetch.back(), step);
    s.fetch.pop_back();
    --s.promised;
    --promised_;
    if (fetched.copied) --copies_in_;
    s.blocks.push_back(fetched.block);
    ++s.indexed_blocks;
    s.filled_by = std::max(s.filled_by, cache_.filled_by(fetched.block));
  }
  if (s.filled_by != step) return;
  ++s.in_flight;
  next().fetches.push_back(&s);
}

void Scheduler::admit_waiting(TimePoint now, std::vector<Progress>& progress) {
  while (!waiting_.empty() && budget_ > 0 && static_cast<int32_t>(running_.size()) < config_.max_sequences) {
    Sequence& s = *waiting_.front();
    const int32_t watermark = running_.empty() ? 0 : policy::watermark_blocks(pool_.total());
    if (try_admit(s, watermark)) {
      plan_fetch(s);
      if (computable(s, now)) plan_chunk(s, budget_);
    } else if (running_.empty()) {
      // Every block is free or evictable and it still does not fit: it never will.
      end(s, Finish::error, never_fits_error(s, blocks_for(s.length()), pool_, config_.block_tokens), progress);
    } else {
      return;
    }
  }
}

/// Finds the longest known prefix of a waiting sequence: match_. Gives how many of the available blocks it would take.
int32_t Scheduler::match(const Sequence& s) {
  // The last token is always computed: its logits are what is sampled from.
  const size_t reusable = config_.prefix_reuse ? s.tokens.size() - 1 : 0;
  cache_.match(std::span(s.tokens).first(reusable), s.salt, match_);
  if (static_cast<int32_t>(match_.host.size()) < config_.fetch_blocks_min) match_.host.clear();
  const auto held = std::ranges::count_if(match_.blocks, [&](BlockId b) { return pool_.holders(b) > 0; });
  return blocks_for(s.length()) - static_cast<int32_t>(held);
}

int32_t Scheduler::matched_tokens() const {
  return static_cast<int32_t>(match_.blocks.size() + match_.host.size()) * config_.block_tokens;
}

/// Moves a waiting sequence to running and promises it blocks for its whole history, if that leaves `watermark` blocks.
bool Scheduler::try_admit(Sequence& s, int32_t watermark) {
  if (match(s) + watermark > cache_.available() - promised_) return false;
  const int32_t needed = blocks_for(s.length()) - static_cast<int32_t>(match_.blocks.size());

  cache_.hold(match_.blocks);
  cache_.hold_host(match_.host);
  s.blocks = match_.blocks;
  s.fetch.assign(match_.host.rbegin(), match_.host.rend());
  s.filled_by = match_.filled_by;
  s.promised = needed;
  promised_ += needed;
  s.indexed_blocks = static_cast<int32_t>(match_.blocks.size());
  s.computed = matched_tokens();
  s.planned = s.computed;
  s.state = SequenceState::prefilling;
  if (s.cached_tokens < 0) {
    s.cached_tokens = s.computed;
    stats_.host_hit_tokens += match_.host.size() * static_cast<uint64_t>(config_.block_tokens);
    stats_.prefix_hit_tokens += static_cast<uint64_t>(s.computed);
    stats_.prefix_miss_tokens += static_cast<uint64_t>(s.prompt_length - s.computed);
  }
  std::erase(waiting_, &s);
  insert_in_order(running_, s);
  return true;
}

/// Makes sure that there is a slot for the next token; false if no block can be had.
bool Scheduler::grow(Sequence& s) {
  if (static_cast<int32_t>(s.blocks.size()) * config_.block_tokens > s.planned) return true;
  if (cache_.available() <= promised_) return false;
  s.blocks.push_back(cache_.allocate());
  return true;
}

void Scheduler::plan_row(Sequence& s, int32_t count) {
  Step& step = next();
  StepPlan& plan = step.plan;
  const int32_t end = s.planned + count;
  for (; static_cast<int32_t>(s.blocks.size()) < blocks_for(end); --s.promised, --promised_) {
    s.blocks.push_back(cache_.allocate());
  }
  for (int32_t p = s.planned; p < end; ++p) {
    const BlockId block = s.blocks[static_cast<size_t>(p / config_.block_tokens)];
    plan.tokens.push_back(p < s.length() ? s.tokens[static_cast<size_t>(p)] : sampled_by(s.row));
    plan.positions.push_back(p);
    plan.slots.push_back(block * config_.block_tokens + p % config_.block_tokens);
  }
  plan.row_begin.push_back(static_cast<int32_t>(plan.tokens.size()));
  plan.context_length.push_back(end);
  plan.block_table.insert(plan.block_table.end(), s.blocks.begin(), s.blocks.begin() + blocks_for(end));
  plan.block_table_begin.push_back(static_cast<int32_t>(plan.block_table.size()));
  const bool samples = end == s.length_ahead();
  plan.samples.push_back(samples ? 1 : 0);
  plan.sequence.push_back(s.id);
  plan.salt.push_back(s.salt);
  const TokenCounts* counts = nullptr;
  if (samples && wants_counts(s.sampling)) {
    s.counts.extend(s.tokens, s.prompt_length, s.sampling);
    counts = &s.counts;
  }
  plan.sampling.push_back(samples ? StepPlan::SampleRow{&s.sampling, &s.tokens, s.prompt_length,
                                                        s.length_ahead() - s.prompt_length, s.mask.get(), counts}
                                  : StepPlan::SampleRow{});
  (s.state == SequenceState::decoding ? stats_.decode_tokens : stats_.prefill_tokens) += static_cast<uint64_t>(count);
  if (samples) {
    s.state = SequenceState::decoding;
    ++s.pending;
  }
  s.planned = end;
  s.row = static_cast<int32_t>(step.rows.size());
  ++s.in_flight;
  step.rows.push_back(&s);
  budget_ -= count;
}

void Scheduler::preempt(Sequence& s) {
  assert(s.in_flight == 0 && s.state != SequenceState::waiting);
  let_go(s);
  s.computed = 0;
  s.planned = 0;
  s.indexed_blocks = 0;
  s.state = SequenceState::waiting;
  std::erase(running_, &s);
  insert_in_order(waiting_, s);
  ++stats_.preemptions;
}

/// Of all blocks that it holds, waits for or was promised.
void Scheduler::let_go(Sequence& s) {
  cache_.release(s.blocks, s.fetch);
  s.blocks.clear();
  s.fetch.clear();
  promised_ -= std::exchange(s.promised, 0);
}

Result<void> Scheduler::check_result(const Step& step, const StepResult& result) const {
  if (result.step != step.plan.step) return broken_result("it is of another step");
  if (result.sampled.size() != step.rows.size()) return broken_result("it has another number of rows");
  if (!result.logprobs.empty() && result.logprobs.size() != step.rows.size()) {
    return broken_result("log-probabilities");
  }
  if (!result.faults.empty() && result.faults.size() != step.rows.size()) return broken_result("faults");
  for (size_t r = 0; r < step.rows.size(); ++r) {
    const TokenId token = result.sampled[r];
    if (step.plan.samples[r] != 0 && (token < 0 || token >= config_.vocab_size)) {
      return broken_result("row " + std::to_string(r) + " sampled token " + std::to_string(token));
    }
  }
  return {};
}

Result<void> Scheduler::commit(const StepResult& result, std::vector<Progress>& progress) {
  assert(in_flight_ > 0);
  Step& step = steps_[static_cast<size_t>(oldest_)];
  if (auto fits = check_result(step, result); !fits) return fits;
  oldest_ = (oldest_ + 1) % 2;
  --in_flight_;
  commit_copies(step);
  for (size_t r = 0; r < step.rows.size(); ++r) {
    Sequence& s = *step.rows[r];
    --s.in_flight;
    s.computed = step.plan.context_length[r];
    const SampleFault fault = result.faults.empty() ? SampleFault::none : result.faults[r];
    if (config_.prefix_reuse && fault == SampleFault::none) index_full_blocks(s);
    if (step.plan.samples[r] != 0) {
      --s.pending;
      s.tokens.push_back(result.sampled[r]);
    }
    if (s.state == SequenceState::finished) {
      if (s.in_flight == 0) erase(s);
    } else if (fault != SampleFault::none) {
      end(s, Finish::error, sampling_error(fault), progress);
    } else if (step.plan.samples[r] != 0) {
      const bool wanted = s.sampling.logprobs >= 0 && !result.logprobs.empty();
      take_token(s, result.sampled[r], wanted ? &result.logprobs[r] : nullptr, progress);
    }
  }
  step.rows.clear();
  update_gauges();
  return {};
}

void Scheduler::commit_copies(Step& step) {
  cache_.copied(step.plan.copies_out, step.plan.copies_in);
  stats_.copied_out += step.plan.copies_out.size();
  stats_.copied_in += step.plan.copies_in.size();
  for (Sequence* s : step.fetches) {
    if (--s->in_flight == 0 && s->state == SequenceState::finished) erase(*s);
  }
  step.fetches.clear();
}

void Scheduler::index_full_blocks(Sequence& s) {
  const int32_t size = config_.block_tokens;
  for (; (s.indexed_blocks + 1) * size <= s.computed; ++s.indexed_blocks) {
    const auto i = static_cast<size_t>(s.indexed_blocks);
    const BlockId parent = i == 0 ? kNoBlock : s.blocks[i - 1];
    const auto tokens =
        std::span<const TokenId>(s.tokens).subspan(i * static_cast<size_t>(size), static_cast<size_t>(size));
    s.blocks[i] = cache_.insert(parent, s.salt, tokens, s.blocks[i]);
  }
}

/// `token` is the newest of its tokens.
void Scheduler::take_token(Sequence& s, TokenId token, const TokenLogprob* logprob, std::vector<Progress>& progress) {
  Progress p{.sequence = s.id, .token = token, .cached_tokens = s.cached_tokens};
  if (logprob != nullptr) p.logprob = *logprob;
  if (std::ranges::find(s.stop.token_ids, token) != s.stop.token_ids.end()) {
    p.finish = Finish::stop;
    p.hidden = true;
  } else if (s.matcher && !s.matcher->accept(token)) {
    p.finish = Finish::error;
    p.error = s.matcher->too_ambiguous() ? too_ambiguous_error(s)
                                         : broken_result("a token was sampled that its mask forbids");
  } else if (s.matcher && s.matcher->finished()) {
    p.finish = Finish::stop;
  } else if (s.output_length() >= s.stop.output_tokens_max || s.length() >= config_.context_tokens) {
    p.finish = Finish::length;
  }
  const bool last = p.finish.has_value();
  progress.push_back(std::move(p));
  if (!last) {
    if (s.matcher) s.mask = s.matcher->mask();
    return;
  }
  leave(s);
}

void Scheduler::end(Sequence& s, Finish finish, std::optional<Error> error, std::vector<Progress>& progress) {
  progress.push_back(
      {.sequence = s.id, .finish = finish, .error = std::move(error), .cached_tokens = std::max(0, s.cached_tokens)});
  leave(s);
}

/// At once, or when no step in flight names it.
void Scheduler::leave(Sequence& s) {
  if (s.in_flight == 0) return erase(s);
  s.state = SequenceState::finished;  // commit() lets it go
}

void Scheduler::erase(Sequence& s) {
  assert(s.in_flight == 0);
  let_go(s);
  std::erase(waiting_, &s);
  std::erase(running_, &s);
  sequences_.erase(s.id);
}

void Scheduler::drop_all() {
  for (auto& [id, s] : sequences_) let_go(*s);
  waiting_.clear();
  running_.clear();
  for (; in_flight_ > 0; --in_flight_, oldest_ = (oldest_ + 1) % 2) {
    Step& step = steps_[static_cast<size_t>(oldest_)];
    cache_.copied(step.plan.copies_out, step.plan.copies_in);
    step.rows.clear();
    step.fetches.clear();
  }
  sequences_.clear();
  update_gauges();
}

void Scheduler::update_gauges() {
  stats_.running = static_cast<int32_t>(running_.size());
  stats_.waiting = static_cast<int32_t>(waiting_.size());
}

std::string Scheduler::check() const {
  if (std::string wrong = cache_.check(); !wrong.empty()) return wrong;
  std::vector<int32_t> holders(static_cast<size_t>(pool_.total()));
  int32_t promised = 0;
  for (const auto& [id, s] : sequences_) {
    const std::string who = "sequence " + std::to_string(id);
    const bool waits = s->state == SequenceState::waiting;
    if (std::ranges::count(waits ? waiting_ : running_, s.get()) != 1) return who + " is not in its queue";
    if (waits && !(s->blocks.empty() && s->fetch.empty() && s->promised == 0)) return who + " waits and holds blocks";
    promised += s->promised;
    if (s->planned < s->computed || s->in_flight > in_flight_) return who + " is ahead of what is planned";
    const auto blocks = static_cast<int32_t>(s->blocks.size() + s->fetch.size());
    if (!waits && blocks_for(s->planned) > blocks) return who + " lacks blocks";
    const auto held = static_cast<int32_t>(s->blocks.size());
    if (s->state == SequenceState::prefilling && held + s->promised != blocks_for(s->length())) {
      return who + " is promised too few blocks, or too many";
    }
    for (size_t i = 0; i < s->blocks.size(); ++i) {
      ++holders[static_cast<size_t>(s->blocks[i])];
      const bool indexed = static_cast<int32_t>(i) < s->indexed_blocks;
      if (pool_.marked(s->blocks[i]) != indexed) return who + ": a block's mark disagrees with indexed_blocks";
      if (!indexed && pool_.holders(s->blocks[i]) != 1) return who + " shares a block that is not in the cache";
    }
  }
  if (promised != promised_ || promised > cache_.available()) return "more blocks are promised than there are";
  if (waiting_.size() + running_.size() != sequences_.size()) return "a queue names a sequence that is gone";
  for (BlockId block = 0; block < pool_.total(); ++block) {
    if (pool_.holders(block) != holders[static_cast<size_t>(block)]) {
      return "block " + std::to_string(block) + " counts " + std::to_string(pool_.holders(block)) +
             " holders and has " + std::to_string(holders[static_cast<size_t>(block)]);
    }
  }
  if (pool_.free() + pool_.cached() + pool_.active() != pool_.total()) return "free + cached + active ≠ total";
  return {};
}

}  // namespace weir::engine
