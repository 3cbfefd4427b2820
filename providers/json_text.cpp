#include "providers/json_text.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include "config/base/json.h"

#include "providers/json_numbers.h"
#include "providers/json_tree.h"

namespace weir::providers {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr uint32_t kReplacement = 0xFFFD;

/// Four hexadecimal digits at `at`; −1: there are none.
int32_t hex4(std::string_view text, size_t at) {
  if (at + 4 > text.size()) return -1;
  int32_t value = 0;
  for (size_t i = at; i < at + 4; ++i) {
    const char c = text[i];
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

void append_utf8(uint32_t code, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

/// The escape \uXXXX whose digits begin at `at`, with its low surrogate where one follows. `at` goes behind it.
bool append_unicode(std::string_view inside, size_t& at, std::string& out) {
  const int32_t high = hex4(inside, at);
  if (high < 0) return false;
  at += 4;
  auto code = static_cast<uint32_t>(high);
  if (code >= 0xD800 && code < 0xE000) {
    const int32_t low = inside.substr(at, 2) == "\\u" ? hex4(inside, at + 2) : -1;
    if (code < 0xDC00 && low >= 0xDC00 && low < 0xE000) {
      code = 0x10000 + ((code - 0xD800) << 10) + (static_cast<uint32_t>(low) - 0xDC00);
      at += 6;
    } else {
      code = kReplacement;
    }
  }
  append_utf8(code, out);
  return true;
}

size_t skip_space(std::string_view json, size_t at) {
  while (at < json.size() && kSpace.find(json[at]) != std::string_view::npos) ++at;
  return at;
}

/// Behind the value that begins at `at`.
size_t skip_value(std::string_view json, size_t at) {
  int depth = 0;
  while (at < json.size()) {
    const char c = json[at];
    if (c == '"') {
      at = skip_string(json, at);
      if (depth == 0) return at;
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) return at;
    ++at;
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return at;
  }
  return at;
}

bool is_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

/// Bytes that are no UTF-8 as U+FFFD.
std::string utf8_of(std::string_view text) {
  const std::string quoted = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return nlohmann::json::parse(quoted).get<std::string>();
}

void replace_lone_surrogates(std::string& out) {
  const std::string json = out;
  const auto code_at = [&](size_t slash) {
    return json.compare(std::min(slash, json.size()), 2, "\\u") == 0 ? hex4(json, slash + 2) : -1;
  };
  for (size_t at = json.find('\\'); at < json.size(); at = json.find('\\', at)) {
    const int32_t code = code_at(at);
    if (code < 0xD800 || code >= 0xE000) {
      at += 2;
      continue;
    }
    const int32_t low = code_at(at + 6);
    const bool pair = code < 0xDC00 && low >= 0xDC00 && low < 0xE000;
    if (!pair) out.replace(at, 6, "\\ufffd");
    at += pair ? 12 : 6;
  }
}

/// `written`: the numbers stay as they are.
nlohmann::ordered_json read(std::string_view text, bool written) {
  const std::string_view numbers = written ? text : std::string_view{};
  nlohmann::ordered_json tree = json_tree(text, numbers);
  if (!tree.is_discarded()) return tree;
  const std::string mended = mended_json(text);
  return mended.empty() ? tree : json_tree(mended, numbers);
}

}  // namespace

size_t skip_string(std::string_view json, size_t at) {
  for (++at; at < json.size() && json[at] != '"'; ++at)
    if (json[at] == '\\') ++at;
  return at + 1;
}

std::string mended_json(std::string_view json) {
  std::string out = is_utf8(json) ? std::string(json) : utf8_of(json);
  replace_lone_surrogates(out);
  round_numbers(out);
  if (out == json) out.clear();
  return out;
}

nlohmann::ordered_json parse_json(std::string_view text) {
  return read(text, false);
}

nlohmann::ordered_json parse_written(std::string_view text) {
  return read(text, true);
}

std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return text;
}

std::string json_text(const nlohmann::ordered_json& json) {
  std::string out;
  append_json(json, out);
  return out;
}

void append_json(const nlohmann::ordered_json& json, std::string& out) {  // NOLINT(misc-no-recursion)
  using Type = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Type::object: {
      char before = '{';
      for (const auto& [name, value] : json.get_ref<const nlohmann::ordered_json::object_t&>()) {
        out.push_back(std::exchange(before, ','));
        append_quoted(name, out);
        out.push_back(':');
        append_json(value, out);
      }
      out.append(before == '{' ? "{}" : "}");
      break;
    }
    case Type::array: {
      char before = '[';
      for (const auto& element : json.get_ref<const nlohmann::ordered_json::array_t&>()) {
        out.push_back(std::exchange(before, ','));
        append_json(element, out);
      }
      out.append(before == '[' ? "[]" : "]");
      break;
    }
    case Type::string:
      append_quoted(json.get_ref<const std::string&>(), out);
      break;
    case Type::boolean:
      out.append(json.get<bool>() ? "true" : "false");
      break;
    case Type::number_integer:
      out.append(std::to_string(json.get<int64_t>()));
      break;
    case Type::number_unsigned:
      out.append(std::to_string(json.get<uint64_t>()));
      break;
    case Type::binary: {
      const auto& written = json.get_binary();
      out.append(written.begin(), written.end());
      break;
    }
    default:
      out.append(json.dump());
  }
}

bool append_unescaped(std::string_view inside, std::string& out) {
  // Most pieces of a stream are plain ASCII: one look and one copy.
  if (std::all_of(inside.begin(), inside.end(),
                  [](char c) { return static_cast<signed char>(c) >= ' ' && c != '\\'; })) {
    out.append(inside);
    return true;
  }
  if (std::any_of(inside.begin(), inside.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }))
    return false;
  if (!is_utf8(inside)) return append_unescaped(utf8_of(inside), out);
  for (size_t at = 0; at < inside.size();) {
    const size_t slash = inside.find('\\', at);
    out.append(inside.substr(at, slash - at));
    if (slash == std::string_view::npos) return true;
    if (slash + 1 >= inside.size()) return false;
    at = slash + 2;
    switch (inside[slash + 1]) {
      case 'n':
        out.push_back('\n');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 'b':
        out.push_back('\b');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case '"':
      case '\\':
      case '/':
        out.push_back(inside[slash + 1]);
        break;
      case 'u':
        if (!append_unicode(inside, at, out)) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

void append_quoted(std::string_view text, std::string& out) {
  // Most pieces of a stream are plain ASCII: one look and one copy.
  const auto plain = [](char c) { return c >= ' ' && c < 127 && c != '"' && c != '\\'; };
  if (std::all_of(text.begin(), text.end(), plain)) {
    out.push_back('"');
    out.append(text).push_back('"');
    return;
  }
  if (!is_utf8(text)) {
    out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return;
  }
  constexpr char kHex[] = "0123456789abcdef";
  out.push_back('"');
  size_t from = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= ' ' && c != '"' && c != '\\') continue;
    out.append(text.substr(from, i - from));
    from = i + 1;
    out.push_back('\\');
    if (c == '\n') {
      out.push_back('n');
    } else if (c == '\t') {
      out.push_back('t');
    } else if (c == '\r') {
      out.push_back('r');
    } else if (c < ' ') {
      out.append("u00").push_back(kHex[c >> 4]);
      out.push_back(kHex[c & 15]);
    } else {
      out.push_back(static_cast<char>(c));
    }
  }
  out.append(text.substr(from)).push_back('"');
}

std::string without_members(std::string_view json, std::initializer_list<std::string_view> names,
                            const std::function<void(std::string_view name, std::string_view value)>& took) {
  size_t from = json.find('{') + 1;  // of a member, with the white space before it
  std::string out(json.substr(0, from));
  const size_t opened = out.size();
  size_t at = skip_space(json, from);
  while (at < json.size() && json[at] == '"') {
    const size_t key = at;
    at = skip_string(json, at);
    const std::string_view name = json.substr(key + 1, at - key - 2);
    const size_t value = skip_space(json, skip_space(json, at) + 1);  // behind the colon
    const size_t end = skip_value(json, value);
    at = skip_space(json, end);
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      if (out.size() > opened) out.push_back(',');
      out.append(json.substr(from, at - from));
    } else if (took) {
      took(name, json.substr(value, end - value));
    }
    if (at >= json.size() || json[at] != ',') break;
    from = at + 1;
    at = skip_space(json, from);
  }
  return out.append(json.substr(std::min(at, json.size())));
}

}  // namespace weir::providers
