// Answers of Bedrock: Converse translated, Claude's InvokeModel passed on, embeddings, counts; binary streams whose
// checksums are made right first, since no fuzzer guesses them.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/framing.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  const std::string stream = with_checksums(input);
  constexpr std::string_view kClaude = "anthropic.claude-sonnet-4-20250514-v1:0";
  for (const std::string_view bytes : {input, std::string_view(stream)}) {
    check_reply("bedrock", client_of(input), "amazon.nova-pro-v1:0", bytes);
    check_reply("bedrock", Protocol::anthropic_messages, kClaude, bytes);
    if (bytes == stream && stream == input) break;
  }
  check_reply("bedrock", Protocol::openai_embeddings, "amazon.titan-embed-text-v2:0", input);
  check_reply("bedrock", Protocol::anthropic_count, kClaude, input);
}

}  // namespace

const Target kBedrockReply{
    "bedrock_reply",
    run,
    {framed("messageStart", R"({"role":"assistant"})") +
         framed("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"text":"a"}})") +
         framed("contentBlockStart", R"({"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t","name":"f"}}})") +
         framed("contentBlockDelta", R"({"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}})") +
         framed("contentBlockDelta",
                R"({"contentBlockIndex":2,"delta":{"reasoningContent":{"text":"r","signature":"s"}}})") +
         framed("messageStop", R"({"stopReason":"tool_use"})") +
         framed("metadata", R"({"usage":{"inputTokens":3,"outputTokens":2,"cacheReadInputTokens":1}})"),
     framed("chunk", R"({"bytes":"eyJ0eXBlIjoibWVzc2FnZV9zdG9wIn0="})"),
     framed("throttlingException", R"({"message":"slow"})"),
     R"({"output":{"message":{"role":"assistant","content":[{"text":"a"},{"toolUse":{"toolUseId":"t","name":"f","input":{}}}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2}})",
     R"({"embedding":[0.5],"inputTextTokenCount":3})", R"({"inputTokens":4})"},
    {"wire/best/bedrock/*.response.*", "wire/fixtures/aws-eventstream/*encoded*"}};

}  // namespace weir::fuzz
