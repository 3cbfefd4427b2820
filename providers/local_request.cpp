#include "providers/local_request.h"

#include <algorithm>
#include <array>
#include <random>

#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "providers/json_text.h"
#include "providers/local_grammar.h"
#include "providers/native_item.h"
#include "providers/reasoning.h"
#include "providers/refusals.h"

namespace weir::providers {
namespace {

using Prompt = std::vector<engine::TokenId>;

constexpr int32_t kChoicesMax = 16;
constexpr std::string_view kStopTokens = "stop_token_ids";  // vLLM's

Error refused(std::string param, std::string detail) {
  Error error{ErrorKind::bad_request, "engine", Retry::other_target, 400, std::move(detail), "invalid_request_error"};
  error.param = std::move(param);
  return error;
}

/// Names go into a header of the answer.
bool is_header_name(std::string_view name) {
  constexpr size_t kNameBytesMax = 64;
  return !name.empty() && name.size() <= kNameBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-' || c == '[' || c == ']';
  });
}

void append_left_out(std::string& list, std::string_view name) {
  constexpr size_t kListBytesMax = 512;
  if (list.size() + name.size() > kListBytesMax) return;
  if (!list.empty()) list += ",";
  list += name;
}

/// Hints and names that make no difference to an engine of our own, and fields that nobody here knows.
void note_left_out(const ChatRequest& request, std::string& left_out) {
  bool cache =
      std::any_of(request.tools.begin(), request.tools.end(), [](const Tool& t) { return !t.cache.is_null(); });
  bool items = false;
  for (const Message& message : request.messages)
    for (const Part& part : message.parts) {
      cache = cache || !part.cache.is_null();
      items = items || part.kind == Part::Kind::native;
    }
  if (cache) append_left_out(left_out, "cache_control");
  if (items) append_left_out(left_out, kItemsOfOthers);
  if (!request.metadata.is_null() && !request.metadata.empty()) append_left_out(left_out, "metadata");
  const std::string& tier = request.service_tier;
  if (!tier.empty() && tier != "auto" && tier != "default") append_left_out(left_out, "service_tier");
  for (const Json* fields : {&request.unmodelled, &request.extensions})
    for (const auto& [name, value] : fields->items())
      if (is_header_name(name) && !is_grammar_field(name) && name != kStopTokens) append_left_out(left_out, name);
}

bool is_media(const Part& part) {
  return part.kind == Part::Kind::image || part.kind == Part::Kind::audio || part.kind == Part::Kind::file;
}

