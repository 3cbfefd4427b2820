// How often each token stands in a sequence: what penalties want to know (SamplingParams), kept as the sequence grows,
// so that a step costs what is new and not a walk over all of it. A plain value; one owner.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/core/sampling.h"
#include "engine/core/types.h"

namespace weir::engine {

/// Does a penalty ask which tokens there were?
inline bool wants_counts(const SamplingParams& p) {
  return p.repetition_penalty != 1.0F || p.presence_penalty != 0.0F || p.frequency_penalty != 0.0F;
}

class TokenCounts {
 public:
  struct Entry {
    TokenId token = 0;
    int32_t output = 0;  // how often in the output; 0: in the prompt alone
  };

  /// Takes in what `history`, prompt then output, has more than when it was last called. The prompt's tokens are
  /// entries only where the repetition penalty asks for them. REQUIRES: the same sequence and parameters each time.
  void extend(std::span<const TokenId> history, int32_t prompt_length, const SamplingParams& params) {
    const auto prompt = static_cast<size_t>(prompt_length);
    if (params.repetition_penalty == 1.0F) taken_ = taken_ < prompt ? prompt : taken_;
    for (; taken_ < history.size(); ++taken_) {
      Entry& entry = entry_of(history[taken_]);
      entry.output += taken_ >= prompt ? 1 : 0;
    }
  }

  /// One a token, in the order in which they first came.
  const std::vector<Entry>& entries() const { return entries_; }
  void clear() {
    entries_.clear();
    place_.clear();
    taken_ = 0;
  }

 private:
  Entry& entry_of(TokenId token) {
    const auto [found, added] = place_.try_emplace(token, static_cast<uint32_t>(entries_.size()));
    if (added) entries_.push_back({.token = token});
    return entries_[found->second];
  }

  std::vector<Entry> entries_;
  std::unordered_map<TokenId, uint32_t> place_;  // in entries_
  size_t taken_ = 0;
};

}  // namespace weir::engine
