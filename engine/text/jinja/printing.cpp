#include "engine/text/jinja/printing.h"

#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/unicode.h"

#include <charconv>
#include <cmath>
#include <cstdio>

namespace weir::engine::jinja {
namespace {

void append_sequence(Heap& heap, std::string& out, const std::vector<Value>& items, bool tuple) {
  out += tuple ? '(' : '[';
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(heap, out, items[i]);
  }
  if (tuple && items.size() == 1) out += ',';
  out += tuple ? ')' : ']';
}

void append_entries(Heap& heap, std::string& out, const std::vector<std::pair<Value, Value>>& entries) {
  out += '{';
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(heap, out, entries[i].first);
    out += ": ";
    append_repr(heap, out, entries[i].second);
  }
  out += '}';
}

void append_namespace(Heap& heap, std::string& out, const NamespaceObject& ns) {
  out += "<Namespace {";
  for (size_t i = 0; i < ns.members.size(); ++i) {
    if (i > 0) out += ", ";
    out += quote(ns.members[i].first) + ": ";
    append_repr(heap, out, ns.members[i].second);
  }
  out += "}>";
}

void append_view(Heap& heap, std::string& out, const Value& value) {
  const auto items = walk(heap, value);
  out += type_name(value) + '(';
  append_sequence(heap, out, items->items, false);
  out += ')';
}

void append_range(std::string& out, const RangeObject& range) {
  out += "range(" + std::to_string(range.start) + ", " + std::to_string(range.stop);
  if (range.step != 1) out += ", " + std::to_string(range.step);
  out += ')';
}

}  // namespace

std::string type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::absent:
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
    case Kind::big_integer:
      return "int";
    case Kind::real:
      return "float";
    case Kind::string:
      return value.string().markup ? "Markup" : "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return "tuple";
    case Kind::dict:
      return "dict";
    case Kind::view: {
      const auto what = value.view().what;
      return what == ViewObject::What::keys     ? "dict_keys"
             : what == ViewObject::What::values ? "dict_values"
                                                : "dict_items";
    }
    case Kind::range:
      return "range";
    case Kind::generator:
      return value.generator().type_name;
    case Kind::ns:
      return "Namespace";
    case Kind::native:
      return std::string(value.native().type_name());
  }
  return "object";
}

std::string qualified_type_name(const Value& value) {
  if (value.is(Kind::none)) return "None";
  const std::string name = type_name(value);
  if (value.is(Kind::ns)) return "jinja2.utils.Namespace object";
  if (name == "Markup") return "markupsafe.Markup object";
  if (name == "Undefined" || name == "LoopContext" || name == "Macro") return "jinja2.runtime." + name + " object";
  return name + " object";
}

std::string repr_real(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char digits[32];
  const auto written = std::to_chars(digits, digits + sizeof(digits), number, std::chars_format::scientific);
  const std::string_view text(digits, static_cast<size_t>(written.ptr - digits));
  const size_t mark = text.find('e');
  int exponent = 0;
  const char* first = text.data() + mark + 1 + (text[mark + 1] == '+');
  std::from_chars(first, text.data() + text.size(), exponent);
  std::string mantissa(text.substr(0, mark));
  if (exponent < -4 || exponent >= 16) {  // the bounds between which Python writes no exponent
    char tail[8];
    std::snprintf(tail, sizeof(tail), "e%+03d", exponent);
    return mantissa + tail;
  }
  const std::string sign = mantissa[0] == '-' ? "-" : "";
  std::string all;
  for (const char c : mantissa)
    if (c >= '0' && c <= '9') all += c;
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + all;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (all.size() <= whole) return sign + all + std::string(whole - all.size(), '0') + ".0";
  return sign + all.substr(0, whole) + "." + all.substr(whole);
}

std::string quote(std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos;
  const char mark = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, mark);
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t point = next_point(text, at);
    char code[16];
    if (point == static_cast<char32_t>(mark) || point == '\\') {
      out += '\\';
      out += static_cast<char>(point);
    } else if (point == '\n' || point == '\r' || point == '\t') {
      out += point == '\n' ? "\\n" : point == '\r' ? "\\r" : "\\t";
    } else if (is_printable(point)) {
      out += text.substr(start, at - start);
    } else {
      const char* format = point < 0x100 ? "\\x%02x" : point < 0x10000 ? "\\u%04x" : "\\U%08x";
      std::snprintf(code, sizeof(code), format, static_cast<unsigned>(point));
      out += code;
    }
  }
  return out + mark;
}

void append_str(Heap& heap, std::string& out, const Value& value) {
  if (value.is(Kind::string)) {
    heap.charge_bytes(value.text().size());
    heap.check_text_size(out.size() + value.text().size());
    out += value.text();
  } else if (!value.is(Kind::undefined)) {
    append_repr(heap, out, value);
  }
}

std::string str(Heap& heap, const Value& value) {
  std::string out;
  append_str(heap, out, value);
  return out;
}

void append_repr(Heap& heap, std::string& out, const Value& value) {
  const Heap::Level level(heap);
  heap.charge(1);
  switch (value.kind()) {
    case Kind::absent:
    case Kind::undefined:
      out += "Undefined";
      break;
    case Kind::none:
      out += "None";
      break;
    case Kind::boolean:
      out += value.as_bool() ? "True" : "False";
      break;
    case Kind::integer:
      out += std::to_string(value.as_int());
      break;
    case Kind::big_integer:
      out += value.text();
      break;
    case Kind::real:
      out += repr_real(value.as_real());
      break;
    case Kind::string:
      heap.charge_bytes(value.text().size());
      out += value.string().markup ? "Markup(" + quote(value.text()) + ")" : quote(value.text());
      break;
    case Kind::list:
      append_sequence(heap, out, value.sequence().items, false);
      break;
    case Kind::tuple:
      append_sequence(heap, out, value.sequence().items, true);
      break;
    case Kind::dict:
      append_entries(heap, out, value.dict().entries);
      break;
    case Kind::view:
      append_view(heap, out, value);
      break;
    case Kind::range:
      append_range(out, value.range());
      break;
    case Kind::generator:
      out += "<" + type_name(value) + " object>";
      break;
    case Kind::ns:
      append_namespace(heap, out, value.ns());
      break;
    case Kind::native:
      out += value.native().repr();
      break;
  }
  heap.check_text_size(out.size());
}

std::string repr(Heap& heap, const Value& value) {
  std::string out;
  append_repr(heap, out, value);
  return out;
}

}  // namespace weir::engine::jinja
