// Answers of OpenAI's other routes, which pass through: usage, ends and errors found in them.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  constexpr Protocol kOthers[] = {Protocol::openai_completions, Protocol::openai_responses,
                                  Protocol::openai_embeddings,  Protocol::openai_images,
                                  Protocol::openai_speech,      Protocol::openai_transcriptions,
                                  Protocol::openai_moderations};
  for (const Protocol protocol : kOthers) check_reply("openai", protocol, "m", input);
}

}  // namespace

const Target kPassedReply{
    "passed_reply",
    run,
    {R"(event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":3,"delta":"a"}

event: response.completed
data: {"type":"response.completed","response":{"id":"r","status":"completed","output":[],"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":2}}}

)",
     "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: "
     "[DONE]\n\n",
     "data: {\"type\":\"transcript.text.done\",\"text\":\"a\",\"usage\":{\"type\":\"duration\",\"seconds\":2}}\n\n",
     "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}}\n\n",
     R"({"data":[{"b64_json":"AA=="}],"usage":{"input_tokens":1,"output_tokens":2}})", R"({"text":"a","duration":1.5})",
     "RIFFbytes"},
    {"wire/best/openai/*.response.*", "wire/best/azure/*.response.*"}};

}  // namespace weir::fuzz
