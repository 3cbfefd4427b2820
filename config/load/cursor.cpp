#include "config/load/cursor.h"

#include <algorithm>

#include "config/base/nearest.h"
#include "config/load/scalars.h"
#include "config/load/text.h"

namespace weir::config {
namespace {

constexpr size_t kTextBytesMax = 4096;
constexpr size_t kSecretBytesMax = 8192;
constexpr size_t kNameBytesMax = 128;

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return text;
}

}  // namespace

Cursor::Cursor(const Node& node, std::string path, Mark owner, Report& report)
    : node_(&node), path_(std::move(path)), owner_(owner), report_(&report) {
  report_->note(path_, node.mark, node.reference);
}

std::string Cursor::shown() const {
  if (!node_->reference.empty()) return "the value of " + in_quotes(node_->reference);
  return node_->kind == Node::Kind::scalar ? in_quotes(node_->text) : node_->kind_name();
}

std::optional<std::string_view> Cursor::scalar(std::string_view wanted) const {
  if (node_->unusable) return std::nullopt;
  if (node_->kind == Node::Kind::scalar) return node_->text;
  mistake("must be " + std::string(wanted) + ", is " + node_->kind_name());
  return std::nullopt;
}

std::optional<std::string> Cursor::text(std::string_view wanted) const {
  const auto value = scalar(wanted);
  if (!value) return std::nullopt;
  if (value->size() > kTextBytesMax) {
    mistake("must be at most " + std::to_string(kTextBytesMax) + " bytes, has " + std::to_string(value->size()));
    return std::nullopt;
  }
  if (has_control(*value)) {
    mistake("must be " + std::string(wanted) + " on one line, without control characters");
    return std::nullopt;
  }
  return std::string(*value);
}

std::optional<int64_t> Cursor::integer(int64_t min, int64_t max) const {
  const auto value = scalar("a whole number");
  if (!value) return std::nullopt;
  const auto number = parse_integer(*value);
  if (!number) {
    mistake("must be a whole number, is " + shown());
    return std::nullopt;
  }
  if (*number >= min && *number <= max) return number;
  const std::string is = node_->reference.empty() ? std::to_string(*number) : shown();
  mistake("must be " + (*number < min ? "≥ " + std::to_string(min) : "≤ " + std::to_string(max)) + ", is " + is);
  return std::nullopt;
}

std::optional<std::chrono::milliseconds> Cursor::duration(std::chrono::milliseconds min,
                                                          std::chrono::milliseconds max) const {
  const auto value = scalar("a duration such as 250ms, 10s or 1d");
  if (!value) return std::nullopt;
  const auto duration = parse_duration(*value);
  if (!duration) {
    // The commonest slip is a number without its unit.
    const bool bare = parse_integer(*value).has_value() && node_->reference.empty();
    mistake("must be a duration such as 250ms, 10s or 1d, is " + shown() +
            (bare ? "; write " + std::string(*value) + "s for seconds" : ""));
    return std::nullopt;
  }
  if (*duration >= min && *duration <= max) return duration;
  mistake("must be " + (*duration < min ? "≥ " + to_text(min) : "≤ " + to_text(max)) + ", is " +
          (node_->reference.empty() ? to_text(*duration) : shown()));
  return std::nullopt;
}

std::optional<uint64_t> Cursor::size(uint64_t min, uint64_t max) const {
  const auto value = scalar("a size such as 64KiB, 32MiB or 2GiB");
  if (!value) return std::nullopt;
  const auto bytes = parse_size(*value);
  if (!bytes) {
    mistake("must be a size such as 64KiB, 32MiB or 2GiB, is " + shown());
    return std::nullopt;
  }
  if (*bytes >= min && *bytes <= max) return bytes;
  mistake("must be " + (*bytes < min ? "≥ " + size_to_text(min) : "≤ " + size_to_text(max)) + ", is " +
          (node_->reference.empty() ? size_to_text(*bytes) : shown()));
  return std::nullopt;
}

std::optional<bool> Cursor::boolean() const {
  const auto value = scalar("true or false");
  if (!value) return std::nullopt;
  const auto answer = parse_boolean(*value);
  if (!answer) mistake("must be true or false, is " + shown());
  return answer;
}

