// Answers of Gemini, as events and as one JSON array: passed through, translated, embeddings and counts.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  check_reply("gemini", Protocol::gemini_generate, "gemini-2.5-flash", input);
  check_reply("gemini", client_of(input), "gemini-2.5-flash", input);
  check_reply("vertex", Protocol::openai_embeddings, "text-embedding-005", input);
  check_reply("gemini", Protocol::openai_embeddings, "gemini-embedding-001", input);
  check_reply("gemini", Protocol::anthropic_count, "gemini-2.5-flash", input);
}

}  // namespace

const Target kGeminiReply{
    "gemini_reply",
    run,
    {R"(data: {"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"a","thought":true,"thoughtSignature":"c2ln"},{"functionCall":{"id":"1","name":"f","args":{"x":1}}}]}}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":1,"totalTokenCount":6}}

data: {"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP","groundingMetadata":{"groundingChunks":[]}}]}

)",
     R"([{"candidates":[{"content":{"parts":[{"text":"a]}\"["}]}}]},
{"candidates":[{"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":1}}])",
     R"({"promptFeedback":{"blockReason":"SAFETY"}})",
     R"([{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}])",
     R"({"predictions":[{"embeddings":{"values":[0.1],"statistics":{"token_count":2}}}]})",
     R"({"embeddings":[{"values":[1,2]}]})", R"({"totalTokens":3})"},
    {"wire/best/gemini/*.response.*", "wire/best/vertex/*.response.*", "wire/fixtures/vertex-mock/*"}};

}  // namespace weir::fuzz