/// The messages as chat templates expect them: text as a string, tool arguments as objects.
Result<Json> template_messages(const ChatRequest& request) {
  Json messages = Json::array();
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const Message& message = request.messages[i];
    if (std::any_of(message.parts.begin(), message.parts.end(), is_media))
      return refused("messages[" + std::to_string(i) + "].content", "this model takes text parts only");
    Json out = {{"role", role_name(message.role)},
                {"content", (message.tool_failed ? kFailedResult : "") + message.text()}};
    // Templates of models that think take their earlier thoughts apart from what they said, and keep what they need.
    if (std::string thought = message.reasoning(); !thought.empty()) out["reasoning_content"] = std::move(thought);
    if (!message.name.empty()) out["name"] = message.name;
    if (!message.tool_call_id.empty()) out["tool_call_id"] = message.tool_call_id;
    for (const ToolCall& call : message.tool_calls()) {
      Json arguments = parse_json(call.arguments.empty() ? "{}" : call.arguments);
      if (arguments.is_discarded()) arguments = call.arguments;
      out["tool_calls"].push_back(
          {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", arguments}}}});
    }
    messages.push_back(std::move(out));
  }
  return messages;
}

/// Tokenizing keeps the core busy, and so does a template, which writes at least a token for each message: what cannot
/// fit the context is refused by its bytes, or its messages, already. `what`: "the prompt has 5 bytes".
Result<void> check_size(uint64_t size, uint64_t size_of_token_max, const engine::Engine& engine, const char* what) {
  const auto context = static_cast<uint64_t>(engine.context_tokens());
  if (size <= context * size_of_token_max) return {};
  Error error{ErrorKind::context_length, "engine", Retry::other_target, 400, "", "context_length_exceeded"};
  error.detail = "the prompt has " + std::to_string(size) + " " + what + ", more than fit the " +
                 std::to_string(context) + " tokens of context that this model has";
  if (engine.context_tokens() < engine.context_wanted()) error.detail += " here (kv_cache.memory holds no more)";
  error.param = "messages";
  return error;
}

Result<void> check_text(std::string_view text, const engine::Engine& engine) {
  constexpr uint64_t kBytesOfTokenMax = 64;  // longer tokens are rare, and runs of them no prompt
  return check_size(text.size(), kBytesOfTokenMax, engine, "bytes");
}

/// The variables by which templates are told to think or not: Qwen's and GLM's, DeepSeek's and Granite's, gpt-oss's.
Json thinking_variables(const ReasoningAsk& ask, bool think) {
  Json out = {{"enable_thinking", think}, {"thinking", think}};
  if (think && !ask.effort.empty()) out["reasoning_effort"] = ask.effort;
  if (think && ask.effort.empty() && ask.budget_tokens) out["reasoning_effort"] = effort_of_budget(*ask.budget_tokens);
  return out;
}

/// The prompt's text, told to think as the client asked. A template to which that makes no difference is of a model
/// that cannot choose: the wish is named in `left_out`.
Result<std::string> render(const ChatRequest& request, engine::ChatTemplate::Context& context,
                           const engine::ChatTemplate& chat_template, std::string& left_out) {
  const Json given = request.template_arguments.is_object() ? request.template_arguments : Json::object();
  context.extra = given;
  const ReasoningAsk& ask = request.reasoning;
  if (!ask.given()) return chat_template.render(context);
  const bool off = ask.enabled == false || ask.effort == "none" || ask.budget_tokens == int64_t{0};
  const auto told = [&](bool think) {
    context.extra = thinking_variables(ask, think);
    context.extra.update(given);
    return chat_template.render(context);
  };
  const auto opposite = told(off);
  auto text = told(!off);
  if (!off && text && opposite && *text == *opposite) append_left_out(left_out, "reasoning_effort");
  return text;
}

Result<Prompt> chat_prompt(const ChatRequest& request, const engine::Engine& engine, std::string& left_out) {
  if (!engine.chat_template())
    return refused("model", "the model of engine \"" + engine.name() + "\" has no chat template");
  if (auto fits = check_size(request.messages.size(), 1, engine, "messages"); !fits) return std::move(fits).error();
  auto messages = template_messages(request);
  if (!messages) return std::move(messages).error();
  const bool with_tools = !request.tools.empty() && request.tool_choice.kind != ToolChoice::Kind::none;
  const Json tools = with_tools ? openai_tools(request) : Json(nullptr);
  engine::ChatTemplate::Context context{.messages = *messages, .tools = tools};
  context.add_generation_prompt = true;
  context.bos_token = engine.tokenizer()->bos_token();
  context.eos_token = engine.tokenizer()->eos_token();
  context.now = std::chrono::system_clock::now();
  auto text = render(request, context, *engine.chat_template(), left_out);
  if (!text) return std::move(text).error();
  if (auto fits = check_text(*text, engine); !fits) return std::move(fits).error();
  auto tokens = engine.tokenizer()->encode(*text, {.parse_special = true, .add_special = false});
  if (!tokens) return std::move(tokens).error();
  return std::move(*tokens);
}

}  // namespace

