#include "gateway/api/openai_responses_object.h"

#include <algorithm>

#include "gateway/api/openai_fields.h"
#include "gateway/api/openai_responses.h"
#include "providers/json_fields.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"

namespace weir::gateway {
namespace {

using providers::append_quoted;
using providers::Json;
using providers::json_text;
using providers::Protocol;

constexpr std::string_view kEchoed[] = {"instructions",
                                        "max_output_tokens",
                                        "metadata",
                                        "parallel_tool_calls",
                                        "previous_response_id",
                                        "prompt_cache_key",
                                        "reasoning",
                                        "safety_identifier",
                                        "service_tier",
                                        "store",
                                        "temperature",
                                        "text",
                                        "tool_choice",
                                        "tools",
                                        "top_logprobs",
                                        "top_p",
                                        "truncation",
                                        "user",
                                        "frequency_penalty",
                                        "presence_penalty",
                                        "max_tool_calls"};

/// The fields of the request that an answer repeats; the input, which may be large, is passed over.
Json echoed_fields(std::string_view body) {
  Json out = Json::object();
  providers::PaddedJson& json = providers::padded_json();
  providers::od::object root;
  if (!json.parse(body) || json.document.get_object().get(root) != simdjson::SUCCESS) return out;
  for (auto member : root) {
    std::string_view key;
    std::string_view raw;
    providers::od::value value;
    if (member.unescaped_key().get(key) != simdjson::SUCCESS) break;
    const bool wanted = std::find(std::begin(kEchoed), std::end(kEchoed), key) != std::end(kEchoed);
    const std::string name(key);
    if (member.value().get(value) != simdjson::SUCCESS) break;
    if (!wanted || simdjson::to_json_string(value).get(raw) != simdjson::SUCCESS) continue;
    Json parsed = providers::parse_written(raw);
    if (!parsed.is_discarded() && !parsed.is_null()) out[name] = std::move(parsed);
  }
  return out;
}

Json take(Json& fields, const char* key, Json otherwise) {
  const auto found = fields.find(key);
  return found == fields.end() ? std::move(otherwise) : std::move(*found);
}

/// A function tool of a Response always has its parameters and strictness.
Json tools_echo(Json tools) {
  if (!tools.is_array()) return Json::array();
  for (Json& tool : tools) {
    if (!tool.is_object() || tool.value("type", Json()) != "function") continue;
    if (!tool.contains("parameters")) tool["parameters"] = nullptr;
    if (!tool.contains("strict")) tool["strict"] = nullptr;
  }
  return tools;
}

Json reasoning_echo(Json ask) {
  Json out = {{"effort", nullptr}, {"summary", nullptr}};
  if (!ask.is_object()) return out;
  for (const auto& [key, value] : ask.items())
    if (key == "effort" || key == "summary")
      out[key] = value;
    else
      providers::add_member(out, key, value);
  return out;
}

Json text_echo(Json text) {
  if (!text.is_object()) text = Json::object();
  if (!text.contains("format") || text["format"].is_null()) text["format"] = {{"type", "text"}};
  return text;
}

/// "KEY":VALUE, for a text that is put together from pieces.
void append_member(std::string& out, const char* key, const Json& value) {
  out.append(",\"").append(key).append("\":").append(json_text(value));
}

void count_text(ResponseContent& content) {
  content.cited.wrote(code_points(std::string_view(content.text).substr(content.counted)));
  content.counted = content.text.size();
}

}  // namespace

Json content_json(const ResponseContent& content) {
  if (content.refusal) return {{"type", "refusal"}, {"refusal", content.text}};
  return {{"type", "output_text"},
          {"annotations", content.annotations},
          {"logprobs", content.logprobs},
          {"text", content.text}};
}

Json item_json(const ResponseItem& item, std::string_view status) {
  switch (item.kind) {
    case ResponseItem::Kind::message: {
      Json contents = Json::array();
      for (const auto& content : item.contents) contents.push_back(content_json(content));
      return {{"id", item.id},
              {"type", "message"},
              {"status", status},
              {"content", std::move(contents)},
              {"role", "assistant"}};
    }
    case ResponseItem::Kind::call:
      return {{"id", item.id},           {"type", "function_call"},
              {"status", status},        {"arguments", item.call.arguments},
              {"call_id", item.call.id}, {"name", item.call.name}};
    case ResponseItem::Kind::native:
      return {{"id", item.id}, {"type", item.native["type"]}, {"status", status}, {"item", item.native["item"]}};
    case ResponseItem::Kind::reasoning:
      break;
  }
  Json summary = Json::array();
  if (!item.summary.empty()) {
    Json part = {{"type", "summary_text"}, {"text", item.summary}};
    summary.push_back(std::move(part));
  }
  Json out = {{"id", item.id}, {"type", "reasoning"}, {"summary", std::move(summary)}};
  if (!item.encrypted.empty()) out["encrypted_content"] = item.encrypted;
  return out;
}

Json response_logprobs(const std::vector<providers::TokenLogprobs>& tokens) {
  const auto entry = [](const providers::LogprobEntry& one) {
    Json out = {{"token", one.token}, {"bytes", bytes_json(one.bytes)}, {"logprob", one.logprob}};
    return out;
  };
  Json out = Json::array();
  for (const auto& token : tokens) {
    Json one = entry(token.chosen);
    one["top_logprobs"] = Json::array();
    for (const auto& other : token.top) one["top_logprobs"].push_back(entry(other));
    out.push_back(std::move(one));
  }
  return out;
}

void open_block(ResponseContent& content) {
  count_text(content);
  content.cited.open_block();
}

Json annotations_json(const providers::ChatEvent& event, ResponseContent& content) {
  std::vector<Citation> citations = citations_of(event);
  count_text(content);
  content.cited.take(citations);
  if (event.citation_of == Protocol::openai_responses && event.citation.contains("type"))
    return Json::array({event.citation});
  Json out = Json::array();
  for (const Citation& one : citations) {
    if (!one.url.empty()) {
      out.push_back({{"type", "url_citation"},
                     {"start_index", *one.begin},
                     {"end_index", *one.end},
                     {"url", one.url},
                     {"title", one.title}});
      continue;
    }
    const std::string file = one.file.empty() ? "document_" + std::to_string(one.document) : one.file;
    out.push_back({{"type", "file_citation"},
                   {"file_id", file},
                   {"index", one.document},
                   {"filename", one.title.empty() ? file : one.title},
                   {"citation", event.citation}});
  }
  return out;
}

Json response_usage(const providers::Usage& usage) {
  const auto& counts = usage.counts;
  Json in_details = {{"cached_tokens", counts.cached_input},
                     {"cache_write_tokens", counts.cache_write_5m + counts.cache_write_1h}};
  if (counts.cache_write_5m + counts.cache_write_1h > 0)
    in_details["cache_creation_token_details"] = cache_writes(counts);
  Json out_details = {{"reasoning_tokens", counts.reasoning}};
  return {{"input_tokens", counts.input},
          {"input_tokens_details", std::move(in_details)},
          {"output_tokens", counts.output},
          {"output_tokens_details", std::move(out_details)},
          {"total_tokens", counts.input + counts.output}};
}

ResponseObject::ResponseObject(const AnswerContext& context)
    : id_(std::string(kResponseIdPrefix) + std::string(id_tail(context.request_id))) {
  Json asked = echoed_fields(context.body.json);
  head_ = R"({"id":)";
  append_quoted(id_, head_);
  head_ += R"(,"object":"response","created_at":)" + std::to_string(context.created_unix_s);
  append_member(echo_a_, "instructions", take(asked, "instructions", nullptr));
  append_member(echo_a_, "max_output_tokens", take(asked, "max_output_tokens", nullptr));
  append_member(echo_a_, "max_tool_calls", take(asked, "max_tool_calls", nullptr));
  append_member(echo_a_, "model", std::string(context.model));
  Json previous = take(asked, "previous_response_id", nullptr);
  if (!context.previous_id.empty()) previous = context.previous_id;
  append_member(echo_b_, "parallel_tool_calls", take(asked, "parallel_tool_calls", true));
  append_member(echo_b_, "previous_response_id", previous);
  append_member(echo_b_, "prompt_cache_key", take(asked, "prompt_cache_key", nullptr));
  append_member(echo_b_, "reasoning", reasoning_echo(take(asked, "reasoning", nullptr)));
  append_member(echo_b_, "safety_identifier", take(asked, "safety_identifier", nullptr));
  Json tier = take(asked, "service_tier", "default");
  append_member(echo_b_, "service_tier", tier == "auto" ? Json("default") : tier);
  append_member(echo_b_, "store", take(asked, "store", true));
  append_member(echo_b_, "frequency_penalty", take(asked, "frequency_penalty", 0.0));
  append_member(echo_b_, "presence_penalty", take(asked, "presence_penalty", 0.0));
  append_member(echo_b_, "temperature", take(asked, "temperature", 1.0));
  append_member(echo_b_, "text", text_echo(take(asked, "text", nullptr)));
  append_member(echo_b_, "tool_choice", take(asked, "tool_choice", "auto"));
  append_member(echo_b_, "tools", tools_echo(take(asked, "tools", nullptr)));
  append_member(echo_b_, "top_logprobs", take(asked, "top_logprobs", 0));
  append_member(echo_b_, "top_p", take(asked, "top_p", 1.0));
  append_member(echo_b_, "truncation", take(asked, "truncation", "disabled"));
  if (asked.contains("user")) append_member(echo_b_, "user", asked["user"]);
  append_member(echo_b_, "metadata", take(asked, "metadata", Json::object()));
}

std::string ResponseObject::text(std::string_view status, const Json& output, std::string_view usage,
                                 const Json& details, const Json& error) const {
  std::string out;
  out.reserve(head_.size() + echo_a_.size() + echo_b_.size() + usage.size() + 256);
  out.append(head_).append(R"(,"status":")").append(status).append(R"(","background":false)");
  append_member(out, "error", error);
  append_member(out, "incomplete_details", details);
  out.append(echo_a_);
  append_member(out, "output", output);
  return out.append(echo_b_).append(R"(,"usage":)").append(usage).append("}");
}

}  // namespace weir::gateway
