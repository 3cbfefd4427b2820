#include "engine/text/jinja/lexer.h"

#include "engine/text/jinja/unicode.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace weir::engine::jinja {
namespace {

constexpr size_t npos = std::string_view::npos;

bool is_name_start(char c) {
  return c == '_' || isalpha(static_cast<unsigned char>(c)) || (c & 0x80);
}
bool is_name_part(char c) {
  return is_name_start(c) || isdigit(static_cast<unsigned char>(c));
}
bool is_decimal(char c) {
  return c >= '0' && c <= '9';
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) lex_outside();
    add(TokenKind::end, at_, at_);
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  bool at(std::string_view text) const { return source_.substr(at_).starts_with(text); }

  /// Places are mostly asked for in rising order, so the line count goes on from the last one.
  Position position(size_t offset) {
    if (offset < counted_) {
      counted_ = line_start_ = 0;
      line_ = 1;
    }
    for (; counted_ < offset; ++counted_) {
      if (source_[counted_] != '\n') continue;
      ++line_;
      line_start_ = counted_ + 1;
    }
    return {line_, static_cast<uint32_t>(offset - std::min(offset, line_start_) + 1)};
  }

  void add(TokenKind kind, size_t begin, size_t end) {
    tokens_.push_back({kind, source_.substr(begin, end - begin), position(begin)});
  }

  /// Text up to the next tag, and that tag.
  void lex_outside() {
    size_t tag = at_;
    for (;; ++tag) {
      tag = source_.find('{', tag);
      if (tag == npos || tag + 1 >= source_.size()) {
        add(TokenKind::text, at_, source_.size());
        at_ = source_.size();
        return;
      }
      const char mark = source_[tag + 1];
      if (mark == '{' || mark == '%' || mark == '#') break;
    }
    const char mark = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    add_text(at_, tag, sign, mark != '{');
    const bool signed_tag = sign == '-' || sign == '+';
    const size_t begin = tag;
    at_ = tag + 2 + signed_tag;
    line_starting_ = false;
    if (mark == '#') return lex_comment(begin);
    if (mark == '%' && lex_raw(begin)) return;
    add(mark == '{' ? TokenKind::variable_begin : TokenKind::block_begin, begin, begin + 2);
    lex_inside(mark == '%', begin);
  }

  /// Adds the text before a tag, less the white space that the tag takes: all of it for a `-`; for a block or a comment
  /// alone on its line so far, the indentation, unless it has a `+`.
  void add_text(size_t begin, size_t end, char sign, bool strips_indent) {
    const std::string_view text = source_.substr(begin, end - begin);
    if (sign == '-') {
      end = begin + strip_space(text, false, true).size();
    } else if (sign != '+' && strips_indent) {
      const size_t line_break = text.rfind('\n');
      const size_t line = line_break == npos ? 0 : line_break + 1;
      if ((line > 0 || line_starting_) && strip_space(text.substr(line), true, false).empty()) end = begin + line;
    }
    if (end > begin) add(TokenKind::text, begin, end);
  }

  void skip_space() {
    while (at_ < source_.size()) {
      size_t next = at_;
      if (!is_space(next_point(source_, next))) return;
      at_ = next;
    }
  }

  /// Moves behind the end of a tag, "%}" or "#}", if it is here: "-" takes the white space after it, no sign takes one
  /// line break, "+" none.
  bool take_end(std::string_view end) {
    const char sign = peek();
    const bool signed_end = (sign == '-' || (sign == '+' && end != "}}")) && source_.substr(at_ + 1).starts_with(end);
    if (!signed_end && !at(end)) return false;
    const size_t begin = at_;
    at_ += end.size() + signed_end;
    if (signed_end && sign == '-') {
      skip_space();
    } else if (!signed_end && end != "}}" && peek() == '\n') {
      ++at_;
    }
    line_starting_ = source_[std::max(at_, begin + 1) - 1] == '\n';
    return true;
  }

  void lex_comment(size_t begin) {
    for (; at_ < source_.size(); ++at_)
      if ((peek() == '#' || peek() == '-' || peek() == '+') && take_end("#}")) return;
    fail_syntax(position(begin), "Missing end of comment tag");
  }

  /// {% raw %} … {% endraw %}; false, without moving, when the tag is another one.
  bool lex_raw(size_t begin) {
    const size_t after_open = at_;
    skip_space();
    const bool raw = at("raw") && !is_name_part(peek(3));
    if (raw) {
      at_ += 3;
      skip_space();
    }
    if (!raw || !(at("%}") || at("-%}"))) {
      at_ = after_open;
      return false;
    }
    const bool strips = peek() == '-';
    at_ += strips ? 3 : 2;
    if (strips) skip_space();
    line_starting_ = source_[at_ - 1] == '\n';
    for (size_t tag = source_.find("{%", at_); tag != npos; tag = source_.find("{%", tag + 2)) {
      const size_t content = at_;
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      at_ = tag + 2 + (sign == '-' || sign == '+');
      skip_space();
      bool closed = at("endraw");
      if (closed) {
        at_ += 6;
        skip_space();
        const bool starting = line_starting_;
        closed = take_end("%}");
        if (closed) {
          const bool now_starting = std::exchange(line_starting_, starting);
          add_text(content, tag, sign, true);
          line_starting_ = now_starting;
          return true;
        }
      }
      at_ = content;
    }
    fail_syntax(position(begin), "Missing end of raw directive");
  }

