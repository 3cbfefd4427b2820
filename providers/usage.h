// What one answer used, as far as it is known. Pure values.
#pragma once

#include "config/prices.h"

namespace weir::providers {

/// Tokens of one request by kind. Streams may report several times: the maximum counts.
struct Usage {
  config::TokenCounts counts;
  bool reported = false;  // by the upstream or the engine; else estimated

  void raise(const config::TokenCounts& other);
};

}  // namespace weir::providers
