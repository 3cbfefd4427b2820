#include "engine/text/jinja/formatting.h"

#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/number_format.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>
#include <cmath>

namespace weir::engine::jinja {
namespace {

constexpr int kFieldNestingMax = 2;  // "{:{width}}": Python's own bound

std::string ascii_repr(const std::string& text) {
  std::string out;
  char code[16];
  for (size_t at = 0; at < text.size();) {
    const char32_t point = next_point(text, at);
    if (point < 0x80) {
      out += static_cast<char>(point);
      continue;
    }
    const char* format = point < 0x100 ? "\\x%02x" : point < 0x10000 ? "\\u%04x" : "\\U%08x";
    std::snprintf(code, sizeof(code), format, static_cast<unsigned>(point));
    out += code;
  }
  return out;
}

/// Lays out a text: the precision cuts it, the width fills it.
std::string format_text(Heap& heap, const std::string& text, const FormatSpec& spec) {
  const size_t cut = spec.precision < 0 ? text.size() : byte_offset(text, static_cast<size_t>(spec.precision));
  return pad(heap, text.substr(0, cut), spec, '<');
}

// ---- text % arguments ----

class PercentFormatter {
 public:
  PercentFormatter(Heap& heap, std::string_view text, const Value& arguments)
      : heap_(heap), text_(text), arguments_(arguments) {}

  std::string run() {
    while (at_ < text_.size()) {
      heap_.check_text_size(out_.size());
      const char c = text_[at_++];
      if (c != '%') {
        out_ += c;
      } else {
        field();
      }
    }
    // Python takes whatever has a [] and is no tuple and no str for a mapping, all of which need not be used.
    const bool mapping = arguments_.is(Kind::dict) || arguments_.is(Kind::list) || arguments_.is(Kind::range) ||
                         arguments_.is(Kind::undefined);
    if (!mapping && next_ < count()) fail_type("not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  size_t count() const { return arguments_.is(Kind::tuple) ? arguments_.sequence().items.size() : 1; }

  Value argument() {
    if (next_ >= count()) fail_type("not enough arguments for format string");
    const size_t index = next_++;
    return arguments_.is(Kind::tuple) ? arguments_.sequence().items[index] : arguments_;
  }

  char peek() const {
    if (at_ >= text_.size()) fail("ValueError", "incomplete format");
    return text_[at_];
  }

  Value named_argument() {
    const size_t end = text_.find(')', at_);
    if (end == std::string_view::npos) fail("ValueError", "incomplete format key");
    const std::string_view key = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    if (!arguments_.is(Kind::dict)) fail_type("format requires a mapping");
    const Value* found = arguments_.dict().find(key);
    if (!found) fail("KeyError", quote(key));
    return *found;
  }

  size_t number() {
    if (peek() == '*') {
      ++at_;
      const Value width = argument();
      if (!width.is_whole()) fail_type("* wants int");
      return static_cast<size_t>(std::clamp<int64_t>(width.as_int(), 0, 1 << 30));
    }
    size_t value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_)
      value = std::min<size_t>(value * 10 + static_cast<size_t>(peek() - '0'), 1u << 30);
    return value;
  }

  void field() {
    Value named;
    if (peek() == '(') named = named_argument();
    FormatSpec spec;
    spec.align = '>';
    bool zero = false;
    for (; std::string_view("-+ #0").find(peek()) != std::string_view::npos; ++at_) {
      if (peek() == '-') spec.align = '<';
      if (peek() == '+' || (peek() == ' ' && spec.sign != '+')) spec.sign = peek();
      if (peek() == '#') spec.alternate = true;
      if (peek() == '0') zero = true;
    }
    spec.width = number();
    if (peek() == '.') {
      ++at_;
      spec.precision = static_cast<int>(number());
    }
    const char type = peek();
    ++at_;
    if (type == '%') {
      out_ += '%';
      return;
    }
    const Value value = named.present() ? named : argument();
    if (zero && spec.align == '>' && std::string_view("sracu").find(type) == std::string_view::npos) {
      spec.fill = "0";
      spec.align = '=';
    }
    convert(type, value, spec);
  }

  void convert(char type, const Value& value, FormatSpec spec) {
    switch (type) {
      case 's':
        out_ += format_text(heap_, str(heap_, value), spec);
        return;
      case 'r':
        out_ += format_text(heap_, repr(heap_, value), spec);
        return;
      case 'a':
        out_ += format_text(heap_, ascii_repr(repr(heap_, value)), spec);
        return;
      case 'c':
        if (value.is(Kind::string) && length(value) == 1) {
          out_ += format_text(heap_, value.text(), spec);
          return;
        }
        if (!value.is_whole()) fail_type("%c requires int or char");
        break;
      case 'd':
      case 'i':
      case 'u':
        if (value.is(Kind::undefined)) fail_undefined(value);
        if (!value.is_number() && !value.is(Kind::big_integer))
          fail_type("%" + std::string(1, type) + " format: a real number is required, not " + type_name(value));
        type = 'd';
        break;
      case 'o':
      case 'x':
      case 'X':
        if (!value.is_whole())
          fail_type("%" + std::string(1, type) + " format: an integer is required, not " + type_name(value));
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (!value.is_number()) fail_type("must be real number, not " + type_name(value));
        break;
      default:
        fail("ValueError", "unsupported format character '" + std::string(1, type) + "'");
    }
    spec.type = type;
    if (type == 'd') spec.precision = -1;
    if (type == 'd' && value.is(Kind::real)) {
      const double number = value.as_real();
      if (!(std::fabs(number) < 9.2e18)) fail("OverflowError", "cannot convert float infinity to integer");
      out_ += format_number(heap_, Value::integer(static_cast<int64_t>(number)), spec);
      return;
    }
    out_ += format_number(heap_, value, spec);
  }

  Heap& heap_;
  std::string_view text_;
  const Value& arguments_;
  std::string out_;
  size_t at_ = 0;
  size_t next_ = 0;
};

// ---- text.format(arguments) ----

class BraceFormatter {
 public:
  BraceFormatter(Heap& heap, const Args& arguments) : heap_(heap), arguments_(arguments) {}

