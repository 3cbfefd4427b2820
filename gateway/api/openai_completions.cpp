#include "gateway/api/openai_completions.h"

#include <map>

#include "gateway/api/errors.h"
#include "gateway/api/openai_chat.h"
#include "gateway/api/openai_fields.h"
#include "gateway/api/other_members.h"
#include "providers/json_text.h"

namespace weir::gateway {
namespace {

using providers::append_quoted;
using providers::CallBody;
using providers::ChatEvent;
using providers::ChatRequest;
using providers::Json;
using providers::json_text;
using providers::Message;
using providers::Part;
using providers::Protocol;
using providers::StopReason;

constexpr size_t kPromptsMax = 2048;
constexpr int64_t kOutputTokensDefault = 16;  // the reference's
constexpr int64_t kLogprobsMax = 20;          // OpenAI takes 5, local servers more

constexpr std::string_view kKnown[] = {"model", "prompt", "best_of",        "echo",   "logprobs", "max_tokens",
                                       "n",     "stream", "stream_options", "suffix", "user"};

// --- decoding -------------------------------------------------------------------------------------------------------

bool all_of_kind(const Json& list, bool (*is)(const Json&)) {
  for (const Json& one : list)
    if (!is(one)) return false;
  return true;
}

bool is_token(const Json& json) {
  return json.is_number_integer() && json.get<int64_t>() >= 0 && json.get<int64_t>() <= INT32_MAX;
}

std::vector<int32_t> tokens_of(const Json& list) {
  std::vector<int32_t> out;
  out.reserve(list.size());
  for (const Json& one : list) out.push_back(one.get<int32_t>());
  return out;
}

void read_prompt(FieldReader& in, ChatRequest& out) {
  constexpr std::string_view kExpected =
      "a string, an array of at most 2048 strings, an array of token ids, or an array of such arrays";
  const Json* prompt = in.find("prompt");
  if (prompt == nullptr) return in.fail("prompt", "given");
  if (prompt->is_string()) {
    out.prompts.push_back(prompt->get<std::string>());
  } else if (!prompt->is_array() || prompt->empty()) {
    return in.fail("prompt", kExpected);
  } else if (all_of_kind(*prompt, is_token)) {
    out.token_prompts.push_back(tokens_of(*prompt));
  } else if (prompt->size() > kPromptsMax) {
    return in.fail("prompt", kExpected);
  } else if (all_of_kind(*prompt, [](const Json& one) { return one.is_string(); })) {
    for (const Json& one : *prompt) out.prompts.push_back(one.get<std::string>());
  } else {
    for (const Json& one : *prompt) {
      if (!one.is_array() || one.empty() || !all_of_kind(one, is_token)) return in.fail("prompt", kExpected);
      out.token_prompts.push_back(tokens_of(one));
    }
  }
  Message& only = out.messages.emplace_back();
  if (!out.prompts.empty()) only.parts.push_back(Part::of_text(out.prompts.front()));
}

void read_counts(FieldReader& in, ChatRequest& out) {
  std::optional<int64_t> number;
  in.integer("n", 1, 128, number);
  out.n = static_cast<int32_t>(number.value_or(1));
  number.reset();
  in.integer("best_of", 0, 20, number);
  if (number && *number < out.n && *number != 0) in.fail("best_of", "at least n");
  if (number.value_or(out.n) > out.n) out.unmodelled["best_of"] = *number;
  number.reset();
  in.integer("logprobs", 0, kLogprobsMax, number);
  out.logprobs = number.has_value();
  out.top_logprobs = static_cast<int32_t>(number.value_or(0));
  out.output_tokens_max = kOutputTokensDefault;
  in.integer("max_tokens", 0, INT64_MAX, out.output_tokens_max);
}

// --- encoding -------------------------------------------------------------------------------------------------------

Json finish_reason(StopReason stop) {
  if (stop == StopReason::length || stop == StopReason::pause_turn) return "length";
  return stop == StopReason::content_filter || stop == StopReason::refusal ? "content_filter" : "stop";
}

Json call_json(const providers::ToolCall& call) {
  Json out;
  if (!call.id.empty()) out = {{"id", call.id}, {"type", "function"}};
  if (!call.name.empty()) out["function"]["name"] = call.name;
  out["function"]["arguments"] = call.arguments;
  return out;
}

/// What the protocol has no member for, in those that chat has: calls of tools that came as an extension, citations and
/// what a provider's own tools said. A piece of a stream.
Json beside_of(const ChatEvent& event) {
  Json out = Json::object();
  if (event.kind == ChatEvent::Kind::tool_call) {
    Json call = call_json(event.tool_call);
    call["index"] = event.tool_index;
    out["tool_calls"].push_back(std::move(call));
  }
  if (event.kind == ChatEvent::Kind::citation) out["citations"].push_back(event.citation);
  if (event.kind == ChatEvent::Kind::native) out["provider_items"].push_back(event.native);
  return out;
}

/// {"tokens","token_logprobs","top_logprobs","text_offset"}; `offset` in code points counts on over an answer's pieces.
Json legacy_logprobs(const std::vector<providers::TokenLogprobs>& tokens, int64_t& offset) {
  Json out = {{"tokens", Json::array()},
              {"token_logprobs", Json::array()},
              {"top_logprobs", Json::array()},
              {"text_offset", Json::array()}};
  for (const auto& token : tokens) {
    out["tokens"].push_back(token.chosen.token);
    out["token_logprobs"].push_back(token.chosen.logprob);
    Json top = Json::object();
    for (const auto& one : token.top) top[one.token] = one.logprob;
    out["top_logprobs"].push_back(std::move(top));
    out["text_offset"].push_back(offset);
    offset += code_points(token.chosen.token);
  }
  return out;
}

class CompletionsEncoder final : public AnswerEncoder {
 public:
  explicit CompletionsEncoder(const AnswerContext& context) : request_(context.request) {
    head_ = R"({"id":)";
    append_quoted("cmpl-" + std::string(id_tail(context.request_id)), head_);
    head_ += R"(,"object":"text_completion","created":)" + std::to_string(context.created_unix_s) + R"(,"model":)";
    append_quoted(context.model, head_);
    head_ += R"(,"choices":)";
    include_usage_ = context.body.include_usage;
  }

