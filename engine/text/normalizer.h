// The "normalizer" of a tokenizer.json: what happens to text before it is split, in the file's order. Immutable after
// parse; any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/text/json_fields.h"

namespace weir::engine::text {

inline constexpr int kNestingMax = 16;                   // Sequence inside Sequence
inline constexpr size_t kNormalizedBytesMax = 1u << 30;  // a normalizer may grow text, but not without end

class NormalizerStep {
 public:
  NormalizerStep() = default;
  NormalizerStep(const NormalizerStep&) = delete;
  NormalizerStep& operator=(const NormalizerStep&) = delete;
  virtual ~NormalizerStep() = default;
  /// Rewrites valid UTF-8 into valid UTF-8.
  virtual Result<void> apply(std::string& text) const = 0;
};

/// The step of a {"type": "Replace"}, which decoders use too. Throws LoadFailure.
std::unique_ptr<NormalizerStep> make_replace(const JsonField& field);

class Normalizer {
 public:
  /// Throws LoadFailure on a type or field that is unknown or wrong.
  static Normalizer parse(const JsonField& field);

  /// Errors: too_large where the text grows past kNormalizedBytesMax, bad_request from a pattern's limit.
  Result<void> apply(std::string& text) const;
  bool empty() const { return steps_.empty(); }

 private:
  void add(const JsonField& field, int depth);

  std::vector<std::unique_ptr<NormalizerStep>> steps_;
};

}  // namespace weir::engine::text
