// Scores a tokenizer against recorded vectors in llama.cpp's text format, for tests and for the command line. Pure.
#pragma once

#include <string>
#include <string_view>

#include "config/base/result.h"
#include "engine/text/tokenizer.h"

namespace weir::engine {

struct VectorScore {
  int passed = 0;
  int total = 0;
  std::string first_difference;  // text, ids wanted and ids made, of the first vector that failed; "" if none did

  /// "47/47"
  std::string to_string() const { return std::to_string(passed) + "/" + std::to_string(total); }
};

/// `texts`: the inputs, separated by the line __ggml_vocab_test__ (the line breaks around it belong to the separator).
/// `ids`: one line for each input, decimal ids between blanks, no special tokens added; an input without tokens has an
/// empty line. Errors: bad_request where the two do not fit together or an id is no number.
Result<VectorScore> score_vectors(const Tokenizer& tokenizer, std::string_view texts, std::string_view ids);

}  // namespace weir::engine
