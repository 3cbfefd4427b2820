#include "providers/opening.h"

#include <simdjson.h>

#include <algorithm>
#include <initializer_list>

#include "providers/json_scan.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;

/// `out` is valid until the thread's next call.
bool parse_opening(std::string_view json, dom::object& out) {
  static thread_local dom::parser parser;
  dom::element root;
  return parse_dom(parser, json, root) && root.get(out) == SUCCESS;
}

/// null, false, "", [] or {}.
bool says_nothing(dom::element value) {
  std::string_view text;
  dom::array list;
  dom::object object;
  bool truth = true;
  if (value.is_null()) return true;
  if (value.get(truth) == SUCCESS) return !truth;
  if (value.get(text) == SUCCESS) return text.empty();
  if (value.get(list) == SUCCESS) return list.size() == 0;
  return value.get(object) == SUCCESS && object.size() == 0;
}

/// Does every member but those named in `known` say nothing?
bool is_bare(dom::object object, std::initializer_list<std::string_view> known) {
  return std::all_of(object.begin(), object.end(), [&](const dom::key_value_pair& member) {
    return std::find(known.begin(), known.end(), member.key) != known.end() || says_nothing(member.value);
  });
}

bool is_silent(dom::object object, std::string_view name) {
  dom::element member;
  return object[name].get(member) != SUCCESS || says_nothing(member);
}

/// Of the object in a member: is it bare? An absent one is.
bool bare_within(dom::object object, std::string_view name, std::initializer_list<std::string_view> known) {
  dom::object inner;
  return is_silent(object, name) || (object[name].get(inner) == SUCCESS && is_bare(inner, known));
}

std::string_view text_at(dom::object object, std::string_view name) {
  std::string_view text;
  return object[name].get(text) == SUCCESS ? text : std::string_view{};
}

template <class Is>
bool all_objects(dom::array list, const Is& is) {
  return std::all_of(list.begin(), list.end(), [&](dom::element one) {
    dom::object object;
    return one.get(object) == SUCCESS && is(object);
  });
}

/// A role, or what Azure's filter said of the prompt.
bool choices_open(dom::object root) {
  dom::array choices;
  if (root["choices"].get(choices) != SUCCESS || !is_silent(root, "usage")) return false;
  return all_objects(choices, [](dom::object choice) {
    return bare_within(choice, "delta", {"role"}) && is_bare(choice, {"delta", "index", "content_filter_results"});
  });
}

/// Reasoning that began is work under way, which nobody may see for minutes; a message that began is nothing yet.
/// https://platform.openai.com/docs/api-reference/responses-streaming
bool response_opens(dom::object root, std::string_view type) {
  if (type == "response.created" || type == "response.queued" || type == "response.in_progress") return true;
  if (type.ends_with(".delta")) return is_silent(root, "delta");
  if (type == "response.content_part.added" || type == "response.reasoning_summary_part.added")
    return bare_within(root, "part", {"type"});
  if (type != "response.output_item.added") return false;
  dom::object item;
  if (root["item"].get(item) != SUCCESS) return false;
  return text_at(item, "type") == "message" && is_bare(item, {"type", "id", "status", "role", "phase"});
}

/// As there: thinking that began is more than an empty text. https://docs.anthropic.com/en/api/messages-streaming
bool message_opens(dom::object root, std::string_view type) {
  if (type == "content_block_stop") return true;
  if (type == "content_block_delta") return bare_within(root, "delta", {"type"});
  dom::object inner;
  if (type == "message_start") return root["message"].get(inner) != SUCCESS || is_silent(inner, "content");
  if (type != "content_block_start" || root["content_block"].get(inner) != SUCCESS) return false;
  return text_at(inner, "type") == "text" && is_bare(inner, {"type"});
}

/// A chunk without parts, or with nothing in them. https://ai.google.dev/api/generate-content
bool candidates_open(dom::object root) {
  dom::object feedback;
  if (root["promptFeedback"].get(feedback) == SUCCESS && !is_silent(feedback, "blockReason")) return false;
  dom::array candidates;
  if (root["candidates"].get(candidates) != SUCCESS) return true;
  return all_objects(candidates, [](dom::object candidate) {
    if (!is_bare(candidate, {"content", "index", "safetyRatings"})) return false;
    dom::object content;
    dom::array parts;
    if (candidate["content"].get(content) != SUCCESS || content["parts"].get(parts) != SUCCESS) return true;
    return all_objects(parts, [](dom::object part) { return is_bare(part, {"thought"}); });
  });
}

}  // namespace

bool is_silent(std::string_view json, std::string_view member) {
  dom::object root;
  return !parse_opening(json, root) || is_silent(root, member);
}

bool only_opens(Protocol protocol, std::string_view json) {
  dom::object root;
  if (!parse_opening(json, root)) return false;
  const std::string_view type = text_at(root, "type");
  if (type == "ping" || root.size() == 0) return true;
  switch (protocol) {
    case Protocol::openai_chat:
    case Protocol::openai_completions:
      return choices_open(root);
    case Protocol::openai_responses:
      return response_opens(root, type);
    case Protocol::anthropic_messages:
      return message_opens(root, type);
    case Protocol::gemini_generate:
      return candidates_open(root);
    default:
      return false;  // the others' streams have no opening
  }
}

namespace {

/// By its outermost members, whose strings are not read: half of a character that the next event ends (\ud83d) is JSON
/// by RFC 8259 section 8.2, and no parser unescapes it.
bool is_json_object(std::string_view text) {
  PaddedJson& json = padded_json();
  simdjson::ondemand::object object;
  if (!json.parse(text) || json.document.get_object().get(object) != SUCCESS) return false;
  for (auto field : object)
    if (field.error() != SUCCESS) return false;
  return true;
}

}  // namespace

bool Opening::keep(std::string_view raw) {
  if (kept_.size() + raw.size() > kBytesMax) return false;
  kept_ += raw;
  return true;
}

bool Opening::takes_early(const SseEvent& event, ReplyBatch& batch) {
  bool waits = true;
  if (event.data.empty() && event.type.empty()) {
    const size_t text = event.raw.find_first_not_of(" \t\r\n");
    const std::string_view line = text == std::string_view::npos ? std::string_view{} : event.raw.substr(text);
    const bool field = line.empty() || line.starts_with(":") || line.starts_with("id:") || line.starts_with("retry:") ||
                       line.starts_with("data:");
    if (!seen_ && !field) {
      batch.error = upstream_fault("the upstream answered a streaming request with something that is no event stream");
      return true;
    }
  } else {
    seen_ = true;
    waits = event.data.empty() || event.type == "ping" || only_opens(protocol_, event.data);
  }
  if (waits && keep(event.raw)) return true;
  if (!waits && event.data != "[DONE]" && !is_json_object(event.data)) {
    batch.error = upstream_fault("the upstream's stream begins with an event that is no JSON object");
    return true;
  }
  begun_ = true;
  if (!kept_.empty()) pass_data(kept_, batch);
  return false;
}

}  // namespace weir::providers