  void lex_inside(bool block, size_t begin) {
    std::string open;  // the brackets not closed yet: while there is one, }} and %} are brackets and operators
    while (at_ < source_.size()) {
      const size_t start = at_;
      if (open.empty() && take_end(block ? "%}" : "}}")) {
        add(block ? TokenKind::block_end : TokenKind::variable_end, start, start + 2);
        return;
      }
      skip_space();
      if (at_ != start) continue;
      if (is_decimal(peek())) {
        lex_number();
      } else if (is_name_start(peek())) {
        while (is_name_part(peek())) ++at_;
        add(TokenKind::name, start, at_);
      } else if (peek() == '\'' || peek() == '"') {
        lex_string();
      } else {
        lex_operator(open);
      }
    }
    fail_syntax(position(begin), block ? "unexpected end of template, expected 'end of statement block'."
                                       : "unexpected end of template, expected 'end of print statement'.");
  }

  /// Digits with single underscores between them, from `from`; the end of them.
  size_t digits_end(size_t from) const {
    size_t end = from;
    while (end < source_.size() &&
           (is_decimal(source_[end]) ||
            (source_[end] == '_' && end > from && end + 1 < source_.size() && is_decimal(source_[end + 1]))))
      ++end;
    return end;
  }

  void lex_number() {
    const size_t start = at_;
    const char mark = static_cast<char>(peek(1) | 0x20);
    if (peek() == '0' && (mark == 'x' || mark == 'o' || mark == 'b') && isxdigit(static_cast<unsigned char>(peek(2)))) {
      at_ += 2;
      while (isxdigit(static_cast<unsigned char>(peek())) ||
             (peek() == '_' && isxdigit(static_cast<unsigned char>(peek(1)))))
        ++at_;
      add(TokenKind::integer, start, at_);
      return;
    }
    at_ = digits_end(at_);
    bool real = false;
    const bool member = start > 0 && source_[start - 1] == '.';  // x.0.1 is an item of an item
    if (!member && peek() == '.' && is_decimal(peek(1))) {
      real = true;
      at_ = digits_end(at_ + 1);
    }
    const size_t sign = peek(1) == '+' || peek(1) == '-';
    if (!member && (peek() == 'e' || peek() == 'E') && is_decimal(peek(1 + sign))) {
      real = true;
      at_ = digits_end(at_ + 1 + sign);
    }
    add(real ? TokenKind::real : TokenKind::integer, start, at_);
  }

  void lex_string() {
    const size_t start = at_;
    const char quote = source_[at_++];
    while (at_ < source_.size() && source_[at_] != quote) at_ += source_[at_] == '\\' ? 2 : 1;
    if (at_ >= source_.size()) fail_syntax(position(start), std::string("unexpected char '") + quote + "'");
    ++at_;
    add(TokenKind::string, start, at_);
  }

  void lex_operator(std::string& open) {
    constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                               "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view op : kOperators) {
      if (!at(op)) continue;
      if (op == "(" || op == "[" || op == "{") open += op == "(" ? ')' : op == "[" ? ']' : '}';
      if (op == ")" || op == "]" || op == "}") {
        if (open.empty()) fail_syntax(position(at_), "unexpected '" + std::string(op) + "'");
        if (open.back() != op[0])
          fail_syntax(position(at_), "unexpected '" + std::string(op) + "', expected '" + open.back() + "'");
        open.pop_back();
      }
      add(TokenKind::op, at_, at_ + op.size());
      at_ += op.size();
      return;
    }
    fail_syntax(position(at_), std::string("unexpected char '") + peek() + "'");
  }

  std::string_view source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  bool line_starting_ = true;
  size_t counted_ = 0;
  size_t line_start_ = 0;
  uint32_t line_ = 1;
};

/// The code point of \xhh, \uhhhh or \Uhhhhhhhh, moving `at` behind it; nothing when the digits are not there.
std::optional<char32_t> escaped_point(std::string_view text, size_t& at, size_t digits) {
  char32_t point = 0;
  if (text.size() - at < digits) return std::nullopt;
  for (size_t i = 0; i < digits; ++i) {
    const auto c = static_cast<unsigned char>(text[at + i]);
    if (!isxdigit(c)) return std::nullopt;
    point = point * 16 + static_cast<char32_t>(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  at += digits;
  return point;
}

}  // namespace

void fail_syntax(Position at, std::string message) {
  throw Failure{Failure::Kind::syntax, "TemplateSyntaxError", std::move(message), at};
}

std::string normalize_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

std::string decode_string(const Token& token) {
  const std::string_view text = token.text.substr(1, token.text.size() - 2);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at++];
    if (c != '\\' || at == text.size()) {
      out += c;
      continue;
    }
    const char code = text[at++];
    constexpr std::string_view kCodes = "abfnrtv\\'\"";
    constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t simple = kCodes.find(code); simple != npos) {
      out += kMeanings[simple];
    } else if (code == 'x' || code == 'u' || code == 'U') {
      const auto point = escaped_point(text, at, code == 'x' ? 2 : code == 'u' ? 4 : 8);
      if (!point || *point > 0x10FFFF || (*point >= 0xD800 && *point < 0xE000))
        fail_syntax(token.at, "a \\x, \\u or \\U escape in a string does not name a character");
      append_point(out, *point);
    } else if (code >= '0' && code <= '7') {
      char32_t point = static_cast<char32_t>(code - '0');
      for (int i = 0; i < 2 && at < text.size() && text[at] >= '0' && text[at] <= '7'; ++i)
        point = point * 8 + static_cast<char32_t>(text[at++] - '0');
      append_point(out, point);
    } else if (code != '\n') {  // a \ at the end of a line joins it to the next
      out += c;
      out += code;
    }
  }
  return out;
}

}  // namespace weir::engine::jinja
