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
                     .hash_seed = config.hash_seed,
                     .policy = config.eviction,
                     .cost_context_tokens = config.cost_context_tokens}) {
  assert(config.blocks >= 1 && config.block_tokens >= 1 && config.context_tokens >= 2 && config.step_tokens_max >= 1);
  config_.max_sequences = std::clamp(config.max_sequences, 1, config.step_tokens_max);
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  assert(!sequence->tokens.empty() && sequence->length() < config_.context_tokens);
  sequence->arrival = arrivals_++;
  sequence->prompt_length = sequence->length();
  Sequence& s = *sequence;
  [[maybe_unused]] const bool fresh = sequences_.emplace(s.id, std::move(sequence)).second;
  assert(fresh);
  insert_in_order(waiting_, s);
  update_gauges();
}

void Scheduler::abort(uint64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  if (found->second->in_flight) {
    found->second->state = SequenceState::finished;  // commit() lets it go
  } else {
    erase(*found->second);
  }
  update_gauges();
}

const Sequence* Scheduler::find(uint64_t id) const {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

const StepPlan& Scheduler::step(TimePoint now, std::vector<Progress>& progress) {
  assert(!step_in_flight_);
  plan_.clear();
  rows_.clear();
  plan_.row_begin.push_back(0);
  plan_.block_table_begin.push_back(0);
  budget_ = config_.step_tokens_max;

  expire(now, progress);
  const uint64_t preemptions = stats_.preemptions;
  plan_decodes();
  plan_prefills();
  // Who was just preempted would be the first to be admitted again, and take back what was needed.
  if (stats_.preemptions == preemptions || running_.empty()) admit_waiting(progress);

  step_in_flight_ = !rows_.empty();
  assert(step_in_flight_ == !sequences_.empty());
  if (step_in_flight_) plan_.step = ++stats_.steps;
  update_gauges();
  return plan_;
}

void Scheduler::expire(TimePoint now, std::vector<Progress>& progress) {
  for (auto* list : {&running_, &waiting_}) {
    for (size_t i = list->size(); i-- > 0;) {
      Sequence& s = *(*list)[i];
      if (s.deadline <= now) end(s, Finish::error, deadline_error(s), progress);
    }
  }
}

void Scheduler::plan_decodes() {
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& s = *running_[i];
    if (s.state != SequenceState::decoding) continue;
    // The youngest gives way, be it this one; those before i are older and already planned, so they are safe.
    while (s.state == SequenceState::decoding && !grow(s)) preempt(*running_.back());
    if (s.state == SequenceState::decoding) plan_row(s, 1);
  }
}

void Scheduler::plan_prefills() {
  for (Sequence* s : running_) {
    if (budget_ == 0) return;
    if (s->state == SequenceState::prefilling) plan_row(*s, std::min(budget_, s->length() - s->computed));
  }
}

void Scheduler::admit_waiting(std::vector<Progress>& progress) {
  while (!waiting_.empty() && budget_ > 0 && static_cast<int32_t>(running_.size()) < config_.max_sequences) {
    Sequence& s = *waiting_.front();
    const int32_t watermark = running_.empty() ? 0 : policy::watermark_blocks(pool_.total());
    if (try_admit(s, watermark)) {
      plan_row(s, std::min(budget_, s.length() - s.computed));
    } else if (running_.empty()) {
      // Every block is free or evictable and it still does not fit: it never will.
      end(s, Finish::error, never_fits_error(s, blocks_for(s.length()), pool_, config_.block_tokens), progress);
    } else {
      return;
    }
  }
}

/// Moves a waiting sequence to running, with the blocks of its whole history, if that leaves `watermark` blocks.
bool Scheduler::try_admit(Sequence& s, int32_t watermark) {
  match_.clear();
  // The last token is always computed: its logits are what is sampled from.
  if (config_.prefix_reuse) cache_.match(std::span(s.tokens).first(s.tokens.size() - 1), s.salt, match_);
  const int32_t needed = blocks_for(s.length()) - static_cast<int32_t>(match_.size());
  const auto idle = std::ranges::count_if(match_, [&](BlockId b) { return pool_.holders(b) == 0; });
  if (needed + watermark > cache_.available() - static_cast<int32_t>(idle)) return false;

  cache_.hold(match_);
  s.blocks = match_;
  for (int32_t i = 0; i < needed; ++i) s.blocks.push_back(cache_.allocate());
  s.indexed_blocks = static_cast<int32_t>(match_.size());
  s.computed = s.indexed_blocks * config_.block_tokens;
  s.state = SequenceState::prefilling;
  if (s.cached_tokens < 0) {
    s.cached_tokens = s.computed;
    stats_.prefix_hit_tokens += static_cast<uint64_t>(s.computed);
    stats_.prefix_miss_tokens += static_cast<uint64_t>(s.prompt_length - s.computed);
  }
  std::erase(waiting_, &s);
  insert_in_order(running_, s);
  return true;
}

/// Makes sure that there is a slot for the next token; false if no block can be had.
bool Scheduler::grow(Sequence& s) {
  if (static_cast<int32_t>(s.blocks.size()) * config_.block_tokens > s.computed) return true;
  const BlockId block = cache_.allocate();
  if (block == kNoBlock) return false;
  s.blocks.push_back(block);
  return true;
}

