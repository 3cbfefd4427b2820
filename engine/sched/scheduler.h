// The scheduler: a pure state machine with no clock, no thread and no memory of its own devices. Every sequence and
// every block has one owner, this class; commit() is the one place where results become state.
//
//   add / abort (any time)  ·  step(now) -> StepPlan  ·  [the backend works]  ·  commit(StepResult)
//
// A second step may be planned while one is in flight, as if nothing ended with it: its rows read tokens that are not
// sampled yet (sampled_by). What a sequence turns out not to have needed, one token, is dropped. One whose output has a
// grammar waits for its token, which its mask depends on: it is in every other step, and the others go on as they are.
//
// A step decodes every running sequence first, then spends what is left of `step_tokens_max` on chunks of prefill, in
// the order of policy.h, then admits waiting sequences. Where the first of them takes more than a step, those with much
// less to compute get up to half, running or newly admitted: no first token waits for a long prompt's end, and a long
// prompt takes at most twice its time. Who is admitted is promised blocks for its whole history, and takes them as its
// chunks are planned, so that a step evicts no more than it fills. Of a prefix that lies on the host, `copies_in_max`
// blocks a step are copied back, while others decode; its owner's first chunk follows a step later.
//
// A sequence's blocks are let go only when no step in flight names it: an abort in between takes effect at commit. When
// blocks run out the last running sequence in that order is preempted: it keeps its tokens and computes them anew
// later. Progress is certain: while any sequence exists, step() plans work or ends the oldest with an error that says
// why it can never run. The engine thread owns it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "engine/backend/backend.h"
#include "engine/sched/block_pool.h"
#include "engine/sched/radix_cache.h"
#include "engine/sched/sequence.h"

namespace weir::engine {

struct SchedulerConfig {
  int32_t blocks = 0;             // ≥ 1
  int32_t block_tokens = 16;      // ≥ 1
  int32_t context_tokens = 0;     // ≥ 2; a sequence never grows beyond
  int32_t vocab_size = 0;         // sampled tokens lie in [0, vocab_size)
  int32_t max_sequences = 64;     // running at once; lowered to step_tokens_max, so that prefill cannot starve
  int32_t step_tokens_max = 512;  // ≥ 1, input tokens of one step
  bool prefix_reuse = true;
  uint64_t hash_seed = 0;                         // of the prefix cache
  EvictionPolicy eviction = EvictionPolicy::lru;  // of the prefix cache
  int32_t cost_context_tokens = RadixCacheOptions().cost_context_tokens;
  int32_t host_blocks = 0;       // of the prefix cache's second tier
  int32_t copies_in_max = 64;    // ≥ 1, blocks that a step copies from the host
  int32_t fetch_blocks_min = 1;  // of the host: fewer are computed anew
};

/// What happened to one sequence: a token, its end, or both.
struct Progress {
  uint64_t sequence = 0;
  TokenId token = -1;                   // the token sampled; -1: none (it ended without one)
  bool hidden = false;                  // it only says that the output ends, and is not shown
  std::optional<TokenLogprob> logprob;  // of the token, if asked for; `bytes` empty
  std::optional<Finish> finish;         // its last event; the scheduler has forgotten it
  std::optional<Error> error;           // with Finish::error
  int32_t cached_tokens = 0;            // prompt tokens that were reused
};

struct SchedulerStats {
  int32_t running = 0;
  int32_t waiting = 0;
  uint64_t prefix_hit_tokens = 0;  // prompt tokens, counted once a sequence
  uint64_t prefix_miss_tokens = 0;
  uint64_t host_hit_tokens = 0;  // of the hits, those that lay on the host
  uint64_t copied_out = 0;       // blocks, from the device to the host
  uint64_t copied_in = 0;
  uint64_t prefill_tokens = 0;  // computed, recomputation included
  uint64_t decode_tokens = 0;
  uint64_t steps = 0;
  uint64_t preemptions = 0;
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerConfig& config);

  /// A new sequence, `waiting`. REQUIRES: an id not in use, a prompt of 1 .. context_tokens - 1 valid tokens.
  void add(std::unique_ptr<Sequence> sequence);
  /// Forgets a sequence; no Progress of it follows. Unknown ids are ignored: it may just have ended.
  void abort(uint64_t id);

