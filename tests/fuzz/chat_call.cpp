// Chat completions as a client's call: decoded, and encoded for every upstream.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  check_call(Protocol::openai_chat, input);
}

}  // namespace

const Target kChatCall{
    "chat_call",
    run,
    {R"({"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"low"}},{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},{"type":"file","file":{"file_id":"f"}}]},{"role":"assistant","content":null,"reasoning_content":"r","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t","content":"r"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"x":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":["string","null"]}}},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"f"}},"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}},"reasoning_effort":"high","temperature":0.5,"stop":["x"],"logit_bias":{"5":-100},"seed":1,"logprobs":true,"top_logprobs":3,"n":1,"max_tokens":9})"},
    {"wire/best/*/chat*.request.json", "wire/best/local/*.request.json"}};

}  // namespace weir::fuzz
