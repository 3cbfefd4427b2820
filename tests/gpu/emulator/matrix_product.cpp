#include "tests/gpu/emulator/matrix_product.h"

#include <vector>

#include "engine/backend/cuda/device.h"
#include "engine/ops/cuda/numbers.h"

namespace weir::engine::cuda {
namespace {

/// Row `row` of numbers in a format, times their scale.
template <class Format>
void widen_row(const void* values, const float* scales, Format format, int64_t row, int64_t width,
               std::vector<double>& to) {
  to.resize(static_cast<size_t>(width));
  const double scale = scales != nullptr ? static_cast<double>(scales[row]) : 1.0;
  for (int64_t i = 0; i < width; ++i) {
    const int64_t at = row * width + i;
    float x = 0;
    if (format == Format::bf16) {
      x = widen(static_cast<const Bf16*>(values)[at]);
    } else if (format == Format::fp8) {
      x = widen(static_cast<const Fp8*>(values)[at]);
    } else {
      x = widen(static_cast<const int8_t*>(values)[at]);
    }
    to[static_cast<size_t>(i)] = static_cast<double>(x) * scale;
  }
}

void multiply_now(const ProductArgs& args) {
  std::vector<std::vector<double>> x(static_cast<size_t>(args.rows));
  for (int64_t r = 0; r < args.rows; ++r) {
    widen_row(args.x.values, args.x.scales, args.x.format, r, args.w.inputs, x[static_cast<size_t>(r)]);
  }
  std::vector<double> w;
  for (int64_t o = 0; o < args.w.outputs; ++o) {
    widen_row(args.w.values, args.w.scales, args.w.format, o, args.w.inputs, w);
    for (int64_t r = 0; r < args.rows; ++r) {
      double sum = 0;
      for (size_t i = 0; i < w.size(); ++i) sum += x[static_cast<size_t>(r)][i] * w[i];
      const int64_t at = r * (args.y_stride == 0 ? args.w.outputs : args.y_stride) + o;
      if (args.floats) {
        static_cast<float*>(args.y)[at] = static_cast<float>(sum);
      } else {
        static_cast<Bf16*>(args.y)[at] = to_bf16(static_cast<float>(sum));
      }
    }
  }
}

bool multiples_of(int64_t step, const ProductArgs& args) {
  const int64_t stride = args.y_stride == 0 ? args.w.outputs : args.y_stride;
  return args.w.outputs % step == 0 && args.w.inputs % step == 0 && stride % step == 0;
}

/// Does cuBLASLt have a kernel for it? Integers want multiples of four, FP8 sixteen bytes of every matrix.
/// https://docs.nvidia.com/cuda/cublas/#cublasltmatmul
bool has_kernel(const ProductArgs& args) {
  if (args.w.format == WeightFormat::int8) return multiples_of(4, args);
  return args.w.format == WeightFormat::bf16 || multiples_of(16, args);
}

class EmulatedProduct : public MatrixProduct {
 public:
  bool takes(WeightFormat weight) const override {
    return weight != WeightFormat::int4 && weight != WeightFormat::fp8_groups;
  }
  Result<void> multiply(cudaStream_t stream, const ProductArgs& args) override {
    if (!has_kernel(args)) {
      return Error{.kind = ErrorKind::internal,
                   .source = "engine",
                   .detail = "the GPU failed: choosing an algorithm: CUBLAS_STATUS_NOT_SUPPORTED"};
    }
    WEIR_CUDA_TRY(simt::enqueue(stream,
                                [args] {
                                  multiply_now(args);
                                  return cudaSuccess;
                                }),
                  "a product");
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<MatrixProduct>> make_emulated_product(const DeviceInfo&) {
  return std::unique_ptr<MatrixProduct>(std::make_unique<EmulatedProduct>());
}

}  // namespace weir::engine::cuda
