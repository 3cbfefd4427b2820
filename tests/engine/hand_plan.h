// Sequences that a test generates by hand, and the StepPlan of their next step: what the tests of both backends share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
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
  std::vector<uint32_t> mask;  // of every token; empty: none
  int32_t row = -1;            // of the step under way that samples the token after `tokens`; -1: none does
};

/// Plans up to `chunk` tokens of each sequence; the last token of a sequence samples.
inline StepPlan plan_of(const std::vector<Hand*>& hands, int32_t chunk) {
  StepPlan plan;
  plan.row_begin.push_back(0);
  plan.block_table_begin.push_back(0);
  for (Hand* hand : hands) {
    const auto known = static_cast<int32_t>(hand->tokens.size());
    const int32_t size = known + (hand->row < 0 ? 0 : 1);
    const int32_t end = std::min(size, hand->computed + chunk);
    for (int32_t p = hand->computed; p < end; ++p) {
      plan.tokens.push_back(p < known ? hand->tokens[static_cast<size_t>(p)] : sampled_by(hand->row));
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
    plan.sampling.push_back(
        {&hand->params, &hand->tokens, hand->prompt, size - hand->prompt, hand->mask.empty() ? nullptr : &hand->mask});
    hand->computed = end;
  }
  return plan;
}

/// `steps` steps of all sequences, in another order each time; with `ahead`, each is submitted before the one before it
/// is waited for. The sequences take what is sampled.
inline Result<void> generate(Backend& backend, std::vector<Hand*> hands, int32_t chunk, int32_t steps, bool ahead) {
  struct UnderWay {
    StepPlan plan;
    std::vector<Hand*> hands;
  };
  std::deque<UnderWay> under_way;
  for (int32_t step = 0; step < steps || !under_way.empty();) {
    if (step < steps && under_way.size() < (ahead ? 2 : 1)) {
      under_way.push_back({plan_of(hands, chunk), hands});
      UnderWay& next = under_way.back();
      next.plan.step = static_cast<uint64_t>(++step);
      if (auto submitted = backend.submit(next.plan); !submitted.ok()) return submitted;
      for (size_t r = 0; r < hands.size(); ++r)
        hands[r]->row = next.plan.samples[r] != 0 ? static_cast<int32_t>(r) : -1;
      std::reverse(hands.begin(), hands.end());
      if (ahead && under_way.size() < 2 && step < steps) continue;
    }
    auto result = backend.wait();
    if (!result.ok()) return result.error();
    const UnderWay& oldest = under_way.front();
    for (size_t r = 0; r < oldest.hands.size(); ++r) {
      if (oldest.plan.samples[r] != 0) oldest.hands[r]->tokens.push_back(result->sampled[r]);
    }
    under_way.pop_front();
    if (!under_way.empty()) continue;
    for (Hand* hand : hands) hand->row = -1;
  }
  return {};
}

}  // namespace weir::engine
