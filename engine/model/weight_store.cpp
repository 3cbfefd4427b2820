#include "engine/model/weight_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/model/json_fields.h"
#include "engine/model/model_error.h"
#include "engine/ops/fp8.h"
#include "engine/ops/half.h"

namespace weir::engine {
namespace {

const char* kSingle = "model.safetensors";
const char* kIndex = "model.safetensors.index.json";

template <class T>
bool aligned(const std::string_view& bytes) {
  return reinterpret_cast<uintptr_t>(bytes.data()) % alignof(T) == 0;
}

uint16_t half_at(std::string_view bytes, size_t index) {
  uint16_t half = 0;
  std::memcpy(&half, bytes.data() + index * sizeof half, sizeof half);
  return half;
}

size_t elements(const StoredTensor& tensor) {
  return tensor.bytes.size() / (tensor.dtype == "F32" ? 4 : 2);
}

std::unique_ptr<float[]> to_floats(const StoredTensor& tensor) {
  const size_t count = elements(tensor);
  auto floats = std::make_unique<float[]>(count);
  for (size_t i = 0; i < count; ++i) floats[i] = float_at(tensor, i);
  return floats;
}

/// Which tensors each shard holds, from the index.
Result<std::map<std::string, std::set<std::string>>> read_index(const ModelFiles& files) {
  Result<nlohmann::json> index = read_json_object(files, kIndex, kModelTextBytesMax);
  if (!index.ok()) return index.error();
  const auto map = index->find("weight_map");
  if (map == index->end() || !map->is_object() || map->empty()) {
    return model_error(files.path(kIndex), "weight_map", "must be an object of tensor names and file names");
  }
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string()) return model_error(files.path(kIndex), "weight_map." + name, "must be a file name");
    shards[file.get<std::string>()].insert(name);
    if (shards.size() > kShardsMax) return model_error(files.path(kIndex), "weight_map", "names too many files");
  }
  return shards;
}

}  // namespace

float float_at(const StoredTensor& tensor, size_t index) {
  if (tensor.dtype == "F32") {
    float value = 0;
    std::memcpy(&value, tensor.bytes.data() + index * sizeof value, sizeof value);
    return value;
  }
  const uint16_t half = half_at(tensor.bytes, index);
  return tensor.dtype == "BF16" ? widen_bf16(half) : widen_f16(half);
}

Result<WeightStore> WeightStore::open(const ModelFiles& files, const CheckpointFormat& format) {
  WeightStore store;
  store.format_ = format;
  if (files.has(kSingle)) {
    store.source_ = files.path(kSingle);
    if (auto added = store.add_file(files, kSingle, nullptr); !added.ok()) return added.error();
    return store;
  }
  if (!files.has(kIndex)) {
    return model_error(files.path(kSingle), "", std::string("no such file, and no ") + kIndex + " beside it");
  }
  store.source_ = files.path(kIndex);
  const auto shards = read_index(files);
  if (!shards.ok()) return shards.error();
  for (const auto& [file, names] : *shards) {
    if (auto added = store.add_file(files, file, &names); !added.ok()) return added.error();
  }
  return store;
}

Result<void> WeightStore::add_file(const ModelFiles& files, const std::string& name,
                                   const std::set<std::string>* expected) {
  Result<FileBytes> bytes = files.open(name, kModelWeightBytesMax);
  if (!bytes.ok()) return bytes.error();
  const std::string path = bytes->path;
  Result<SafetensorsFile> parsed = read_safetensors(std::move(*bytes));
  if (!parsed.ok()) return parsed.error();
  if (expected != nullptr) {
    for (const std::string& tensor : *expected) {
      if (parsed->tensors.count(tensor) == 0) return model_error(path, tensor, "is missing; the index says it is here");
    }
  }
  for (auto& [tensor_name, tensor] : parsed->tensors) {
    if (expected != nullptr && expected->count(tensor_name) == 0) {
      return model_error(path, tensor_name, "is not in the index");
    }
    tensors_.emplace(tensor_name, Located{std::move(tensor), path});
  }
  memory_->files.push_back(std::move(parsed->file));
  return {};
}

