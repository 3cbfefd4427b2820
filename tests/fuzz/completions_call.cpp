// Legacy completions as a client's call: decoded, and encoded for every upstream.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  check_call(Protocol::openai_completions, input);
}

}  // namespace

const Target kCompletionsCall{
    "completions_call",
    run,
    {R"({"model":"m","prompt":"a","suffix":"b","max_tokens":5,"logprobs":2,"echo":true,"best_of":1,"stop":"x"})",
     R"({"model":"m","prompt":[[1,2],[3]],"stream":true})", R"({"model":"m","prompt":["a","b"],"n":2})"},
    {"wire/best/*/completion*.request.json"}};

}  // namespace weir::fuzz
