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
      if (__builtin_cpu_supports("avx512vnni")) found.push_back(Isa::avx512_vnni);
    }
#endif
    return found;
  }();
  return kFound;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::base:
      return "base";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_vnni:
      return "avx512_vnni";
  }
  return "base";
}

}  // namespace weir::engine