  std::string run(std::string_view text, int nesting) {
    if (nesting > kFieldNestingMax) fail("ValueError", "Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < text.size();) {
      heap_.check_text_size(out.size());
      const char c = text[at++];
      const bool doubled = at < text.size() && text[at] == c;
      if (c != '{' && c != '}') {
        out += c;
      } else if (doubled) {
        out += c;
        ++at;
      } else if (c == '}') {
        fail("ValueError", "Single '}' encountered in format string");
      } else {
        const size_t end = field_end(text, at);
        out += field(text.substr(at, end - at), nesting);
        at = end + 1;
      }
    }
    return out;
  }

 private:
  static size_t field_end(std::string_view text, size_t at) {
    for (int open = 1; at < text.size(); ++at) {
      open += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
      if (open == 0) return at;
    }
    fail("ValueError", "expected '}' before end of string");
  }

  std::string field(std::string_view body, int nesting) {
    const size_t colon = std::min(body.find(':'), body.size());
    const std::string spec_text = colon < body.size() ? run(body.substr(colon + 1), nesting + 1) : std::string();
    std::string_view name = body.substr(0, colon);
    char conversion = 0;
    if (const size_t bang = name.find('!'); bang != std::string_view::npos) {
      if (bang + 2 != name.size()) fail("ValueError", "expected ':' after conversion specifier");
      conversion = name[bang + 1];
      name = name.substr(0, bang);
    }
    return layout(lookup(name), conversion, spec_text);
  }

  std::string layout(const Value& value, char conversion, std::string_view spec_text) {
    const FormatSpec spec = parse_format_spec(spec_text);
    if (conversion == 'r') return format_text(heap_, repr(heap_, value), spec);
    if (conversion == 'a') return format_text(heap_, ascii_repr(repr(heap_, value)), spec);
    if (conversion == 's') return format_text(heap_, str(heap_, value), spec);
    if (conversion != 0) fail("ValueError", "Unknown conversion specifier '" + std::string(1, conversion) + "'");
    if (spec_text.empty()) return str(heap_, value);
    if (value.is_number() || value.is(Kind::big_integer)) return format_number(heap_, value, spec);
    if (!value.is(Kind::string)) fail_type("unsupported format string passed to " + type_name(value) + ".__format__");
    if (spec.type != 0 && spec.type != 's')
      fail("ValueError", "Unknown format code '" + std::string(1, spec.type) + "' for object of type 'str'");
    if (spec.sign_given) fail("ValueError", "Sign not allowed in string format specifier");
    if (spec.grouping) fail("ValueError", std::string("Cannot specify '") + spec.grouping + "' with 's'.");
    if (spec.align == '=' && !spec.zero_given)
      fail("ValueError", "'=' alignment not allowed in string format specifier");
    return format_text(heap_, value.text(), spec);
  }

  Value lookup(std::string_view name) {
    const size_t head = std::min(name.find_first_of(".["), name.size());
    Value value = root(name.substr(0, head));
    for (size_t at = head; at < name.size();) {
      const bool bracket = name[at] == '[';
      const size_t end = std::min(bracket ? name.find(']', at) : name.find_first_of(".[", at + 1), name.size());
      if (bracket && end == name.size()) fail("ValueError", "Missing ']' in format string");
      const std::string key(name.substr(at + 1, end - at - 1));
      if (key.empty()) fail("ValueError", "Empty attribute in format string");
      if (bracket && std::all_of(key.begin(), key.end(), [](char c) { return is_digit(static_cast<char32_t>(c)); })) {
        value = get_item(heap_, value,
                         Value::integer(static_cast<int64_t>(
                             std::min(key.size(), size_t{9}) == key.size() ? std::stoll(key) : INT32_MAX)));
      } else {
        value = bracket ? get_item(heap_, value, heap_.string(key)) : get_attribute(heap_, value, key);
      }
      at = bracket ? end + 1 : end;
    }
    return value;
  }

  Value root(std::string_view name) {
    const bool digits =
        std::all_of(name.begin(), name.end(), [](char c) { return is_digit(static_cast<char32_t>(c)); });
    if (digits) {
      const size_t index = name.empty() ? next_++ : name.size() < 10 ? std::stoul(std::string(name)) : SIZE_MAX;
      if (index >= arguments_.positional.size())
        fail("IndexError", "Replacement index " + std::to_string(index) + " out of range for positional args tuple");
      return arguments_.positional[index];
    }
    for (const auto& [key, value] : arguments_.named)
      if (key == name) return value;
    fail("KeyError", quote(name));
  }

  Heap& heap_;
  const Args& arguments_;
  size_t next_ = 0;
};

}  // namespace

std::string format_percent(Heap& heap, std::string_view text, const Value& arguments) {
  heap.charge_bytes(text.size());
  return PercentFormatter(heap, text, arguments).run();
}

std::string format_braces(Heap& heap, std::string_view text, const Args& arguments) {
  heap.charge_bytes(text.size());
  return BraceFormatter(heap, arguments).run(text, 0);
}

}  // namespace weir::engine::jinja
