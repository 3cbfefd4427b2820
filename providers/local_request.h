// A neutral request as the in-process engine takes it: prompts of tokens, sampling, and what the engine refuses. Pure
// but for the clock that a chat template may ask; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "providers/chat.h"
#include "providers/provider.h"

namespace weir::providers {

/// What the engine cannot do is refused, never ignored. Errors: bad_request with `param`.
Result<void> check_local_request(const ChatRequest& request, const engine::Engine& engine);

/// What a request asks, as token ids.
struct LocalPrompts {
  std::vector<std::vector<engine::TokenId>> prompts;
  /// What an engine of our own has no use for (cache_control, a wish to think where the template has no word for it),
  /// with commas between.
  std::string left_out;
};

/// One prompt through the chat template; of a completion as many as the client sent, without one. Errors: bad_request.
Result<LocalPrompts> local_prompts(const ChatRequest& request, const engine::Engine& engine);

/// A completion: what the model writes follows the client's own text.
bool continues_text(const ChatRequest& request);

/// As chat templates call it, which know no developer.
std::string_view role_name(Role role);

/// All but the prompt. `choice` counts over all prompts: it parts the seeds.
engine::GenerateRequest local_generate_request(const ChatRequest& request, const Attempt& attempt,
                                               const engine::Engine& engine, int32_t choice);

/// The tools as chat templates expect them: OpenAI's definitions.
Json openai_tools(const ChatRequest& request);

}  // namespace weir::providers
