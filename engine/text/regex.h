// Regular expressions of tokenizer.json, which are written for Oniguruma with Unicode classes, run on PCRE2 with its
// JIT. The pattern is translated where the two differ (\s, \w, \h, \u), and refused where they cannot be made to agree.
// Classes follow the Unicode version of the installed PCRE2 (14 in Debian 12): a letter that Unicode gained later may
// be cut differently from the reference. Immutable after compile; match scratch is per thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"

struct pcre2_real_code_8;

namespace weir::engine::text {

inline constexpr size_t kPatternBytesMax = 64 * 1024;

/// A byte range [begin, end).
struct Range {
  uint32_t begin = 0;
  uint32_t end = 0;
};

class Regex {
 public:
  /// Throws LoadFailure{path, …} on a pattern that is wrong, too long, or outside what PCRE2 can express.
  static Regex compile(std::string_view pattern, const std::string& path);

  /// Every match from left to right, not overlapping; empty matches are left out. REQUIRES: text is valid UTF-8 below
  /// 4 GiB. Errors: bad_request where the pattern's effort on this text passes the match limit.
  Result<void> find_all(std::string_view text, std::vector<Range>& matches) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

/// The pattern in PCRE2's dialect. Throws LoadFailure. Visible for tests.
std::string translate_pattern(std::string_view pattern, const std::string& path);

}  // namespace weir::engine::text
