// Messages and count_tokens as a client's calls: decoded, and encoded for every upstream.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  for (const Protocol protocol : {Protocol::anthropic_messages, Protocol::anthropic_count}) check_call(protocol, input);
}

}  // namespace

const Target kMessagesCall{
    "messages_call",
    run,
    {R"({"model":"m","max_tokens":2000,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},{"type":"document","source":{"type":"url","url":"https://x/y.pdf"},"citations":{"enabled":true}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":"weir:gemini:x"},{"type":"redacted_thinking","data":"d"},{"type":"tool_use","id":"t","name":"f","input":{"x":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":[{"type":"text","text":"r"}]}]}],"tools":[{"name":"f","input_schema":{"type":"object"}},{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"any","disable_parallel_tool_use":true},"thinking":{"type":"enabled","budget_tokens":1024},"stop_sequences":["x"],"top_k":5,"metadata":{"user_id":"u"},"service_tier":"auto"})",
     R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}],"stream":true})"},
    {"wire/best/anthropic/*.request.json"}};

}  // namespace weir::fuzz
