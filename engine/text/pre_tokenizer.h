// The "pre_tokenizer" of a tokenizer.json: cuts normalized text into the words that the model tokenizes one by one, and
// spells them in the model's alphabet (byte-level, metaspace). Immutable after parse; any thread.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/json_fields.h"
#include "engine/text/regex.h"

namespace weir::engine::text {

/// Text cut into words: `words` are ranges of `text` from left to right; the first flag says that the whole input began
/// with word 0 (what Metaspace's prepend_scheme "first" asks for).
struct Words {
  std::string text;
  std::vector<Range> words;
  bool at_start = false;

  std::string_view word(size_t i) const {
    return std::string_view(text).substr(words[i].begin, words[i].end - words[i].begin);
  }
};

class PreTokenizerStep {
 public:
  PreTokenizerStep() = default;
  PreTokenizerStep(const PreTokenizerStep&) = delete;
  PreTokenizerStep& operator=(const PreTokenizerStep&) = delete;
  virtual ~PreTokenizerStep() = default;
  virtual Result<void> apply(Words& words) const = 0;
};

class PreTokenizer {
 public:
  /// Throws LoadFailure on a type or field that is unknown or wrong.
  static PreTokenizer parse(const JsonField& field);

  /// Errors: bad_request from a pattern's limit, too_large where the spelled text passes kNormalizedBytesMax.
  Result<void> apply(Words& words) const;
  /// True if a ByteLevel step spells bytes as letters.
  bool byte_level() const { return byte_level_; }

 private:
  void add(const JsonField& field, int depth);

  std::vector<std::unique_ptr<PreTokenizerStep>> steps_;
  bool byte_level_ = false;
};

/// GPT-2's alphabet: the letter (as UTF-8) that stands for each byte (Radford et al. 2019, the released encoder.py).
const std::array<std::string, 256>& byte_letters();
/// The byte that a letter of that alphabet stands for, or -1.
int byte_of_letter(char32_t letter);

}  // namespace weir::engine::text
