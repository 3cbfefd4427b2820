// Token by token back to text, for one generated sequence: what push() returns is whole characters, and joined together
// with flush() it is exactly Tokenizer::decode() of all the ids. One owner (the engine thread); holds back at most one
// unfinished character and what the tokenizer's decoder may cut from the end.
#pragma once

#include <memory>
#include <string>

#include "engine/core/types.h"
#include "engine/text/decoder.h"
#include "engine/text/tokenizer.h"

namespace weir::engine {

class Detokenizer {
 public:
  struct Options {
    bool skip_special = true;  // special tokens give no text
    /// The ids continue other text (a raw completion): the blank that SentencePiece-style decoders cut from the
    /// beginning of a text is kept. Then the whole equals what decode(prompt + ids) has more than decode(prompt).
    bool continues = false;
  };

  explicit Detokenizer(std::shared_ptr<const Tokenizer> tokenizer) : Detokenizer(std::move(tokenizer), Options{}) {}
  Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, Options options)
      : tokenizer_(std::move(tokenizer)),
        stream_(tokenizer_->decode_table(), options.skip_special, options.continues) {}

  /// The text that has become certain; often one token's, sometimes none. Ids that stand for nothing add nothing.
  std::string push(TokenId id) {
    std::string out;
    stream_.push(id, out);
    return out;
  }

  /// The end of the sequence: what was held back, an unfinished character as U+FFFD. Nothing may be pushed afterwards.
  std::string flush() {
    std::string out;
    stream_.flush(out);
    return out;
  }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  text::DecodeStream stream_;
};

}  // namespace weir::engine
