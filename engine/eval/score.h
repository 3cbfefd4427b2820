// What a backend thinks of a text that is given: the log-probability of each token after those before it. Goes through
// the seam that serves requests (StepPlan), so that it judges what clients get: kernels, quantization, KV format. The
// caller's thread; nobody else may use the backend meanwhile.
#pragma once

#include <span>
#include <vector>

#include "config/base/result.h"
#include "engine/backend/backend.h"

namespace weir::engine {

/// ln p(tokens[i] | tokens[0 … i)) for i in [first, size). REQUIRES: 1 ≤ first. Errors: bad_request (a token outside
/// the vocabulary, more tokens than the backend's context), and the backend's own.
Result<std::vector<float>> score(Backend& backend, std::span<const TokenId> tokens, size_t first);

/// The tokens are run through the model and nothing is asked. Errors: as above.
Result<void> run_through(Backend& backend, std::span<const TokenId> tokens);

}  // namespace weir::engine
