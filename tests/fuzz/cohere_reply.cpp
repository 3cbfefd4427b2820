// Answers of Cohere: chat translated, embeddings in OpenAI's shape, rerank passed through.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  check_reply("cohere", client_of(input), "command-a", input);
  check_reply("cohere", Protocol::openai_embeddings, "embed-v4.0", input);
  check_reply("cohere", Protocol::rerank, "rerank-v3.5", input);
}

}  // namespace

const Target kCohereReply{
    "cohere_reply",
    run,
    {R"(data: {"type":"message-start","id":"i","delta":{"message":{"role":"assistant"}}}

data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}

data: {"type":"tool-plan-delta","delta":{"message":{"tool_plan":"p"}}}

data: {"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"t","type":"function","function":{"name":"f","arguments":""}}}}}

data: {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{}"}}}}}

data: {"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":1,"text":"a","sources":[]}}}}

data: {"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":1,"output_tokens":2},"billed_units":{"input_tokens":1}}}}

)",
     R"({"id":"i","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"a"}]},"usage":{"tokens":{"input_tokens":1,"output_tokens":2}}})",
     R"({"id":"i","embeddings":{"float":[[0.1]],"base64":["AAAA"]},"meta":{"billed_units":{"input_tokens":2}}})",
     R"({"results":[{"index":0,"relevance_score":0.5}],"meta":{"billed_units":{"search_units":1}}})"},
    {"wire/best/cohere/*.response.*"}};

}  // namespace weir::fuzz
