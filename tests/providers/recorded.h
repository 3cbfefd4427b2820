// A test for each recording of the corpus: which ones, their names, and the recording at hand.
#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <functional>
#include <string>
#include <vector>

#include "tests/providers/wire_corpus.h"

namespace weir::providers {

/// The corpus, read once.
inline const std::vector<Recording>& corpus() {
  static const std::vector<Recording> recordings = load_corpus(corpus_folder());
  return recordings;
}

inline bool answers_a_call_of_ours(const Recording& recording) {
  return call_of(recording).spoken();
}

/// The recordings that are wanted, for INSTANTIATE_TEST_SUITE_P.
inline std::vector<const Recording*> those(const std::function<bool(const Recording&)>& wanted) {
  std::vector<const Recording*> out;
  for (const Recording& recording : corpus())
    if (wanted(recording)) out.push_back(&recording);
  return out;
}

inline std::string test_name(const testing::TestParamInfo<const Recording*>& info) {
  std::string name = info.param->provider + "_" + info.param->name;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name + "_" + std::to_string(info.index);  // two names may differ in a sign alone
}

/// A test of one recording.
class Recorded : public testing::TestWithParam<const Recording*> {
 protected:
  const Recording& recording() const { return *GetParam(); }
  RecordedCall call() const { return call_of(recording()); }
};

}  // namespace weir::providers
