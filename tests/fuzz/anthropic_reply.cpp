// Answers of Claude: passed through to its own clients, and translated for every other.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  check_reply("anthropic", Protocol::anthropic_messages, "m", input);
  check_reply("anthropic", client_of(input), "m", input);
  check_reply("anthropic", Protocol::anthropic_count, "m", input);
}

}  // namespace

const Target kAnthropicReply{
    "anthropic_reply",
    run,
    {R"(event: message_start
data: {"type":"message_start","message":{"id":"m","role":"assistant","content":[],"usage":{"input_tokens":3,"cache_read_input_tokens":1,"cache_creation":{"ephemeral_5m_input_tokens":2},"output_tokens":1}}}

data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}

data: {"type":"content_block_stop","index":0}

event: ping
data: {"type":"ping"}

data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}

data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"x\":1}"}}

data: {"type":"content_block_stop","index":1}

data: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"a\ud83d\ude00"}}

data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9}}

data: {"type":"message_stop"}

)",
     R"({"type":"message","role":"assistant","content":[{"type":"text","text":"a","citations":[{"type":"char_location"}]},{"type":"redacted_thinking","data":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}})",
     "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n"},
    {"wire/best/anthropic/*.response.*", "wire/fixtures/anthropic-sdk/*"}};

}  // namespace weir::fuzz
