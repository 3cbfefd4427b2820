#include "providers/block_turns.h"
#include "providers/json_text.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace weir::providers {

void BlockTurns::walk() {
  for (const Message& message : request_.messages) {
    switch (message.role) {
      case Role::system:
      case Role::developer:
        system(message);
        break;
      case Role::user:
        user(message);
        break;
      case Role::assistant:
        assistant(message);
        break;
      case Role::tool:
        tool(message);
        break;
    }
    ++at_;
  }
}

void BlockTurns::add(std::string_view role, Json block) {
  if (turns_.empty() || turns_.back()["role"] != role) {
    Json turn;
    turn["role"] = role;
    turn["content"] = Json::array();
    turns_.push_back(std::move(turn));
  }
  turns_.back()["content"].push_back(std::move(block));
}

Json BlockTurns::arguments_of(const ToolCall& call, const std::string& where) {
  Json input = call.arguments.empty() ? Json::object() : parse_written(call.arguments);
  if (input.is_object()) return input;
  refusals_.must_say(where, std::string(upstream_) + " takes a tool's arguments only as a JSON object");
  return nullptr;
}

void BlockTurns::require_turn() {
  const auto is_media = [](const Part& part) {
    return part.kind == Part::Kind::image || part.kind == Part::Kind::audio || part.kind == Part::Kind::file;
  };
  for (const Message& message : request_.messages)
    if (std::any_of(message.parts.begin(), message.parts.end(), is_media))
      return;  // refused already, if it is not there
  if (turns_.empty() && !request_.messages.empty())
    refusals_.must_say("messages", std::string(upstream_) + " takes no messages that are all empty");
}

void BlockTurns::refuse_name(const Message& message) {
  if (!message.name.empty()) refusals_.cannot_say("messages[" + std::to_string(at_) + "].name");
}

std::string block_tool_id(std::string_view id) {
  std::string out(id);
  for (char& c : out)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '-') c = '_';
  return out;
}

Json block_tool_schema(const Tool& tool) {
  Json schema = tool.parameters.is_object() ? tool.parameters : Json::object();
  if (!schema.contains("type")) schema["type"] = "object";
  if (schema.size() == 1) schema["properties"] = Json::object();
  return schema;
}

}  // namespace weir::providers
