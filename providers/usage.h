// What one answer used, as far as it is known. Pure values.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "config/prices.h"

namespace weir::providers {

/// What no single answer can have used: a larger number of an upstream's is a fault, and its usage is estimated
/// instead.
inline constexpr int64_t kPlausibleTokensMax = 100'000'000;
inline bool plausible(const config::TokenCounts& counts) {
  for (const int64_t count : {counts.input, counts.cached_input, counts.output, counts.reasoning, counts.cache_write_5m,
                              counts.cache_write_1h, counts.audio_input, counts.audio_output})
    if (count < 0 || count > kPlausibleTokensMax) return false;
  return true;
}

/// Which counts a report really has: what is missing is estimated.
struct Told {
  bool input = true;
  bool output = true;
};

/// Tokens of one request by kind. Streams may report several times: the maximum counts.
struct Usage {
  config::TokenCounts counts;
  bool reported = false;                       // by the upstream or the engine; else estimated
  Told told{.input = false, .output = false};  // not reported: which halves of it were all the same

  void raise(const config::TokenCounts& other);
};

}  // namespace weir::providers