void WeightStore::fail(const std::string& file, const std::string& name, const std::string& what) {
  if (!error_) error_ = model_error(file, name, what);
}

const WeightStore::Located* WeightStore::find(const std::string& name, const std::string& wanted_shape) {
  taken_.insert(name);
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return &found->second;
  fail(source_, name, "is missing; config.json calls for it with shape " + wanted_shape);
  return nullptr;
}

const WeightStore::Located* WeightStore::take(const std::string& name, const std::vector<int64_t>& shape) {
  const Located* located = find(name, shape_text(shape));
  if (located == nullptr) return nullptr;
  const std::string& dtype = located->tensor.dtype;
  if (dtype != "F32" && dtype != "F16" && dtype != "BF16") {
    fail(located->file, name, "dtype must be F32, F16 or BF16, is " + dtype);
    return nullptr;
  }
  if (located->tensor.shape != shape) {
    fail(located->file, name,
         "shape must be " + shape_text(shape) + " by config.json, is " + shape_text(located->tensor.shape));
    return nullptr;
  }
  return located;
}

bool WeightStore::is_quantized(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return false;
  const std::string& dtype = found->second.tensor.dtype;
  return (format_.weights == Quantization::int8 && dtype == "I8") ||
         (format_.weights == Quantization::fp8 && dtype == "F8_E4M3");
}

const WeightStore::Located* WeightStore::find_scales(const std::string& name, const std::vector<int64_t>& shape) {
  const Located* located = find(name, shape_text(shape));
  if (located == nullptr) return nullptr;
  const std::string& dtype = located->tensor.dtype;
  if (dtype == "F32" || dtype == "F16" || dtype == "BF16") return located;
  fail(located->file, name, "dtype must be F32, F16 or BF16, is " + dtype);
  return nullptr;
}

/// One scale a block in the file; one a group of an output's inputs for the kernels.
const float* WeightStore::block_scales_of(const std::string& name, int64_t rows, int64_t cols) {
  const int64_t groups = (cols + kFp8Group - 1) / kFp8Group;
  const std::vector<int64_t> shape{(rows + format_.block_rows - 1) / format_.block_rows, groups};
  const Located* located = find_scales(name, shape);
  if (located == nullptr) return nullptr;
  if (located->tensor.shape != shape) {
    fail(located->file, name,
         "shape must be " + shape_text(shape) + " for a weight of " + shape_text({rows, cols}) + " in blocks of " +
             shape_text({format_.block_rows, kFp8Group}) + ", is " + shape_text(located->tensor.shape));
    return nullptr;
  }
  const auto width = static_cast<size_t>(groups);
  auto scales = std::make_unique<float[]>(static_cast<size_t>(rows) * width);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    const size_t from = row / static_cast<size_t>(format_.block_rows) * width;
    for (size_t g = 0; g < width; ++g) scales[row * width + g] = float_at(located->tensor, from + g);
  }
  bytes_ += static_cast<uint64_t>(rows * groups) * sizeof(float);
  memory_->floats.push_back(std::move(scales));
  return memory_->floats.back().get();
}

/// One scale an output: what the file has, or its one scale for all.
const float* WeightStore::scales_of(const std::string& name, int64_t rows) {
  const Located* located = find_scales(name, {rows, 1});
  if (located == nullptr) return nullptr;
  const StoredTensor& stored = located->tensor;
  using Shape = std::vector<int64_t>;
  const bool one = stored.shape.empty() || stored.shape == Shape{1} || stored.shape == Shape{1, 1};
  if (!one && stored.shape != Shape{rows, 1} && stored.shape != Shape{rows}) {
    fail(located->file, name, "shape must be " + shape_text({rows, 1}) + " or [1], is " + shape_text(stored.shape));
    return nullptr;
  }
  auto scales = to_floats(stored);
  if (one && rows > 1) {
    auto repeated = std::make_unique<float[]>(static_cast<size_t>(rows));
    std::fill_n(repeated.get(), rows, scales[0]);
    scales = std::move(repeated);
  }
  bytes_ += static_cast<uint64_t>(rows) * sizeof(float);
  memory_->floats.push_back(std::move(scales));
  return memory_->floats.back().get();
}

