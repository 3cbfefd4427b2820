// Sequences that a test generates by hand, and the StepPlan of their next step: what the tests of both backends share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"

namespace weir::engine {

inline constexpr int32_t kBlockTokens = 16;

/// One sequence: its tokens so far and the blocks that are its own.
struct Hand {
  std::vector<TokenId> tokens;
  std::vector<int32_t> blocks;
  SamplingParams params;
  int32_t prompt = 0;
  int32_t computed = 0;
};

/// Plans up to `chunk` tokens of each sequence; the last token of a sequence samples.
inline StepPlan plan_of(const std::vector<Hand*>& hands, int32_t chunk) {
  StepPlan plan;
  plan.row_begin.push_back(0);
  plan.block_table_begin.push_back(0);
  for (Hand* hand : hands) {
    const auto size = static_cast<int32_t>(hand->tokens.size());
    const int32_t end = std::min(size, hand->computed + chunk);
    for (int32_t p = hand->computed; p < end; ++p) {
      plan.tokens.push_back(hand->tokens[static_cast<size_t>(p)]);
      plan.positions.push_back(p);
      plan.slots.push_back(hand->blocks[static_cast<size_t>(p / kBlockTokens)] * kBlockTokens + p % kBlockTokens);
    }
    plan.row_begin.push_back(static_cast<int32_t>(plan.tokens.size()));
    plan.context_length.push_back(end);
    plan.block_table.insert(plan.block_table.end(), hand->blocks.begin(), hand->blocks.end());
    plan.block_table_begin.push_back(static_cast<int32_t>(plan.block_table.size()));
    plan.samples.push_back(end == size);
    plan.sequence.push_back(0);
    plan.salt.push_back(0);
    plan.sampling.push_back({&hand->params, &hand->tokens, hand->prompt, size - hand->prompt});
    hand->computed = end;
  }
  return plan;
}

}  // namespace weir::engine
