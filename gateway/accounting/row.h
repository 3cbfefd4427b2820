// One settled request as the ledger keeps it, and its byte-exact form in a journal (see README.md of this folder).
// A value of views: the texts must live through append().
#pragma once

#include <cstdint>
#include <string_view>

#include "config/base/clock.h"
#include "config/base/money.h"
#include "config/prices.h"

namespace weir::gateway {

struct LedgerRow {
  WallTime settled;             // when it was settled: the time that budgets count by
  std::string_view request_id;  // at most kRequestIdBytesMax
  std::string_view key;         // the key's name
  std::string_view team;
  std::string_view model;           // the public name
  std::string_view target;          // "account/model", "engine/name"; empty: no target was reached
  std::string_view upstream_model;  // as the upstream knows it
  std::string_view error_code;      // CONTRACT's code; empty: none. Cut at kErrorCodeBytesMax
  std::string_view tier;            // of service that served it, by which it was priced; empty: the standard one
  config::TokenCounts tokens;
  NanoUsd charge;
  int32_t status = 0;           // HTTP status the client got
  int32_t attempts = 0;         // upstream attempts
  int64_t total_us = 0;         // accept to settlement
  int64_t first_token_us = -1;  // request read to the first byte of output; −1: none came
  bool estimated = false;       // tokens are our estimate, not the upstream's word
  bool stream = false;
  bool cancelled = false;  // the client left
  bool fallback = false;   // another public model answered
  bool unpriced = false;   // its tier has no price: it was charged as if it had not been said
};

inline constexpr uint32_t kRequestIdBytesMax = 64;
inline constexpr uint32_t kErrorCodeBytesMax = 64;
inline constexpr uint32_t kTierBytesMax = 104;  // three terms

}  // namespace weir::gateway
