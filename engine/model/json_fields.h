// Typed reading of a model's JSON object, where the first mistake is kept and named by file and key. One owner.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include "config/base/json.h"

#include "config/base/result.h"
#include "engine/model/model_files.h"

namespace weir::engine {

// Bounds that no model comes near, small enough that no product of three of them overflows 63 bits.
inline constexpr int64_t kWidthMax = 1 << 20;
inline constexpr int64_t kLayersMax = 4096;
inline constexpr int64_t kVocabMax = 1 << 24;

/// The object a model's file holds. Errors: those of ModelFiles::open, and config where it is not a JSON object.
Result<nlohmann::json> read_json_object(const ModelFiles& files, std::string_view name, uint64_t bytes_max);

class JsonFields {
 public:
  /// `object` outlives this and is a JSON object; `prefix` comes before every key in messages ("rope_scaling.").
  JsonFields(std::string file, const nlohmann::json& object, std::string prefix = {});

  /// The value of a key that must be there, within [min, max]. After a mistake: min.
  int64_t integer(const char* key, int64_t min, int64_t max);
  /// The same where an absent key or null means `otherwise`.
  int64_t integer_or(const char* key, int64_t min, int64_t max, int64_t otherwise);
  double number_or(const char* key, double min, double max, double otherwise);
  bool boolean_or(const char* key, bool otherwise);
  std::string text_or(const char* key, const std::string& otherwise);

  /// Is the key there, be it null?
  bool has(const char* key) const { return object_.contains(key); }
  /// The value if the key is there and not null.
  const nlohmann::json* find(const char* key) const;
  void fail(const std::string& key, const std::string& what);
  /// Keeps a mistake that the reader of a nested object met.
  void adopt(const Error& error) {
    if (!error_) error_ = error;
  }

  const std::string& file() const { return file_; }
  const std::optional<Error>& error() const { return error_; }

 private:
  std::string file_;
  const nlohmann::json& object_;
  std::string prefix_;
  std::optional<Error> error_;
};

}  // namespace weir::engine
