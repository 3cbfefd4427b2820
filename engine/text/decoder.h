// The "decoder" of a tokenizer.json: how tokens become text again. The chain is compiled into rules for one token
// (applied while loading) and rules for the stream of bytes that follows, so that decoding a whole list and decoding
// token by token are the same code. DecodeTable is immutable, any thread; DecodeStream has one owner.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/types.h"
#include "engine/text/json_fields.h"
#include "engine/text/normalizer.h"
#include "engine/text/unicode.h"

namespace weir::engine::text {

inline constexpr int64_t kStripMax = 64;

/// Cuts up to `start` characters equal to `content` from the beginning and up to `stop` from the end.
struct StripRule {
  std::string content;  // one character
  size_t start = 0;
  size_t stop = 0;
};

class DecodeRules {
 public:
  enum class Bytes {
    none,        // tokens are text
    letters,     // ByteLevel: tokens are bytes, spelled with GPT-2's letters
    hex_tokens,  // ByteFallback: tokens like <0x0A> are bytes, the others text
  };

  /// Without a "decoder" (nothing) tokens are joined by spaces. Throws LoadFailure: an unknown type or field, or an
  /// order of steps that cannot be streamed.
  static DecodeRules parse(const std::optional<JsonField>& field);

  /// The bytes that a token stands for. `first`: it is the first of the text, which Metaspace treats apart.
  std::string token_bytes(std::string_view token, bool first) const;
  /// True if token_bytes depends on `first`.
  bool first_differs() const { return first_differs_; }
  bool join_with_space() const { return join_with_space_; }
  Bytes bytes() const { return bytes_; }
  const std::vector<StripRule>& strips() const { return strips_; }

 private:
  struct TokenStep {
    std::unique_ptr<NormalizerStep> replace;  // one of these four
    std::optional<StripRule> strip;
    std::string metaspace;
    bool metaspace_drops_first = false;
    std::optional<std::string> word_prefix;  // WordPiece's "##"
    bool cleans_up = false;
  };
  void add(const JsonField& field, int depth);
  void add_replace(const JsonField& field);

  std::vector<TokenStep> token_steps_;
  Bytes bytes_ = Bytes::none;
  std::vector<StripRule> strips_;  // of the whole text
  bool fused_ = false;             // while parsing: what follows sees one string
  bool first_differs_ = false;
  bool join_with_space_ = false;
};

/// What one id stands for.
struct DecodeTable {
  struct Entry {
    uint32_t begin = 0;  // in `bytes`
    uint32_t size = 0;
    bool exists = false;
    bool special = false;
    bool is_byte = false;  // a hexadecimal byte token
  };
  DecodeRules rules;
  std::string bytes;
  std::vector<Entry> entries;      // by id
  std::vector<std::string> names;  // by id, the token's own text; filled only where rules.first_differs()

  std::string_view view(TokenId id) const {
    if (id < 0 || static_cast<size_t>(id) >= entries.size()) return {};
    return std::string_view(bytes).substr(entries[id].begin, entries[id].size);
  }
};

/// Decodes one sequence. Every push appends the text that no later token can change.
class DecodeStream {
 public:
  /// `continues`: the sequence goes on from other text, so that nothing is cut from its beginning.
  DecodeStream(const DecodeTable& table, bool skip_special, bool continues);

  /// Ids that stand for nothing add nothing.
  void push(TokenId id, std::string& out);
  /// The end of the sequence: unfinished characters become U+FFFD. Afterwards nothing may be pushed.
  void flush(std::string& out);

 private:
  struct Strip {
    size_t start_left = 0;
    std::string held;  // characters at the end that may have to be cut
  };
  void strip(size_t rule, std::string_view piece, std::string& out);

  const DecodeTable* table_;
  bool skip_special_;
  bool first_ = true;
  Utf8Stream utf8_;
  std::vector<Strip> strips_;
  std::string piece_;
};

/// Cuts by the rule (an independent text, not a stream).
std::string_view strip_text(const StripRule& rule, std::string_view text);

}  // namespace weir::engine::text
