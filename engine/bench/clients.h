// The clients of a benchmark, played by one thread: what each asked an engine, and when its tokens came.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/base/rng.h"
#include "engine/engine.h"

namespace weir::engine::bench {

struct Client {
  std::unique_ptr<Stream> stream;
  TimePoint asked;
  std::vector<TimePoint> came;  // one a token; those that were taken together, as one piece, have one time
  bool done = false;

  double first_token_s() const { return std::chrono::duration<double>(came.front() - asked).count(); }
};

std::vector<TokenId> random_prompt(Rng& rng, int64_t vocabulary, int32_t tokens);

/// Greedy, to exactly `output_tokens`; prompts share what they begin with under the same `salt`. Errors: the engine's.
Result<Client> ask(Engine& engine, std::vector<TokenId> prompt, int32_t output_tokens, uint64_t salt = 0);

/// Takes what comes until `enough` says so, which is asked after every piece of news, until the time has come, or,
/// where there is no such time, until all are done.
/// Errors: with which a stream ended.
Result<void> drive(std::vector<Client>& clients, const std::function<bool()>& enough, TimePoint until = kNever);

/// Until all are done.
Result<void> finish(std::vector<Client>& clients);

/// Seconds between the tokens of each, those that came within (begin, end] alone. Of a piece of several each has its
/// share of the time since the piece before; of the first piece nothing is known.
void append_gaps(const std::vector<Client>& clients, TimePoint begin, TimePoint end, std::vector<double>& seconds);

}  // namespace weir::engine::bench
