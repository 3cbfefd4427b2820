// A typed view of the document: a Cursor stands on one value and knows its path; a MapReader takes the keys of a map
// one by one, says what is wrong with each value, and at the end which keys nobody asked for. Mistakes go to the Report
// and reading goes on, so that one run finds them all. REQUIRES: document and report outlive both. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/secret.h"
#include "config/load/document.h"
#include "config/load/report.h"

namespace weir::config {

class Cursor {
 public:
  /// `owner`: the place of the key that the value belongs to; of the value itself in a list.
  Cursor(const Node& node, std::string path, Mark owner, Report& report);

  const Node& node() const { return *node_; }
  const std::string& path() const { return path_; }
  Report& report() const { return *report_; }
  Mark owner() const { return owner_; }

  void mistake(std::string message) const { report_->mistake(node_->mark, path_, std::move(message)); }
  /// The value for a message: quoted and shortened; `the value of "${NAME}"` where it came from the environment.
  std::string shown() const;

  /// Each gives nothing, and a mistake, if the value is of another kind. Bounds are inclusive.
  std::optional<std::string> text(std::string_view wanted = "text") const;
  std::optional<int64_t> integer(int64_t min, int64_t max) const;
  std::optional<std::chrono::milliseconds> duration(std::chrono::milliseconds min, std::chrono::milliseconds max) const;
  std::optional<uint64_t> size(uint64_t min, uint64_t max) const;
  std::optional<bool> boolean() const;
  std::optional<std::string> choice(const std::vector<std::string>& allowed) const;
  /// A credential: printable ASCII without spaces, since it goes into a header line. Its text is in no mistake.
  std::optional<Secret> secret() const;

  /// Calls `each` for every item; a mistake if it is no list.
  void items(const std::function<void(const Cursor&)>& each) const;
  /// Calls `each` for every entry of a map of names; a bad name is a mistake and skipped. Nothing there is an empty
  /// map.
  void named(const std::function<void(const std::string& name, const Cursor&)>& each) const;

 private:
  std::optional<std::string_view> scalar(std::string_view wanted) const;

  const Node* node_;
  std::string path_;
  Mark owner_;
  Report* report_;
};

class MapReader {
 public:
  /// A mistake if the cursor stands on no map; then every key is absent and finish() says nothing.
  explicit MapReader(const Cursor& cursor);

  /// The value of the key; nothing if it is absent, or (a mistake) empty. From then on the key counts as known.
  std::optional<Cursor> get(std::string_view key);
  /// The same, and a mistake with the remedy if it is absent.
  std::optional<Cursor> require(std::string_view key, std::string_view remedy);
  /// As get, but a section whose entries are all commented out is as good as absent.
  std::optional<Cursor> section(std::string_view key);
  bool has(std::string_view key) const { return find(key) != nullptr; }

  void text(std::string_view key, std::string& out);
  void boolean(std::string_view key, bool& out);
  void duration(std::string_view key, std::chrono::milliseconds& out, std::chrono::milliseconds min,
                std::chrono::milliseconds max);
  void size(std::string_view key, uint64_t& out, uint64_t min, uint64_t max);
  template <class Int>
  void integer(std::string_view key, Int& out, int64_t min, int64_t max) {
    if (const auto cursor = get(key))
      if (const auto value = cursor->integer(min, max)) out = static_cast<Int>(*value);
  }
  template <class Int>
  void integer(std::string_view key, std::optional<Int>& out, int64_t min, int64_t max) {
    if (const auto cursor = get(key))
      if (const auto value = cursor->integer(min, max)) out = static_cast<Int>(*value);
  }

  /// Every key that was not asked for is a mistake, with the nearest known one.
  void finish();

 private:
  const Node* find(std::string_view key, size_t* index = nullptr) const;

  Cursor cursor_;
  bool is_map_;
  std::vector<std::string> known_;
};

/// Takes the text of a name that others will refer to: 1 to 128 bytes without spaces, control bytes, '*' (a pattern) or
/// any byte of `forbidden`. Nothing, or what is wrong with it.
std::optional<std::string> bad_name(std::string_view name, std::string_view forbidden);

}  // namespace weir::config
