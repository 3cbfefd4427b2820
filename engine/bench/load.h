// What a model carries when many ask at once. In the closed loop, so many clients ask again as soon as they are
// answered: output tokens a second when it is saturated. In the open loop, requests arrive at random times (Poisson)
// whether or not those before are answered: the highest rate at which first tokens still come in time. The caller's
// thread plays the clients; the engine has its own.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/bench/trace.h"
#include "engine/engine.h"

namespace weir::engine::bench {

struct Asked {
  std::vector<TokenId> prompt;
  int32_t output_tokens = 0;
};

struct LoadFigures {
  int64_t requests = 0;
  int64_t input_tokens = 0;
  int64_t cached_tokens = 0;  // of the input
  int64_t output_tokens = 0;
  double seconds = 0;  // from the first question to the last token
  double first_token_s_p50 = 0;
  double first_token_s_p99 = 0;
  double inter_token_s_p50 = 0;
  double inter_token_s_p99 = 0;
};

/// `count` prompts of random tokens.
std::vector<Asked> random_requests(int64_t vocabulary, int32_t count, int32_t prompt_tokens, int32_t output_tokens);

/// The first `count` requests of a trace; equal blocks are equal tokens. A block is `block_tokens` long, and lengths
/// are in proportion. What is longer than `context` is cut.
std::vector<Asked> requests_of(const Trace& trace, int64_t vocabulary, int32_t count, int32_t block_tokens,
                               int32_t context);

/// REQUIRES: clients ≥ 1. Errors: the engine's.
Result<LoadFigures> saturate(Engine& engine, const std::vector<Asked>& requests, int32_t clients);

struct Bound {
  double first_token_s = 1.5;
  double late_share = 0.01;  // of the requests may be later
};

/// `rate` requests a second. nullopt, as soon as it is certain: too many first tokens are late. Prefixes are shared
/// under `salt` alone. Errors: the engine's.
Result<std::optional<LoadFigures>> arrive(Engine& engine, const std::vector<Asked>& requests, double rate,
                                          const Bound& bound, uint64_t salt);

struct Carried {
  double rate = 0;      // requests a second; 0: none that was tried
  double too_much = 0;  // the lowest rate that was not carried; 0: none was tried
  LoadFigures figures;  // at `rate`
};

/// The highest rate that so many requests can tell. At a higher one they are a single burst, which an engine may answer
/// within the bound though it could not go on so: what is carried would be more than it is by over a ninth.
double rate_told_by(size_t requests, const Bound& bound);

/// Doubles the rate from `first` until it is too much or more than rate_told_by(), or halves it where already that is
/// too much; then halves the interval `halvings` times (its logarithm). Some of the requests warm the engine up before.
/// `told` hears of each attempt.
Result<Carried> highest_rate(Engine& engine, const std::vector<Asked>& requests, const Bound& bound, double first,
                             int32_t halvings, const std::function<void(const std::string&)>& told);

/// `weir bench load`. `args` are those behind its name. Exit status: 0 measured, 1 failed, 2 bad usage.
int load_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace weir::engine::bench
