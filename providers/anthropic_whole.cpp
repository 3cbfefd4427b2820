// A whole answer of Claude as neutral events. https://docs.anthropic.com/en/api/messages#response.
#include "providers/anthropic_parts.h"
#include "providers/json_fields.h"

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
  add_text(Kind::text, text_of(block, "text"), out);
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

}  // namespace

StopReason anthropic_stop(std::string_view reason) {
  if (reason == "tool_use") return StopReason::tool_calls;
  if (reason == "max_tokens" || reason == "model_context_window_exceeded") return StopReason::length;
  if (reason == "stop_sequence") return StopReason::stop_sequence;
  if (reason == "refusal") return StopReason::refusal;
  if (reason == "pause_turn") return StopReason::pause_turn;
  return StopReason::stop;
}

void anthropic_events(const Json& body, std::vector<ChatEvent>& out) {
  int32_t tools = 0;
  const auto content = body.find("content");
  if (content != body.end() && content->is_array()) {
    for (const Json& block : *content) {
      if (!block.is_object()) continue;
      const std::string type = text_of(block, "type");
      if (type == "text") text_block(block, out);
      if (type == "thinking" || type == "redacted_thinking") thinking_block(block, out);
      if (type != "tool_use") continue;
      ChatEvent& event = add(Kind::tool_call, out);
      event.tool_index = tools++;
      event.tool_call.id = text_of(block, "id");
      event.tool_call.name = text_of(block, "name");
      const auto input = block.find("input");
      event.tool_call.arguments =
          input == block.end() ? "{}" : input->dump(-1, ' ', false, Json::error_handler_t::replace);
    }
  }
  if (const auto details = body.find("stop_details"); details != body.end() && details->is_object())
    add_text(Kind::refusal, text_of(*details, "explanation"), out);
  ChatEvent& finish = add(Kind::finish, out);
  finish.stop = anthropic_stop(text_of(body, "stop_reason"));
  finish.stop_sequence = text_of(body, "stop_sequence");
}

}  // namespace weir::providers
