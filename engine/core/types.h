// The engine's smallest words.
#pragma once

#include <cstdint>

namespace weir::engine {

using TokenId = int32_t;  // an entry of the vocabulary; -1 is "none"

/// Why no token could be chosen from a sequence's logits: one of them is NaN or infinite, or its mask lets none
/// through.
enum class SampleFault : int32_t { none, not_finite, all_masked };

/// A KV block's keys and values go from one tier to the other: a block of the device, a block of the host, or the other
/// way round.
struct BlockCopy {
  int32_t from = 0;
  int32_t to = 0;

  bool operator==(const BlockCopy&) const = default;
};

}  // namespace weir::engine