void Scheduler::plan_row(Sequence& s, int32_t count) {
  const int32_t end = s.computed + count;
  for (int32_t p = s.computed; p < end; ++p) {
    const BlockId block = s.blocks[static_cast<size_t>(p / config_.block_tokens)];
    plan_.tokens.push_back(s.tokens[static_cast<size_t>(p)]);
    plan_.positions.push_back(p);
    plan_.slots.push_back(block * config_.block_tokens + p % config_.block_tokens);
  }
  plan_.row_begin.push_back(static_cast<int32_t>(plan_.tokens.size()));
  plan_.context_length.push_back(end);
  plan_.block_table.insert(plan_.block_table.end(), s.blocks.begin(), s.blocks.begin() + blocks_for(end));
  plan_.block_table_begin.push_back(static_cast<int32_t>(plan_.block_table.size()));
  const bool samples = end == s.length();
  plan_.samples.push_back(samples ? 1 : 0);
  plan_.sequence.push_back(s.id);
  plan_.salt.push_back(s.salt);
  plan_.sampling.push_back(samples ? StepPlan::SampleRow{&s.sampling, &s.tokens, s.prompt_length, s.output_length()}
                                   : StepPlan::SampleRow{});
  (s.state == SequenceState::decoding ? stats_.decode_tokens : stats_.prefill_tokens) += static_cast<uint64_t>(count);
  s.in_flight = true;
  rows_.push_back(&s);
  budget_ -= count;
}

void Scheduler::preempt(Sequence& s) {
  assert(!s.in_flight && s.state != SequenceState::waiting);
  cache_.release(s.blocks);
  s.blocks.clear();
  s.computed = 0;
  s.indexed_blocks = 0;
  s.state = SequenceState::waiting;
  std::erase(running_, &s);
  insert_in_order(waiting_, s);
  ++stats_.preemptions;
}

Result<void> Scheduler::commit(const StepResult& result, std::vector<Progress>& progress) {
  assert(step_in_flight_);
  if (result.step != plan_.step) return broken_result("it is of another step");
  if (result.sampled.size() != rows_.size()) return broken_result("it has another number of rows");
  if (!result.logprobs.empty() && result.logprobs.size() != rows_.size()) return broken_result("log-probabilities");
  for (size_t r = 0; r < rows_.size(); ++r) {
    const TokenId token = result.sampled[r];
    if (plan_.samples[r] != 0 && (token < 0 || token >= config_.vocab_size)) {
      return broken_result("row " + std::to_string(r) + " sampled token " + std::to_string(token));
    }
  }
  step_in_flight_ = false;
  for (Sequence* s : rows_) s->in_flight = false;
  for (size_t r = 0; r < rows_.size(); ++r) {
    Sequence& s = *rows_[r];
    s.computed = plan_.context_length[r];
    if (config_.prefix_reuse) index_full_blocks(s);
    if (s.state == SequenceState::finished) {
      erase(s);
    } else if (plan_.samples[r] != 0) {
      s.state = SequenceState::decoding;
      const bool wanted = s.sampling.logprobs >= 0 && !result.logprobs.empty();
      take_token(s, result.sampled[r], wanted ? &result.logprobs[r] : nullptr, progress);
    }
  }
  rows_.clear();
  update_gauges();
  return {};
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

void Scheduler::take_token(Sequence& s, TokenId token, const TokenLogprob* logprob, std::vector<Progress>& progress) {
  s.tokens.push_back(token);
  Progress p{.sequence = s.id, .token = token, .cached_tokens = s.cached_tokens};
  if (logprob != nullptr) p.logprob = *logprob;
  if (!s.stop.ignore_eos && std::ranges::find(s.stop.token_ids, token) != s.stop.token_ids.end()) {
    p.finish = Finish::stop;
  } else if (s.output_length() >= s.stop.output_tokens_max || s.length() >= config_.context_tokens) {
    p.finish = Finish::length;
  }
  const bool last = p.finish.has_value();
  progress.push_back(std::move(p));
  if (last) erase(s);
}

void Scheduler::end(Sequence& s, Finish finish, std::optional<Error> error, std::vector<Progress>& progress) {
  progress.push_back(
      {.sequence = s.id, .finish = finish, .error = std::move(error), .cached_tokens = std::max(0, s.cached_tokens)});
  erase(s);
}

void Scheduler::erase(Sequence& s) {
  assert(!s.in_flight);
  cache_.release(s.blocks);
  std::erase(waiting_, &s);
  std::erase(running_, &s);
  sequences_.erase(s.id);
}

void Scheduler::drop_all() {
  step_in_flight_ = false;
  for (auto& [id, s] : sequences_) cache_.release(s->blocks);
  waiting_.clear();
  running_.clear();
  rows_.clear();
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
  for (const auto& [id, s] : sequences_) {
    const std::string who = "sequence " + std::to_string(id);
    const bool waits = s->state == SequenceState::waiting;
    if (std::ranges::count(waits ? waiting_ : running_, s.get()) != 1) return who + " is not in its queue";
    if (waits && !s->blocks.empty()) return who + " waits and holds blocks";
    if (!waits && blocks_for(s->computed) > static_cast<int32_t>(s->blocks.size())) return who + " lacks blocks";
    for (size_t i = 0; i < s->blocks.size(); ++i) {
      ++holders[static_cast<size_t>(s->blocks[i])];
      const bool indexed = static_cast<int32_t>(i) < s->indexed_blocks;
      if (pool_.marked(s->blocks[i]) != indexed) return who + ": a block's mark disagrees with indexed_blocks";
      if (!indexed && pool_.holders(s->blocks[i]) != 1) return who + " shares a block that is not in the cache";
    }
  }
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
