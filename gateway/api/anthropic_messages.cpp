#include "gateway/api/anthropic_messages.h"

#include <array>
#include "config/base/json.h"

#include "gateway/api/citations.h"
#include "gateway/api/errors.h"
#include "providers/json_fields.h"
#include "providers/json_text.h"
#include "providers/media.h"

namespace weir::gateway {
namespace {

using providers::append_quoted;
using providers::ChatEvent;
using providers::Json;
using providers::json_text;
using providers::Protocol;
using providers::Signer;
using providers::StopReason;

std::string_view stop_name(StopReason stop) {
  switch (stop) {
    case StopReason::stop:
      return "end_turn";
    case StopReason::stop_sequence:
      return "stop_sequence";
    case StopReason::length:
      return "max_tokens";
    case StopReason::tool_calls:
      return "tool_use";
    case StopReason::content_filter:
    case StopReason::refusal:
      return "refusal";
    case StopReason::pause_turn:
      return "pause_turn";
  }
  return "end_turn";
}

/// Anthropic counts what was read from and written to the cache apart from input_tokens.
Json usage_json(const providers::Usage& usage) {
  const auto& counts = usage.counts;
  const int64_t written = counts.cache_write_5m + counts.cache_write_1h;
  Json out;
  out["input_tokens"] = std::max<int64_t>(counts.input - counts.cached_input - written, 0);
  out["cache_creation_input_tokens"] = written;
  out["cache_read_input_tokens"] = counts.cached_input;
  if (written > 0) out["cache_creation"] = cache_writes(counts);
  out["output_tokens"] = counts.output;
  if (counts.reasoning > 0) out["output_tokens_details"] = {{"thinking_tokens", counts.reasoning}};
  return out;
}

/// Another family's citations in Anthropic's words: an address on the web, or a piece of what was searched.
std::vector<Json> citation_blocks(const ChatEvent& event) {
  if (event.citation_of == Protocol::anthropic_messages) return {event.citation};
  std::vector<Json> blocks;
  for (const Citation& one : citations_of(event)) {
    Json& out = blocks.emplace_back();
    out["type"] = one.url.empty() ? "search_result_location" : "web_search_result_location";
    out["cited_text"] = one.quote;
    if (!one.url.empty()) {
      out["url"] = one.url;
      out["title"] = one.title;
      out["encrypted_index"] = "";
      continue;
    }
    out["source"] = one.file;
    out["title"] = one.title;
    out["search_result_index"] = one.document;
    out["start_block_index"] = 0;
    out["end_block_index"] = 0;
  }
  return blocks;
}

}  // namespace

MessagesEncoder::MessagesEncoder(std::string id, std::string model) : id_(std::move(id)), model_(std::move(model)) {}

void MessagesEncoder::begin(const providers::Usage& known, std::string& out) {
  Json message;
  message["id"] = id_;
  message["type"] = "message";
  message["role"] = "assistant";
  message["model"] = model_;
  message["content"] = Json::array();
  message["stop_reason"] = nullptr;
  message["stop_sequence"] = nullptr;
  message["usage"] = usage_json(known);
  out.append("event: message_start\ndata: {\"type\":\"message_start\",\"message\":").append(json_text(message));
  out.append("}\n\n");
}

void MessagesEncoder::close(std::string& out) {
  if (open_ == Open::nothing) return;
  out.append("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":");
  out.append(std::to_string(index_)).append("}\n\n");
  open_ = Open::nothing;
}

void MessagesEncoder::open(Open kind, std::string_view content_block, std::string& out) {
  close(out);
  out.append("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":");
  out.append(std::to_string(++index_)).append(",\"content_block\":").append(content_block).append("}\n\n");
  open_ = kind;
}

/// `head` ends before the delta's text, which is its last member.
void MessagesEncoder::delta(int32_t index, std::string_view head, std::string_view text, std::string& out) {
  out.append("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
  out.append(std::to_string(index)).append(",\"delta\":").append(head);
  append_quoted(text, out);
  out.append("}}\n\n");
}

void MessagesEncoder::tool_call(const ChatEvent& event, std::string& out) {
  auto known = tool_block_.find(event.tool_index);
  if (known == tool_block_.end()) {
    Json block;
    block["type"] = "tool_use";
    block["id"] = event.tool_call.id;
    block["name"] = event.tool_call.name;
    block["input"] = Json::object();
    open(Open::tool, json_text(block), out);
    known = tool_block_.emplace(event.tool_index, index_).first;
  }
  if (!event.tool_call.arguments.empty())
    delta(known->second, R"({"type":"input_json_delta","partial_json":)", event.tool_call.arguments, out);
}

void MessagesEncoder::signature(const ChatEvent& event, std::string& out) {
  if (!event.redacted.empty()) {
    std::string block = R"({"type":"redacted_thinking","data":)";
    append_quoted(providers::wrap_signature(event.redacted, event.signer, Signer::anthropic), block);
    open(Open::thinking, block + "}", out);
    return close(out);
  }
  // Of a text or a tool call (Gemini signs these): a thinking block of its own behind it carries the signature.
  if (open_ != Open::thinking) open(Open::thinking, R"({"type":"thinking","thinking":"","signature":""})", out);
  delta(index_, R"({"type":"signature_delta","signature":)",
        providers::wrap_signature(event.signature, event.signer, Signer::anthropic), out);
  close(out);
}

void MessagesEncoder::citation(const ChatEvent& event, std::string& out) {
  for (const Json& citation : citation_blocks(event)) {
    if (open_ != Open::text) open(Open::text, R"({"type":"text","text":""})", out);
    out.append("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    out.append(std::to_string(index_)).append(R"(,"delta":{"type":"citations_delta","citation":)");
    out.append(json_text(citation)).append("}}\n\n");
  }
}

void MessagesEncoder::chunk(const ChatEvent& event, std::string& out) {
  if (event.index != 0) return;  // the protocol has one choice, and its clients cannot ask for more
  calls_.pass(event, [&](const ChatEvent& next) { tell(next, out); });
}

void MessagesEncoder::tell(const ChatEvent& event, std::string& out) {
  switch (event.kind) {
    case ChatEvent::Kind::text:
    case ChatEvent::Kind::refusal:
      if (event.text.empty()) return;
      if (open_ != Open::text) open(Open::text, R"({"type":"text","text":""})", out);
      return delta(index_, R"({"type":"text_delta","text":)", event.text, out);
    case ChatEvent::Kind::reasoning:
      if (event.text.empty()) return;
      if (open_ != Open::thinking) open(Open::thinking, R"({"type":"thinking","thinking":"","signature":""})", out);
      return delta(index_, R"({"type":"thinking_delta","thinking":)", event.text, out);
    case ChatEvent::Kind::signature:
      return signature(event, out);
    case ChatEvent::Kind::tool_call:
      return tool_call(event, out);
    case ChatEvent::Kind::citation:
      return citation(event, out);
    case ChatEvent::Kind::native:
      open(Open::item, json_text(event.native), out);
      return close(out);
    case ChatEvent::Kind::finish:
      stop_ = event.stop;
      stop_sequence_ = event.stop_sequence;
      container_ = event.container;
      return close(out);
  }
}

void MessagesEncoder::final(const providers::Usage& usage, NanoUsd cost, std::string& out) {
  close(out);
  out.append("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"");
  out.append(stop_name(stop_)).append("\",\"stop_sequence\":");
  if (stop_ == StopReason::stop_sequence && !stop_sequence_.empty())
    append_quoted(stop_sequence_, out);
  else
    out.append("null");
  if (!container_.is_null()) out.append(",\"container\":").append(json_text(container_));
  std::string counts = json_text(usage_json(usage));
  counts.pop_back();
  out.append("},\"usage\":").append(counts).append(",\"cost_usd\":").append(to_decimal_usd(cost)).append("}}\n\n");
  out.append("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

Json& MessagesEncoder::block(const char* type) {
  const bool goes_on = !content_.empty() && content_.back()["type"] == type && !thinking_closed_;
  if (goes_on) return content_.back();
  thinking_closed_ = false;
  Json fresh;
  fresh["type"] = type;
  return content_.emplace_back(std::move(fresh));
}

void MessagesEncoder::add_tool_call(ChatEvent& event) {
  const auto known = tool_block_.find(event.tool_index);
  if (known == tool_block_.end()) {
    Json fresh;
    fresh["type"] = "tool_use";
    fresh["id"] = event.tool_call.id;
    fresh["name"] = event.tool_call.name;
    fresh["input"] = event.tool_call.arguments;
    tool_block_[event.tool_index] = static_cast<int32_t>(content_.size());
    content_.push_back(std::move(fresh));
    thinking_closed_ = false;
  } else {
    content_[static_cast<size_t>(known->second)]["input"].get_ref<std::string&>() += event.tool_call.arguments;
  }
}

void MessagesEncoder::add_signature(const ChatEvent& event) {
  if (!event.redacted.empty()) {
    thinking_closed_ = true;
    block("redacted_thinking")["data"] = providers::wrap_signature(event.redacted, event.signer, Signer::anthropic);
  } else {
    Json& thinking = block("thinking");
    if (!thinking.contains("thinking")) thinking["thinking"] = "";
    thinking["signature"] = providers::wrap_signature(event.signature, event.signer, Signer::anthropic);
  }
  thinking_closed_ = true;
}

void MessagesEncoder::add(ChatEvent event) {
  if (event.index != 0) return;
  const auto append = [&](const char* type, const char* key) {
    if (event.text.empty()) return;
    Json& text = block(type)[key];
    if (text.is_null()) text = "";
    text.get_ref<std::string&>() += event.text;
  };
  switch (event.kind) {
    case ChatEvent::Kind::text:
    case ChatEvent::Kind::refusal:
      return append("text", "text");
    case ChatEvent::Kind::reasoning:
      return append("thinking", "thinking");
    case ChatEvent::Kind::signature:
      return add_signature(event);
    case ChatEvent::Kind::tool_call:
      return add_tool_call(event);
    case ChatEvent::Kind::citation:
      for (Json& citation : citation_blocks(event)) {
        Json& text = block("text");
        if (!text.contains("text")) text["text"] = "";
        text["citations"].push_back(std::move(citation));
      }
      return;
    case ChatEvent::Kind::native:
      content_.push_back(std::move(event.native));
      thinking_closed_ = false;
      return;
    case ChatEvent::Kind::finish:
      stop_ = event.stop;
      stop_sequence_ = event.stop_sequence;
      container_ = std::move(event.container);
      return;
  }
}

std::string MessagesEncoder::whole(const providers::Usage& usage, NanoUsd) {
  for (Json& one : content_) {
    const std::string type = providers::text_of(one, "type");
    if (type == "thinking" && !one.contains("signature")) one["signature"] = "";
    if (type != "tool_use") continue;
    const std::string text = one["input"].get<std::string>();
    Json input = text.empty() ? Json::object() : providers::parse_written(text);
    // What a model wrote and is no JSON object reaches the client all the same, under a name that says so.
    if (!input.is_object()) {
      input = Json::object();
      input["invalid_json"] = text;
    }
    one["input"] = std::move(input);
  }
  const bool sequence = stop_ == StopReason::stop_sequence && !stop_sequence_.empty();
  Json out;
  out["id"] = id_;
  out["type"] = "message";
  out["role"] = "assistant";
  out["model"] = model_;
  out["content"] = content_;
  out["stop_reason"] = stop_name(stop_);
  out["stop_sequence"] = sequence ? Json(stop_sequence_) : Json(nullptr);
  if (!container_.is_null()) out["container"] = container_;
  out["usage"] = usage_json(usage);
  return json_text(out);
}

std::string messages_error(const Error& error) {
  struct Row {
    int status;
    std::string_view type;
  };
  constexpr auto kTypes = std::to_array<Row>({{400, "invalid_request_error"},
                                              {401, "authentication_error"},
                                              {402, "billing_error"},
                                              {403, "permission_error"},
                                              {404, "not_found_error"},
                                              {413, "request_too_large"},
                                              {429, "rate_limit_error"},
                                              {504, "timeout_error"},
                                              {529, "overloaded_error"}});
  std::string_view type = error.http_status >= 500 ? "api_error" : "invalid_request_error";
  for (const Row& row : kTypes)
    if (row.status == error.http_status) type = row.type;
  if (error.code == kUpstreamQuota) type = "billing_error";
  if (error.kind == ErrorKind::overloaded && error.http_status >= 500) type = "overloaded_error";
  Json body;
  body["type"] = "error";
  body["error"]["type"] = type;
  body["error"]["message"] = error.detail;
  if (!error.code.empty()) body["error"]["code"] = error.code;
  if (!error.param.empty()) body["error"]["param"] = error.param;
  return json_text(body);
}

namespace {

class CountEncoder final : public AnswerEncoder {
 public:
  void begin(const providers::Usage&, std::string&) override {}
  void chunk(const ChatEvent&, std::string&) override {}
  void final(const providers::Usage&, NanoUsd, std::string&) override {}
  void add(ChatEvent) override {}
  std::string whole(const providers::Usage& usage, NanoUsd) override {
    return "{\"input_tokens\":" + std::to_string(usage.counts.input) + "}";
  }
};

class MessagesApi final : public ClientApi {
 public:
  explicit MessagesApi(Protocol protocol) : protocol_(protocol) {}
  Protocol protocol() const override { return protocol_; }
  Result<providers::CallBody> mark(const Request& request, std::string_view) const override {
    return providers::mark_call(protocol_, request.body);
  }
  Result<providers::ChatRequest> decode(const providers::CallBody& body) const override {
    return decode_messages(body);
  }
  std::unique_ptr<AnswerEncoder> encoder(const AnswerContext& context) const override {
    if (protocol_ == Protocol::anthropic_count) return std::make_unique<CountEncoder>();
    const std::string_view id = context.request_id.substr(context.request_id.find('-') + 1);
    return std::make_unique<MessagesEncoder>("msg_" + std::string(id), std::string(context.model));
  }
  std::string error_body(const Error& error) const override { return messages_error(error); }
  std::string error_event(const Error& error) const override {
    return "event: error\ndata: " + messages_error(error) + "\n\n";
  }

 private:
  Protocol protocol_;
};

}  // namespace

const ClientApi& anthropic_messages_api() {
  static const MessagesApi api(Protocol::anthropic_messages);
  return api;
}

const ClientApi& anthropic_count_api() {
  static const MessagesApi api(Protocol::anthropic_count);
  return api;
}

}  // namespace weir::gateway
