// WordPiece as BERT uses it (Devlin et al. 2019, section 3, and the released tokenization.py): from the left, the
// longest piece that the vocabulary has. Immutable after build; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/vocabulary.h"

namespace weir::engine::text {

class WordPieceModel final : public TokenModel {
 public:
  /// Takes the vocabulary out of the file. Throws LoadFailure: no unknown token.
  static std::unique_ptr<WordPieceModel> build(TokenizerJson& file);

  /// A word that cannot be cut, or that has more characters than the file allows, becomes the unknown token.
  void encode(std::string_view word, std::vector<TokenId>& out) const override;

 private:
  std::string prefix_;            // of every piece but a word's first: "##"
  size_t word_characters_ = 100;  // at most
  size_t piece_bytes_ = 1;        // of the longest token
};

}  // namespace weir::engine::text
