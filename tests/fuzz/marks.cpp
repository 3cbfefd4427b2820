// Body marking: agrees with another JSON parser on what is JSON, and the marks lie where they say.
#include "config/base/json.h"

#include "providers/body.h"
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::ByteRange;
using providers::Protocol;

constexpr Protocol kProtocols[] = {Protocol::openai_chat,
                                   Protocol::openai_completions,
                                   Protocol::openai_responses,
                                   Protocol::openai_embeddings,
                                   Protocol::openai_images,
                                   Protocol::openai_speech,
                                   Protocol::openai_moderations,
                                   Protocol::anthropic_messages,
                                   Protocol::anthropic_count,
                                   Protocol::gemini_generate,
                                   Protocol::rerank};

void run(std::string_view input) {
  const std::string own(input);
  const bool json = is_json(input);
  const bool strict = nlohmann::json::accept(input);
  for (const Protocol protocol : kProtocols) {
    auto marked = providers::mark_call(protocol, own);
    if (!marked) {
      const std::string& said = marked.error().detail;
      check(!said.empty() && marked.error().http_status == 400, "a refusal says why");
      // The other parser skips a byte order mark, which RFC 8259 lets it.
      if (strict && !input.starts_with("\xef\xbb\xbf"))
        check(said != "the request body is not valid JSON", "JSON is taken for JSON");
      continue;
    }
    check(json, "what is marked is JSON");
    check(own[marked->object_open - 1] == '{', "the object opens before its mark");
    for (const ByteRange range : {marked->model_value, marked->stream_options_value, marked->max_tokens_value,
                                  marked->max_completion_tokens_value}) {
      check(range.begin <= range.end && range.end <= own.size(), "marks in the body");
      check(range.empty() || is_json(own.substr(range.begin, range.end - range.begin)), "a mark is one value");
    }
  }
}

}  // namespace

const Target kMarks{
    "marks",
    run,
    {R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url"}]}],"stream":true,"n":2,"max_tokens":5,"stream_options":{"include_usage":false},"max_completion_tokens":7})",
     R"({"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":9,"candidateCount":2}})",
     R"({"model":"m","input":"x","voice":"a","query":"q","documents":["a"],"prompt":["x",[1,2]]})"},
    {"wire/best/*.request.json"}};

}  // namespace weir::fuzz