  /// Plans the next step; appends to `progress` what ended without one (deadline passed, can never fit). REQUIRES: at
  /// most one step in flight. An empty plan is not in flight: with none in flight it means that no sequence is
  /// left, with one that there is nothing to do before its commit (nothing goes on for certain, or blocks have run
  /// out). The plan stays valid and untouched until its commit(), whatever is added and aborted meanwhile.
  const StepPlan& step(TimePoint now, std::vector<Progress>& progress);

  /// Takes the result of the oldest step in flight. An Error means the result does not fit the plan: the backend is
  /// broken, and the step stays in flight (only drop_all() may follow).
  Result<void> commit(const StepResult& result, std::vector<Progress>& progress);

  /// Forgets every sequence and the steps in flight; for a broken backend and for shutdown.
  void drop_all();
  /// Forgets every cached prefix that no sequence holds.
  void clear_cache() { cache_.clear(); }

  /// No sequence and no step: a step that only copies may outlast whom it copied for.
  bool idle() const { return sequences_.empty() && in_flight_ == 0; }
  int32_t in_flight() const { return in_flight_; }  // steps, 0 to 2
  const SchedulerStats& stats() const { return stats_; }
  const BlockPool& blocks() const { return pool_; }
  const BlockPool& host_blocks() const { return cache_.host(); }
  const SchedulerConfig& config() const { return config_; }
  const Sequence* find(uint64_t id) const;

  /// Walks everything; the empty string if every block is held exactly as the sequences say and the queues agree with
  /// the states, else what is wrong.
  std::string check() const;

 private:
  struct Step {
    StepPlan plan;
    std::vector<Sequence*> rows;     // [R]
    std::vector<Sequence*> fetches;  // for whom it copies
  };
  Step& next() { return steps_[static_cast<size_t>((oldest_ + in_flight_) % 2)]; }
  void expire(TimePoint now, std::vector<Progress>& progress);
  bool goes_on(const Sequence& sequence, TimePoint now) const;
  bool plan_decodes(TimePoint now);
  bool grow_all(TimePoint now);
  void plan_prefills(TimePoint now, bool admits);
  bool computable(const Sequence& sequence, TimePoint now) const;
  void plan_passing(const Sequence& first, TimePoint now, bool admits);
  void plan_chunk(Sequence& sequence, int32_t tokens_max);
  void admit_waiting(TimePoint now, std::vector<Progress>& progress);
  int32_t match(const Sequence& sequence);
  int32_t matched_tokens() const;
  bool try_admit(Sequence& sequence, int32_t watermark);
  bool grow(Sequence& sequence);
  void plan_fetch(Sequence& sequence);
  void let_go(Sequence& sequence);
  void commit_copies(Step& step);
  void plan_row(Sequence& sequence, int32_t count);
  void preempt(Sequence& sequence);
  Result<void> check_result(const Step& step, const StepResult& result) const;
  void index_full_blocks(Sequence& sequence);
  void take_token(Sequence& sequence, TokenId token, const TokenLogprob* logprob, std::vector<Progress>& progress);
  void end(Sequence& sequence, Finish finish, std::optional<Error> error, std::vector<Progress>& progress);
  void leave(Sequence& sequence);
  void erase(Sequence& sequence);
  void update_gauges();
  int32_t blocks_for(int32_t tokens) const { return (tokens + config_.block_tokens - 1) / config_.block_tokens; }

  SchedulerConfig config_;
  BlockPool pool_;
  RadixCache cache_;
  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> waiting_;  // in the order of policy.h, as running_
  std::vector<Sequence*> running_;
  uint64_t arrivals_ = 0;
  SchedulerStats stats_;

  std::array<Step, 2> steps_;  // those in flight from oldest_ on, then the one being planned
  int32_t oldest_ = 0;
  int32_t in_flight_ = 0;
  int32_t budget_ = 0;                                  // input tokens the plan may still take
  int32_t copies_in_ = 0;                               // and blocks from the host
  int32_t promised_ = 0;                                // device blocks, to all sequences
  PrefixMatch match_;                                   // scratch of match()
  std::vector<std::pair<int32_t, Sequence*>> passing_;  // scratch of plan_passing(): by what each has to compute
};

}  // namespace weir::engine
