#include "providers/anthropic_parts.h"

#include <simdjson.h>

#include <algorithm>

#include "providers/anthropic.h"
#include "providers/base64.h"
#include "providers/block_turns.h"
#include "providers/media.h"
#include "providers/native_item.h"

namespace weir::providers {
namespace {

constexpr int kSchemaDepthMax = 64;

Json text_block(std::string_view text) {
  Json block;
  block["type"] = "text";
  block["text"] = text;
  return block;
}

class Turns final : public BlockTurns {
 public:
  Turns(const ChatRequest& request, Refusals& refusals) : BlockTurns(request, refusals, "Claude") {}
  AnthropicMessages run();

 private:
  void system(const Message& message) override;
  void user(const Message& message) override;
  void assistant(const Message& message) override;
  void tool(const Message& message) override;
  /// Null where the part has no block of its own.
  Json block(const Part& part, const std::string& where);
  Json media_block(const Part& part, const std::string& where);
  Json reasoning_block(const Part& part) const;
  Json call_block(const ToolCall& call, const std::string& where);

  AnthropicMessages out_;
};

Json Turns::media_block(const Part& part, const std::string& where) {
  const Media& media = part.media;
  const bool image = part.kind == Part::Kind::image;
  Json block;
  block["type"] = image ? "image" : "document";
  Json& source = block["source"];
  if (!media.file_id.empty()) {
    if (const Signer owner = owner_of_file(media.file_id); owner != Signer::anthropic && owner != Signer::none)
      refusals_.must_say(where, kFileOfOthers);
    source["type"] = "file";
    source["file_id"] = media.file_id;
    out_.uses_files = true;
  } else if (!media.url.empty()) {
    source["type"] = "url";
    source["url"] = media.url;
  } else if (!image && media.mime.starts_with("text/")) {
    std::string text;
    if (!decode_base64(media.data, text) || !simdjson::validate_utf8(text.data(), text.size())) {
      refusals_.must_say(where, "a text file must be UTF-8 in base64");
      return nullptr;
    }
    source["type"] = "text";
    source["media_type"] = "text/plain";
    source["data"] = std::move(text);
  } else {
    source["type"] = "base64";
    const std::string mime = media.mime.empty() ? (image ? "image/png" : "application/pdf") : media.mime;
    source["media_type"] = mime;
    source["data"] = media.data;
    if (!image && mime != "application/pdf") {
      refusals_.must_say(where, "Claude takes PDF and text documents, not " + media.mime);
      return nullptr;
    }
  }
  if (!image && !media.name.empty()) block["title"] = media.name;
  if (media.detail == "low") refusals_.cannot_say(where + ".image_url.detail");
  if (media.detail == "high") refusals_.leave_out("image_url.detail");
  return block;
}

Json Turns::reasoning_block(const Part& part) const {
  if (part.signer != Signer::anthropic) return nullptr;
  Json block;
  if (!part.redacted.empty()) {
    block["type"] = "redacted_thinking";
    block["data"] = part.redacted;
    return block;
  }
  if (part.signature.empty()) return nullptr;
  block["type"] = "thinking";
  block["thinking"] = part.text;
  block["signature"] = part.signature;
  return block;
}

Json Turns::call_block(const ToolCall& call, const std::string& where) {
  Json input = arguments_of(call, where);
  if (input.is_null()) return nullptr;
  Json block;
  block["type"] = "tool_use";
  block["id"] = block_tool_id(call.id);
  block["name"] = call.name;
  block["input"] = std::move(input);
  return block;
}

Json Turns::block(const Part& part, const std::string& where) {
  Json out;
  switch (part.kind) {
    case Part::Kind::text:
    case Part::Kind::refusal:
      if (part.text.empty()) return nullptr;
      out = text_block(part.text);
      // Citations of another family would have no document here to point at.
      if (part.citations.is_array() && speaks_anthropic(request_.protocol)) out["citations"] = part.citations;
      break;
    case Part::Kind::image:
    case Part::Kind::file:
      out = media_block(part, where);
      break;
    case Part::Kind::audio:
      refusals_.must_say(where, "Claude takes no audio");
      return nullptr;
    case Part::Kind::reasoning:
      out = reasoning_block(part);
      if (out.is_null()) refusals_.leave_out(kReasoningOfOthers);
      return out;  // takes no cache_control
    case Part::Kind::tool_call:
      out = call_block(part.call, where);
      break;
    case Part::Kind::native:
      out = item_of_family(part.native, "anthropic");
      if (out.is_null()) refusals_.leave_out(kItemsOfOthers);
      return out;
  }
  if (!out.is_null() && !part.cache.is_null()) out["cache_control"] = part.cache;
  return out;
}

void Turns::system(const Message& message) {
  for (size_t i = 0; i < message.parts.size(); ++i) {
    const Part& part = message.parts[i];
    if (part.kind != Part::Kind::text) refusals_.must_say(where(i), "Claude's system prompt is text");
    if (part.kind != Part::Kind::text || part.text.empty()) continue;
    Json text = text_block(part.text);
    if (!part.cache.is_null()) text["cache_control"] = part.cache;
    if (out_.system.is_null()) out_.system = Json::array();
    out_.system.push_back(std::move(text));
  }
}

void Turns::user(const Message& message) {
  refuse_name(message);
  for (size_t i = 0; i < message.parts.size(); ++i)
    if (Json one = block(message.parts[i], where(i)); !one.is_null()) add("user", std::move(one));
}

void Turns::assistant(const Message& message) {
  for (size_t i = 0; i < message.parts.size(); ++i) {
    const Part& part = message.parts[i];
    if (part.kind == Part::Kind::image || part.kind == Part::Kind::file)
      refusals_.must_say(where(i), "Claude takes images and files only from the user");
    else if (Json one = block(part, where(i)); !one.is_null())
      add("assistant", std::move(one));
  }
}

/// The cache mark of any of its parts stands on the result as a whole.
void Turns::tool(const Message& message) {
  Json result;
  result["type"] = "tool_result";
  result["tool_use_id"] = block_tool_id(message.tool_call_id);
  Json content = Json::array();
  Json cache;
  for (size_t i = 0; i < message.parts.size(); ++i) {
    Part part = message.parts[i];
    if (!part.cache.is_null()) cache = std::exchange(part.cache, nullptr);
    if (Json one = block(part, where(i)); !one.is_null()) content.push_back(std::move(one));
  }
  const bool plain = content.size() == 1 && content[0].value("type", "") == "text";
  if (plain)
    result["content"] = content[0]["text"];
  else if (!content.empty())
    result["content"] = std::move(content);
  if (message.tool_failed) result["is_error"] = true;
  if (!cache.is_null()) result["cache_control"] = std::move(cache);
  add("user", std::move(result));
}

/// At least one message is required: instructions alone are what the user says.
AnthropicMessages Turns::run() {
  walk();
  if (turns_.empty() && out_.system.is_array())
    for (Json& text : std::exchange(out_.system, nullptr)) add("user", std::move(text));
  require_turn();
  out_.messages = std::move(turns_);
  return std::move(out_);
}

}  // namespace

AnthropicMessages anthropic_messages(const ChatRequest& request, Refusals& refusals) {
  return Turns(request, refusals).run();
}

Json anthropic_tool(const Tool& tool) {
  Json out;
  out["name"] = tool.name;
  if (!tool.description.empty()) out["description"] = tool.description;
  out["input_schema"] = block_tool_schema(tool);
  if (tool.strict) out["strict"] = *tool.strict;
  if (!tool.cache.is_null()) out["cache_control"] = tool.cache;
  return out;
}

Json anthropic_web_search(const Json& native) {
  if (!native.is_object()) return nullptr;
  const auto type = native.find("type");
  if (type == native.end() || !type->is_string() || !type->get_ref<const std::string&>().starts_with("web_search"))
    return nullptr;
  Json out;
  out["type"] = "web_search_20250305";
  out["name"] = "web_search";
  if (const auto where = native.find("user_location"); where != native.end() && where->is_object())
    out["user_location"] = *where;
  if (const auto filters = native.find("filters"); filters != native.end() && filters->is_object())
    if (const auto domains = filters->find("allowed_domains"); domains != filters->end())
      out["allowed_domains"] = *domains;
  return out;
}

void close_objects(Json& schema, int depth) {
  if (depth > kSchemaDepthMax) return;
  if (schema.is_array()) {
    for (Json& one : schema) close_objects(one, depth + 1);
    return;
  }
  if (!schema.is_object()) return;
  const bool object = schema.contains("properties") || (schema.contains("type") && schema["type"] == "object");
  if (object && !schema.contains("additionalProperties")) schema["additionalProperties"] = false;
  for (auto& [name, value] : schema.items()) {
    if (name == "properties" || name == "$defs" || name == "definitions") {
      if (value.is_object())
        for (auto& [inner, one] : value.items()) close_objects(one, depth + 1);
    } else if (name == "items" || name == "anyOf" || name == "allOf" || name == "oneOf") {
      close_objects(value, depth + 1);
    }
  }
}

}  // namespace weir::providers
