// The methods of str that answer a question about it.
#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>
#include <optional>

namespace weir::engine::jinja {
namespace {

/// The part of a text that optional start and end arguments select.
struct Window {
  std::string_view text;
  size_t offset = 0;  // in bytes, of its begin
  bool valid = true;  // false when start lies behind the end: not even "" is found there
};

Window window_of(const Value& self, const Bound& args, size_t start_slot) {
  const int64_t size = length(self);
  const auto resolve = [&](size_t slot, int64_t fallback) {
    if (!args.has(slot) || args[slot].is(Kind::none)) return fallback;
    const int64_t at = args.whole(slot, 0);
    return at < 0 ? std::max<int64_t>(at, -size) + size : at;
  };
  const int64_t start = resolve(start_slot, 0);
  const int64_t end = std::min(resolve(start_slot + 1, size), size);
  if (start > end) return {{}, 0, false};
  const std::string_view text = self.text();
  const size_t first = byte_offset(text, static_cast<size_t>(start));
  const size_t last = end == size ? text.size() : byte_offset(text, static_cast<size_t>(end));
  return {text.substr(first, last - first), first, true};
}

Value affix(Heap& heap, const Value& self, const Bound& args, bool at_end) {
  const Window window = window_of(self, args, 1);
  const std::string method = at_end ? "endswith" : "startswith";
  const auto fits = [&](const Value& affix_value) {
    if (!affix_value.is(Kind::string))
      fail_type(method + " first arg must be str or a tuple of str, not " + type_name(affix_value));
    const std::string& text = affix_value.text();
    return window.valid && (at_end ? window.text.ends_with(text) : window.text.starts_with(text));
  };
  if (!args[0].is(Kind::tuple)) return Value::boolean(fits(args[0]));
  heap.charge(args[0].sequence().items.size());
  const auto& items = args[0].sequence().items;
  return Value::boolean(std::any_of(items.begin(), items.end(), fits));
}

Value starts_with(Heap& heap, const Value& self, const Bound& args) {
  return affix(heap, self, args, false);
}
Value ends_with(Heap& heap, const Value& self, const Bound& args) {
  return affix(heap, self, args, true);
}

/// Index in code points of the first or last place; nothing when absent.
std::optional<int64_t> locate(Heap& heap, const Value& self, const Bound& args, bool last) {
  const std::string& needle = args.text(0);
  heap.charge_bytes(self.text().size());
  const Window window = window_of(self, args, 1);
  if (!window.valid) return std::nullopt;
  const size_t hit = last ? rfind_text(window.text, needle) : find_text(window.text, needle, 0);
  if (hit == std::string_view::npos) return std::nullopt;
  return static_cast<int64_t>(count_points(std::string_view(self.text()).substr(0, window.offset + hit)));
}

Value find(Heap& heap, const Value& self, const Bound& args) {
  return Value::integer(locate(heap, self, args, false).value_or(-1));
}

Value rfind(Heap& heap, const Value& self, const Bound& args) {
  return Value::integer(locate(heap, self, args, true).value_or(-1));
}

Value index(Heap& heap, const Value& self, const Bound& args) {
  const auto at = locate(heap, self, args, false);
  if (!at) fail("ValueError", "substring not found");
  return Value::integer(*at);
}

Value rindex(Heap& heap, const Value& self, const Bound& args) {
  const auto at = locate(heap, self, args, true);
  if (!at) fail("ValueError", "substring not found");
  return Value::integer(*at);
}

Value count(Heap& heap, const Value& self, const Bound& args) {
  const std::string& needle = args.text(0);
  heap.charge_bytes(self.text().size());
  const Window window = window_of(self, args, 1);
  if (!window.valid) return Value::integer(0);
  if (needle.empty()) return Value::integer(static_cast<int64_t>(count_points(window.text)) + 1);
  int64_t hits = 0;
  for (size_t at = find_text(window.text, needle, 0); at != std::string_view::npos;
       at = find_text(window.text, needle, at + needle.size()))
    ++hits;
  return Value::integer(hits);
}

/// Whether there is a code point and all of them are of the class.
template <class Class>
Value all_points(Heap& heap, const Value& self, Class is_member) {
  const std::string& text = self.text();
  heap.charge_bytes(text.size());
  bool all = !text.empty();
  for (size_t at = 0; all && at < text.size();) all = is_member(next_point(text, at));
  return Value::boolean(all);
}

Value isspace_of(Heap& heap, const Value& self, const Bound&) {
  return all_points(heap, self, is_space);
}
Value isdigit_of(Heap& heap, const Value& self, const Bound&) {
  return all_points(heap, self, is_digit);
}
Value isalpha_of(Heap& heap, const Value& self, const Bound&) {
  return all_points(heap, self, is_alpha);
}
Value isalnum_of(Heap& heap, const Value& self, const Bound&) {
  return all_points(heap, self, [](char32_t point) { return is_alpha(point) || is_digit(point); });
}
Value isascii_of(Heap&, const Value& self, const Bound&) {
  return Value::boolean(is_ascii(self.text()));
}
Value isprintable_of(Heap& heap, const Value& self, const Bound&) {
  return Value::boolean(self.text().empty() || all_points(heap, self, is_printable).as_bool());
}
Value isidentifier_of(Heap& heap, const Value& self, const Bound&) {
  const bool word = all_points(heap, self, [](char32_t point) {
                      return point == '_' || is_alpha(point) || is_digit(point);
                    }).as_bool();
  return Value::boolean(word && !is_digit(static_cast<unsigned char>(self.text()[0])));
}

/// At least one letter with a case, and none of the other case.
template <class Wanted, class Unwanted>
Value one_case(Heap& heap, const Value& self, Wanted wanted, Unwanted unwanted) {
  heap.charge_bytes(self.text().size());
  bool any = false;
  for (size_t at = 0; at < self.text().size();) {
    const char32_t point = next_point(self.text(), at);
    if (unwanted(point)) return Value::boolean(false);
    any = any || wanted(point);
  }
  return Value::boolean(any);
}

Value isupper_of(Heap& heap, const Value& self, const Bound&) {
  return one_case(heap, self, is_upper, is_lower);
}
Value islower_of(Heap& heap, const Value& self, const Bound&) {
  return one_case(heap, self, is_lower, is_upper);
}

Value istitle_of(Heap& heap, const Value& self, const Bound&) {
  heap.charge_bytes(self.text().size());
  bool any = false;
  bool inside = false;
  for (size_t at = 0; at < self.text().size();) {
    const char32_t point = next_point(self.text(), at);
    const bool cased = is_upper(point) || is_lower(point);
    if (cased && is_upper(point) == inside) return Value::boolean(false);
    any = any || cased;
    inside = cased;
  }
  return Value::boolean(any);
}

constexpr Builtin kQueries[] = {
    {"startswith", "!prefix start end", starts_with},
    {"endswith", "!suffix start end", ends_with},
    {"find", "!sub start end", find},
    {"rfind", "!sub start end", rfind},
    {"index", "!sub start end", index},
    {"rindex", "!sub start end", rindex},
    {"count", "!sub start end", count},
    {"isspace", "", isspace_of},
    {"isdigit", "", isdigit_of},
    {"isdecimal", "", isdigit_of},
    {"isnumeric", "", isdigit_of},
    {"isalpha", "", isalpha_of},
    {"isalnum", "", isalnum_of},
    {"isascii", "", isascii_of},
    {"isprintable", "", isprintable_of},
    {"isidentifier", "", isidentifier_of},
    {"isupper", "", isupper_of},
    {"islower", "", islower_of},
    {"istitle", "", istitle_of},
};

}  // namespace

std::span<const Builtin> string_queries() {
  return kQueries;
}

}  // namespace weir::engine::jinja
