// What one answer used, as far as it is known. Pure values.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

#include "config/prices.h"

namespace weir::providers {

/// What no single answer can have used: a larger number of an upstream's is a fault, and its usage is estimated
/// instead.
inline constexpr int64_t kPlausibleTokensMax = 100'000'000;
inline bool plausible(const config::TokenCounts& counts) {
  for (const int64_t count : {counts.input, counts.cached_input, counts.output, counts.reasoning, counts.cache_write_5m,
                              counts.cache_write_1h, counts.audio_input, counts.audio_output, counts.web_searches})
    if (count < 0 || count > kPlausibleTokensMax) return false;
  return true;
}

/// Which counts a report really has: what is missing is estimated.
struct Told {
  bool input = true;
  bool output = true;
};

/// What a transcription heard and wrote, for prices that count it in another way than its usage does.
struct Heard {
  int64_t seconds = 0;      // as the answer says, else by the size of what was sent
  bool told = false;        // the former
  bool in_tokens = false;   // the usage counts tokens; else its input is the seconds
  int64_t text_tokens = 0;  // of what was written, by its bytes
};

/// Speech or images, for prices that count them in another way than the answer does.
struct Made {
  int64_t units = 0;             // characters spoken, images
  config::TokenCounts tokens{};  // an estimate, of prompt and answer
  bool in_tokens = false;        // the usage counts tokens; else its input is the units
};

/// Tokens of one request by kind. Streams may report several times: the maximum counts.
struct Usage {
  config::TokenCounts counts;
  bool reported = false;                       // by the upstream or the engine; else estimated
  Told told{.input = false, .output = false};  // not reported: which halves of it were all the same
  /// The tier of service as the answer says it, in the terms of price lists (service_tier.h); unset: it does not say.
  std::optional<std::string> tier = {};
  std::optional<Heard> heard = {};  // of a transcription
  std::optional<Made> made = {};    // of speech or images

  void raise(const config::TokenCounts& other);
};

}  // namespace weir::providers
