// Filters that make a text.
#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/formatting.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>

namespace weir::engine::jinja {
namespace {

/// The value as a str that keeps its markup; what text filters work on.
Value as_text(Heap& heap, const Value& value) {
  return value.is(Kind::string) ? value : heap.string(str(heap, value));
}

/// Runs a method of str on the value's text.
Value by_method(Heap& heap, const Value& self, std::string_view method, const Bound& args) {
  const Value text = as_text(heap, self);
  return find_method(text, method)->run(heap, text, args);
}

Value upper(Heap& heap, const Value& self, const Bound& args) {
  return by_method(heap, self, "upper", args);
}
Value lower(Heap& heap, const Value& self, const Bound& args) {
  return by_method(heap, self, "lower", args);
}
Value capitalize(Heap& heap, const Value& self, const Bound& args) {
  return by_method(heap, self, "capitalize", args);
}
Value trim(Heap& heap, const Value& self, const Bound& args) {
  return by_method(heap, self, "strip", args);
}
Value to_string(Heap& heap, const Value& self, const Bound&) {
  return as_text(heap, self);
}

Value center(Heap& heap, const Value& self, const Bound& args) {
  Bound with_width;
  with_width.slots[0] = args.get(0, Value::integer(80));
  return by_method(heap, self, "center", with_width);
}

/// Each word starts in upper case; words begin after blanks and opening punctuation.
Value title(Heap& heap, const Value& self, const Bound&) {
  const Value value = as_text(heap, self);
  const std::string& text = value.text();
  std::string out;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t point = next_point(text, at);
    const std::string_view one = std::string_view(text).substr(start, at - start);
    out += inside ? jinja::to_lower(one) : jinja::to_upper(one);
    inside = !(is_space(point) || point == '-' || point == '(' || point == '{' || point == '[' || point == '<');
  }
  return heap.string_like(value, std::move(out));
}

Value replace(Heap& heap, const Value& self, const Bound& args) {
  const int64_t count = args.has(2) && !args[2].is(Kind::none) ? args.whole(2, -1) : -1;
  return heap.string(replace_text(heap, str(heap, self), str(heap, args[0]), str(heap, args[1]), count));
}

Value indent(Heap& heap, const Value& self, const Bound& args) {
  if (self.is(Kind::undefined)) fail_undefined(self);
  if (self.is(Kind::list)) fail("AttributeError", "'list' object has no attribute 'splitlines'");
  if (!self.is(Kind::string)) fail_type("unsupported operand type(s) for +=: '" + type_name(self) + "' and 'str'");
  const Value& text = self;
  std::string margin;
  if (args.has(0) && args[0].is(Kind::string)) {
    margin = args[0].text();
  } else {
    const auto width = static_cast<size_t>(std::max<int64_t>(args.whole(0, 4), 0));
    heap.check_text_size(width);
    margin.assign(width, ' ');
  }
  const bool first = args.flag(1, false);
  const bool blank = args.flag(2, false);
  // The line break at the end makes a last line that is empty count as one.
  const Value extended = heap.string(text.text() + "\n");
  const Value lines = find_method(extended, "splitlines")->run(heap, extended, {});
  std::string out = first ? margin : "";
  bool at_first = true;
  for (const Value& line : lines.sequence().items) {
    heap.check_text_size(out.size() + margin.size() + line.text().size() + 1);
    if (!at_first) out += '\n';
    if (!at_first && (blank || !line.text().empty())) out += margin;
    out += line.text();
    at_first = false;
  }
  return heap.string_like(text, std::move(out));
}

Value format(Heap& heap, const Value& self, const Bound& args) {
  if (!args.named.empty() && !args.rest.empty())
    fail("FilterArgumentError", "can't handle positional and keyword arguments at the same time");
  const Value text = as_text(heap, self);
  if (args.named.empty()) return heap.string_like(text, format_percent(heap, text.text(), heap.tuple(args.rest)));
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [key, value] : args.named) entries.emplace_back(heap.string(key), value);
  return heap.string_like(text, format_percent(heap, text.text(), heap.dict(std::move(entries))));
}

Value escape(Heap& heap, const Value& self, const Bound&) {
  if (self.is(Kind::string) && self.string().markup) return self;
  return heap.string(escape_html(str(heap, self)), true);
}

Value force_escape(Heap& heap, const Value& self, const Bound&) {
  return heap.string(escape_html(str(heap, self)), true);
}

Value safe(Heap& heap, const Value& self, const Bound&) {
  return heap.string(str(heap, self), true);
}

