// UTF-8 and the few Unicode properties that tokenizers ask for: decoding, repair of broken text, whole and in a stream,
// and character classes as the reference tokenizers define them (Unicode 15 through utf8proc). Pure functions and one
// small value class; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::engine::text {

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// One code point of valid UTF-8 and the bytes it takes.
struct CodePoint {
  char32_t value = 0;
  uint32_t bytes = 1;
};

/// The code point that begins at byte `at`. REQUIRES: text is valid UTF-8, at < text.size() and on a boundary.
inline CodePoint code_point_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {static_cast<char32_t>((lead & 0x1Fu) << 6 | (byte(1) & 0x3Fu)), 2};
  if (lead < 0xF0) return {static_cast<char32_t>((lead & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu)), 3};
  return {static_cast<char32_t>((lead & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 |
                                (byte(3) & 0x3Fu)),
          4};
}

/// Appends the UTF-8 form. REQUIRES: a Unicode scalar value.
void append_utf8(std::string& out, char32_t value);

/// Well-formed UTF-8 in the sense of Unicode 15, table 3-7 (no surrogates, no overlong forms).
bool is_valid_utf8(std::string_view text);

/// The text with each maximal ill-formed subsequence replaced by one U+FFFD (Unicode 15, section 3.9, practice D93b).
std::string repair_utf8(std::string_view text);

/// The White_Space property.
bool is_white_space(char32_t c);
/// General categories Nd, Nl, No.
bool is_number(char32_t c);
/// General categories P*, and every ASCII sign that C's ispunct() names.
bool is_punctuation(char32_t c);
/// General categories Mn, Mc, Me.
bool is_mark(char32_t c);
/// General category Mn.
bool is_nonspacing_mark(char32_t c);
/// General categories Cc, Cf and Co, as BERT's cleaning takes them: tab, line feed and carriage return are none.
bool is_control(char32_t c);
/// In one of the blocks of ideographs that BERT cuts into single characters.
bool is_ideograph(char32_t c);
/// A character of a word: letters, marks, decimal and letter numbers, connectors, joiners (UTS #18, annex C).
bool is_word(char32_t c);

/// Turns a stream of bytes into valid UTF-8, holding back at most three bytes of an unfinished character.
class Utf8Stream {
 public:
  /// What becomes of bytes that are no character: one U+FFFD a maximal subsequence, or one a byte.
  enum class Broken { one_each_sequence, one_each_byte };

  explicit Utf8Stream(Broken broken) : broken_(broken) {}
  /// Appends to `out` what has become certain.
  void push(std::string_view bytes, std::string& out);
  /// The end: what was held back becomes U+FFFD.
  void flush(std::string& out);

 private:
  void push_byte(unsigned char byte, std::string& out);

  Broken broken_;
  char held_[4] = {};
  uint8_t held_count_ = 0;
  uint8_t missing_ = 0;               // continuation bytes the held character still needs
  uint8_t low_ = 0x80, high_ = 0xBF;  // the range the next one must be in
};

}  // namespace weir::engine::text
