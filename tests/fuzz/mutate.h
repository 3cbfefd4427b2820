// Inputs out of inputs: the few changes that find most mistakes in readers of text and framed bytes. Deterministic: a
// seed names every input. Single-threaded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/base/rng.h"

namespace weir::fuzz {

class Mutator {
 public:
  Mutator(uint64_t seed, std::vector<std::string> corpus, size_t bytes_max);

  /// One of the corpus, changed in one to five places: bytes changed, put in, taken out, repeated; a word of the
  /// dictionary; a stretch of another input; a number pushed to an extreme; cut off.
  std::string next();

 private:
  void change(std::string& input);
  size_t below(size_t bound) { return bound == 0 ? 0 : rng_.next() % bound; }

  Rng rng_;
  const std::vector<std::string> corpus_;
  const size_t bytes_max_;
};

/// Words that readers look for or stumble over; libFuzzer is given the same.
const std::vector<std::string>& dictionary();

}  // namespace weir::fuzz
