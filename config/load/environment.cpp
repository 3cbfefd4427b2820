#include "config/load/environment.h"

#include <array>
#include <optional>
#include <utility>

namespace weir::config {
namespace {

// 0x04 is left out: yaml-cpp reads it as the end of its stream.
constexpr std::array<std::pair<char, char>, 9> kMasks = {{{'{', '\x01'},
                                                          {'}', '\x02'},
                                                          {',', '\x03'},
                                                          {'[', '\x05'},
                                                          {']', '\x06'},
                                                          {':', '\x07'},
                                                          {'#', '\x08'},
                                                          {' ', '\x0e'},
                                                          {'\t', '\x0f'}}};

bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool continues_name(char c) {
  return starts_name(c) || (c >= '0' && c <= '9');
}

struct Reference {
  std::string_view name;
  bool has_default = false;
  std::string_view fallback;
  size_t length = 0;  // of the whole "${…}"
};

/// The reference at the start of `text` (which begins with "${"), or none if it is malformed.
std::optional<Reference> parse_reference(std::string_view text) {
  Reference reference;
  size_t at = 2;
  if (at >= text.size() || !starts_name(text[at])) return std::nullopt;
  while (at < text.size() && continues_name(text[at])) ++at;
  reference.name = text.substr(2, at - 2);
  if (text.substr(at).starts_with(":-")) {
    reference.has_default = true;
    const size_t end = text.find_first_of("{}\n", at + 2);
    if (end == std::string_view::npos) return std::nullopt;
    reference.fallback = text.substr(at + 2, end - at - 2);
    at = end;
  }
  if (at >= text.size() || text[at] != '}') return std::nullopt;
  reference.length = at + 1;
  return reference;
}

/// What one walk over a document carries along.
struct Expansion {
  const Environment& environment;
  Report& report;
  size_t bytes_left = kExpansionBytesMax;
};

void expand_value(Node& node, const std::string& path, Expansion& expansion) {
  const std::string_view written = node.text;
  if (written.find("${") == std::string_view::npos) return;
  auto& report = expansion.report;
  std::string out;
  bool referred = false;
  for (size_t at = 0; at < written.size();) {
    if (written.substr(at).starts_with("$${")) {
      out += "${";
      at += 3;
      continue;
    }
    if (!written.substr(at).starts_with("${")) {
      out += written[at++];
      continue;
    }
    const auto reference = parse_reference(written.substr(at));
    if (!reference) {
      report.mistake(node.mark, path,
                     "malformed environment reference; write ${NAME} or ${NAME:-default}, and $${ for a literal ${");
      node.unusable = true;
      return;
    }
    const std::string name(reference->name);
    auto value = expansion.environment(name);
    // As in a shell, ":-" also stands in for a variable that is set to nothing.
    if (reference->has_default && (!value || value->empty())) value = std::string(reference->fallback);
    if (!value) {
      std::string why = "environment variable ";
      why.append(name).append(" is not set; export it, or write ${").append(name).append(":-default}");
      report.mistake(node.mark, path, std::move(why));
      node.unusable = true;
    } else if (out.size() + value->size() > kValueBytesMax || value->size() > expansion.bytes_left) {
      report.mistake(node.mark, path, "environment variable " + name + " is longer than a value may be");
      node.unusable = true;
    } else {
      expansion.bytes_left -= value->size();
      out += *value;
    }
    referred = true;
    at += reference->length;
  }
  if (referred) node.reference = node.text;
  node.text = std::move(out);
}

void expand_below(Node& node, const std::string& path, Expansion& expansion) {
  if (node.kind == Node::Kind::scalar) expand_value(node, path, expansion);
  for (size_t i = 0; i < node.values.size(); ++i) {
    const bool map = node.kind == Node::Kind::map;
    expand_below(node.values[i], map ? path_of(path, node.keys[i].text) : path + '[' + std::to_string(i) + ']',
                 expansion);
  }
}

/// How much of what begins with "${" YAML must not see: all of a reference, also of a malformed one whose end can be
/// told, so that expansion and not YAML says what is wrong with it; else the brace alone.
size_t masked_length(std::string_view text) {
  // A quote inside would end the quoted scalar around it, for YAML as for the reader: left as it stands.
  constexpr std::string_view kQuotes = "'\"\\";
  if (const auto reference = parse_reference(text))
    return reference->fallback.find_first_of(kQuotes) == std::string_view::npos ? reference->length : 0;
  int depth = 0;
  for (size_t i = 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] == '{') ++depth;
    if (text[i] == '}' && --depth == 0) return i + 1;
    const bool next_entry = text[i] == ',' || (text[i] == ':' && text.substr(i + 1, 1) == " ");
    if (next_entry || kQuotes.find(text[i]) != std::string_view::npos) break;
  }
  return 2;
}

}  // namespace

void mask_references(std::string& text) {
  for (size_t at = text.find("${"); at != std::string::npos; at = text.find("${", at + 1)) {
    const size_t length = masked_length(std::string_view(text).substr(at));
    for (size_t i = at; i < at + length; ++i)
      for (const auto& [plain, mask] : kMasks)
        if (text[i] == plain) text[i] = mask;
  }
}

void unmask_references(std::string& text) {
  for (char& c : text)
    for (const auto& [plain, mask] : kMasks)
      if (c == mask) c = plain;
}

void expand_references(Node& document, const Environment& environment, Report& report) {
  Expansion expansion{environment, report};
  expand_below(document, "", expansion);
}

}  // namespace weir::config
