#include "gateway/api/openai_chat.h"

#include <charconv>
#include <iterator>
#include "config/base/json.h"

#include "gateway/api/errors.h"
#include "gateway/api/openai_fields.h"
#include "providers/json_fields.h"
#include "providers/json_text.h"
#include "providers/media.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::Json;
using providers::json_text;
using providers::Signer;
using providers::StopReason;

std::string_view stop_name(StopReason stop) {
  switch (stop) {
    case StopReason::length:
    case StopReason::pause_turn:  // no word for it: what says at least that the answer is not at its end
      return "length";
    case StopReason::tool_calls:
      return "tool_calls";
    case StopReason::content_filter:
    case StopReason::refusal:
      return "content_filter";
    case StopReason::stop:
    case StopReason::stop_sequence:
      return "stop";
  }
  return "stop";
}

/// A turn that is to be sent back to go on, in the place where OpenRouter has the provider's own word.
void add_native_reason(StopReason stop, Json& choice) {
  if (stop == StopReason::pause_turn) choice["native_finish_reason"] = "pause_turn";
}

/// openai_usage() as text, without a tree: one comes with every stream.
void append_usage(const providers::Usage& usage, std::string& out) {
  const auto& counts = usage.counts;
  const auto field = [&](std::string_view opening, int64_t count) {
    char digits[24];
    const auto written = std::to_chars(std::begin(digits), std::end(digits), count);
    out.append(opening).append(digits, written.ptr);
  };
  field(R"({"prompt_tokens":)", counts.input);
  field(R"(,"completion_tokens":)", counts.output);
  field(R"(,"total_tokens":)", counts.input + counts.output);
  field(R"(,"prompt_tokens_details":{"cached_tokens":)", counts.cached_input);
  field(R"(,"audio_tokens":)", counts.audio_input);
  if (const int64_t written = counts.cache_write_5m + counts.cache_write_1h; written > 0) {
    field(R"(,"cache_creation_tokens":)", written);
    field(R"(,"cache_creation_token_details":{"ephemeral_5m_input_tokens":)", counts.cache_write_5m);
    field(R"(,"ephemeral_1h_input_tokens":)", counts.cache_write_1h);
    out.append("}");
  }
  field(R"(},"completion_tokens_details":{"reasoning_tokens":)", counts.reasoning);
  field(R"(,"audio_tokens":)", counts.audio_output);
  out.append("}}");
}

/// Google's own OpenAI endpoint carries thought signatures in this place of a tool call.
Json google_signature(const std::string& signature) {
  return {{"google", {{"thought_signature", signature}}}};
}

/// A piece of signed or encrypted thinking, in the form that other gateways made known: Anthropic's blocks. Another
/// family's signature says whose it is, so that it comes back as theirs.
Json thinking_block(std::string_view thinking, const ChatEvent& event) {
  if (!event.redacted.empty())
    return {{"type", "redacted_thinking"},
            {"data", providers::wrap_signature(event.redacted, event.signer, Signer::anthropic)}};
  return {{"type", "thinking"},
          {"thinking", thinking},
          {"signature", providers::wrap_signature(event.signature, event.signer, Signer::anthropic)}};
}

/// What a list has that was not told yet, each with its index.
void add_new(const Json& list, size_t& told, const char* key, Json& out) {
  for (; told < list.size(); ++told) {
    Json one = list[told];
    if (one.is_object()) one["index"] = told;
    out[key].push_back(std::move(one));
  }
}

}  // namespace

