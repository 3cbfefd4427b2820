// The methods of str that make another text or a list of texts.
#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/formatting.h"
#include "engine/text/jinja/number_format.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>

namespace weir::engine::jinja {
namespace {

Value strip(Heap& heap, const Value& self, const Bound& args, bool left, bool right) {
  const std::string& text = self.text();
  heap.charge_bytes(text.size());
  if (!args.has(0) || args[0].is(Kind::none))
    return heap.string_like(self, std::string(strip_space(text, left, right)));
  if (!args[0].is(Kind::string))
    fail_type(std::string(left && right ? "" : left ? "l" : "r") + "strip arg must be None or str");
  const std::string& chars = args[0].text();
  heap.charge_bytes(text.size() * std::min<size_t>(chars.size(), 1 << 20));
  return heap.string_like(self, std::string(strip_any(text, chars, left, right)));
}

Value strip_both(Heap& heap, const Value& self, const Bound& args) {
  return strip(heap, self, args, true, true);
}
Value strip_left(Heap& heap, const Value& self, const Bound& args) {
  return strip(heap, self, args, true, false);
}
Value strip_right(Heap& heap, const Value& self, const Bound& args) {
  return strip(heap, self, args, false, true);
}

/// Where the pieces of a split lie: [begin, end) each, in the order of the text.
using Pieces = std::vector<std::pair<size_t, size_t>>;

Pieces split_space(std::string_view text, int64_t splits_max) {
  Pieces pieces;
  std::string_view rest = strip_space(text, true, false);
  while (!rest.empty()) {
    const auto begin = static_cast<size_t>(rest.data() - text.data());
    size_t end = 0;
    for (size_t next = 0; next < rest.size(); end = next)
      if (is_space(next_point(rest, next))) break;
    if (static_cast<int64_t>(pieces.size()) == splits_max) end = rest.size();
    pieces.emplace_back(begin, begin + end);
    rest = strip_space(rest.substr(end), true, false);
  }
  return pieces;
}

Pieces rsplit_space(std::string_view text, int64_t splits_max) {
  Pieces pieces;
  std::string_view rest = strip_space(text, false, true);
  while (!rest.empty()) {
    size_t begin = rest.size();
    while (begin > 0) {
      size_t start = begin - 1;
      while (start > 0 && (static_cast<unsigned char>(rest[start]) & 0xC0) == 0x80) --start;
      size_t next = start;
      if (is_space(next_point(rest, next))) break;
      begin = start;
    }
    if (static_cast<int64_t>(pieces.size()) == splits_max) begin = 0;
    pieces.emplace_back(begin, rest.size());
    rest = strip_space(rest.substr(0, begin), false, true);
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Pieces split_at(std::string_view text, std::string_view separator, int64_t splits_max) {
  Pieces pieces;
  size_t begin = 0;
  for (;;) {
    const bool more = splits_max < 0 || static_cast<int64_t>(pieces.size()) < splits_max;
    const size_t hit = more ? find_text(text, separator, begin) : std::string_view::npos;
    pieces.emplace_back(begin, std::min(hit, text.size()));
    if (hit == std::string_view::npos) return pieces;
    begin = hit + separator.size();
  }
}

/// Splits from the right by splitting the mirrored text, which keeps the search linear.
Pieces rsplit_at(std::string_view text, std::string_view separator, int64_t splits_max) {
  const std::string text_mirror(text.rbegin(), text.rend());
  const std::string separator_mirror(separator.rbegin(), separator.rend());
  Pieces pieces = split_at(text_mirror, separator_mirror, splits_max);
  for (auto& [begin, end] : pieces) {
    std::swap(begin, end);
    begin = text.size() - begin;
    end = text.size() - end;
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Value pieces_to_list(Heap& heap, const Value& self, const Pieces& pieces) {
  heap.check_items(pieces.size());
  std::vector<Value> items;
  items.reserve(pieces.size());
  for (const auto& [begin, end] : pieces)
    items.push_back(heap.string_like(self, self.text().substr(begin, end - begin)));
  return heap.list(std::move(items));
}

Value split(Heap& heap, const Value& self, const Bound& args) {
  heap.charge_bytes(self.text().size());
  const int64_t splits_max = args.whole(1, -1);
  if (!args.has(0) || args[0].is(Kind::none)) return pieces_to_list(heap, self, split_space(self.text(), splits_max));
  const std::string& separator = args.text(0, "must be str or None");
  if (separator.empty()) fail("ValueError", "empty separator");
  return pieces_to_list(heap, self, split_at(self.text(), separator, splits_max));
}

Value rsplit(Heap& heap, const Value& self, const Bound& args) {
  heap.charge_bytes(self.text().size());
  const int64_t splits_max = args.whole(1, -1);
  if (!args.has(0) || args[0].is(Kind::none)) return pieces_to_list(heap, self, rsplit_space(self.text(), splits_max));
  const std::string& separator = args.text(0, "must be str or None");
  if (separator.empty()) fail("ValueError", "empty separator");
  return pieces_to_list(heap, self, rsplit_at(self.text(), separator, splits_max));
}

bool ends_line(char32_t point) {
  return (point >= 0x0A && point <= 0x0D) || (point >= 0x1C && point <= 0x1E) || point == 0x85 || point == 0x2028 ||
         point == 0x2029;
}

Value splitlines(Heap& heap, const Value& self, const Bound& args) {
  const std::string& text = self.text();
  const bool keep_ends = args.flag(0, false);
  heap.charge_bytes(text.size());
  Pieces pieces;
  for (size_t begin = 0, at = 0; begin < text.size(); begin = at) {
    size_t end = begin;
    bool ended = false;
    while (at < text.size() && !ended) {
      end = at;
      ended = ends_line(next_point(text, at));
    }
    if (!ended) end = at;
    if (ended && text[end] == '\r' && at < text.size() && text[at] == '\n') ++at;
    pieces.emplace_back(begin, keep_ends ? at : end);
  }
  return pieces_to_list(heap, self, pieces);
}

Value partition_at(Heap& heap, const Value& self, const Bound& args, bool last) {
  const std::string& text = self.text();
  const std::string& separator = args.text(0);
  if (separator.empty()) fail("ValueError", "empty separator");
  heap.charge_bytes(text.size());
  const size_t hit = last ? rfind_text(text, separator) : find_text(text, separator, 0);
  std::vector<Value> parts;
  const auto add = [&](std::string part) { parts.push_back(heap.string_like(self, std::move(part))); };
  if (hit == std::string::npos) {
    add(last ? "" : text);
    add("");
    add(last ? text : "");
  } else {
    add(text.substr(0, hit));
    add(separator);
    add(text.substr(hit + separator.size()));
  }
  return heap.tuple(std::move(parts));
}

Value partition(Heap& heap, const Value& self, const Bound& args) {
  return partition_at(heap, self, args, false);
}
Value rpartition(Heap& heap, const Value& self, const Bound& args) {
  return partition_at(heap, self, args, true);
}

Value replace(Heap& heap, const Value& self, const Bound& args) {
  const std::string& old_text = args.text(0, "replace() argument 1 must be str");
  const Value& replacement = args.string(1, "replace() argument 2 must be str");
  const bool escape = self.string().markup && !replacement.string().markup;
  return heap.string_like(
      self, replace_text(heap, self.text(), old_text, escape ? escape_html(replacement.text()) : replacement.text(),
                         args.whole(2, -1)));
}

Value join(Heap& heap, const Value& self, const Bound& args) {
  if (!is_iterable(args[0])) fail_type("can only join an iterable");
  const auto items = walk(heap, args[0]);
  std::string out;
  for (size_t i = 0; i < items->items.size(); ++i) {
    const Value& item = items->items[i];
    if (!item.is(Kind::string))
      fail_type("sequence item " + std::to_string(i) + ": expected str instance, " + type_name(item) + " found");
    heap.check_text_size(out.size() + self.text().size() + item.text().size());
    if (i > 0) out += self.text();
    out += self.string().markup && !item.string().markup ? escape_html(item.text()) : item.text();
  }
  heap.charge_bytes(out.size());
  return heap.string_like(self, std::move(out));
}

Value upper(Heap& heap, const Value& self, const Bound&) {
  return heap.string_like(self, to_upper(self.text()));
}
Value lower(Heap& heap, const Value& self, const Bound&) {
  return heap.string_like(self, to_lower(self.text()));
}
Value capitalize(Heap& heap, const Value& self, const Bound&) {
  return heap.string_like(self, to_capitalized(self.text()));
}

/// Upper case after every code point that has no case, lower case elsewhere.
Value title(Heap& heap, const Value& self, const Bound&) {
  const std::string& text = self.text();
  std::string out;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t point = next_point(text, at);
    const std::string_view one = std::string_view(text).substr(start, at - start);
    out += inside ? to_lower(one) : to_upper(one);
    inside = is_upper(point) || is_lower(point);
  }
  return heap.string_like(self, std::move(out));
}

Value swapcase(Heap& heap, const Value& self, const Bound&) {
  const std::string& text = self.text();
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t point = next_point(text, at);
    const std::string_view one = std::string_view(text).substr(start, at - start);
    out += is_upper(point) ? to_lower(one) : to_upper(one);
  }
  return heap.string_like(self, std::move(out));
}

Value justify(Heap& heap, const Value& self, const Bound& args, char align) {
  FormatSpec spec;
  spec.width = static_cast<size_t>(std::max<int64_t>(args.whole(0, 0), 0));
  if (args.has(1)) spec.fill = args.text(1, "The fill character must be a unicode character");
  if (count_points(spec.fill) != 1) fail_type("The fill character must be exactly one character long");
  heap.check_text_size(spec.width);
  const size_t gap = spec.width - std::min(spec.width, count_points(self.text()));
  if (align != '^') return heap.string_like(self, pad(heap, self.text(), spec, align));
  // str.center puts the odd blank on the left when the width itself is odd.
  const size_t before = gap / 2 + (gap & spec.width & 1);
  std::string out;
  for (size_t i = 0; i < before; ++i) out += spec.fill;
  out += self.text();
  for (size_t i = before; i < gap; ++i) out += spec.fill;
  return heap.string_like(self, std::move(out));
}

Value center(Heap& heap, const Value& self, const Bound& args) {
  return justify(heap, self, args, '^');
}
Value ljust(Heap& heap, const Value& self, const Bound& args) {
  return justify(heap, self, args, '<');
}
Value rjust(Heap& heap, const Value& self, const Bound& args) {
  return justify(heap, self, args, '>');
}

Value zfill(Heap& heap, const Value& self, const Bound& args) {
  FormatSpec spec;
  spec.fill = "0";
  spec.width = static_cast<size_t>(std::max<int64_t>(args.whole(0, 0), 0));
  const std::string& text = self.text();
  const bool sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  if (sign && spec.width > 0) --spec.width;
  return heap.string_like(self, (sign ? text.substr(0, 1) : "") + pad(heap, text.substr(sign), spec, '>'));
}

Value remove_prefix(Heap& heap, const Value& self, const Bound& args) {
  const std::string& prefix = args.text(0, "removeprefix() argument must be str");
  const std::string& text = self.text();
  return heap.string_like(self, text.starts_with(prefix) ? text.substr(prefix.size()) : text);
}

Value remove_suffix(Heap& heap, const Value& self, const Bound& args) {
  const std::string& suffix = args.text(0, "removesuffix() argument must be str");
  const std::string& text = self.text();
  return heap.string_like(self, text.ends_with(suffix) ? text.substr(0, text.size() - suffix.size()) : text);
}

Value expandtabs(Heap& heap, const Value& self, const Bound& args) {
  const auto size = static_cast<size_t>(std::clamp<int64_t>(args.whole(0, 8), 0, 1000));
  std::string out;
  size_t column = 0;
  for (size_t at = 0; at < self.text().size();) {
    const char32_t point = next_point(self.text(), at);
    if (point == '\t') {
      const size_t blanks = size == 0 ? 0 : size - column % size;
      heap.check_text_size(out.size() + blanks);
      out.append(blanks, ' ');
      column += blanks;
    } else {
      append_point(out, point);
      column = point == '\n' || point == '\r' ? 0 : column + 1;
    }
  }
  return heap.string_like(self, std::move(out));
}

Value format(Heap& heap, const Value& self, const Bound& args) {
  const Args arguments{args.rest, args.named};
  return heap.string_like(self, format_braces(heap, self.text(), arguments));
}

Value format_map(Heap& heap, const Value& self, const Bound& args) {
  if (!args[0].is(Kind::dict)) fail_type("format_map() argument must be a mapping, not " + type_name(args[0]));
  Args arguments;
  for (const auto& [key, value] : args[0].dict().entries)
    if (key.is(Kind::string)) arguments.named.emplace_back(key.text(), value);
  return heap.string_like(self, format_braces(heap, self.text(), arguments));
}

constexpr Builtin kMethods[] = {
    {"strip", "chars", strip_both},
    {"lstrip", "chars", strip_left},
    {"rstrip", "chars", strip_right},
    {"split", "sep maxsplit", split},
    {"rsplit", "sep maxsplit", rsplit},
    {"splitlines", "keepends", splitlines},
    {"partition", "!sep", partition},
    {"rpartition", "!sep", rpartition},
    {"replace", "!old !new count", replace},
    {"join", "!iterable", join},
    {"upper", "", upper},
    {"lower", "", lower},
    {"casefold", "", lower},
    {"capitalize", "", capitalize},
    {"title", "", title},
    {"swapcase", "", swapcase},
    {"center", "!width fillchar", center},
    {"ljust", "!width fillchar", ljust},
    {"rjust", "!width fillchar", rjust},
    {"zfill", "!width", zfill},
    {"removeprefix", "!prefix", remove_prefix},
    {"removesuffix", "!suffix", remove_suffix},
    {"expandtabs", "tabsize", expandtabs},
    {"format", "* **", format},
    {"format_map", "!mapping", format_map},
    {"encode", "encoding errors", nullptr},
    {"maketrans", "!x y z", nullptr},
    {"translate", "!table", nullptr},
};

}  // namespace

std::string replace_text(Heap& heap, std::string_view text, std::string_view old_text, std::string_view new_text,
                         int64_t count) {
  heap.charge_bytes(text.size());
  std::string out;
  size_t begin = 0;
  for (int64_t done = 0; count < 0 || done < count; ++done) {
    heap.check_text_size(out.size() + new_text.size());
    // An empty pattern is found before every code point and at the end.
    const size_t hit = find_text(text, old_text, begin);
    if (hit == std::string_view::npos) break;
    out += text.substr(begin, hit - begin);
    out += new_text;
    begin = hit + old_text.size();
    if (!old_text.empty()) continue;
    if (begin >= text.size()) return out;
    const size_t start = begin;
    next_point(text, begin);
    out += text.substr(start, begin - start);
  }
  return out += text.substr(begin);
}

std::span<const Builtin> string_methods() {
  return kMethods;
}

}  // namespace weir::engine::jinja
