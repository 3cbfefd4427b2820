#include "providers/whole_stream.h"

#include <utility>
#include <vector>
#include "config/base/json.h"

#include "providers/json_fields.h"
#include "providers/json_text.h"

namespace weir::providers {
namespace {

/// Segments whose bytes are one text, which grows until all of them are there.
class Events {
 public:
  explicit Events(std::string& text) : text_(text) { text_.clear(); }

  /// `typed`: with the object's "type" as a line of its own.
  void add(const Json& event, bool typed) { add(Segment::Kind::data, typed ? text_of(event, "type") : "", event); }
  void add_done(std::string_view bytes) {
    places_.push_back({Segment::Kind::done, text_.size(), 0, false, false});
    text_.append(bytes);
  }
  /// `event` with `usage` as its last member, or as the last of its member `inner`.
  void add_usage(const Json& event, const char* inner, const Json& usage, bool typed, bool usage_only) {
    const size_t begin = text_.size();
    if (typed) text_.append("event: ").append(text_of(event, "type")).append("\n");
    Json outer = event;
    std::string within = "{";
    if (inner != nullptr) {
      outer.erase(inner);
      within = json_text(event.at(inner));
      within.pop_back();
    }
    std::string data = json_text(outer);
    data.pop_back();
    if (inner != nullptr) data.append(data.size() > 1 ? "," : "").append(quoted(inner)).append(":").append(within);
    text_.append("data: ").append(data).append(data.back() == '{' ? "" : ",").append("\"usage\":");
    places_.push_back({Segment::Kind::usage, begin, text_.size() - begin + 1, usage.empty(), usage_only});
    text_.append(json_text(usage)).append(inner != nullptr ? "}}\n\n" : "}\n\n");
  }
  void into(ReplyBatch& batch) const {
    batch.segments.clear();
    for (size_t i = 0; i < places_.size(); ++i) {
      const Place& place = places_[i];
      const size_t end = i + 1 < places_.size() ? places_[i + 1].begin : text_.size();
      batch.segments.push_back({.kind = place.kind,
                                .bytes = std::string_view(text_).substr(place.begin, end - place.begin),
                                .usage_object = static_cast<uint32_t>(place.usage_object),
                                .usage_empty = place.usage_empty,
                                .usage_only = place.usage_only});
    }
  }

 private:
  struct Place {
    Segment::Kind kind;
    size_t begin;
    size_t usage_object;
    bool usage_empty;
    bool usage_only;
  };
  void add(Segment::Kind kind, const std::string& type, const Json& event) {
    if (places_.empty() || places_.back().kind != kind) places_.push_back({kind, text_.size(), 0, false, false});
    if (!type.empty()) text_.append("event: ").append(type).append("\n");
    text_.append("data: ").append(json_text(event)).append("\n\n");
  }

