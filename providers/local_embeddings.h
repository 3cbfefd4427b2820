// OpenAI's embeddings call (https://platform.openai.com/docs/api-reference/embeddings/create) answered by an engine of
// our own. The answer is made here in the client's shape, since the neutral language has no words for it.
#pragma once

#include <memory>

#include "engine/engine.h"
#include "providers/provider.h"

namespace weir::providers {

/// Tokenizes and admits the call; the reply waits for the vectors. Errors: bad_request with `param`, context_length,
/// overloaded.
Task<Result<std::unique_ptr<Reply>>> start_local_embeddings(const Attempt& attempt, engine::Engine& engine);

}  // namespace weir::providers
