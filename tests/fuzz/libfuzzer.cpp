// One target under libFuzzer; WEIR_FUZZ_TARGET says which. `TARGET --corpus FOLDER` writes what it begins with, a file
// an input, and ends.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "tests/fuzz/targets.h"

using namespace weir::fuzz;

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc != 3 || std::strcmp((*argv)[1], "--corpus") != 0) return 0;
  for (const std::string& input : corpus(WEIR_FUZZ_TARGET)) {
    char name[24];
    std::snprintf(name, sizeof name, "/%016llx", static_cast<unsigned long long>(hash(input)));
    std::ofstream((*argv)[2] + std::string(name), std::ios::binary) << input;
  }
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  WEIR_FUZZ_TARGET.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