Json openai_logprobs(const std::vector<providers::TokenLogprobs>& tokens) {
  Json content = Json::array();
  for (const auto& token : tokens) {
    Json top = Json::array();
    for (const auto& entry : token.top)
      top.push_back({{"token", entry.token}, {"logprob", entry.logprob}, {"bytes", bytes_json(entry.bytes)}});
    content.push_back({{"token", token.chosen.token},
                       {"logprob", token.chosen.logprob},
                       {"bytes", bytes_json(token.chosen.bytes)},
                       {"top_logprobs", std::move(top)}});
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json openai_usage(const providers::Usage& usage) {
  const auto& counts = usage.counts;
  Json out = {
      {"prompt_tokens", counts.input},
      {"completion_tokens", counts.output},
      {"total_tokens", counts.input + counts.output},
      {"prompt_tokens_details", {{"cached_tokens", counts.cached_input}, {"audio_tokens", counts.audio_input}}},
      {"completion_tokens_details", {{"reasoning_tokens", counts.reasoning}, {"audio_tokens", counts.audio_output}}}};
  if (const int64_t written = counts.cache_write_5m + counts.cache_write_1h; written > 0) {
    out["prompt_tokens_details"]["cache_creation_tokens"] = written;
    out["prompt_tokens_details"]["cache_creation_token_details"] = cache_writes(counts);
  }
  return out;
}

void ChatEncoder::Choice::note(const ChatEvent& event) {
  if (event.kind == ChatEvent::Kind::signature || event.kind == ChatEvent::Kind::citation) return;
  last_tool = event.kind == ChatEvent::Kind::tool_call ? event.tool_index : -1;
  text_last = event.kind == ChatEvent::Kind::text;
  if (event.opens_block) cited.open_block();
  if (text_last) cited.wrote(code_points(event.text));
}

/// What Gemini searched for and which stretch a page supports, beside the pages.
bool says_more(const Json& citation) {
  const Json* metadata = providers::object_of(citation, "groundingMetadata");
  return metadata != nullptr && (metadata->contains("groundingSupports") || metadata->contains("webSearchQueries"));
}

/// The protocol has a form for pages of the web alone; what else was cited goes beside it, as it came.
void ChatEncoder::Choice::cite(const ChatEvent& event) {
  std::vector<Citation> found = citations_of(event);
  cited.take(found);
  bool all_said = !found.empty();
  for (const Citation& one : found) {
    all_said = all_said && !one.url.empty();
    if (one.url.empty()) continue;
    Json page = {{"start_index", *one.begin}, {"end_index", *one.end}, {"url", one.url}, {"title", one.title}};
    if (!one.quote.empty()) page["cited_text"] = one.quote;
    annotations.push_back({{"type", "url_citation"}, {"url_citation", std::move(page)}});
  }
  if (!all_said || says_more(event.citation)) citations.push_back(event.citation);
}

std::string_view ChatEncoder::Choice::signed_thinking() {
  if (text_last) return {};
  const size_t from = std::exchange(thinking_from, reasoning.size());
  return std::string_view(reasoning).substr(from);
}

ChatEncoder::ChatEncoder(std::string id, int64_t created_unix_s, std::string model, bool include_usage)
    : id_(std::move(id)), created_(created_unix_s), model_(std::move(model)), include_usage_(include_usage) {
  prefix_ = R"(data: {"id":)" + json_text(id_) + R"(,"object":"chat.completion.chunk","created":)" +
            std::to_string(created_) + R"(,"model":)" + json_text(model_) + R"(,"choices":)";
}

void ChatEncoder::delta(const ChatEvent& event, Choice& choice, Json& out) {
  switch (event.kind) {
    case ChatEvent::Kind::text:
      out["content"] = event.text;
      break;
    case ChatEvent::Kind::refusal:
      out["refusal"] = event.text;
      break;
    case ChatEvent::Kind::reasoning:
      out["reasoning_content"] = event.text;
      choice.reasoning += event.text;
      break;
    case ChatEvent::Kind::signature: {
      if (choice.last_tool >= 0) {
        // With a function, if one that says nothing more: OpenAI's clients look for it in every piece of a call.
        out["tool_calls"] = Json::array({{{"index", choice.last_tool},
                                          {"function", {{"arguments", ""}}},
                                          {"extra_content", google_signature(event.signature)}}});
        break;
      }
      Json block = thinking_block(choice.signed_thinking(), event);
      block["index"] = choice.blocks_sent++;
      out["thinking_blocks"] = Json::array({std::move(block)});
      break;
    }
    case ChatEvent::Kind::tool_call: {
      Json call = {{"index", event.tool_index}};
      if (!event.tool_call.id.empty()) {
        call["id"] = event.tool_call.id;
        call["type"] = "function";
        call["function"]["name"] = event.tool_call.name;
      }
      call["function"]["arguments"] = event.tool_call.arguments;
      choice.calls_told[event.tool_index] |= !event.tool_call.arguments.empty();
      out["tool_calls"] = Json::array({std::move(call)});
      break;
    }
    case ChatEvent::Kind::citation:
      choice.cite(event);
      add_new(choice.annotations, choice.annotations_sent, "annotations", out);
      add_new(choice.citations, choice.citations_sent, "citations", out);
      break;
    case ChatEvent::Kind::native:
      choice.items.push_back(event.native);
      add_new(choice.items, choice.items_sent, "provider_items", out);
      break;
    case ChatEvent::Kind::finish:
      if (!choice.opened) out["content"] = "";
      if (!event.container.is_null()) out["container"] = event.container;
      break;
  }
  choice.note(event);
}

void ChatEncoder::chunk(const ChatEvent& event, std::string& out) {
  Choice& choice = choices_[event.index];
  choice.in_order.pass(event, [&](const ChatEvent& next) { tell(next, choice, out); });
}

void ChatEncoder::tell(const ChatEvent& event, Choice& choice, std::string& out) {
  // Nearly all of a stream is plain text and its end: these bytes are put together without building a tree.
  const bool finish = event.kind == ChatEvent::Kind::finish;
  // A call without arguments means {}: what a client parses must be JSON.
  if (finish)
    for (const auto& [at, begun] : std::exchange(choice.calls_told, {})) {
      if (begun) continue;
      ChatEvent empty = {.kind = ChatEvent::Kind::tool_call, .index = event.index, .tool_index = at};
      empty.tool_call.arguments = "{}";
      tell(empty, choice, out);
    }
  const bool plain_end = finish && choice.opened && event.stop != StopReason::pause_turn && event.container.is_null();
  if ((event.kind == ChatEvent::Kind::text || plain_end) && event.logprobs.empty()) {
    constexpr std::string_view kTextEnd = "},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
    constexpr std::string_view kFinish = R"(},"logprobs":null,"finish_reason":")";
    constexpr std::string_view kFinishEnd = "\"}]}\n\n";
    constexpr std::string_view kRole = R"("role":"assistant",)";
    constexpr std::string_view kContent = R"("content":)";
    if (choice.delta.empty()) choice.delta = prefix_ + R"([{"index":)" + std::to_string(event.index) + R"(,"delta":{)";
    out.append(choice.delta);
    if (!choice.opened) out.append(kRole);
    if (finish) {
      out.append(kFinish).append(stop_name(event.stop)).append(kFinishEnd);
    } else {
      out.append(kContent);
      providers::append_quoted(event.text, out);
      out.append(kTextEnd);
    }
    choice.opened = true;
    choice.note(event);
    return;
  }
  Json piece = Json::object();
  if (!choice.opened) piece["role"] = "assistant";
  delta(event, choice, piece);
  choice.opened = true;
  Json entry = {{"index", event.index}, {"delta", std::move(piece)}};
  entry["logprobs"] = event.logprobs.empty() ? Json(nullptr) : openai_logprobs(event.logprobs);
  entry["finish_reason"] = finish ? Json(stop_name(event.stop)) : Json(nullptr);
  if (finish) add_native_reason(event.stop, entry);
  out.append(prefix_).append("[").append(json_text(entry)).append("]}\n\n");
}

void ChatEncoder::final(const providers::Usage& usage, NanoUsd cost, std::string& out) {
  if (include_usage_) {
    out.append(prefix_).append(R"([],"usage":)");
    append_usage(usage, out);
    out.pop_back();
    out.append(R"(,"cost_usd":)");
    out.append(to_decimal_usd(cost)).append("}}\n\n");
  }
  out.append("data: [DONE]\n\n");
}

void ChatEncoder::add(ChatEvent event) {
  Choice& choice = choices_[event.index];
  switch (event.kind) {
    case ChatEvent::Kind::text:
      choice.text += event.text;
      for (auto& token : event.logprobs) choice.logprobs.push_back(std::move(token));
      break;
    case ChatEvent::Kind::refusal:
      choice.refusal += event.text;
      break;
    case ChatEvent::Kind::reasoning:
      choice.reasoning += event.text;
      break;
    case ChatEvent::Kind::signature:
      if (choice.last_tool >= 0) {
        choice.call_signatures[choice.last_tool] = std::move(event.signature);
        break;
      }
      choice.thinking_blocks.push_back(thinking_block(choice.signed_thinking(), event));
      break;
    case ChatEvent::Kind::tool_call: {
      providers::ToolCall& call = choice.tool_calls[event.tool_index];
      if (!event.tool_call.id.empty()) {
        call.id = std::move(event.tool_call.id);
        call.name = std::move(event.tool_call.name);
      }
      call.arguments += event.tool_call.arguments;
      break;
    }
    case ChatEvent::Kind::citation:
      choice.cite(event);
      break;
    case ChatEvent::Kind::native:
      choice.items.push_back(std::move(event.native));
      break;
    case ChatEvent::Kind::finish:
      choice.stop = event.stop;
      choice.container = std::move(event.container);
      break;
  }
  choice.note(event);
}

std::string ChatEncoder::whole(const providers::Usage& usage, NanoUsd) {
  Json choices = Json::array();
  for (const auto& [index, choice] : choices_) {
    const bool only_calls = choice.text.empty() && !choice.tool_calls.empty();
    Json message = {{"role", "assistant"},
                    {"content", only_calls || !choice.refusal.empty() ? Json(nullptr) : Json(choice.text)},
                    {"refusal", choice.refusal.empty() ? Json(nullptr) : Json(choice.refusal)}};
    if (!choice.text.empty()) message["content"] = choice.text;
    if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
    if (!choice.thinking_blocks.empty()) message["thinking_blocks"] = choice.thinking_blocks;
    if (!choice.annotations.empty()) message["annotations"] = choice.annotations;
    if (!choice.citations.empty()) message["citations"] = choice.citations;
    if (!choice.items.empty()) message["provider_items"] = choice.items;
    if (!choice.container.is_null()) message["container"] = choice.container;
    for (const auto& [at, call] : choice.tool_calls) {
      Json entry = {{"id", call.id},
                    {"type", "function"},
                    {"function", {{"name", call.name}, {"arguments", call.arguments.empty() ? "{}" : call.arguments}}}};
      if (const auto signed_call = choice.call_signatures.find(at); signed_call != choice.call_signatures.end())
        entry["extra_content"] = google_signature(signed_call->second);
      message["tool_calls"].push_back(std::move(entry));
    }
    Json entry = {{"index", index}, {"message", std::move(message)}};
    entry["logprobs"] = choice.logprobs.empty() ? Json(nullptr) : openai_logprobs(choice.logprobs);
    entry["finish_reason"] = stop_name(choice.stop);
    add_native_reason(choice.stop, entry);
    choices.push_back(std::move(entry));
  }
  return json_text({{"id", id_},
                    {"object", "chat.completion"},
                    {"created", created_},
                    {"model", model_},
                    {"choices", std::move(choices)},
                    {"usage", openai_usage(usage)}});
}

namespace {

class OpenAiChatApi final : public ClientApi {
 public:
  providers::Protocol protocol() const override { return providers::Protocol::openai_chat; }
  Result<providers::CallBody> mark(const Request& request, std::string_view) const override {
    return providers::mark_call(protocol(), request.body);
  }
  Result<providers::ChatRequest> decode(const providers::CallBody& body) const override {
    return decode_chat(body.json);
  }
  std::unique_ptr<AnswerEncoder> encoder(const AnswerContext& context) const override {
    const std::string_view id = context.request_id.substr(context.request_id.find('-') + 1);
    return std::make_unique<ChatEncoder>("chatcmpl-" + std::string(id), context.created_unix_s,
                                         std::string(context.model), context.body.include_usage);
  }
  std::string error_body(const Error& error) const override { return gateway::error_body(error); }
  std::string error_event(const Error& error) const override { return "data: " + gateway::error_body(error) + "\n\n"; }
};

}  // namespace

const ClientApi& openai_chat_api() {
  static const OpenAiChatApi api;
  return api;
}

}  // namespace weir::gateway