  void begin(const providers::Usage&, std::string&) override {}
  void chunk(const ChatEvent& event, std::string& out) override;
  void final(const providers::Usage& usage, NanoUsd cost, std::string& out) override;
  void add(ChatEvent event) override;
  std::string whole(const providers::Usage& usage, NanoUsd cost) override;

 private:
  struct Choice {
    std::string text;
    std::string reasoning;
    std::map<int32_t, providers::ToolCall> calls;
    Json beside = Json::object();  // citations and provider_items, as they came
    std::vector<providers::TokenLogprobs> logprobs;
    StopReason stop = StopReason::stop;
    int64_t offset = 0;
    bool opened = false;
  };
  std::string echoed(int32_t index) const;
  Choice& choice(int32_t index, std::string& first);
  bool logprobs() const { return request_ != nullptr && request_->logprobs; }

  const ChatRequest* request_;
  std::string head_;
  bool include_usage_ = false;
  std::map<int32_t, Choice> choices_;
};

/// The prompt that a choice answers, where the client wants it back. Prompts given as tokens have no text here.
std::string CompletionsEncoder::echoed(int32_t index) const {
  if (request_ == nullptr || !request_->echo_prompt || index < 0) return {};
  const auto prompt = static_cast<size_t>(index / std::max(request_->n, 1));
  return prompt < request_->prompts.size() ? request_->prompts[prompt] : std::string();
}

/// `first`: what opens the choice's text, once.
CompletionsEncoder::Choice& CompletionsEncoder::choice(int32_t index, std::string& first) {
  Choice& out = choices_[index];
  if (out.opened) return out;
  out.opened = true;
  first = echoed(index);
  out.offset = code_points(first);
  return out;
}

void CompletionsEncoder::chunk(const ChatEvent& event, std::string& out) {
  std::string text;
  Choice& to = choice(event.index, text);
  Json finish = nullptr;
  const bool says = event.kind == ChatEvent::Kind::text || event.kind == ChatEvent::Kind::refusal;
  const bool thinks = event.kind == ChatEvent::Kind::reasoning && !event.text.empty();
  if (event.kind == ChatEvent::Kind::finish) finish = finish_reason(event.stop);
  if (says) text += event.text;
  const Json beside = beside_of(event);
  if (!says && !thinks && finish.is_null() && text.empty() && beside.empty()) return;
  out.append("data: ").append(head_).append(R"([{"text":)");
  append_quoted(text, out);
  out.append(R"(,"index":)").append(std::to_string(event.index)).append(R"(,"logprobs":)");
  out.append(event.logprobs.empty() ? "null" : json_text(legacy_logprobs(event.logprobs, to.offset)));
  out.append(R"(,"finish_reason":)").append(json_text(finish));
  if (thinks) {
    out.append(R"(,"reasoning_content":)");
    append_quoted(event.text, out);
  }
  for (const auto& [key, value] : beside.items()) out.append(",\"" + key + "\":").append(json_text(value));
  out.append("}]}\n\n");
}

void CompletionsEncoder::final(const providers::Usage& usage, NanoUsd cost, std::string& out) {
  if (include_usage_) {
    out.append("data: ").append(head_).append(R"([],"usage":)");
    out.append(with_cost(json_text(openai_usage(usage)), cost)).append("}\n\n");
  }
  out.append("data: [DONE]\n\n");
}

void CompletionsEncoder::add(ChatEvent event) {
  std::string first;
  Choice& to = choice(event.index, first);
  to.text += first;
  if (event.kind == ChatEvent::Kind::text || event.kind == ChatEvent::Kind::refusal) to.text += event.text;
  if (event.kind == ChatEvent::Kind::reasoning) to.reasoning += event.text;
  if (event.kind == ChatEvent::Kind::finish) to.stop = event.stop;
  if (event.kind == ChatEvent::Kind::citation) to.beside["citations"].push_back(std::move(event.citation));
  if (event.kind == ChatEvent::Kind::native) to.beside["provider_items"].push_back(std::move(event.native));
  if (event.kind == ChatEvent::Kind::tool_call) {
    providers::ToolCall& call = to.calls[event.tool_index];
    if (!event.tool_call.id.empty()) call.id = event.tool_call.id;
    if (!event.tool_call.name.empty()) call.name = event.tool_call.name;
    call.arguments += event.tool_call.arguments;
  }
  for (auto& token : event.logprobs) to.logprobs.push_back(std::move(token));
}

std::string CompletionsEncoder::whole(const providers::Usage& usage, NanoUsd cost) {
  Json choices = Json::array();
  for (auto& [index, from] : choices_) {
    Json entry = {{"text", from.text}, {"index", index}};
    entry["logprobs"] = logprobs() ? legacy_logprobs(from.logprobs, from.offset) : Json(nullptr);
    entry["finish_reason"] = finish_reason(from.stop);
    if (!from.reasoning.empty()) entry["reasoning_content"] = from.reasoning;
    for (auto& [at, call] : from.calls) {
      if (call.arguments.empty()) call.arguments = "{}";
      entry["tool_calls"].push_back(call_json(call));
    }
    entry.update(from.beside);
    choices.push_back(std::move(entry));
  }
  return head_ + json_text(choices) + R"(,"usage":)" + with_cost(json_text(openai_usage(usage)), cost) + "}";
}

class OpenAiCompletions final : public ClientApi {
 public:
  Protocol protocol() const override { return Protocol::openai_completions; }
  Result<CallBody> mark(const Request& request, std::string_view) const override {
    return providers::mark_call(Protocol::openai_completions, request.body);
  }
  Result<ChatRequest> decode(const CallBody& body) const override { return decode_completions(body.json); }
  std::unique_ptr<AnswerEncoder> encoder(const AnswerContext& context) const override {
    return make_completions_encoder(context);
  }
  std::string error_body(const Error& error) const override { return gateway::error_body(error); }
  std::string error_event(const Error& error) const override { return "data: " + gateway::error_body(error) + "\n\n"; }
};

}  // namespace

Result<ChatRequest> decode_completions(std::string_view body) {
  const Json json = providers::parse_json(body);
  if (auto mistake = no_request(json)) return std::move(*mistake);
  FieldReader in(json);
  ChatRequest out;
  out.protocol = Protocol::openai_completions;
  out.model = in.text("model");
  read_prompt(in, out);
  read_counts(in, out);
  read_sampling(in, out);
  in.boolean("echo", out.echo_prompt);
  in.boolean("stream", out.stream);
  if (const Json* options = in.find("stream_options"); options != nullptr && options->is_object())
    out.include_usage = options->value("include_usage", Json(false)) == Json(true);
  if (const std::string suffix = in.text("suffix"); !suffix.empty()) out.unmodelled["suffix"] = suffix;
  out.user = in.text("user");
  keep_extensions(in, kKnown, out);
  if (in.failed()) return in.take_error();
  return out;
}

std::unique_ptr<AnswerEncoder> make_completions_encoder(const AnswerContext& context) {
  return std::make_unique<CompletionsEncoder>(context);
}

const ClientApi& openai_completions_api() {
  static const OpenAiCompletions api;
  return api;
}

}  // namespace weir::gateway
