// One request inside the scheduler: its tokens, the KV blocks it holds and where it stands. The scheduler owns it; a
// step in flight points into it, so it stays where it is until that step is committed.
//
//   waiting ──admitted──> prefilling ──whole history planned──> decoding ──stop, length, abort, error──> finished
//      ^                      │                                     │
//      └──────preempted (blocks let go, tokens kept)────────────────┘
//
// With a step in flight it stands in two places: what is known (tokens, computed) and what will be, if it goes on
// (length_ahead, planned).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "config/base/clock.h"
#include "engine/core/sampling.h"
#include "engine/core/token_counts.h"
#include "engine/core/types.h"
#include "engine/grammar/grammar.h"
#include "engine/sched/block_pool.h"
#include "engine/sched/prefix_tree.h"

namespace weir::engine {

enum class SequenceState {
  waiting,     // holds no block
  prefilling,  // part of its history is computed; blocks for all of it are held, promised or on their way from the host
  decoding,    // all but the newest token is computed, or will be by a step in flight
  finished,    // ended or aborted while a step in flight names it; goes at commit
};

struct Sequence {
  uint64_t id = 0;
  std::vector<TokenId> tokens;  // prompt, then output
  int32_t prompt_length = 0;
  SamplingParams sampling;
  TokenCounts counts;  // of tokens, where a penalty asks for them
  StopConditions stop;
  std::optional<grammar::Matcher> matcher;    // what the output must look like, where it has got to; none: anything
  std::shared_ptr<const grammar::Mask> mask;  // of the token to come, where there is a matcher that can tell
  uint64_t salt = 0;
  TimePoint deadline = kNever;
  int32_t priority = 0;  // -100 to 100; the higher goes first
  TimePoint arrived{};   // what priority is weighed against

  SequenceState state = SequenceState::waiting;
  uint64_t arrival = 0;         // order of arrival; kept through preemption
  int32_t computed = 0;         // leading tokens whose KV lies in `blocks`, or will when `fetch` is done
  std::vector<BlockId> blocks;  // in sequence order; held
  std::vector<NodeId> fetch;    // what follows them lies on the host and is to be copied; the last of these comes first
  uint64_t filled_by = 0;       // a step up to this one copies into `blocks`: rows may read them in later steps
  int32_t promised = 0;         // device blocks that it will take until its whole history is planned
  int32_t indexed_blocks = 0;   // leading blocks that are in the prefix cache
  int32_t cached_tokens = -1;   // prompt tokens reused at first admission; -1 before it
  int32_t planned = 0;          // leading tokens that are computed when the steps in flight are
  int32_t in_flight = 0;        // steps in flight of which it is a row, or that copy for it
  int32_t pending = 0;          // tokens that they sample
  int32_t row = -1;             // in the newest of them

  int32_t length() const { return static_cast<int32_t>(tokens.size()); }
  int32_t output_length() const { return length() - prompt_length; }
  int32_t rest() const { return length() - planned; }  // to compute, while it is prefilling
  int32_t length_ahead() const { return length() + pending; }
  /// The token that a step in flight samples is the last that `context_tokens` or its own limit lets it have.
  bool ends_in_flight(int32_t context_tokens) const {
    return pending > 0 && (output_length() + pending >= stop.output_tokens_max || length_ahead() >= context_tokens);
  }
};

}  // namespace weir::engine
