// The WeightStore's matrices of 4 bits: which tensors make one up, and that they fit.
#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/model/int4_layouts.h"
#include "engine/model/json_fields.h"
#include "engine/model/weight_store.h"
#include "engine/ops/int4.h"

namespace weir::engine {
namespace {

struct Names {
  const char* words;
  const char* scales;
  const char* zeros;
};

Names names_of(Int4Layout layout) {
  if (layout == Int4Layout::packed) return {"weight_packed", "weight_scale", "weight_zero_point"};
  return {"qweight", "scales", "qzeros"};
}

/// "model.layers.0.mlp.up_proj." of "model.layers.0.mlp.up_proj.weight".
std::string module_of(const std::string& name) {
  constexpr std::string_view kWeight = "weight";
  return name.ends_with(".weight") ? name.substr(0, name.size() - kWeight.size()) : std::string();
}

}  // namespace

bool WeightStore::is_int4(const std::string& name) const {
  const std::string module = module_of(name);
  return format_.weights == Quantization::int4 && !module.empty() && has(module + names_of(format_.layout).words);
}

const WeightStore::Located* WeightStore::take_words(const std::string& name, const std::vector<int64_t>& shape) {
  const Located* located = find(name, shape_text(shape));
  if (located == nullptr) return nullptr;
  const StoredTensor& stored = located->tensor;
  if (stored.dtype != "I32") {
    fail(located->file, name, "dtype must be I32, is " + stored.dtype);
  } else if (stored.shape != shape) {
    fail(located->file, name, "shape must be " + shape_text(shape) + " by config.json, is " + shape_text(stored.shape));
  } else {
    return located;
  }
  return nullptr;
}

/// "g_idx", GPTQ's group of each input, says nothing where inputs lie in their own order.
void WeightStore::check_order(const std::string& name, const Int4Layout& layout, int64_t cols, int64_t group) {
  if (layout != Int4Layout::gptq || !has(name)) return;
  const Located* located = take_words(name, {cols});
  if (located == nullptr) return;
  for (int64_t i = 0; i < cols; ++i) {
    int32_t own = 0;
    std::memcpy(&own, located->tensor.bytes.data() + static_cast<size_t>(i) * sizeof own, sizeof own);
    if (own != i / group) return fail(located->file, name, "inputs in another order are not supported");
  }
}

Tensor WeightStore::int4_matrix(const std::string& name, int64_t rows, int64_t cols) {
  const std::string module = module_of(name);
  const Names names = names_of(format_.layout);
  const Int4Shape shape{rows, cols, format_.group == 0 ? cols : format_.group};
  const int64_t group = int4_group_of(cols, shape.group);
  if (group == 0 || cols % shape.group != 0) {
    fail(source_, module + names.words,
         "groups of " + std::to_string(shape.group) + " of " + std::to_string(cols) +
             " inputs are not supported; they must be multiples of 32 that divide them");
    return {};
  }
  const Located* words = take_words(module + names.words, shape.words_of(format_.layout));
  const Located* scales = find_scales(module + names.scales, shape.scales_of(format_.layout));
  if (words == nullptr || scales == nullptr) return {};
  if (scales->tensor.shape != shape.scales_of(format_.layout)) {
    fail(scales->file, module + names.scales,
         "shape must be " + shape_text(shape.scales_of(format_.layout)) + " for groups of " +
             std::to_string(shape.group) + " inputs, is " + shape_text(scales->tensor.shape));
    return {};
  }
  const Located* zeros = nullptr;
  if (format_.layout != Int4Layout::packed || !format_.symmetric) {
    zeros = take_words(module + names.zeros, shape.zeros_of(format_.layout));
    if (zeros == nullptr) return {};
  }
  ignore(module + "weight_shape");
  check_order(module + "g_idx", format_.layout, cols, shape.group);
  int4_modules_.insert(module);

  auto groups = std::make_unique<float[]>(static_cast<size_t>(rows * (cols / group)));
  if (!lay_int4_groups(scales->tensor, zeros != nullptr ? &zeros->tensor : nullptr, format_, shape, group,
                       groups.get())) {
    fail(scales->file, module + names.scales, "holds a number that is not finite");
    return {};
  }
  const void* numbers = words->tensor.bytes.data();
  if (format_.layout != Int4Layout::packed || reinterpret_cast<uintptr_t>(numbers) % alignof(uint32_t) != 0) {
    auto own = std::make_unique<std::byte[]>(static_cast<size_t>(bytes_of(DType::i4, rows * cols)));
    lay_int4_words(words->tensor, format_.layout, shape, reinterpret_cast<uint32_t*>(own.get()));
    numbers = own.get();
    memory_->bytes.push_back(std::move(own));
  }
  bytes_ += static_cast<uint64_t>(bytes_of(DType::i4, rows * cols) + rows * (cols / group) * 4);
  memory_->floats.push_back(std::move(groups));
  return {.data = numbers,
          .dtype = DType::i4,
          .rows = rows,
          .cols = cols,
          .scales = memory_->floats.back().get(),
          .sums = nullptr,
          .group = group};
}

/// AutoGPTQ gives every module a bias; one that the model has not is zeros.
bool WeightStore::is_bias_of_nothing(const std::string& name, const StoredTensor& tensor) const {
  if (!name.ends_with(".bias") || int4_modules_.count(name.substr(0, name.size() - 4)) == 0) return false;
  const auto bytes = tensor.bytes;
  return std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; });
}

}  // namespace weir::engine
