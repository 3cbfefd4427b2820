// A model's tensors by name, over one safetensors file or the shards of model.safetensors.index.json. A family takes
// each tensor it needs, checked; finish() then reports what nobody took, since a tensor left over means the model is
// not what its config.json says. The store keeps the mapped files and converted copies alive. One thread builds it;
// immutable afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/core/tensor.h"
#include "engine/model/model_files.h"
#include "engine/model/quantization_config.h"
#include "engine/model/safetensors.h"

namespace weir::engine {

inline constexpr size_t kShardsMax = 4096;

/// Memory that tensors point into: file mappings and converted copies.
struct WeightMemory {
  std::vector<FileBytes> files;
  std::vector<std::unique_ptr<float[]>> floats;
  std::vector<std::unique_ptr<uint16_t[]>> halves;
  std::vector<std::unique_ptr<std::byte[]>> bytes;
  std::shared_ptr<WeightMemory> whole;  // of the model that this is a part of (shard.h)
};

/// Element `index` of a tensor in F32, F16 or BF16, wherever it lies.
float float_at(const StoredTensor& tensor, size_t index);

class WeightStore {
 public:
  /// Opens model.safetensors, else the shards of model.safetensors.index.json.
  /// `format`: what matrices in 8 or 4 bits may be there, by config.json.
  static Result<WeightStore> open(const ModelFiles& files, const CheckpointFormat& format = {});

  /// A matrix [rows, cols] in F32, F16 or BF16, or in the 8 bits that the store was opened with, then with its scales:
  /// NAME_scale or NAME_scale_inv beside it, [rows, 1], [rows], [1] or [], or one a block; or in 4 bits, in the tensors
  /// of int4_layouts.h. It is used in place where it is aligned to its element (and, in 4 bits, lies as ours do).
  /// A mistake (absent, other shape, other type) is kept for finish(); the result is then empty.
  Tensor matrix(const std::string& name, int64_t rows, int64_t cols);
  /// A vector [size], always float32.
  const float* vector(const std::string& name, int64_t size);
  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  /// Says that a tensor may be there and is not used.
  void ignore(const std::string& name) { taken_.insert(name); }

  /// The first mistake, or a tensor that nobody took ("….rotary_emb.inv_freq", which old checkpoints carry, is
  /// nothing). On success the memory of every tensor taken, to be kept as long as they are used.
  Result<std::shared_ptr<WeightMemory>> finish();

  uint64_t bytes() const { return bytes_; }  // of the tensors taken, as kept in memory

  struct Located {
    StoredTensor tensor;
    std::string file;
  };
  /// Every tensor of the files, by name.
  const std::map<std::string, Located, std::less<>>& stored() const { return tensors_; }
  /// What was taken, by name, as the caller was given it.
  const std::map<std::string, Tensor, std::less<>>& matrices() const { return matrices_; }
  const std::map<std::string, const float*, std::less<>>& vectors() const { return vectors_; }

 private:
  const Located* find(const std::string& name, const std::string& wanted_shape);
  const Located* take(const std::string& name, const std::vector<int64_t>& shape);
  bool is_quantized(const std::string& name) const;
  Tensor float_matrix(const std::string& name, int64_t rows, int64_t cols);
  Tensor quantized_matrix(const std::string& name, int64_t rows, int64_t cols);
  const Located* find_scales(const std::string& name, const std::vector<int64_t>& shape);
  const float* scales_of(const std::string& name, int64_t rows);
  const float* block_scales_of(const std::string& name, int64_t rows, int64_t cols);
  bool is_int4(const std::string& name) const;
  Tensor int4_matrix(const std::string& name, int64_t rows, int64_t cols);
  const Located* take_words(const std::string& name, const std::vector<int64_t>& shape);
  void check_order(const std::string& name, const Int4Layout& layout, int64_t cols, int64_t group);
  bool is_bias_of_nothing(const std::string& name, const StoredTensor& tensor) const;
  Result<void> add_file(const ModelFiles& files, const std::string& name, const std::set<std::string>* expected);
  void fail(const std::string& file, const std::string& name, const std::string& what);

  std::map<std::string, Located, std::less<>> tensors_;
  std::set<std::string, std::less<>> taken_;
  std::shared_ptr<WeightMemory> memory_ = std::make_shared<WeightMemory>();
  std::string source_;  // for "no such tensor"
  std::optional<Error> error_;
  std::map<std::string, Tensor, std::less<>> matrices_;
  std::map<std::string, const float*, std::less<>> vectors_;
  std::set<std::string, std::less<>> int4_modules_;  // "NAME." of the matrices taken in 4 bits
  CheckpointFormat format_;
  uint64_t bytes_ = 0;
};

}  // namespace weir::engine
