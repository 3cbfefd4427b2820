// The vocabulary of a tokenizer.json, and what every kind of model does with it: a word in, tokens out. Immutable after
// build; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/types.h"
#include "engine/text/tokenizer_json.h"

namespace weir::engine::text {

inline uint32_t hash_of(std::string_view text) {
  const auto h = std::hash<std::string_view>{}(text);
  return static_cast<uint32_t>(h ^ h >> 32);
}

/// Tokens by text and by id. Owns the text.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(std::string bytes, const std::vector<TokenizerJson::Entry>& entries);

  std::optional<TokenId> find(std::string_view token) const;
  /// The text of an id; nothing for an id that stands for no token.
  std::optional<std::string_view> text(TokenId id) const;
  /// One past the largest id.
  int32_t id_end() const { return static_cast<int32_t>(by_id_.size()); }

 private:
  struct Slot {
    uint32_t hash = 0;
    TokenId id = -1;
    TokenizerJson::Slice token;
  };
  size_t probe(std::string_view token, uint32_t hash) const;
  std::string_view view(TokenizerJson::Slice s) const { return std::string_view(bytes_).substr(s.begin, s.size); }

  std::string bytes_;
  std::vector<Slot> slots_;                  // open addressing, at most half full
  std::vector<TokenizerJson::Slice> by_id_;  // size kNoToken: a hole
};

/// What cuts a word into tokens: the "model" of a tokenizer.json.
class TokenModel {
 public:
  TokenModel() = default;
  TokenModel(const TokenModel&) = delete;
  TokenModel& operator=(const TokenModel&) = delete;
  virtual ~TokenModel() = default;

  /// Takes the vocabulary out of the file. Throws LoadFailure: a type that is not known, and what each type throws.
  static std::unique_ptr<TokenModel> build(TokenizerJson& file);

  /// Appends the tokens of one word. REQUIRES: valid UTF-8 below 2 GiB.
  virtual void encode(std::string_view word, std::vector<TokenId>& out) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::optional<TokenId> unknown() const { return unknown_; }

 protected:
  Vocabulary vocabulary_;
  std::optional<TokenId> unknown_;
};

}  // namespace weir::engine::text
