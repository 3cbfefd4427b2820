// A whole answer of Claude as neutral events. https://docs.anthropic.com/en/api/messages#response.
#include "providers/anthropic_parts.h"
#include "providers/json_fields.h"
#include "providers/json_text.h"
#include "providers/native_item.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

using Kind = ChatEvent::Kind;

ChatEvent& add(Kind kind, std::vector<ChatEvent>& out) {
  ChatEvent& event = out.emplace_back();
  event.kind = kind;
  return event;
}

void add_text(Kind kind, std::string text, std::vector<ChatEvent>& out) {
  if (!text.empty()) add(kind, out).text = std::move(text);
}

void text_block(const Json& block, std::vector<ChatEvent>& out) {
  if (std::string text = text_of(block, "text"); !text.empty()) {
    ChatEvent& event = add(Kind::text, out);
    event.text = std::move(text);
    event.opens_block = true;
  }
  const auto citations = block.find("citations");
  if (citations == block.end() || !citations->is_array()) return;
  for (const Json& citation : *citations) {
    ChatEvent& event = add(Kind::citation, out);
    event.citation = citation;
    event.citation_of = Protocol::anthropic_messages;
  }
}

void thinking_block(const Json& block, std::vector<ChatEvent>& out) {
  add_text(Kind::reasoning, text_of(block, "thinking"), out);
  std::string signature = text_of(block, "signature");
  std::string redacted = text_of(block, "data");
  if (signature.empty() && redacted.empty()) return;
  ChatEvent& event = add(Kind::signature, out);
  event.signature = std::move(signature);
  event.redacted = std::move(redacted);
  event.signer = Signer::anthropic;
}

std::optional<Error> tool_block(const Json& block, int32_t index, std::vector<ChatEvent>& out) {
  ChatEvent& event = add(Kind::tool_call, out);
  event.tool_index = index;
  event.tool_call.id = text_of(block, "id");
  event.tool_call.name = text_of(block, "name");
  if (event.tool_call.name.empty()) return unsayable_answer("a content block of type \"tool_use\" without a name");
  const Json* input = member_of(block, "input");
  event.tool_call.arguments = input == nullptr ? "{}" : json_text(*input);
  return {};
}

std::optional<Error> add_block(const Json& block, int32_t& tools, std::vector<ChatEvent>& out) {
  if (!block.is_object()) return unsayable_answer("a content block that is no object");
  const std::string type = text_of(block, "type");
  if (type == "text") {
    text_block(block, out);
  } else if (type == "thinking" || type == "redacted_thinking") {
    thinking_block(block, out);
  } else if (type == "tool_use") {
    if (tools >= kCallsMax) return too_many_calls();
    return tool_block(block, tools++, out);
  } else if (anthropic_ran_itself(type)) {
    out.push_back(native_event("anthropic", type, block));
  } else {
    return unsayable_block(type);
  }
  return {};
}

}  // namespace

bool anthropic_ran_itself(std::string_view type) {
  return type == "server_tool_use" || type == "mcp_tool_use" || type == "container_upload" ||
         type.ends_with("_tool_result");
}

Error unsayable_block(std::string_view type) {
  if (type.empty()) return unsayable_answer("a content block without a type");
  return unsayable_answer("a content block of type " + quoted(type.substr(0, 64)));
}

StopReason anthropic_stop(std::string_view reason) {
  if (reason == "tool_use") return StopReason::tool_calls;
  if (reason == "max_tokens" || reason == "model_context_window_exceeded") return StopReason::length;
  if (reason == "stop_sequence") return StopReason::stop_sequence;
  if (reason == "refusal") return StopReason::refusal;
  if (reason == "pause_turn") return StopReason::pause_turn;
  return StopReason::stop;
}

std::optional<Error> anthropic_events(const Json& body, std::vector<ChatEvent>& out) {
  int32_t tools = 0;
  const Json* content = array_of(body, "content");
  if (content == nullptr) return unsayable_answer("content that is no list of blocks");
  for (const Json& block : *content)
    if (auto error = add_block(block, tools, out)) return error;
  if (const auto details = body.find("stop_details"); details != body.end() && details->is_object())
    add_text(Kind::refusal, text_of(*details, "explanation"), out);
  ChatEvent& finish = add(Kind::finish, out);
  finish.stop = anthropic_stop(text_of(body, "stop_reason"));
  finish.stop_sequence = text_of(body, "stop_sequence");
  if (const Json* container = object_of(body, "container")) finish.container = *container;
  return {};
}

}  // namespace weir::providers