std::optional<std::string> Cursor::choice(const std::vector<std::string>& allowed) const {
  const auto value = scalar(list_of(allowed));
  if (!value) return std::nullopt;
  if (std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return std::string(*value);
  mistake("must be " + list_of(allowed) + ", is " + shown() + did_you_mean(*value, allowed));
  return std::nullopt;
}

std::optional<Secret> Cursor::secret() const {
  const auto value = scalar("a credential as text");
  if (!value) return std::nullopt;
  const bool printable = std::all_of(value->begin(), value->end(),
                                     [](char c) { return c > 0x20 && static_cast<unsigned char>(c) < 0x7f; });
  if (!printable) {
    mistake("must be printable ASCII without spaces or line ends; check what was pasted");
    return std::nullopt;
  }
  if (value->size() > kSecretBytesMax) {
    mistake("must be at most " + std::to_string(kSecretBytesMax) + " bytes");
    return std::nullopt;
  }
  return Secret(std::string(*value));
}

void Cursor::items(const std::function<void(const Cursor&)>& each) const {
  if (node_->kind != Node::Kind::sequence) {
    mistake("must be a list, is " + std::string(node_->kind_name()) + "; write [a, b] or one \"- a\" a line");
    return;
  }
  for (size_t i = 0; i < node_->values.size(); ++i) {
    const Node& item = node_->values[i];
    each(Cursor(item, path_ + '[' + std::to_string(i) + ']', item.mark, *report_));
  }
}

void Cursor::named(const std::function<void(const std::string& name, const Cursor&)>& each) const {
  if (node_->kind == Node::Kind::null) return;  // a section whose entries are all commented out
  if (node_->kind != Node::Kind::map) {
    mistake("must be a map of names, is " + std::string(node_->kind_name()));
    return;
  }
  for (size_t i = 0; i < node_->keys.size(); ++i) {
    const Node& key = node_->keys[i];
    each(key.text, Cursor(node_->values[i], path_of(path_, key.text), key.mark, *report_));
  }
}

MapReader::MapReader(const Cursor& cursor) : cursor_(cursor), is_map_(cursor.node().kind == Node::Kind::map) {
  if (!is_map_) cursor.mistake("must be a map of keys and values, is " + std::string(cursor.node().kind_name()));
}

const Node* MapReader::find(std::string_view key, size_t* index) const {
  if (!is_map_) return nullptr;
  const Node& map = cursor_.node();
  for (size_t i = 0; i < map.keys.size(); ++i) {
    if (map.keys[i].text != key) continue;
    if (index != nullptr) *index = i;
    return &map.values[i];
  }
  return nullptr;
}

std::optional<Cursor> MapReader::get(std::string_view key) {
  known_.emplace_back(key);
  size_t index = 0;
  const Node* value = find(key, &index);
  if (value == nullptr) return std::nullopt;
  Cursor cursor(*value, path_of(cursor_.path(), key), cursor_.node().keys[index].mark, cursor_.report());
  if (value->kind == Node::Kind::null) {
    cursor.mistake("has no value; give it one or remove the key");
    return std::nullopt;
  }
  return cursor;
}

std::optional<Cursor> MapReader::section(std::string_view key) {
  const Node* value = find(key);
  if (value != nullptr && value->kind != Node::Kind::null) return get(key);
  known_.emplace_back(key);
  return std::nullopt;
}

std::optional<Cursor> MapReader::require(std::string_view key, std::string_view remedy) {
  if (is_map_ && !has(key))
    cursor_.report().mistake(cursor_.owner(), cursor_.path(), "needs " + std::string(key) + ": " + std::string(remedy));
  return get(key);
}

void MapReader::text(std::string_view key, std::string& out) {
  if (const auto cursor = get(key))
    if (auto value = cursor->text()) out = std::move(*value);
}

void MapReader::boolean(std::string_view key, bool& out) {
  if (const auto cursor = get(key))
    if (const auto value = cursor->boolean()) out = *value;
}

void MapReader::duration(std::string_view key, std::chrono::milliseconds& out, std::chrono::milliseconds min,
                         std::chrono::milliseconds max) {
  if (const auto cursor = get(key))
    if (const auto value = cursor->duration(min, max)) out = *value;
}

void MapReader::size(std::string_view key, uint64_t& out, uint64_t min, uint64_t max) {
  if (const auto cursor = get(key))
    if (const auto value = cursor->size(min, max)) out = *value;
}

void MapReader::finish() {
  if (!is_map_) return;
  for (const Node& key : cursor_.node().keys) {
    if (std::find(known_.begin(), known_.end(), key.text) != known_.end()) continue;
    std::string remedy = cursor_.report().full() ? "" : did_you_mean(key.text, known_);
    if (remedy.empty()) remedy = "; known here: " + list_of(known_);
    cursor_.report().mistake(key.mark, path_of(cursor_.path(), key.text), "unknown key" + remedy);
  }
}

std::optional<std::string> bad_name(std::string_view name, std::string_view forbidden) {
  if (name.empty()) return "the name is empty";
  if (name.size() > kNameBytesMax) return "the name is longer than " + std::to_string(kNameBytesMax) + " bytes";
  if (has_space_or_control(name)) return "the name must not hold spaces or control characters";
  const std::string bad_bytes = "*\"" + std::string(forbidden);
  if (const size_t at = name.find_first_of(bad_bytes); at != std::string_view::npos)
    return "the name must not hold '" + std::string(1, name[at]) + "'";
  return std::nullopt;
}

}  // namespace weir::config
