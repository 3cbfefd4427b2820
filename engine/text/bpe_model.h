// Byte-pair encoding (Sennrich et al. 2016, section 3.2) as tokenizer.json files define it: a vocabulary, ranked
// merges, and what to do with characters that have no token. Immutable after build; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/types.h"
#include "engine/text/flat_map.h"
#include "engine/text/json_fields.h"
#include "engine/text/vocabulary.h"

namespace weir::engine::text {

class BpeModel final : public TokenModel {
 public:
  /// Takes the vocabulary out of the file. Throws LoadFailure: a merge that names no token, an option
  /// that is not supported.
  static std::unique_ptr<BpeModel> build(TokenizerJson& file);

  /// Appends the tokens of one word. Takes O(n log n) in the length of the word; characters without a token become byte
  /// tokens, the unknown token, or nothing, as the file says. REQUIRES: valid UTF-8 below 2 GiB.
  void encode(std::string_view word, std::vector<TokenId>& out) const override;

 private:
  struct Merge {
    uint32_t rank = UINT32_MAX;
    TokenId id = -1;
  };
  static uint64_t pair_key(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  Merge find_merge(TokenId left, TokenId right) const {
    const Merge* merge = merges_.find(pair_key(left, right));
    return merge ? *merge : Merge{};
  }

  void read_options(const JsonField& model);
  void read_merges(const TokenizerJson& file);
  void encode_part(std::string_view word, std::vector<TokenId>& out) const;
  void encode_uncached(std::string_view word, std::vector<TokenId>& out) const;
  std::optional<TokenId> token_of(std::string_view character, bool first, bool last) const;
  void spell(std::string_view word, std::vector<TokenId>& symbols) const;
  void merge_short(std::vector<TokenId>& symbols) const;
  void merge_long(std::vector<TokenId>& symbols) const;

  FlatMap64<Merge> merges_;
  std::array<TokenId, 1024> low_ids_{};  // tokens of the code points below 1024 (all letters of byte-level), or -1
  std::array<TokenId, 256> byte_ids_{};  // <0x00> … <0xFF>, or -1
  std::string prefix_, suffix_;          // continuing_subword_prefix, end_of_word_suffix
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
  bool cut_at_marks_ = false;  // no merge joins a blank's mark (U+2581) to what stands before it
  uint64_t serial_ = 0;        // tells this model from every other one, for the threads' word caches
};

/// "<0x0A>" -> 10; -1 if the text is no byte token.
int byte_of_token(std::string_view token);

}  // namespace weir::engine::text
