#if defined(__x86_64__)
#include "engine/ops/attention_walk.h"

namespace weir::engine::attention {
namespace {

struct Avx2 {
  template <class T>
  WEIR_TARGET_AVX2 static void items(const AttentionArgs& a, const Tile* tiles, float* q, int64_t begin, int64_t end) {
    items_of<8, T>(a, tiles, q, begin, end);
  }
};

}  // namespace

Items* items_avx2(KvType type) {
  return items_for<Avx2>(type);
}

}  // namespace weir::engine::attention
#endif
