// Some of a text that is too long to be tokenized whole: up to kTextSampleBytes of it all of it, of a longer one pieces
// from all along it. Pure values; one request's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "providers/protocol.h"

namespace weir::gateway {

/// Less than a millisecond of a tokenizer's time.
inline constexpr size_t kTextSampleBytes = 16 * 1024;

class TextSample {
 public:
  void add(std::string_view text);
  /// Of all that was added.
  uint64_t bytes() const { return bytes_; }
  /// What was kept: the whole text, or pieces of 1 KiB at equal distances.
  std::string_view kept() const { return kept_; }

 private:
  void thin_out();

  std::string kept_;
  uint64_t bytes_ = 0;
  uint64_t stride_ = 1;  // of so many pieces one is kept
};

/// Adds what an answer of `protocol` says: text, reasoning and the arguments of calls. `json`: whole events of a
/// stream, or a whole body.
void add_answer_text(providers::Protocol protocol, bool stream, std::string_view json, TextSample& sample);

}  // namespace weir::gateway
