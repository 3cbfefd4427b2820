#include "gateway/api/openai_chat.h"

#include <nlohmann/json.hpp>

#include "gateway/api/errors.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::Json;
using providers::StopReason;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string_view stop_name(StopReason stop) {
  switch (stop) {
    case StopReason::stop:
      return "stop";
    case StopReason::length:
      return "length";
    case StopReason::tool_calls:
      return "tool_calls";
    case StopReason::content_filter:
      return "content_filter";
  }
  return "stop";
}

Json bytes_json(const std::string& bytes) {
  Json array = Json::array();
  for (const char c : bytes) array.push_back(static_cast<unsigned char>(c));
  return array;
}

Json logprobs_json(const std::vector<providers::TokenLogprobs>& tokens) {
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
  return {{"content", std::move(content)}};
}

Json usage_json(const providers::Usage& usage) {
  const auto& counts = usage.counts;
  return {{"prompt_tokens", counts.input},
          {"completion_tokens", counts.output},
          {"total_tokens", counts.input + counts.output},
          {"prompt_tokens_details", {{"cached_tokens", counts.cached_input}}},
          {"completion_tokens_details", {{"reasoning_tokens", counts.reasoning}}}};
}

}  // namespace

ChatEncoder::ChatEncoder(std::string id, int64_t created_unix_s, std::string model)
    : id_(std::move(id)), created_(created_unix_s), model_(std::move(model)) {
  prefix_ = R"(data: {"id":)" + dump(id_) + R"(,"object":"chat.completion.chunk","created":)" +
            std::to_string(created_) + R"(,"model":)" + dump(model_) + R"(,"choices":)";
}

void ChatEncoder::chunk(const ChatEvent& event, std::string& out) {
  Choice& choice = choices_[event.index];
  Json delta = Json::object();
  if (!choice.opened) delta["role"] = "assistant";
  Json finish = nullptr;
  switch (event.kind) {
    case ChatEvent::Kind::text:
      delta["content"] = event.text;
      break;
    case ChatEvent::Kind::reasoning:
      delta["reasoning_content"] = event.text;
      break;
    case ChatEvent::Kind::tool_call: {
      Json call = {{"index", event.tool_index}};
      if (!event.tool_call.id.empty()) {
        call["id"] = event.tool_call.id;
        call["type"] = "function";
        call["function"]["name"] = event.tool_call.name;
      }
      call["function"]["arguments"] = event.tool_call.arguments;
      delta["tool_calls"] = Json::array({std::move(call)});
      break;
    }
    case ChatEvent::Kind::finish:
      if (!choice.opened) delta["content"] = "";
      finish = stop_name(event.stop);
      break;
  }
  choice.opened = true;
  Json entry = {{"index", event.index}, {"delta", std::move(delta)}};
  entry["logprobs"] = event.logprobs.empty() ? Json(nullptr) : logprobs_json(event.logprobs);
  entry["finish_reason"] = std::move(finish);
  out.append(prefix_).append("[").append(dump(entry)).append("]}\n\n");
}

void ChatEncoder::final(const providers::Usage& usage, NanoUsd cost, bool include_usage, std::string& out) {
  if (include_usage) {
    std::string object = dump(usage_json(usage));
    object.pop_back();
    out.append(prefix_).append(R"([],"usage":)").append(object).append(R"(,"cost_usd":)");
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
    case ChatEvent::Kind::reasoning:
      choice.reasoning += event.text;
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
    case ChatEvent::Kind::finish:
      choice.stop = event.stop;
      break;
  }
}

std::string ChatEncoder::whole(const providers::Usage& usage) const {
  Json choices = Json::array();
  for (const auto& [index, choice] : choices_) {
    Json message = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
    if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
    for (const auto& [at, call] : choice.tool_calls)
      message["tool_calls"].push_back(
          {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    Json entry = {{"index", index}, {"message", std::move(message)}};
    entry["logprobs"] = choice.logprobs.empty() ? Json(nullptr) : logprobs_json(choice.logprobs);
    entry["finish_reason"] = stop_name(choice.stop);
    choices.push_back(std::move(entry));
  }
  return dump({{"id", id_},
               {"object", "chat.completion"},
               {"created", created_},
               {"model", model_},
               {"choices", std::move(choices)},
               {"usage", usage_json(usage)}});
}

std::string chat_error_event(const Error& error) {
  return "data: " + error_body(error) + "\n\n";
}

void append_usage_with_cost(std::string_view event, uint32_t usage_object, bool usage_empty, NanoUsd cost,
                            std::string& out) {
  out.append(event.substr(0, usage_object)).append(R"("cost_usd":)").append(to_decimal_usd(cost));
  if (!usage_empty) out.push_back(',');
  out.append(event.substr(usage_object));
}

}  // namespace weir::gateway
