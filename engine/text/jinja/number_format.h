// The part that Python's two kinds of text formatting share: one value laid out by a format specification. Pure.
#pragma once

#include "engine/text/jinja/objects.h"

#include <string>
#include <string_view>

namespace weir::engine::jinja {

/// [[fill]align][sign][#][0][width][grouping][.precision][type], Python's format specification mini-language.
struct FormatSpec {
  std::string fill = " ";
  char align = 0;   // '<' '>' '^' '='; 0: what suits the value
  char sign = '-';  // '+', ' ' or '-'
  bool sign_given = false;
  bool zero_given = false;  // by a 0 before the width rather than by fill and align
  bool alternate = false;
  char grouping = 0;  // ',' or '_'
  size_t width = 0;
  int precision = -1;
  char type = 0;
};

inline constexpr int kPrecisionMax = 400;  // digits after the point; a double has no more than 1074

/// Fails on a malformed specification.
FormatSpec parse_format_spec(std::string_view text);

/// Lays out a number. REQUIRES: value.is_number() or a big_integer.
std::string format_number(Heap& heap, const Value& value, const FormatSpec& spec);

/// Fills up to the width; `align` is used where the specification has none.
std::string pad(Heap& heap, std::string text, const FormatSpec& spec, char align);

}  // namespace weir::engine::jinja
