// Answers of OpenAI and its dialects: passed through to a chat client, and translated for every other.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  check_reply("openai", Protocol::openai_chat, "m", input);
  const Protocol client = client_of(input);
  for (const std::string_view dialect : {"deepseek", "openrouter", "azure"})
    if (client != Protocol::openai_completions && client != Protocol::openai_responses)
      check_reply(dialect, client, "m", input);
}

}  // namespace

const Target kOpenAiReply{
    "openai_reply",
    run,
    {R"(data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"a\u00e9","reasoning_content":"r"},"logprobs":{"content":[{"token":"a","logprob":-1,"bytes":[97],"top_logprobs":[]}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{\"x\":"}}]}}]}

: OPENROUTER PROCESSING

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"finish_reason":"tool_calls"}]}

data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}

data: [DONE]

)",
     R"({"choices":[{"index":0,"message":{"role":"assistant","content":"a","refusal":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}],"annotations":[]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}})",
     "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n"},
    {"wire/best/*/chat*.response.sse", "wire/best/*/chat*.response.json"}};

}  // namespace weir::fuzz