Json openai_tools(const ChatRequest& request) {
  Json out = Json::array();
  for (const Tool& tool : request.tools) {
    Json function = {{"name", tool.name}, {"description", tool.description}};
    function["parameters"] =
        tool.parameters.is_null() ? Json{{"type", "object"}, {"properties", Json::object()}} : tool.parameters;
    out.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return out;
}

Result<void> check_local_request(const ChatRequest& request, const engine::Engine& engine) {
  if (!request.tools.empty() && request.tool_choice.kind != ToolChoice::Kind::none) {
    const bool knows =
        engine.chat_template() && engine.chat_template()->tool_call_style() != engine::ToolCallStyle::none;
    if (!knows)
      return refused("tools",
                     "the model of engine \"" + engine.name() + "\" was not taught to call tools; leave tools out");
    for (const Tool& tool : request.tools)
      if (!tool.native.is_null()) return refused("tools", "the local engine runs no tools of its own; give functions");
  }
  if (request.n > kChoicesMax)
    return refused("n", "n: this model gives at most 16 choices, asked for " + std::to_string(request.n));
  if (const auto ids = request.extensions.find(kStopTokens); ids != request.extensions.end()) {
    const auto is_token = [](const Json& id) { return id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX; };
    if (!ids->is_array() || !std::all_of(ids->begin(), ids->end(), is_token))
      return refused(std::string(kStopTokens), "stop_token_ids: must be an array of token ids");
  }
  // Of OpenAI's own fields these change the answer; the others are hints.
  constexpr auto kMeant =
      std::to_array<std::string_view>({"audio", "functions", "function_call", "modalities", "web_search_options"});
  for (const auto& [name, value] : request.unmodelled.items())
    if ((request.protocol != Protocol::openai_chat && !is_hint(name)) ||
        std::find(kMeant.begin(), kMeant.end(), name) != kMeant.end())
      return refused(name, name + ": the local engine cannot be told this");
  return {};
}

bool continues_text(const ChatRequest& request) {
  return !request.prompts.empty() || !request.token_prompts.empty();
}

std::string_view role_name(Role role) {
  switch (role) {
    case Role::system:
    case Role::developer:
      return "system";
    case Role::user:
      return "user";
    case Role::assistant:
      return "assistant";
    case Role::tool:
      return "tool";
  }
  return "user";
}

Result<LocalPrompts> local_prompts(const ChatRequest& request, const engine::Engine& engine) {
  LocalPrompts out;
  note_left_out(request, out.left_out);
  if (request.prompts.empty() && request.token_prompts.empty()) {
    auto prompt = chat_prompt(request, engine, out.left_out);
    if (!prompt) return std::move(prompt).error();
    out.prompts.push_back(std::move(*prompt));
    return out;
  }
  if (request.output_tokens_max == 0)
    return refused("max_tokens", "this model scores no prompts: max_tokens must be at least 1");
  const size_t count = (request.prompts.size() + request.token_prompts.size()) * static_cast<size_t>(request.n);
  if (count > static_cast<size_t>(kChoicesMax))
    return refused("prompt", "this model gives at most 16 answers in one call, asked for " + std::to_string(count));
  if (!request.prompts.empty() && !engine.tokenizer())
    return refused("prompt", "the model of engine \"" + engine.name() + "\" has no tokenizer");
  for (const std::string& text : request.prompts) {
    if (auto fits = check_text(text, engine); !fits) return std::move(fits).error();
    auto tokens = engine.tokenizer()->encode(text, {.parse_special = true, .add_special = true});
    if (!tokens) return std::move(tokens).error();
    out.prompts.push_back(std::move(*tokens));
  }
  for (const auto& ids : request.token_prompts) out.prompts.emplace_back(ids.begin(), ids.end());
  return out;
}

engine::GenerateRequest local_generate_request(const ChatRequest& request, const Attempt& attempt,
                                               const engine::Engine& engine, int32_t choice) {
  engine::GenerateRequest out;
  auto& sampling = out.sampling;
  sampling.temperature = static_cast<float>(request.temperature.value_or(1.0));
  sampling.top_p = static_cast<float>(request.top_p.value_or(1.0));
  sampling.top_k = request.top_k.value_or(0);
  sampling.min_p = static_cast<float>(request.min_p.value_or(0.0));
  sampling.presence_penalty = static_cast<float>(request.presence_penalty.value_or(0.0));
  sampling.frequency_penalty = static_cast<float>(request.frequency_penalty.value_or(0.0));
  sampling.repetition_penalty = static_cast<float>(request.repetition_penalty.value_or(1.0));
  const auto offset = static_cast<uint64_t>(choice);
  sampling.seed = request.seed ? static_cast<uint64_t>(*request.seed) + offset : std::random_device{}();
  if (request.logprobs) sampling.logprobs = request.top_logprobs;
  for (const auto& [token, bias] : request.logit_bias)
    sampling.logit_bias.emplace_back(token, static_cast<float>(bias));
  const int64_t wanted = std::min({request.output_tokens_max.value_or(engine.context_tokens()),
                                   attempt.output_tokens_cap.value_or(INT32_MAX), int64_t{INT32_MAX}});
  out.stop.output_tokens_max = static_cast<int32_t>(std::max<int64_t>(wanted, 1));
  out.continues_text = continues_text(request);
  out.stop.strings = request.stop;
  if (const auto ids = request.extensions.find(kStopTokens); ids != request.extensions.end())
    out.stop.token_ids = ids->get<std::vector<engine::TokenId>>();
  out.stop.ignore_eos = request.ignore_eos;
  out.cache_salt = attempt.cache_salt;
  out.deadline = attempt.deadline;
  out.priority = attempt.priority;
  return out;
}

}  // namespace weir::providers
