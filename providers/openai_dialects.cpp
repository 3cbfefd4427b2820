// The presets: APIs compatible with OpenAI's, with their base URLs and what each does otherwise. Sources: each API's
// own reference, as of 2026-11.
#include "providers/openai.h"

namespace weir::providers {
namespace {

using Effort = OpenAiDialect::Effort;
using Limit = OpenAiDialect::Limit;

std::vector<OpenAiDialect> make_dialects() {
  return {
      {.name = "openai",
       .base_url = "https://api.openai.com/v1",
       .developer_role = true,
       .limit = Limit::max_completion_tokens,
       .responses = true,
       .keeps_responses = true},
      {.name = "azure",
       .base_url = "",
       .developer_role = true,
       .limit = Limit::max_completion_tokens,
       .responses = true,
       .keeps_responses = true},
      // Servers that people run themselves.
      {.name = "vllm",
       .base_url = "http://127.0.0.1:8000/v1",
       .limit = Limit::either,
       .sampling_extras = true,
       .replays_reasoning = true,
       .responses = true},
      {.name = "sglang",
       .base_url = "http://127.0.0.1:30000/v1",
       .limit = Limit::either,
       .sampling_extras = true,
       .replays_reasoning = true},
      {.name = "llama.cpp", .base_url = "http://127.0.0.1:8080/v1", .sampling_extras = true, .replays_reasoning = true},
      {.name = "ollama", .base_url = "http://127.0.0.1:11434/v1", .sampling_extras = false},
      // Hosted models.
      {.name = "deepseek",
       .base_url = "https://api.deepseek.com",
       .replays_reasoning = true,
       .beta_completions = true,
       .effort = Effort::switched},
      {.name = "mistral",
       .base_url = "https://api.mistral.ai/v1",
       .stream_usage = false,
       .completions = false,
       .mistrals_words = true},
      {.name = "groq",
       .base_url = "https://api.groq.com/openai/v1",
       .limit = Limit::max_completion_tokens,
       .responses = true,
       .completions = false},
      {.name = "together", .base_url = "https://api.together.xyz/v1", .sampling_extras = true},
      {.name = "fireworks",
       .base_url = "https://api.fireworks.ai/inference/v1",
       .limit = Limit::either,
       .sampling_extras = true,
       .replays_reasoning = true,
       .responses = true,
       .keeps_responses = true},
      {.name = "openrouter",
       .base_url = "https://openrouter.ai/api/v1",
       .limit = Limit::either,
       .sampling_extras = true,
       .responses = true,
       .effort = Effort::reasoning_object},
      {.name = "xai",
       .base_url = "https://api.x.ai/v1",
       .limit = Limit::either,
       .responses = true,
       .keeps_responses = true},
      {.name = "perplexity", .base_url = "https://api.perplexity.ai", .stream_usage = false, .completions = false},
      {.name = "dashscope",
       .base_url = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
       .sampling_extras = true,
       .replays_reasoning = true,
       .completions = false,
       .effort = Effort::budgeted},
      {.name = "moonshot",
       .base_url = "https://api.moonshot.ai/v1",
       .limit = Limit::either,
       .replays_reasoning = true,
       .completions = false,
       .effort = Effort::switched},
      {.name = "zhipu",
       .base_url = "https://open.bigmodel.cn/api/paas/v4",
       .stream_usage = false,
       .replays_reasoning = true,
       .completions = false,
       .effort = Effort::switched},
      {.name = "cerebras", .base_url = "https://api.cerebras.ai/v1", .limit = Limit::max_completion_tokens},
      {.name = "huggingface",
       .base_url = "https://router.huggingface.co/v1",
       .limit = Limit::either,
       .responses = true,
       .completions = false},
  };
}

}  // namespace

const std::vector<OpenAiDialect>& openai_dialects() {
  static const std::vector<OpenAiDialect> dialects = make_dialects();
  return dialects;
}

const OpenAiDialect& openai_dialect(std::string_view name) {
  for (const OpenAiDialect& dialect : openai_dialects())
    if (dialect.name == name) return dialect;
  return openai_dialects().front();
}

}  // namespace weir::providers