Tensor WeightStore::quantized_matrix(const std::string& name, int64_t rows, int64_t cols) {
  const Located* located = find(name, shape_text({rows, cols}));
  const StoredTensor& stored = located->tensor;
  if (stored.shape != std::vector<int64_t>{rows, cols}) {
    fail(located->file, name,
         "shape must be " + shape_text({rows, cols}) + " by config.json, is " + shape_text(stored.shape));
    return {};
  }
  // Static scales of activations: FP8 weights are multiplied by the activations as they are.
  if (name.ends_with(".weight")) {
    for (const char* scale : {"input_scale", "activation_scale"}) ignore(name.substr(0, name.size() - 6) + scale);
  }
  bytes_ += stored.bytes.size();
  const bool blocks = format_.block_rows > 0;
  const std::string inverse = name + "_scale_inv";  // of the weight's own scale: what a step of 1 is worth all the same
  const std::string scale = has(inverse) || (blocks && !has(name + "_scale")) ? inverse : name + "_scale";
  return {.data = stored.bytes.data(),
          .dtype = format_.weights == Quantization::int8 ? DType::i8_rows : DType::f8e4m3,
          .rows = rows,
          .cols = cols,
          .scales = blocks ? block_scales_of(scale, rows, cols) : scales_of(scale, rows),
          .sums = nullptr,
          .group = blocks ? kFp8Group : 0};
}

Tensor WeightStore::matrix(const std::string& name, int64_t rows, int64_t cols) {
  if (is_int4(name)) return matrices_[name] = int4_matrix(name, rows, cols);
  const Tensor taken = is_quantized(name) ? quantized_matrix(name, rows, cols) : float_matrix(name, rows, cols);
  return matrices_[name] = taken;
}

Tensor WeightStore::float_matrix(const std::string& name, int64_t rows, int64_t cols) {
  const Located* located = take(name, {rows, cols});
  if (located == nullptr) return {};
  const StoredTensor& stored = located->tensor;
  Tensor tensor{.data = stored.bytes.data(), .dtype = DType::f32, .rows = rows, .cols = cols};
  if (stored.dtype != "F32") {
    tensor.dtype = stored.dtype == "BF16" ? DType::bf16 : DType::f16;
    bytes_ += stored.bytes.size();
    if (!aligned<uint16_t>(stored.bytes)) {
      memory_->halves.push_back(std::make_unique<uint16_t[]>(elements(stored)));
      std::memcpy(memory_->halves.back().get(), stored.bytes.data(), stored.bytes.size());
      tensor.data = memory_->halves.back().get();
    }
    return tensor;
  }
  bytes_ += elements(stored) * sizeof(float);
  if (aligned<float>(stored.bytes)) return tensor;
  memory_->floats.push_back(to_floats(stored));
  tensor.data = memory_->floats.back().get();
  return tensor;
}

const float* WeightStore::vector(const std::string& name, int64_t size) {
  const Located* located = take(name, {size});
  if (located == nullptr) return nullptr;
  bytes_ += static_cast<uint64_t>(size) * sizeof(float);
  memory_->floats.push_back(to_floats(located->tensor));
  return vectors_[name] = memory_->floats.back().get();
}

Result<std::shared_ptr<WeightMemory>> WeightStore::finish() {
  if (error_) return *error_;
  for (const auto& [name, located] : tensors_) {
    if (taken_.count(name) == 0 && !name.ends_with(".rotary_emb.inv_freq") &&
        !is_bias_of_nothing(name, located.tensor)) {
      return model_error(located.file, name, "is not a tensor of the model that config.json describes");
    }
  }
  return memory_;
}

}  // namespace weir::engine
