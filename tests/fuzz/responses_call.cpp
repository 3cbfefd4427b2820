// Responses as a client's call: decoded, and encoded for every upstream.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  check_call(Protocol::openai_responses, input);
}

}  // namespace

const Target kResponsesCall{
    "responses_call",
    run,
    {R"({"model":"m","instructions":"i","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"https://x/y.png"},{"type":"input_file","file_data":"AA==","filename":"f"}]},{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"weir:anthropic:x"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"o"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"t","annotations":[]},{"type":"refusal","refusal":"no"}]}],"tools":[{"type":"function","name":"f","parameters":{},"strict":false},{"type":"web_search"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},"text":{"format":{"type":"json_schema","name":"n","schema":{}},"verbosity":"low"},"reasoning":{"effort":"low","summary":"auto"},"max_output_tokens":20,"store":false,"include":["reasoning.encrypted_content"],"parallel_tool_calls":false})",
     R"({"model":"m","input":"a","stream":true})"},
    {"wire/best/*/responses*.request.json"}};

}  // namespace weir::fuzz
