// How good a model is, as it is served here: perplexity over texts (Jelinek et al. 1977: e to the mean of −ln p of each
// token given those before it) and how many answers are exactly the expected ones, greedy. What tells a quantization,
// or a format of keys and values, from the model in floats. Called once, on the main thread.
#pragma once

#include <cstdint>
#include <vector>

#include "config/base/result.h"
#include "config/config.h"
#include "engine/eval/samples.h"
#include "engine/load.h"
#include "engine/model/quantize.h"

namespace weir::engine {

struct EvalReport {
  uint64_t samples = 0;     // with a token that is judged
  uint64_t tokens = 0;      // judged: completions, but for a text's very first token, which nothing comes before
  double loss = 0.0;        // mean of −ln p, in nats
  double perplexity = 0.0;  // e^loss
  uint64_t answers = 0;     // samples with an expected answer, where asked
  uint64_t exact = 0;       // of these
  uint64_t weight_bytes = 0;
};

/// `answer_tokens_max`: of an answer; 0: nothing is answered. A text longer than the context is judged in pieces of
/// it. `config` is what the engine would be served with. `progress` is told of samples. Errors: bad_request (line of a
/// conversation that is longer than the context; nothing to judge), and the backend's.
Result<EvalReport> evaluate(const LoadedModel& model, const config::EngineConfig& config,
                            const std::vector<Sample>& samples, int32_t answer_tokens_max,
                            const LoadProgress& progress = {});

}  // namespace weir::engine
