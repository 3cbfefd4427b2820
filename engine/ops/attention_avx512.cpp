#if defined(__x86_64__)
#include "engine/ops/attention_walk.h"

namespace weir::engine::attention {
namespace {

struct Avx512 {
  template <class T>
  WEIR_TARGET_AVX512 static void items(const AttentionArgs& a, const Tile* tiles, float* q, int64_t begin,
                                       int64_t end) {
    items_of<16, T>(a, tiles, q, begin, end);
  }
};

}  // namespace

Items* items_avx512(KvType type) {
  return items_for<Avx512>(type);
}

}  // namespace weir::engine::attention
#endif
