// The tokens of a tokenizer.json that stand outside the model ("added_tokens"): found in the text before anything else,
// the longest at the leftmost place. Immutable after build; any thread.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/result.h"
#include "engine/core/types.h"
#include "engine/text/flat_map.h"

namespace weir::engine::text {

inline constexpr size_t kAddedTokensMax = 1u << 17;
inline constexpr size_t kAddedTokenBytesMax = 4096;

struct AddedToken {
  std::string content;
  TokenId id = -1;
  bool single_word = false;  // only between characters that belong to no word
  bool lstrip = false;       // takes the white space on its left along
  bool rstrip = false;       // … on its right
  bool normalized = false;   // looked for in normalized text
  bool special = false;
  std::string spelling = {};  // what it decodes to: the content, normalized where it is looked for in normalized text
};

/// Strings to find, as a trie over bytes.
class TokenTrie {
 public:
  void add(std::string_view pattern, uint32_t index);
  bool empty() const { return nodes_ == 1; }

  struct Hit {
    uint32_t index = UINT32_MAX;
    size_t size = 0;
  };
  /// The longest pattern that begins at byte `at`; size 0 if none does.
  Hit longest_at(std::string_view text, size_t at) const;

 private:
  std::array<bool, 256> starts_{};
  FlatMap64<uint32_t> children_;  // node << 8 | byte -> node
  FlatMap64<uint32_t> ends_;      // node -> index of the pattern that ends there
  uint32_t nodes_ = 1;            // node 0 is the root
};

class AddedTokens {
 public:
  /// How each token's content looks in normalized text.
  using Normalize = std::function<Result<std::string>(const std::string&)>;
  /// Errors: what `normalize` says.
  static Result<AddedTokens> build(std::vector<AddedToken> tokens, const Normalize& normalize);

  /// A stretch [begin, end) of the text: an added token, or (id -1) text for the model. None is empty.
  struct Part {
    size_t begin = 0;
    size_t end = 0;
    TokenId id = -1;
  };
  /// The text cut at the tokens that are looked for in raw (or in normalized) text. Special ones count as text where
  /// `specials` is false. As in the reference, a token may begin inside the white space that one with rstrip took.
  std::vector<Part> split(std::string_view text, bool normalized, bool specials) const;

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  const AddedToken* find(TokenId id) const;
  const AddedToken* find(std::string_view content) const;

 private:
  std::vector<AddedToken> tokens_;
  std::unordered_map<TokenId, size_t> by_id_;
  std::unordered_map<std::string, size_t> by_content_;
  TokenTrie raw_, normalized_;
};

}  // namespace weir::engine::text
