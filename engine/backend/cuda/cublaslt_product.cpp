#include "engine/backend/cuda/cublaslt_product.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "engine/backend/cuda/cublaslt_library.h"
#include "engine/backend/cuda/cublaslt_problem.h"
#include "engine/ops/cuda/rows.h"

namespace weir::engine::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{64} << 20;
constexpr size_t kVectorScalesVersion = 120'900;  // CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F, on Hopper
constexpr size_t kSumsBytes = kProductBytesMax - kWorkspaceBytes;  // of INT8 products, before their scales

#define WEIR_CUBLAS_TRY(call, what)                                                              \
  do {                                                                                           \
    if (const cublasStatus_t status_of_call = (call); status_of_call != CUBLAS_STATUS_SUCCESS) { \
      return failed(status_of_call, what);                                                       \
    }                                                                                            \
  } while (false)

/// Rows for which one choice of algorithm serves.
int64_t rounded(int64_t rows) {
  int64_t size = 32;
  while (size < rows && size < 4096) size *= 2;
  return rows <= size ? size : (rows + 2047) / 2048 * 2048;
}

class CublasLtProduct : public MatrixProduct {
 public:
  CublasLtProduct() = default;
  ~CublasLtProduct() override {
    if (handle_ != nullptr) lt_.destroy(handle_);
  }
  CublasLtProduct(const CublasLtProduct&) = delete;
  CublasLtProduct& operator=(const CublasLtProduct&) = delete;

  Result<void> start(const DeviceInfo& device) {
    auto library = CublasLtLibrary::load();
    if (!library.ok()) return library.error();
    lt_ = *library;
    has_vector_scales_ = device.major == 9 && lt_.version() >= kVectorScalesVersion;
    WEIR_CUBLAS_TRY(lt_.create(&handle_), "starting cuBLASLt");
    if (auto made = workspace_.allocate(kWorkspaceBytes, "products"); !made.ok()) return made;
    return sums_.allocate(kSumsBytes, "products of integers");
  }

  bool takes(WeightFormat weight) const override {
    return weight == WeightFormat::bf16 || weight == WeightFormat::int8 ||
           (weight == WeightFormat::fp8 && has_vector_scales_);
  }

  Result<void> multiply(cudaStream_t stream, const ProductArgs& args) override {
    if (args.w.format != WeightFormat::int8) return run(stream, args);
    const auto rows_at_once =
        std::max<int64_t>(16, static_cast<int64_t>(kSumsBytes / sizeof(int32_t)) / args.w.outputs / 16 * 16);
    for (int64_t row = 0; row < args.rows; row += rows_at_once) {
      ProductArgs part = args;
      part.rows = std::min(rows_at_once, args.rows - row);
      part.x.values = static_cast<int8_t*>(args.x.values) + row * args.w.inputs;
      part.y = sums_.as<void>();
      if (auto done = run(stream, part); !done.ok()) return done;
      const int64_t at = row * args.w.outputs * (args.floats ? 4 : 2);
      WEIR_CUDA_TRY(dequantize(stream, {.sums = sums_.as<int32_t>(),
                                        .row_scales = args.x.scales + row,
                                        .column_scales = args.w.scales,
                                        .y = static_cast<unsigned char*>(args.y) + at,
                                        .floats = args.floats,
                                        .rows = part.rows,
                                        .width = args.w.outputs}),
                    "the scales of a product");
    }
    return {};
  }

 private:
  using Key = std::tuple<WeightFormat, bool, int64_t, int64_t, int64_t>;

  Result<void> run(cudaStream_t stream, const ProductArgs& args) {
    CublasLtProblem problem{};
    WEIR_CUBLAS_TRY(problem.describe(lt_, args), "describing a product");
    const Key key{args.w.format, args.floats, args.w.outputs, args.w.inputs, rounded(args.rows)};
    const auto known = algorithms_.find(key);
    if (known != algorithms_.end()) {
      const cublasStatus_t status = queue(stream, args, problem, known->second);
      if (status == CUBLAS_STATUS_SUCCESS) return {};
      if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE)
        return failed(status, "a product");
    }
    cublasLtMatmulPreferenceOpaque_t preference{};
    WEIR_CUBLAS_TRY(lt_.preference_init(&preference, sizeof preference), "choosing an algorithm");
    const size_t bytes = kWorkspaceBytes;
    WEIR_CUBLAS_TRY(lt_.preference_set(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes),
                    "choosing an algorithm");
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    WEIR_CUBLAS_TRY(lt_.heuristic(handle_, problem.op(), &problem.weight, &problem.x, &problem.y, &problem.y,
                                  &preference, 1, &best, &found),
                    "choosing an algorithm");
    if (found == 0) return failed(CUBLAS_STATUS_NOT_SUPPORTED, "choosing an algorithm");
    algorithms_[key] = best.algo;
    WEIR_CUBLAS_TRY(queue(stream, args, problem, best.algo), "a product");
    return {};
  }

  cublasStatus_t queue(cudaStream_t stream, const ProductArgs& args, CublasLtProblem& problem,
                       const cublasLtMatmulAlgo_t& algorithm) {
    const float one = 1.0F;
    const float none = 0.0F;
    const int32_t one_integer = 1;
    const int32_t no_integer = 0;
    const bool integers = args.w.format == WeightFormat::int8;
    const void* alpha = integers ? static_cast<const void*>(&one_integer) : &one;
    const void* beta = integers ? static_cast<const void*>(&no_integer) : &none;
    return lt_.matmul(handle_, problem.op(), alpha, args.w.values, &problem.weight, args.x.values, &problem.x, beta,
                      args.y, &problem.y, args.y, &problem.y, &algorithm, workspace_.as<void>(), kWorkspaceBytes,
                      stream);
  }

  Error failed(cublasStatus_t status, const std::string& what) const {
    return Error{.kind = ErrorKind::internal,
                 .source = "engine",
                 .retry = Retry::other_target,
                 .detail = "the GPU failed: " + what + ": " + lt_.status_name(status)};
  }

  CublasLtLibrary lt_;
  cublasLtHandle_t handle_ = nullptr;
  bool has_vector_scales_ = false;
  DeviceMemory workspace_;
  DeviceMemory sums_;
  std::map<Key, cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace

Result<std::unique_ptr<MatrixProduct>> make_cublaslt_product(const DeviceInfo& device) {
  auto product = std::make_unique<CublasLtProduct>();
  if (auto started = product->start(device); !started.ok()) return started.error();
  return std::unique_ptr<MatrixProduct>(std::move(product));
}

}  // namespace weir::engine::cuda
