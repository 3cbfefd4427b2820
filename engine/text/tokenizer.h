// Text to tokens and back, as a Hugging Face folder's tokenizer.json says: BPE, byte-level (GPT-2, Qwen2, Llama 3) or
// SentencePiece-style with byte fallback (Llama 2, Phi-3), with its normalizer, pre-tokenizer, added tokens,
// post-processor and decoder. Anything in the file that is not understood is an Error at load, never a guess. A
// Tokenizer is immutable after load: any number of threads may use one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/core/types.h"

namespace weir::engine {

namespace text {
struct DecodeTable;
}

inline constexpr size_t kEncodeBytesMax = 256u << 20;  // of one text

/// The files that describe a tokenizer; all but the first may be absent ("").
struct TokenizerFiles {
  std::string_view tokenizer_json;
  std::string_view tokenizer_config_json = {};    // bos/eos/unk/pad tokens; added tokens that the first file lacks
  std::string_view special_tokens_map_json = {};  // the same tokens, where the config does not name them
  std::string_view generation_config_json = {};   // eos_token_id, one or several
  std::string label = "tokenizer.json";           // how errors name the first file; the others are named beside it
};

class Tokenizer {
 public:
  /// Reads a folder's tokenizer.json and, where present, tokenizer_config.json, special_tokens_map.json,
  /// generation_config.json; or the one file that `place` names. Errors: not_found (no tokenizer.json), config (the
  /// file, the JSON path, what is wrong).
  static Result<std::shared_ptr<const Tokenizer>> load(const std::filesystem::path& place);
  static Result<std::shared_ptr<const Tokenizer>> parse(std::string_view tokenizer_json,
                                                        std::string_view tokenizer_config_json = {});
  static Result<std::shared_ptr<const Tokenizer>> parse_files(const TokenizerFiles& files);

  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;
  ~Tokenizer();

  struct EncodeOptions {
    /// Special added tokens found in the text become their ids: right for rendered chat templates. False takes their
    /// spelling for plain text, so that raw user text cannot smuggle one in. (Added tokens that the file does not call
    /// special, like Qwen's <tool_call>, are always found, as in the reference.)
    bool parse_special = true;
    /// The post-processor's tokens (<s> and the like) are put around the text.
    bool add_special = false;
  };
  /// Ill-formed UTF-8 is read as U+FFFD, one for each maximal ill-formed sequence. Errors: too_large past
  /// kEncodeBytesMax, bad_request where a split pattern exceeds its effort limit.
  Result<std::vector<TokenId>> encode(std::string_view text, EncodeOptions options) const;
  Result<std::vector<TokenId>> encode(std::string_view text) const { return encode(text, EncodeOptions{}); }

  /// The text of the ids; ids that stand for nothing add nothing. Bytes that are no UTF-8 become U+FFFD: one for each
  /// maximal ill-formed sequence (byte-level) or for each byte (byte fallback). Equal to the reference but where a run
  /// of byte-fallback tokens is broken: there the well-formed characters of the run survive. (The tokenizer_config's
  /// clean_up_tokenization_spaces is not applied: it is lossy, and made for other languages than ours.)
  std::string decode(std::span<const TokenId> ids, bool skip_special = true) const;

  /// The bytes that a token stands for inside a text, before anything is cut from the text's beginning; "" for an id
  /// that stands for nothing. Not always whole characters. Lives as long as the tokenizer.
  std::string_view token_bytes(TokenId id) const;
  /// The token's own spelling in the file ("Ġthe", "<0x0A>").
  std::optional<std::string_view> id_to_token(TokenId id) const;
  std::optional<TokenId> token_to_id(std::string_view token) const;
  bool is_special(TokenId id) const;
  /// One of the file's added tokens, special or not: it stands outside the model's own vocabulary.
  bool is_added(TokenId id) const;

  /// The most bytes that one token stands for: a text of n bytes has at least n / this tokens (where the normalizer
  /// does not shrink it), so that a prompt far too long for a model can be refused before it is tokenized. At least 1.
  size_t token_bytes_max() const;

  /// One past the largest id. A model may have more rows than this, never fewer.
  int32_t vocab_size() const;

  /// The spellings that the config gives ("" where it gives none), and their ids.
  const std::string& bos_token() const;
  const std::string& eos_token() const;
  const std::string& pad_token() const;
  const std::string& unk_token() const;
  std::optional<TokenId> bos_id() const;
  std::optional<TokenId> eos_id() const;
  std::optional<TokenId> pad_id() const;
  std::optional<TokenId> unk_id() const;
  /// Every id that ends a generation: the eos token and generation_config's list. Sorted, without repetition.
  const std::vector<TokenId>& stop_ids() const;

  const text::DecodeTable& decode_table() const;  // for the Detokenizer

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace weir::engine
