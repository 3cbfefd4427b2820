#include "engine/ops/isa.h"

namespace weir::engine {

const std::vector<Isa>& machine_isas() {
  static const std::vector<Isa> kFound = [] {
    std::vector<Isa> found{Isa::base};
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return found;
    found.push_back(Isa::avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      found.push_back(Isa::avx512);
    }
#endif
    return found;
  }();
  return kFound;
}

}  // namespace weir::engine
