#include "gateway/accounting/token_count.h"

#include <algorithm>
#include <cmath>

#include "providers/json_text.h"
#include "providers/local_request.h"

namespace weir::gateway {
namespace {

// What templates put around things, about: <|im_start|> (and the role), <|im_end|> and a line end around a message,
// {"type":"function","function":…} around a tool, and the beginning of the answer.
constexpr int64_t kMessageTokens = 3;
constexpr int64_t kToolTokens = 10;
constexpr int64_t kAnswerTokens = 3;

using Kind = providers::Part::Kind;

void add_line(std::string_view text, TextSample& sample) {
  if (text.empty()) return;
  sample.add(text);
  sample.add("\n");
}

void add_message(const providers::Message& message, TextSample& sample) {
  add_line(providers::role_name(message.role), sample);
  add_line(message.name, sample);
  for (const providers::Part& part : message.parts) {
    if (part.kind == Kind::text || part.kind == Kind::refusal) add_line(part.text, sample);
    if (part.kind != Kind::tool_call) continue;
    add_line(part.call.name, sample);
    add_line(part.call.arguments, sample);
  }
}

}  // namespace

Result<Tokenizers> load_tokenizers(const config::Config& config) {
  Tokenizers out;
  const auto load = [&](const std::string& place, const std::string& path) -> Result<void> {
    if (place.empty() || out.contains(place)) return {};
    auto tokenizer = engine::Tokenizer::load(place);
    if (!tokenizer) {
      Error error = std::move(tokenizer).error();
      error.detail = path + ".tokenizer: " + error.detail;
      return error;
    }
    out.emplace(place, std::move(*tokenizer));
    return {};
  };
  for (const config::ModelConfig& model : config.models) {
    const std::string path = "models." + model.name;
    if (auto loaded = load(model.tokenizer, path); !loaded) return std::move(loaded).error();
    for (size_t i = 0; i < model.targets.size(); ++i)
      if (auto loaded = load(model.targets[i].tokenizer, path + ".targets[" + std::to_string(i) + "]"); !loaded)
        return std::move(loaded).error();
  }
  return out;
}

int64_t count_tokens(const engine::Tokenizer& tokenizer, const TextSample& sample) {
  const std::string_view text = sample.kept();
  if (text.empty()) return 0;
  const auto tokens = tokenizer.encode(text, {.parse_special = false, .add_special = false});
  const double each = tokens ? static_cast<double>(tokens->size()) / static_cast<double>(text.size()) : 0.25;
  return std::llround(each * static_cast<double>(sample.bytes()));
}

int64_t count_prompt_tokens(const engine::Tokenizer& tokenizer, const providers::ChatRequest& request) {
  TextSample sample;
  int64_t tokens = 0;
  if (!request.prompts.empty() || !request.token_prompts.empty()) {  // completions: no template
    for (const std::string& prompt : request.prompts) sample.add(prompt);
    for (const auto& prompt : request.token_prompts) tokens += static_cast<int64_t>(prompt.size());
    return tokens + count_tokens(tokenizer, sample);
  }
  for (const providers::Tool& tool : request.tools) {
    tokens += kToolTokens;
    add_line(tool.name, sample);
    add_line(tool.description, sample);
    if (!tool.parameters.is_null()) add_line(providers::json_text(tool.parameters), sample);
  }
  if (!request.response_format.schema.is_null()) add_line(providers::json_text(request.response_format.schema), sample);
  for (const providers::Message& message : request.messages) {
    tokens += kMessageTokens;
    add_message(message, sample);
  }
  return tokens + kAnswerTokens + count_tokens(tokenizer, sample);
}

}  // namespace weir::gateway
