#include <algorithm>
#include <cmath>

#include "engine/ops/activation.h"

namespace weir::engine {
namespace {

float gelu(float x) {
  return 0.5F * x * (1.0F + std::erf(x * 0.70710678118654752F));
}

float gelu_tanh(float x) {
  constexpr float kRootOfTwoOverPi = 0.79788456080286536F;
  return 0.5F * x * (1.0F + std::tanh(kRootOfTwoOverPi * (x + 0.044715F * x * x * x)));
}

}  // namespace

void activation_cpu(ThreadPool& pool, const ActivationArgs& args) {
  pool.run(args.count, 4096, [&](int64_t begin, int64_t end) {
    float* x = args.x;
    switch (args.function) {
      case Activation::gelu:
        for (int64_t i = begin; i < end; ++i) x[i] = gelu(x[i]);
        break;
      case Activation::gelu_tanh:
        for (int64_t i = begin; i < end; ++i) x[i] = gelu_tanh(x[i]);
        break;
      case Activation::relu:
        for (int64_t i = begin; i < end; ++i) x[i] = std::max(x[i], 0.0F);
        break;
    }
  });
}

}  // namespace weir::engine