  std::string& text_;
  std::vector<Place> places_;
};

/// The member, taken out of `object`; null where there is none.
Json taken(Json& object, const char* key) {
  Json out;
  if (!object.is_object() || !object.contains(key)) return out;
  out = std::move(object[key]);
  object.erase(key);
  return out;
}

// --- OpenAI's chat completions and completions ----------------------------------------------------------------------

/// A message as the delta that says all of it: calls have their place in it.
Json delta_of(Json message) {
  if (!message.is_object()) return Json::object();
  if (array_of(message, "tool_calls") != nullptr) {
    int64_t index = 0;
    for (Json& call : message["tool_calls"]) {
      if (call.is_object() && !call.contains("index")) call["index"] = index;
      ++index;
    }
  }
  return message;
}

/// What was said, then why each choice ended, then usage.
bool tell_choices(Json root, bool chat, Events& out) {
  if (const Json* choices = array_of(root, "choices"); choices == nullptr || choices->empty()) return false;
  if (chat) root["object"] = "chat.completion.chunk";
  const Json usage = taken(root, "usage");
  Json ends = Json::array();
  for (Json& choice : root["choices"]) {
    if (!choice.is_object()) return false;
    Json end = {{"index", choice.contains("index") ? choice["index"] : Json(0)}};
    end[chat ? "delta" : "text"] = chat ? Json::object() : Json("");
    end["finish_reason"] = text_of(choice, "finish_reason").empty() ? Json("stop") : choice["finish_reason"];
    ends.push_back(std::move(end));
    choice["finish_reason"] = nullptr;
    if (chat) choice["delta"] = delta_of(taken(choice, "message"));
  }
  out.add(root, false);
  Json head = Json::object();
  for (const char* key : {"id", "object", "created", "model"})
    if (root.contains(key)) head[key] = root[key];
  head["choices"] = std::move(ends);
  out.add(head, false);
  head["choices"] = Json::array();
  if (usage.is_object()) out.add_usage(head, nullptr, usage, false, true);
  out.add_done("data: [DONE]\n\n");
  return true;
}

// --- Anthropic's messages -------------------------------------------------------------------------------------------

/// A block as it begins and what is then added to it: text, thinking and input come in pieces, all else with the start.
std::vector<Json> pieces_of(Json& block) {
  const std::string type = text_of(block, "type");
  std::vector<Json> deltas;
  const auto piece = [&](const char* key, const char* delta, const char* as) {
    const std::string text = text_of(block, key);
    if (!block.contains(key)) return;
    block[key] = "";
    if (!text.empty()) deltas.push_back({{"type", delta}, {as, text}});
  };
  if (type == "text") {
    const Json citations = taken(block, "citations");
    piece("text", "text_delta", "text");
    if (citations.is_array())
      for (const Json& one : citations) deltas.push_back({{"type", "citations_delta"}, {"citation", one}});
  } else if (type == "thinking") {
    piece("thinking", "thinking_delta", "thinking");
    piece("signature", "signature_delta", "signature");
  } else if (block.contains("input") && block["input"].is_object()) {
    deltas.push_back({{"type", "input_json_delta"}, {"partial_json", json_text(block["input"])}});
    block["input"] = Json::object();
  }
  return deltas;
}

bool tell_message(Json root, Events& out) {
  if (array_of(root, "content") == nullptr) return false;
  const Json content = taken(root, "content");
  const Json usage = taken(root, "usage");
  Json end = {{"type", "message_delta"}, {"delta", {{"stop_reason", taken(root, "stop_reason")}}}};
  end["delta"]["stop_sequence"] = taken(root, "stop_sequence");
  for (const char* key : {"stop_details", "container"})
    if (root.contains(key)) end["delta"][key] = taken(root, key);
  if (root.contains("context_management")) end["context_management"] = taken(root, "context_management");
  root["content"] = Json::array();
  root["stop_reason"] = root["stop_sequence"] = nullptr;
  if (usage.is_object()) root["usage"] = usage;
  if (usage.is_object()) root["usage"]["output_tokens"] = 0;
  out.add({{"type", "message_start"}, {"message", std::move(root)}}, true);
  int64_t index = 0;
  for (Json block : content) {
    const std::vector<Json> deltas = pieces_of(block);
    out.add({{"type", "content_block_start"}, {"index", index}, {"content_block", std::move(block)}}, true);
    for (const Json& delta : deltas)
      out.add({{"type", "content_block_delta"}, {"index", index}, {"delta", delta}}, true);
    out.add({{"type", "content_block_stop"}, {"index", index++}}, true);
  }
  out.add_usage(end, nullptr, usage.is_object() ? usage : Json::object(), true, false);
  out.add_done("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
  return true;
}

// --- OpenAI's Responses ---------------------------------------------------------------------------------------------

class ResponseTeller {
 public:
  explicit ResponseTeller(Events& out) : out_(out) {}
  bool tell(Json response);

 private:
  void event(const char* type, Json event) {
    Json whole = {{"type", type}, {"sequence_number", sequence_++}};
    whole.update(event);
    out_.add(whole, true);
  }
  void item(const Json& item, int64_t index);
  void part(const Json& part, Json place);
  /// `what`.delta and `what`.done, whose text is `key` there.
  void text(const std::string& what, const char* key, const std::string& text, const Json& place);

  Events& out_;
  int64_t sequence_ = 0;
};

void ResponseTeller::text(const std::string& what, const char* key, const std::string& text, const Json& place) {
  Json delta = place;
  delta["delta"] = text;
  if (!text.empty()) event((what + ".delta").c_str(), std::move(delta));
  Json done = place;
  done[key] = text;
  event((what + ".done").c_str(), std::move(done));
}

void ResponseTeller::part(const Json& part, Json place) {
  const bool refusal = text_of(part, "type") == "refusal";
  const char* const key = refusal ? "refusal" : "text";
  const bool said = part.is_object() && part.contains(key);
  Json empty = part;
  if (said) empty[key] = "";
  Json added = place;
  added["part"] = std::move(empty);
  event("response.content_part.added", std::move(added));
  if (said) text(refusal ? "response.refusal" : "response.output_text", key, text_of(part, key), place);
  place["part"] = part;
  event("response.content_part.done", std::move(place));
}

void ResponseTeller::item(const Json& item, int64_t index) {
  const std::string type = text_of(item, "type");
  const Json* content = type == "message" ? array_of(item, "content") : nullptr;
  const char* const called = type == "function_call" ? "arguments" : type == "custom_tool_call" ? "input" : nullptr;
  Json begun = item;
  if (content != nullptr) begun["content"] = Json::array();
  if (called != nullptr && begun.contains(called)) begun[called] = "";
  if (begun.is_object() && begun.contains("status")) begun["status"] = "in_progress";
  event("response.output_item.added", {{"output_index", index}, {"item", std::move(begun)}});
  Json place = {{"item_id", text_of(item, "id")}, {"output_index", index}};
  if (called != nullptr)
    text(type == "function_call" ? "response.function_call_arguments" : "response.custom_tool_call_input", called,
         text_of(item, called), place);
  if (content != nullptr)
    for (size_t i = 0; i < content->size(); ++i) {
      place["content_index"] = i;
      part((*content)[i], place);
    }
  event("response.output_item.done", {{"output_index", index}, {"item", item}});
}

bool ResponseTeller::tell(Json response) {
  const std::string status = text_of(response, "status");
  const bool whole = status.empty() || status == "completed" || status == "incomplete";
  if (!whole || array_of(response, "output") == nullptr) return false;
  Json begun = response;
  begun["status"] = "in_progress";
  begun["output"] = Json::array();
  begun["usage"] = nullptr;
  event("response.created", {{"response", begun}});
  event("response.in_progress", {{"response", std::move(begun)}});
  int64_t index = 0;
  for (const Json& one : response["output"]) item(one, index++);
  const char* const type = status == "incomplete" ? "response.incomplete" : "response.completed";
  const Json usage = taken(response, "usage");
  out_.add_usage({{"type", type}, {"sequence_number", sequence_}, {"response", std::move(response)}}, "response",
                 usage.is_object() ? usage : Json::object(), true, false);
  out_.add_done("");
  return true;
}

}  // namespace

bool tell_as_stream(Protocol protocol, std::string_view body, std::string& storage, ReplyBatch& batch) {
  Json root = parse_written(body);
  if (!root.is_object()) return false;
  Events out(storage);
  switch (protocol) {
    case Protocol::openai_chat:
    case Protocol::openai_completions:
      if (!tell_choices(std::move(root), protocol == Protocol::openai_chat, out)) return false;
      break;
    case Protocol::openai_responses:
      if (!ResponseTeller(out).tell(std::move(root))) return false;
      break;
    case Protocol::anthropic_messages:
      if (!tell_message(std::move(root), out)) return false;
      break;
    case Protocol::gemini_generate:
      if (const Json* said = array_of(root, "candidates");
          (said == nullptr || said->empty()) && member_of(root, "promptFeedback") == nullptr)
        return false;
      out.add(root, false);
      break;
    default:
      return false;
  }
  out.into(batch);
  return true;
}

}  // namespace weir::providers
