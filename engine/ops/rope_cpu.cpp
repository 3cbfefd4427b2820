#include <cmath>

#include "engine/ops/rope.h"

namespace weir::engine {

void rope_table_cpu(ThreadPool& pool, const RopeTableArgs& args) {
  pool.run(args.tokens, 32, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < args.half; ++i) {
        const double angle = static_cast<float>(args.positions[t]) * args.inverse_frequency[i];
        args.cosines[t * args.half + i] = static_cast<float>(std::cos(angle));
        args.sines[t * args.half + i] = static_cast<float>(std::sin(angle));
      }
    }
  });
}

void rope_cpu(ThreadPool& pool, const RopeArgs& args) {
  const int64_t half = args.head_dim / 2;
  pool.run(args.tokens, 32, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* cosines = args.cosines + t * half;
      const float* sines = args.sines + t * half;
      for (int64_t h = 0; h < args.heads; ++h) {
        float* x = args.x + (t * args.heads + h) * args.head_dim;
        for (int64_t i = 0; i < half; ++i) {
          const float a = x[i];
          const float b = x[i + half];
          x[i] = a * cosines[i] - b * sines[i];
          x[i + half] = b * cosines[i] + a * sines[i];
        }
      }
    }
  });
}

}  // namespace weir::engine
