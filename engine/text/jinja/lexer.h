// Cuts the source of a template into tokens: text outside of tags, with white space trimmed as Hugging Face sets Jinja2
// up (trim_blocks, lstrip_blocks, no line break at the end), and the words within tags. Pure.
#pragma once

#include "engine/text/jinja/failure.h"

#include <string>
#include <string_view>
#include <vector>

namespace weir::engine::jinja {

enum class TokenKind : uint8_t {
  text,            // outside of tags, already trimmed
  block_begin,     // {%
  block_end,       // %}
  variable_begin,  // {{
  variable_end,    // }}
  name,
  string,  // with its quotes
  integer,
  real,
  op,
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;  // into the source
  Position at;
};

/// Line ends made \n, and one at the very end removed.
std::string normalize_lines(std::string_view source);

/// Tokens of a normalized source, which must outlive them; the last one is `end`. Throws a syntax Failure.
std::vector<Token> tokenize(std::string_view source);

/// The text that a string token (quotes included) stands for.
std::string decode_string(const Token& token);

[[noreturn]] void fail_syntax(Position at, std::string message);

}  // namespace weir::engine::jinja
