// Which instruction set a CPU kernel runs with. Kernels choose the best one of the machine; tests run every one that
// the machine has. Pure; any thread.
#pragma once

#include <vector>

namespace weir::engine {

/// Each includes those before it. avx2: with FMA. avx512: F, BW, DQ and VL. avx512_vnni: with the 8-bit dot product.
enum class Isa { base, avx2, avx512, avx512_vnni };

/// Those of this machine that the kernels are compiled for, the best last.
const std::vector<Isa>& machine_isas();

/// "avx512_vnni".
const char* isa_name(Isa isa);

inline Isa best_isa() {
  return machine_isas().back();
}

}  // namespace weir::engine
