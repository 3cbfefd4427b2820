#include "engine/text/jinja/unicode.h"

#include <clocale>
#include <cstdint>
#include <cstring>
#include <cwctype>

#include <algorithm>

namespace weir::engine::jinja {
namespace {

/// The C library's character classes for all of Unicode, whatever the process's own locale is; null when not installed,
/// and then only ASCII letters have a case.
locale_t unicode_locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

char32_t upper_point(char32_t point) {
  if (point < 0x80) return point >= 'a' && point <= 'z' ? point - 32 : point;
  return unicode_locale() ? towupper_l(static_cast<wint_t>(point), unicode_locale()) : point;
}

char32_t lower_point(char32_t point) {
  if (point < 0x80) return point >= 'A' && point <= 'Z' ? point + 32 : point;
  return unicode_locale() ? towlower_l(static_cast<wint_t>(point), unicode_locale()) : point;
}

void append_upper(std::string& out, char32_t point) {
  if (point == 0xDF) {
    out += "SS";  // the one letter of everyday text whose upper case is longer
  } else {
    append_point(out, upper_point(point));
  }
}

bool contains_point(std::string_view chars, char32_t point) {
  for (size_t at = 0; at < chars.size();)
    if (next_point(chars, at) == point) return true;
  return false;
}

template <class Strips>
std::string_view strip(std::string_view text, bool left, bool right, Strips strips) {
  size_t begin = 0;
  while (left && begin < text.size()) {
    size_t next = begin;
    if (!strips(next_point(text, next))) break;
    begin = next;
  }
  size_t end = text.size();
  while (right && end > begin) {
    size_t start = end - 1;
    while (start > begin && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    size_t next = start;
    if (!strips(next_point(text, next))) break;
    end = start;
  }
  return text.substr(begin, end - begin);
}

}  // namespace

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() - i < length) return false;
    char32_t point = lead & (0xFF >> (length + 1));
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      point = (point << 6) | (next & 0x3F);
    }
    if ((length == 3 && point < 0x800) || (length == 4 && (point < 0x10000 || point > 0x10FFFF))) return false;
    if (point >= 0xD800 && point <= 0xDFFF) return false;
    i += length;
  }
  return true;
}

size_t count_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

size_t byte_offset(std::string_view text, size_t point_index) {
  size_t offset = 0;
  while (point_index > 0 && offset < text.size()) {
    next_point(text, offset);
    --point_index;
  }
  return offset;
}

char32_t next_point(std::string_view text, size_t& offset) {
  const auto lead = static_cast<unsigned char>(text[offset++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t point = lead & (0x3F >> more);
  for (int k = 0; k < more && offset < text.size(); ++k)
    point = (point << 6) | (static_cast<unsigned char>(text[offset++]) & 0x3F);
  return point;
}

void append_point(std::string& out, char32_t point) {
  const auto byte = [&](char32_t bits) { out += static_cast<char>(static_cast<unsigned char>(bits)); };
  if (point < 0x80) {
    byte(point);
  } else if (point < 0x800) {
    byte(0xC0 | (point >> 6));
    byte(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    byte(0xE0 | (point >> 12));
    byte(0x80 | ((point >> 6) & 0x3F));
    byte(0x80 | (point & 0x3F));
  } else {
    byte(0xF0 | (point >> 18));
    byte(0x80 | ((point >> 12) & 0x3F));
    byte(0x80 | ((point >> 6) & 0x3F));
    byte(0x80 | (point & 0x3F));
  }
}

bool is_space(char32_t point) {
  if (point < 0x80) return point == ' ' || (point >= 9 && point <= 13) || (point >= 0x1C && point <= 0x1F);
  return point == 0x85 || point == 0xA0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 ||
         point == 0x2029 || point == 0x202F || point == 0x205F || point == 0x3000;
}

bool is_printable(char32_t point) {
  if (point < 0x80) return point >= 0x20 && point != 0x7F;
  if (is_space(point)) return false;
  const bool format_character = point == 0xAD || (point >= 0x600 && point <= 0x605) || point == 0x61C ||
                                point == 0x6DD || point == 0x70F || point == 0x180E ||
                                (point >= 0x200B && point <= 0x200F) || (point >= 0x202A && point <= 0x202E) ||
                                (point >= 0x2060 && point <= 0x206F) || point == 0xFEFF ||
                                (point >= 0xFFF9 && point <= 0xFFFB) || (point >= 0xE0000 && point <= 0xE007F);
  const bool private_use = (point >= 0xE000 && point <= 0xF8FF) || point >= 0xF0000;
  if (format_character || private_use) return false;
  return !unicode_locale() || iswprint_l(static_cast<wint_t>(point), unicode_locale());
}

bool is_alpha(char32_t point) {
  if (point < 0x80) return (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z');
  return unicode_locale() && iswalpha_l(static_cast<wint_t>(point), unicode_locale());
}

bool is_digit(char32_t point) {
  return point >= '0' && point <= '9';
}
bool is_upper(char32_t point) {
  return lower_point(point) != point;
}
bool is_lower(char32_t point) {
  return upper_point(point) != point || point == 0xDF;
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) append_upper(out, next_point(text, at));
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) append_point(out, lower_point(next_point(text, at)));
  return out;
}

std::string to_capitalized(std::string_view text) {
  if (text.empty()) return {};
  size_t at = 0;
  next_point(text, at);
  return to_upper(text.substr(0, at)) + to_lower(text.substr(at));
}

std::string_view strip_space(std::string_view text, bool left, bool right) {
  return strip(text, left, right, [](char32_t point) { return is_space(point); });
}

std::string_view strip_any(std::string_view text, std::string_view chars, bool left, bool right) {
  return strip(text, left, right, [chars](char32_t point) { return contains_point(chars, point); });
}

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size() || text.size() - from < needle.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* hit = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return hit ? static_cast<size_t>(static_cast<const char*>(hit) - text.data()) : std::string_view::npos;
}

size_t rfind_text(std::string_view text, std::string_view needle) {
  // Searching the mirrored text keeps the search linear, where std::string_view::rfind is quadratic at worst.
  const std::string text_mirror(text.rbegin(), text.rend());
  const std::string needle_mirror(needle.rbegin(), needle.rend());
  const size_t hit = find_text(text_mirror, needle_mirror, 0);
  return hit == std::string_view::npos ? hit : text.size() - hit - needle.size();
}

}  // namespace weir::engine::jinja
