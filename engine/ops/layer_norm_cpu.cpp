#include <cmath>

#include "engine/ops/layer_norm.h"

namespace weir::engine {

void layer_norm_cpu(ThreadPool& pool, const LayerNormArgs& args) {
  const int64_t grain = 16 * 1024 / (args.width + 1) + 1;
  pool.run(args.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* x = args.x + r * args.width;
      float* y = args.y + r * args.width;
      double sum = 0.0;
      for (int64_t i = 0; i < args.width; ++i) sum += static_cast<double>(x[i]);
      const double mean = sum / static_cast<double>(args.width);
      double squares = 0.0;
      for (int64_t i = 0; i < args.width; ++i) {
        const double apart = static_cast<double>(x[i]) - mean;
        squares += apart * apart;
      }
      const double variance = squares / static_cast<double>(args.width);
      const double scale = 1.0 / std::sqrt(variance + static_cast<double>(args.epsilon));
      for (int64_t i = 0; i < args.width; ++i) {
        y[i] = static_cast<float>((static_cast<double>(x[i]) - mean) * scale) * args.weight[i] + args.bias[i];
      }
    }
  });
}

}  // namespace weir::engine
