#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "engine/ops/quantized.h"
#include "engine/ops/simd.h"
#include "engine/ops/widen_row.h"

namespace weir::engine {
namespace {

constexpr float kSteps = 127.0F;
constexpr float kMagic = 12582912.0F;  // 1.5 · 2^23: adding it rounds to an integer held in the low bits
constexpr float kTiny = 1e-30F;        // a row of less is a row of zeros: its inverse would not be finite
constexpr size_t kHugePage = 2U << 20;

int64_t panels_of(int64_t outputs) {
  return (outputs + kPanelOutputs - 1) / kPanelOutputs;
}

int64_t quads_of(int64_t inputs) {
  return (inputs + kQuad - 1) / kQuad;
}

/// The largest |x|, and 0 or NaN in `poison` as every x is finite or not.
template <int L>
WEIR_INLINE float largest(const float* x, int64_t width, float& poison) {
  using F = typename simd::Lanes<L>::F;
  F max{};
  F zeros{};
  F v;
  for (int64_t i = 0; i < width; i += L) {
    if (i + L <= width) {
      simd::load<L>(v, x + i);
    } else {
      simd::load_tail<L>(v, x + i, width - i);
    }
    const F magnitude = v < 0.0F ? -v : v;
    max = magnitude > max ? magnitude : max;
    zeros += v * 0.0F;
  }
  float result = 0.0F;
  for (int lane = 0; lane < L; ++lane) result = max[lane] > result ? max[lane] : result;
  poison = simd::sum_lanes<L>(zeros);
  return result;
}

template <int L>
WEIR_INLINE void row(const float* x, int64_t width, uint8_t* values, float* scale) {
  using F = typename simd::Lanes<L>::F;
  using U = typename simd::Lanes<L>::U;
  typedef uint8_t B __attribute__((vector_size(L)));
  float poison = 0.0F;
  const float max = largest<L>(x, width, poison);
  const bool zero = max < kTiny;
  *scale = (zero ? 0.0F : max / kSteps) + poison;
  const float inverse = zero ? 0.0F : kSteps / max;
  F v;
  U bits;
  for (int64_t i = 0; i < width; i += L) {
    const int64_t count = width - i < L ? width - i : L;
    if (count == L) {
      simd::load<L>(v, x + i);
    } else {
      simd::load_tail<L>(v, x + i, count);
    }
    v = v * inverse + kMagic;
    std::memcpy(&bits, &v, sizeof bits);
    const B bytes = __builtin_convertvector(bits + 128U, B);
    std::memcpy(values + i, &bytes, static_cast<size_t>(count));
  }
}

void row_base(const float* x, int64_t width, uint8_t* values, float* scale) {
  row<4>(x, width, values, scale);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 void row_avx2(const float* x, int64_t width, uint8_t* values, float* scale) {
  row<8>(x, width, values, scale);
}
WEIR_TARGET_AVX512 void row_avx512(const float* x, int64_t width, uint8_t* values, float* scale) {
  row<16>(x, width, values, scale);
}
#endif

}  // namespace

QuantizeRow quantize_row_kernel([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::avx512) return &row_avx512;
  if (isa == Isa::avx2) return &row_avx2;
#endif
  return &row_base;
}

void quantize_rows_cpu(ThreadPool& pool, const QuantizeRowsArgs& args) {
  quantize_rows_cpu(pool, args, best_isa());
}

void quantize_rows_cpu(ThreadPool& pool, const QuantizeRowsArgs& args, Isa isa) {
  const QuantizeRow kernel = quantize_row_kernel(isa);
  const int64_t grain = 64 * 1024 / (args.width + 1) + 1;
  pool.run(args.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      kernel(args.x + r * args.width, args.width, args.to.values + r * args.to.stride, args.to.scales + r);
    }
  });
}

std::optional<PackedWeight> allocate_weight(size_t bytes) {
  PackedWeight packed;
  packed.bytes = bytes;
  const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  const size_t size = (bytes + alignment - 1) / alignment * alignment;
  packed.memory.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, size)));
  if (packed.memory == nullptr) return std::nullopt;
  // Fewer pages mean fewer misses of the TLB while a product streams; the kernel may decline.
  if (alignment == kHugePage) madvise(packed.memory.get(), size, MADV_HUGEPAGE);
  std::memset(packed.memory.get(), 0, size);
  return packed;
}

std::optional<PackedWeight> allocate_packed(int64_t rows, int64_t cols) {
  const auto outputs = static_cast<size_t>(panels_of(rows) * kPanelOutputs);
  const size_t weights = outputs * static_cast<size_t>(quads_of(cols) * kQuad);
  std::optional<PackedWeight> packed = allocate_weight(weights + outputs * (sizeof(float) + sizeof(int32_t)));
  if (!packed) return std::nullopt;
  std::byte* base = packed->memory.get();
  packed->tensor = {.data = base,
                    .dtype = DType::i8,
                    .rows = rows,
                    .cols = cols,
                    .scales = reinterpret_cast<const float*>(base + weights),
                    .sums = reinterpret_cast<const int32_t*>(base + weights + outputs * sizeof(float))};
  return packed;
}

namespace {

/// Lays a row of integers [quads · 4] into its panel.
void lay(const PackedWeight& packed, int64_t output, const int8_t* row, float scale) {
  const int64_t quads = quads_of(packed.tensor.cols);
  int8_t* to = reinterpret_cast<int8_t*>(packed.memory.get()) + output / kPanelOutputs * quads * kPanelOutputs * kQuad +
               output % kPanelOutputs * kQuad;
  int32_t sum = 0;
  for (int64_t q = 0; q < quads; ++q, row += kQuad, to += kPanelOutputs * kQuad) {
    std::memcpy(to, row, kQuad);
    sum += row[0] + row[1] + row[2] + row[3];
  }
  const_cast<float*>(packed.tensor.scales)[output] = scale;
  const_cast<int32_t*>(packed.tensor.sums)[output] = sum;
}

}  // namespace

bool quantize_row_int8(const float* x, int64_t width, int8_t* values, float* scale) {
  auto* bytes = reinterpret_cast<uint8_t*>(values);
  quantize_row_kernel(best_isa())(x, width, bytes, scale);
  for (int64_t i = 0; i < width; ++i) bytes[i] ^= 0x80U;  // q + 128 to q
  return std::isfinite(*scale);
}

bool pack_outputs(const Tensor& weight, int64_t begin, int64_t end, const PackedWeight& packed) {
  std::vector<float> wide(static_cast<size_t>(weight.cols));
  std::vector<int8_t> row(static_cast<size_t>(quads_of(weight.cols) * kQuad));
  const bool ready = weight.dtype == DType::i8_rows;
  for (int64_t output = begin; output < end; ++output) {
    float scale = 0.0F;
    if (ready) {
      const auto* from = static_cast<const int8_t*>(weight.data) + output * weight.cols;
      std::memcpy(row.data(), from, static_cast<size_t>(weight.cols));
      scale = weight.scales[output];
      if (!std::isfinite(scale)) return false;
    } else {
      widen_row(weight, output, wide.data());
      if (!quantize_row_int8(wide.data(), weight.cols, row.data(), &scale)) return false;
    }
    lay(packed, output, row.data(), scale);
  }
  return true;
}

}  // namespace weir::engine
