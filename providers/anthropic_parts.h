// The pieces of a Messages body that the anthropic codec makes of the neutral language: content blocks, turns, tools.
// Internal to the codec (and to Bedrock's and Vertex's use of it). Pure.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "providers/chat.h"
#include "providers/refusals.h"

namespace weir::providers {

struct AnthropicMessages {
  Json system;  // text blocks; null: none
  Json messages = Json::array();
  bool uses_files = false;  // a file_id: needs the files beta
};

/// Turns in Anthropic's order: system and developer texts gathered in front, tool results and the user's words of one
/// turn together, an assistant's pieces together. Thinking is replayed only with Claude's own signature; other thinking
/// and empty texts are left out, since the API takes neither.
AnthropicMessages anthropic_messages(const ChatRequest& request, Refusals& refusals);

/// {name, description, input_schema, strict, cache_control}.
Json anthropic_tool(const Tool& tool);

/// OpenAI's web search tool ("web_search", "web_search_preview") as web_search_20250305; null for any other tool.
Json anthropic_web_search(const Json& native);

/// Structured output requires additionalProperties: false of every object; where a schema says nothing it is added.
void close_objects(Json& schema, int depth);

/// end_turn, max_tokens, …; a reason of a later version counts as a plain stop.
StopReason anthropic_stop(std::string_view reason);

/// Whether a content block of this type is of a tool of Anthropic's own (server_tool_use and its results), which has no
/// word in the neutral language and goes along as it is (native_item.h).
bool anthropic_ran_itself(std::string_view type);

/// An answer with a content block of this type, which says something that we do not know how to say.
Error unsayable_block(std::string_view type);

/// The events of a whole answer. An error where a block has no word in the neutral language and may not be left out.
std::optional<Error> anthropic_events(const Json& body, std::vector<ChatEvent>& out);

}  // namespace weir::providers
