// Which instruction set a CPU kernel runs with. Kernels choose the best one of the machine; tests run every one that
// the machine has. Pure; any thread.
#pragma once

#include <vector>

namespace weir::engine {

enum class Isa { base, avx2, avx512 };

/// Those of this machine that the kernels are compiled for, the best last.
const std::vector<Isa>& machine_isas();

inline Isa best_isa() {
  return machine_isas().back();
}

}  // namespace weir::engine
