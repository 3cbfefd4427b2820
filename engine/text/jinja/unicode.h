// UTF-8 seen as Python sees a str: lengths, slices and classes of code points. Texts are valid UTF-8 (the template's
// source and the JSON input are checked before they get here). Pure functions; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir::engine::jinja {

bool is_ascii(std::string_view text);
bool is_valid_utf8(std::string_view text);

/// Number of code points.
size_t count_points(std::string_view text);

/// Byte offset of the code point with this index; text.size() when there are fewer.
size_t byte_offset(std::string_view text, size_t point_index);

/// The code point at `offset`, which moves behind it. REQUIRES: offset < text.size().
char32_t next_point(std::string_view text, size_t& offset);

void append_point(std::string& out, char32_t point);

bool is_space(char32_t point);      // str.isspace of one character
bool is_printable(char32_t point);  // str.isprintable of one character
bool is_alpha(char32_t point);
bool is_digit(char32_t point);
bool is_upper(char32_t point);
bool is_lower(char32_t point);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
/// First code point upper, the rest lower, as str.capitalize.
std::string to_capitalized(std::string_view text);

/// Without the white space at the ends; strip_any: without the code points of `chars` at the ends.
std::string_view strip_space(std::string_view text, bool left, bool right);
std::string_view strip_any(std::string_view text, std::string_view chars, bool left, bool right);

/// First and last place of `needle` at or after `from`, in linear time; npos when absent. rfind looks at whole `text`.
size_t find_text(std::string_view text, std::string_view needle, size_t from);
size_t rfind_text(std::string_view text, std::string_view needle);

}  // namespace weir::engine::jinja
