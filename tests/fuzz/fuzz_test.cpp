// Every fuzz target for a moment, without libFuzzer: its corpus as it is, then changed by a seeded Mutator. The input
// being tried stands in a file until it is done with, so that whatever ends the process (a sanitizer, a failed check,
// a timeout) leaves behind what did it. WEIR_FUZZ_ROUNDS changes how many are tried, WEIR_FUZZ_SEED which;
// WEIR_FUZZ_INPUT is one file to try instead.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

namespace weir::fuzz {
namespace {

constexpr uint64_t kRounds = 1500;
constexpr std::clock_t kTargetCpuMax = CLOCKS_PER_SEC * 3 / 2;  // of a slow build: fewer rounds, not a longer test

uint64_t number_of(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// The input that is being tried, where it outlives this process.
class LastInput {
 public:
  explicit LastInput(std::string_view target)
      : path_(std::filesystem::temp_directory_path() /
              ("weir-fuzz-" + std::string(target) + "-" + std::to_string(getpid()))),
        file_(open(path_.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600)) {}
  ~LastInput() {
    close(file_);
    std::filesystem::remove(path_);
  }
  LastInput(const LastInput&) = delete;
  LastInput& operator=(const LastInput&) = delete;

  void keep(std::string_view input) {
    const bool kept =
        ftruncate(file_, 0) == 0 && pwrite(file_, input.data(), input.size(), 0) == static_cast<ssize_t>(input.size());
    ASSERT_TRUE(kept) << path_;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int file_;
};

class Fuzz : public testing::TestWithParam<const Target*> {};

TEST_P(Fuzz, HoldsForAMoment) {
  const Target& target = *GetParam();
  if (const char* file = std::getenv("WEIR_FUZZ_INPUT")) {
    std::ifstream in(file, std::ios::binary);
    target.run(std::string(std::istreambuf_iterator<char>(in), {}));
    return;
  }
  const uint64_t seed = number_of("WEIR_FUZZ_SEED", 1);
  const uint64_t rounds = number_of("WEIR_FUZZ_ROUNDS", kRounds);
  LastInput last(target.name);
  std::fprintf(stderr, "%s: should it break, its input is %s\n", std::string(target.name).c_str(), last.path().c_str());
  const auto attempt = [&](const std::string& input) {
    last.keep(input);
    target.run(input);
  };
  const std::clock_t until = std::clock() + kTargetCpuMax;
  const bool bounded = rounds == kRounds;
  const std::vector<std::string> known = corpus(target);
  for (const std::string& input : known) attempt(input);
  Mutator mutator(seed ^ hash(target.name), known, target.bytes_max);
  uint64_t tried = 0;
  while (tried < rounds && !(bounded && std::clock() > until)) {
    attempt(mutator.next());
    ++tried;
  }
  std::fprintf(stderr, "%s: %zu inputs as they are, %llu changed\n", std::string(target.name).c_str(), known.size(),
               static_cast<unsigned long long>(tried));
}

std::string name_of(const testing::TestParamInfo<const Target*>& one) {
  return std::string(one.param->name);
}
INSTANTIATE_TEST_SUITE_P(Targets, Fuzz, testing::ValuesIn(targets().begin(), targets().end()), name_of);

}  // namespace
}  // namespace weir::fuzz
