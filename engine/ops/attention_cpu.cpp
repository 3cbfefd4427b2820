#include <algorithm>
#include <vector>

#include "engine/ops/attention_walk.h"

namespace weir::engine {
namespace {

using attention::Tile;

struct Base {
  template <class T>
  static void items(const AttentionArgs& a, const Tile* tiles, float* q, int64_t begin, int64_t end) {
    attention::items_of<4, T>(a, tiles, q, begin, end);
  }
};

std::vector<Tile> tiles_of(const AttentionArgs& a) {
  const int64_t tokens_max = std::max<int64_t>(1, attention::kQueries / (a.heads / a.layout.kv_heads));
  std::vector<Tile> tiles;
  for (int64_t t = 0; t < a.tokens; ++t) {
    const bool joins = !tiles.empty() && tiles.back().count < tokens_max && a.row_of_token[t] == a.row_of_token[t - 1];
    if (joins) {
      ++tiles.back().count;
    } else {
      tiles.push_back({t, 1});
    }
  }
  return tiles;
}

}  // namespace

void attention_cpu(ThreadPool& pool, const AttentionArgs& args) {
  attention_cpu(pool, args, best_isa());
}

void attention_cpu(ThreadPool& pool, const AttentionArgs& args, [[maybe_unused]] Isa isa) {
  attention::Items* kernel = attention::items_for<Base>(args.layout.type);
#if defined(__x86_64__)
  if (isa == Isa::avx2) kernel = attention::items_avx2(args.layout.type);
  if (isa >= Isa::avx512) kernel = attention::items_avx512(args.layout.type);
#endif
  const std::vector<Tile> tiles = tiles_of(args);
  // Context lengths differ, so ranges are small and claimed as threads come free; but a range should still be worth it.
  int64_t work = 1;
  for (int64_t t = 0; t < args.tokens; ++t) {
    work += args.window > 0 ? std::min<int64_t>(args.attends[t], args.window) : args.attends[t];
  }
  const int64_t items = static_cast<int64_t>(tiles.size()) * args.layout.kv_heads;
  const int64_t per_item = work * args.heads * args.layout.head_dim / std::max<int64_t>(items, 1) + 1;
  const int64_t grain = std::max<int64_t>(1, 512 * 1024 / per_item);
  pool.run(items, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> q(static_cast<size_t>(args.layout.head_dim * attention::kQueries));
    kernel(args, tiles.data(), q.data(), begin, end);
  });
}

}  // namespace weir::engine
