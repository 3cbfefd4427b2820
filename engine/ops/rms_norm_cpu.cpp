#include <cmath>

#include "engine/ops/rms_norm.h"

namespace weir::engine {
namespace {

constexpr int kLanes = 16;  // partial sums, so that the compiler may vectorise; always folded in the same order

float sum_of_squares(const float* x, int64_t width) {
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) sums[lane] += x[i + lane] * x[i + lane];
  }
  for (int lane = 0; i < width; ++i, ++lane) sums[lane] += x[i] * x[i];
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

}  // namespace

void rms_norm_cpu(ThreadPool& pool, const RmsNormArgs& args) {
  pool.run(args.rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* x = args.x + row * args.width;
      float* y = args.y + row * args.width;
      const float mean = sum_of_squares(x, args.width) / static_cast<float>(args.width);
      const float scale = 1.0F / std::sqrt(mean + args.epsilon);
      for (int64_t i = 0; i < args.width; ++i) y[i] = x[i] * scale * args.weight[i];
    }
  });
}

}  // namespace weir::engine
