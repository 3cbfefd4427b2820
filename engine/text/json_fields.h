// Reading typed fields out of a tokenizer's JSON with the path at hand, so that every mistake names its place. Loading
// a model is start-up: inside this folder a mistake is thrown as LoadFailure, and Tokenizer::parse turns it into an
// Error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include "config/base/json.h"

namespace weir::engine::text {

/// A mistake in a model file: the JSON path ("model.merges[7]") and what is wrong there.
struct LoadFailure {
  std::string path;
  std::string what;
};

/// A JSON value and its path. Borrows the document.
class JsonField {
 public:
  JsonField(const nlohmann::json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  [[noreturn]] void fail(std::string what) const { throw LoadFailure{path_, std::move(what)}; }

  /// The member, or nothing if it is absent or null. REQUIRES nothing: a non-object fails.
  std::optional<JsonField> find(const std::string& key) const {
    if (!value_->is_object()) fail("must be an object");
    const auto it = value_->find(key);
    if (it == value_->end() || it->is_null()) return std::nullopt;
    return JsonField(*it, path_.empty() ? key : path_ + "." + key);
  }
  JsonField at(const std::string& key) const {
    auto field = find(key);
    if (!field) throw LoadFailure{path_.empty() ? key : path_ + "." + key, "is missing"};
    return *std::move(field);
  }
  size_t size() const {
    if (!value_->is_array()) fail("must be an array");
    return value_->size();
  }
  /// An element of an array that may be shorter.
  JsonField item_at(size_t i) const {
    if (i >= size()) fail("must have at least " + std::to_string(i + 1) + " elements");
    return item(i);
  }
  JsonField item(size_t i) const { return {(*value_)[i], path_ + "[" + std::to_string(i) + "]"}; }

  std::string text() const {
    if (!value_->is_string()) fail("must be a string");
    return value_->get<std::string>();
  }
  bool boolean() const {
    if (!value_->is_boolean()) fail("must be true or false");
    return value_->get<bool>();
  }
  /// A whole number in [0, max].
  int64_t whole(int64_t max) const {
    if (!value_->is_number_unsigned() || value_->get<uint64_t>() > static_cast<uint64_t>(max)) {
      fail("must be a whole number from 0 to " + std::to_string(max));
    }
    return value_->get<int64_t>();
  }
  bool boolean_or(const std::string& key, bool otherwise) const {
    const auto field = find(key);
    return field ? field->boolean() : otherwise;
  }

 private:
  const nlohmann::json* value_;
  std::string path_;
};

}  // namespace weir::engine::text
