// Embeddings, images, speech, moderations and rerank as a client's calls: checked, and encoded where an upstream has
// them.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  for (const Protocol protocol : {Protocol::openai_embeddings, Protocol::openai_images, Protocol::openai_speech,
                                  Protocol::openai_moderations, Protocol::rerank})
    check_call(protocol, input);
}

}  // namespace

const Target kUnaryCall{
    "unary_call",
    run,
    {R"({"model":"m","input":["a","b"],"dimensions":8,"encoding_format":"base64","input_type":"search_query","user":"u"})",
     R"({"model":"m","input":[[1,2],[3]]})",
     R"({"model":"m","prompt":"p","n":2,"size":"1024x1024","stream":true,"partial_images":1})",
     R"({"model":"m","input":"say","voice":"v","speed":1.5,"stream_format":"sse"})",
     R"({"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":1})",
     R"({"input":[{"type":"text","text":"a"}],"model":"m"})"},
    {"wire/best/*/embed*.request.json", "wire/best/cohere/*.request.json"}};

}  // namespace weir::fuzz
