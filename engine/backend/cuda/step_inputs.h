// A StepPlan as the kernels read it: a pinned buffer, copied to the device in one piece. Where each array begins
// depends on the step's shape alone, so a recorded graph finds them again in every step of that shape. There are two
// pinned buffers and one on the device: a step is laid out while the one before it is under way, and copied after it.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "config/base/result.h"
#include "engine/backend/backend.h"
#include "engine/backend/cuda/device.h"
#include "engine/ops/cuda/attention_plan.h"
#include "engine/ops/cuda/sampler.h"

namespace weir::engine::cuda {

/// Layers differ in how far they see: all see everything or one window, or some the one and some the other.
inline constexpr size_t kWindowsMax = 2;

/// Lengths of a step's arrays. A step of decoding rows alone is rounded up, so that few graphs serve all of them: what
/// is added computes nothing that anybody reads.
struct StepShape {
  struct Works {
    int32_t decode = 0;
    int32_t prefill = 0;
    int32_t merges = 0;

    bool operator==(const Works&) const = default;
  };
  int32_t tokens = 0;
  int32_t samples = 0;
  std::array<Works, kWindowsMax> works;  // of each window
  bool decoding = false;                 // one token a row: a graph may be recorded

  bool operator==(const StepShape&) const = default;
};

/// What the attention of this model looks like, for cutting rows into works.
struct AttentionShape {
  int32_t group = 1;
  std::vector<int32_t> windows = {0};  // all different, at most kWindowsMax; 0: no window
};

/// The works of layers that share a window, on the device.
struct WorkArrays {
  const AttentionWork* decode = nullptr;
  const AttentionWork* prefill = nullptr;
  const MergeWork* merges = nullptr;
};

/// The arrays of a step on the device.
struct StepArrays {
  const int32_t* ids = nullptr;               // [tokens] -2 - i: sample i of the step before
  const int32_t* positions = nullptr;         // [tokens]
  const int32_t* slots = nullptr;             // [tokens] -1: not kept
  const int32_t* sample_tokens = nullptr;     // [samples]
  const SampleRow* params = nullptr;          // [samples]
  std::array<WorkArrays, kWindowsMax> works;  // of each window
  const int32_t* block_table = nullptr;
  const LogitChange* changes = nullptr;
  const uint32_t* masks = nullptr;  // [masked rows, (vocab + 31) / 32]
};

/// Most of each that a step can have.
struct StepLimits {
  int32_t tokens = 0;
  int32_t rows = 0;
  int32_t row_blocks = 0;  // blocks of one row
  int32_t ranks = 1;       // that share the vocabulary
  int32_t vocab = 0;
  int64_t wide_numbers = 0;  // room for widened weights (matrix_product.h)

  size_t mask_words() const { return (static_cast<size_t>(vocab) + 31) / 32; }
  size_t masks_bytes() const { return static_cast<size_t>(rows) * mask_words() * sizeof(uint32_t); }
};

class StepInputs {
 public:
  Result<void> allocate(const StepLimits& limits, const AttentionShape& attention);
  /// Bytes of the device that allocate() takes. Penalties over long histories take more later, a few MiB.
  static uint64_t device_bytes(const StepLimits& limits, const AttentionShape& attention);

  /// Lays the plan out in pinned memory; what it reads of the step before is that of the last build(). REQUIRES: the
  /// last copy but one is done; check_plan() found the plan whole; it is within the limits. `idle` waits until no step
  /// reads the arrays; it is called before they move. Errors: no memory for the changes that penalties make to logits;
  /// those of `idle`.
  Result<StepShape> build(const StepPlan& plan, const std::function<Result<void>()>& idle);
  /// Queues the copy of what was built.
  Result<void> copy(cudaStream_t stream);

  StepArrays arrays() const;
  /// Rows of the plan that sample, in the order of the samples.
  const std::vector<int32_t>& sample_rows() const { return sample_rows_; }
  /// Changes when the arrays move, and graphs must be recorded anew.
  uint64_t generation() const { return generation_; }

  /// Parts that decoding rows can be cut into, at most.
  static int32_t partials_max(const StepLimits& limits) { return limits.rows * kDecodePartsMax; }

 private:
  struct Offsets {
    struct Works {
      size_t decode, prefill, merges;
    };
    size_t ids, positions, slots, sample_tokens, params;
    std::array<Works, kWindowsMax> works;
    size_t block_table;
  };
  struct Side {
    PinnedMemory arrays;
    PinnedMemory changes;
    PinnedMemory masks;
  };
  static Offsets offsets_of(const StepShape& shape);
  static size_t arrays_bytes(const StepLimits& limits, const AttentionShape& attention);
  StepShape shape_of(const StepPlan& plan) const;
  std::vector<TokenId> ids_of(const StepPlan& plan) const;
  void write_tokens(const StepPlan& plan);
  void write_samples(const StepPlan& plan);
  void add_changes(const StepPlan::SampleRow& row, SampleRow& to);
  Result<void> lay_out_changes(const std::function<Result<void>()>& idle);

  StepLimits limits_;
  AttentionShape attention_;
  std::array<Side, 2> sides_;
  size_t side_ = 0;  // of the step laid out last
  DeviceMemory device_;
  DeviceMemory changes_device_;
  DeviceMemory masks_device_;  // of every row there can be: graphs find it where it is
  size_t masks_ = 0;           // rows of the step laid out last that have one
  StepShape shape_;
  std::array<AttentionPlan, kWindowsMax> plans_;
  size_t table_bytes_ = 0;
  std::vector<int32_t> sample_rows_;
  std::vector<int32_t> sample_of_row_;  // of the step before: [rows] -1 where it does not sample
  std::vector<LogitChange> changes_;
  std::unordered_map<TokenId, float> bias_;  // of the row at hand
  TokenCounts counts_;                       // of one that brings none
  uint64_t generation_ = 0;
};

}  // namespace weir::engine::cuda
