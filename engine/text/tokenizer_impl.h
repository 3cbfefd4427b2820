// The parts of a loaded tokenizer, shared by the file that builds them and the file that uses them. Immutable once
// built.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/added_tokens.h"
#include "engine/text/decoder.h"
#include "engine/text/normalizer.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

namespace weir::engine {

struct Tokenizer::Impl {
  struct Named {
    std::string token;
    std::optional<TokenId> id;
  };

  text::Normalizer normalizer;
  text::PreTokenizer pre_tokenizer;
  std::unique_ptr<const text::TokenModel> model;
  text::AddedTokens added;
  text::DecodeTable decode;
  std::vector<TokenId> before, after;  // the post-processor's tokens around a text
  Named bos, eos, pad, unk;
  std::vector<TokenId> stop_ids;
  int32_t id_end = 0;
  size_t token_bytes_max = 1;

  /// Throws text::LoadFailure.
  static std::unique_ptr<Impl> build(const TokenizerFiles& files);

  std::optional<TokenId> find(std::string_view token) const;
  std::optional<std::string_view> token_text(TokenId id) const;
  /// Encodes text without raw added tokens in it.
  Result<void> encode_text(std::string_view text, bool at_start, bool specials, std::vector<TokenId>& out) const;

 private:
  void read_added(const text::JsonField& root, const nlohmann::json& config);
  void read_post_processor(const text::JsonField& field, int depth);
  void read_template(const text::JsonField& field);
  void read_named(const nlohmann::json& config, const nlohmann::json& map);
  void read_stop_ids(const nlohmann::json& generation);
  void build_decode_table(const text::JsonField& root);
};

}  // namespace weir::engine