/// json.dumps as Hugging Face's templates call it.
Value to_json_filter(Heap& heap, const Value& self, const Bound& args) {
  JsonStyle style;
  style.ascii_only = args.flag(0, false);
  if (args.has(1) && !args[1].is(Kind::none)) {
    style.item_separator = ",";
    if (args[1].is(Kind::string)) {
      style.indent = args[1].text();
    } else {
      const auto width = static_cast<size_t>(std::max<int64_t>(args.whole(1, 0), 0));
      heap.check_text_size(width);
      style.indent = std::string(width, ' ');
    }
  }
  if (args.has(2) && !args[2].is(Kind::none)) {
    const auto separators = walk(heap, args[2]);
    if (separators->items.size() != 2) fail("ValueError", "separators needs an item separator and a key separator");
    style.item_separator = str(heap, separators->items[0]);
    style.key_separator = str(heap, separators->items[1]);
  }
  style.sort_keys = args.flag(3, false);
  return heap.string(to_json(heap, self, style));
}

Value truncate(Heap& heap, const Value& self, const Bound& args) {
  if (!self.is(Kind::string)) {
    if (length(self) <= args.whole(0, 255)) return self;
    fail_type("only a str can be truncated, not " + type_name(self));
  }
  const Value& text = self;
  const int64_t length_max = args.whole(0, 255);
  const Value end = args.has(2) ? as_text(heap, args[2]) : heap.string("...");
  const int64_t leeway = args.has(3) && !args[3].is(Kind::none) ? args.whole(3, 5) : 5;
  const int64_t room = length_max - length(end);
  if (room < 0)
    fail("AssertionError", "expected length >= " + std::to_string(length(end)) + ", got " + std::to_string(length_max));
  if (length(text) <= length_max + std::clamp<int64_t>(leeway, 0, INT32_MAX)) return text;
  std::string kept = text.text().substr(0, byte_offset(text.text(), static_cast<size_t>(room)));
  if (!args.flag(1, false)) kept = kept.substr(0, std::min(kept.rfind(' '), kept.size()));
  return heap.string_like(text, kept + end.text());
}

Value word_count(Heap& heap, const Value& self, const Bound&) {
  const std::string text = str(heap, self);
  heap.charge_bytes(text.size());
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t point = next_point(text, at);
    const bool word = point == '_' || is_alpha(point) || is_digit(point);
    words += word && !inside;
    inside = word;
  }
  return Value::integer(words);
}

void append_percent(std::string& out, std::string_view text, bool plus_for_blank) {
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~").find(c) != std::string_view::npos || (c == '/' && !plus_for_blank);
    char code[4];
    std::snprintf(code, sizeof(code), "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += plain ? std::string(1, c) : plus_for_blank && c == ' ' ? "+" : code;
  }
}

Value url_encode(Heap& heap, const Value& self, const Bound&) {
  std::string out;
  if (self.is(Kind::string) || !is_iterable(self)) {
    append_percent(out, str(heap, self), false);
    return heap.string(std::move(out));
  }
  const Value pairs = self.is(Kind::dict) ? heap.view(ViewObject::What::items, self) : self;
  for (const auto walked = walk(heap, pairs); const Value& entry : walked->items) {
    const auto halves = walk(heap, entry);
    if (halves->items.size() != 2) fail("ValueError", "not enough values to unpack (expected 2)");
    heap.check_text_size(out.size());
    if (!out.empty()) out += '&';
    append_percent(out, str(heap, halves->items[0]), true);
    out += '=';
    append_percent(out, str(heap, halves->items[1]), true);
  }
  return heap.string(std::move(out));
}

constexpr Builtin kTextFilters[] = {
    {"upper", "", upper},
    {"lower", "", lower},
    {"capitalize", "", capitalize},
    {"title", "", title},
    {"trim", "chars", trim},
    {"string", "", to_string},
    {"center", "width", center},
    {"replace", "!old !new count", replace},
    {"indent", "width first blank", indent},
    {"format", "* **", format},
    {"escape", "", escape},
    {"e", "", escape},
    {"forceescape", "", force_escape},
    {"safe", "", safe},
    {"tojson", "ensure_ascii indent separators sort_keys", to_json_filter},
    {"truncate", "length killwords end leeway", truncate},
    {"wordcount", "", word_count},
    {"urlencode", "", url_encode},
};

}  // namespace

std::span<const Builtin> text_filters() {
  return kTextFilters;
}

}  // namespace weir::engine::jinja
