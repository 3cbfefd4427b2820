#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace weir::engine::jinja {
namespace {

void append_unit(std::string& out, char32_t unit) {
  char code[16];
  std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned>(unit));
  out += code;
}

void append_escaped(std::string& out, std::string_view text, bool ascii_only) {
  out += '"';
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t point = next_point(text, at);
    switch (point) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (point < 0x20 || (ascii_only && point > 0x7E && point < 0x10000)) {
          append_unit(out, point);
        } else if (ascii_only && point >= 0x10000) {
          append_unit(out, 0xD800 + ((point - 0x10000) >> 10));
          append_unit(out, 0xDC00 + ((point - 0x10000) & 0x3FF));
        } else {
          out += text.substr(start, at - start);
        }
    }
  }
  out += '"';
}

std::string json_real(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  return repr_real(number);
}

class JsonWriter {
 public:
  JsonWriter(Heap& heap, const JsonStyle& style) : heap_(heap), style_(style) {}

  std::string take() { return std::move(out_); }

  void write(const Value& value, size_t depth) {
    const Heap::Level level(heap_);
    heap_.charge(1);
    heap_.check_text_size(out_.size());
    switch (value.kind()) {
      case Kind::none:
        out_ += "null";
        break;
      case Kind::boolean:
        out_ += value.as_bool() ? "true" : "false";
        break;
      case Kind::integer:
        out_ += std::to_string(value.as_int());
        break;
      case Kind::big_integer:
        out_ += value.text();
        break;
      case Kind::real:
        out_ += json_real(value.as_real());
        break;
      case Kind::string:
        heap_.charge_bytes(value.text().size());
        append_escaped(out_, value.text(), style_.ascii_only);
        break;
      case Kind::list:
      case Kind::tuple:
        write_list(value.sequence().items, depth);
        break;
      case Kind::dict:
        write_dict(value.dict(), depth);
        break;
      default:
        fail_type("Object of type " + type_name(value) + " is not JSON serializable");
    }
  }

 private:
  void write_list(const std::vector<Value>& items, size_t depth) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      break_line(depth + 1);
      write(items[i], depth + 1);
    }
    break_line(depth);
    out_ += ']';
  }

  void write_dict(const DictObject& dict, size_t depth) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return;
    }
    out_ += '{';
    bool first = true;
    for (const auto* entry : ordered(dict)) {
      if (!first) out_ += style_.item_separator;
      first = false;
      break_line(depth + 1);
      append_escaped(out_, key_text(entry->first), style_.ascii_only);
      out_ += style_.key_separator;
      write(entry->second, depth + 1);
    }
    break_line(depth);
    out_ += '}';
  }

  std::vector<const std::pair<Value, Value>*> ordered(const DictObject& dict) {
    std::vector<const std::pair<Value, Value>*> entries;
    entries.reserve(dict.entries.size());
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys)
      std::stable_sort(entries.begin(), entries.end(),
                       [&](const auto* a, const auto* b) { return compare(heap_, Op::lt, a->first, b->first); });
    return entries;
  }

  static std::string key_text(const Value& key) {
    switch (key.kind()) {
      case Kind::string:
      case Kind::big_integer:
        return key.text();
      case Kind::none:
        return "null";
      case Kind::boolean:
        return key.as_bool() ? "true" : "false";
      case Kind::integer:
        return std::to_string(key.as_int());
      case Kind::real:
        return json_real(key.as_real());
      default:
        fail_type("keys must be str, int, float, bool or None, not " + type_name(key));
    }
  }

  void break_line(size_t depth) {
    if (!style_.indent) return;
    heap_.check_text_size(out_.size() + depth * style_.indent->size());
    out_ += '\n';
    for (size_t i = 0; i < depth; ++i) out_ += *style_.indent;
  }

  Heap& heap_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::string to_json(Heap& heap, const Value& value, const JsonStyle& style) {
  JsonWriter writer(heap, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace weir::engine::jinja
