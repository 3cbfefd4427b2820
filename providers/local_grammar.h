// What the client wants an answer of the in-process engine to look like: response_format of every protocol, a forced
// tool call, and vLLM's structured_outputs (or guided_json, guided_regex, guided_choice) beside OpenAI's fields. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "config/base/result.h"
#include "engine/grammar/compile.h"
#include "engine/text/tool_parse.h"
#include "providers/chat.h"

namespace weir::providers {

/// Nothing: any text will do. With tools that the model may or may not call, an answer in a format or calls. A schema
/// is held to whether it is `strict` or not. `style`: how this model writes calls. Errors: bad_request with `param`.
Result<std::optional<engine::grammar::Source>> local_grammar(const ChatRequest& request, engine::ToolCallStyle style);

/// One of vLLM's fields that local_grammar() reads.
bool is_grammar_field(std::string_view name);

}  // namespace weir::providers
