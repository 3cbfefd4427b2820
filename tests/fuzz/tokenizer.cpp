// tokenizer.json: any file loads or is refused; with what loads, any text goes to ids of the vocabulary and back.
#include "engine/text/tokenizer.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

void run(std::string_view input) {
  const auto loaded = engine::Tokenizer::parse(input, R"({"bos_token":"<s>","eos_token":{"content":"</s>"}})");
  if (!loaded) return check(!loaded.error().detail.empty(), "a refusal says why");
  const engine::Tokenizer& tokenizer = **loaded;
  check(tokenizer.token_bytes_max() >= 1, "a token has bytes");
  for (const std::string_view text : {std::string_view("Hello w\xc3\xb6rld<s> 123\n\xff"), input.substr(0, 200)}) {
    const auto ids = tokenizer.encode(text, {.parse_special = true, .add_special = true});
    if (!ids) continue;
    for (const engine::TokenId id : *ids) check(id >= 0 && id < tokenizer.vocab_size(), "ids of the vocabulary");
    tokenizer.decode(*ids, false);
  }
  for (const engine::TokenId id : {-1, 0, tokenizer.vocab_size(), tokenizer.vocab_size() - 1}) {
    tokenizer.token_bytes(id);
    tokenizer.decode(std::vector<engine::TokenId>{id});
  }
}

}  // namespace

const Target kTokenizer{
    "tokenizer",
    run,
    {R"({"version":"1.0","added_tokens":[{"id":5,"content":"<s>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[5],"tokens":["<s>"]}}},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"H":0,"e":1,"l":2,"He":3,"ll":4},"merges":["H e",["l","l"]],"unk_token":null,"byte_fallback":false}})",
     R"({"added_tokens":[],"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\p{L}+|\\s"},"behavior":"Isolated","invert":false},"post_processor":null,"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"fuse_unk":true,"vocab":{"<unk>":0,"<0x0A>":1,"▁":2,"a":3},"merges":[]}})"},
    {"weights/*tokenizer.json"},
    128 * 1024};

}  // namespace weir::fuzz
