#include "engine/model/quantize_save.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <utility>

#include "engine/model/family.h"
#include "engine/model/json_fields.h"
#include "engine/model/model_error.h"
#include "engine/model/quantized_config_write.h"
#include "engine/ops/fp8.h"
#include "engine/ops/half.h"
#include "engine/ops/int4.h"
#include "engine/ops/quantized.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {
namespace {

constexpr int64_t kPieceElements = 4 * 1024 * 1024;

bool is_quantized(SaveAs as) {
  return as == SaveAs::int8 || as == SaveAs::fp8 || as == SaveAs::int4;
}

const char* dtype_of(SaveAs as) {
  switch (as) {
    case SaveAs::f32:
      return "F32";
    case SaveAs::bf16:
      return "BF16";
    case SaveAs::int8:
      return "I8";
    case SaveAs::fp8:
      return "F8_E4M3";
    case SaveAs::int4:
      return "I32";
  }
  return "F32";
}

std::string_view bytes_of(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

/// Writes `count` floats as F32 or BF16.
Result<void> write_floats(SafetensorsWriter& out, const std::string& name, bool bf16, const float* values,
                          size_t count) {
  if (!bf16) return out.write(name, bytes_of(values, count * sizeof(float)));
  std::vector<uint16_t> halves(count);
  for (size_t i = 0; i < count; ++i) halves[i] = narrow_bf16(values[i]);
  return out.write(name, bytes_of(halves.data(), count * sizeof(uint16_t)));
}

class Saver {
 public:
  Saver(const WeightStore& store, const Smoothed& smoothed, const SaveOptions& options, const LoadProgress& progress)
      : store_(store), smoothed_(smoothed), options_(options), progress_(progress) {
    if (options_.as == SaveAs::int4) choose_group();
  }

  /// Is there a matrix to quantize?
  bool can_quantize() const { return options_.as != SaveAs::int4 || divisible_; }

  Result<SaveReport> save(const NewFolder& folder) {
    std::vector<TensorHeader> headers;
    for (const auto& [name, located] : store_.stored()) {
      add_headers(name, located.tensor, headers);
      report_.bytes_before += located.tensor.bytes.size();
      total_ += elements_of(located.tensor);
    }
    auto out = SafetensorsWriter::create(folder, headers, options_.shard_bytes_max);
    if (!out.ok()) return out.error();
    for (const auto& [name, located] : store_.stored()) {
      if (auto written = write(*out, name, located); !written.ok()) return written.error();
      done_ += elements_of(located.tensor);
      if (progress_) progress_(done_, total_);
    }
    if (auto finished = out->finish(); !finished.ok()) return finished.error();
    report_.bytes_after = out->bytes();
    return report_;
  }

 private:
  static uint64_t elements_of(const StoredTensor& tensor) {
    return tensor.bytes.size() / std::max<uint64_t>(1, stored_element_bytes(tensor.dtype));
  }
  /// One for all, as vLLM wants it: the widest that divides the inputs of each. What none divides stays in floats.
  void choose_group() {
    report_.group = kInt4GroupMax;
    for (const auto& [name, matrix] : store_.matrices()) {
      if (!smoothed_.is_projection(matrix)) continue;
      const int64_t group = int4_group_of(matrix.cols, kInt4GroupMax);
      if (group > 0) report_.group = std::min(report_.group, group);
      if (group == 0) report_.in_floats.push_back(name);
      divisible_ = divisible_ || group > 0;
    }
  }
  const Tensor* projection(const std::string& name) const {
    const auto found = store_.matrices().find(name);
    return found != store_.matrices().end() && smoothed_.is_projection(found->second) ? &found->second : nullptr;
  }
  bool to_quantize(const Tensor& projection) const {
    return is_quantized(options_.as) && (options_.as != SaveAs::int4 || projection.cols % report_.group == 0);
  }
  /// Of a norm or bias that smoothing changes.
  const std::vector<float>* divisors(const std::string& name) const {
    const auto found = store_.vectors().find(name);
    return found == store_.vectors().end() ? nullptr : smoothed_.divisors(found->second);
  }
  static bool is_float(const StoredTensor& tensor) {
    return tensor.dtype == "F32" || tensor.dtype == "F16" || tensor.dtype == "BF16";
  }

  void add_headers(const std::string& name, const StoredTensor& tensor, std::vector<TensorHeader>& headers) const {
    const Tensor* matrix = projection(name);
    if (!is_quantized(options_.as)) {
      headers.push_back({name, is_float(tensor) ? dtype_of(options_.as) : tensor.dtype, tensor.shape});
    } else if (matrix == nullptr || !to_quantize(*matrix)) {
      const bool as_is = matrix == nullptr && divisors(name) == nullptr;
      headers.push_back({name, as_is ? tensor.dtype : "F32", tensor.shape});
    } else if (options_.as == SaveAs::int4) {
      const int64_t groups = matrix->cols / report_.group;
      headers.push_back({name + "_packed", dtype_of(options_.as), {matrix->rows, matrix->cols / kInt4Word}});
      headers.push_back({name + "_scale", "F32", {matrix->rows, groups}});
      headers.push_back({name + "_zero_point", "I32", {zero_rows(matrix->rows), groups}});
      headers.push_back({name + "_shape", "I64", {2}});
    } else {
      headers.push_back({name, dtype_of(options_.as), tensor.shape});
      headers.push_back({name + "_scale", "F32", {tensor.shape[0], 1}});
    }
  }

  Result<void> write(SafetensorsWriter& out, const std::string& name, const WeightStore::Located& located) {
    const Tensor* matrix = projection(name);
    if (matrix != nullptr && to_quantize(*matrix)) {
      ++report_.projections;
      return write_quantized(out, name, located.file, *matrix);
    }
    if (matrix != nullptr) return write_matrix(out, name, *matrix);
    const std::vector<float>* by = divisors(name);
    const bool as_is = !is_float(located.tensor) || (is_quantized(options_.as) && by == nullptr);
    if (as_is) return out.write(name, located.tensor.bytes);
    return write_as_floats(out, name, located.tensor, by);
  }

  Result<void> write_matrix(SafetensorsWriter& out, const std::string& name, const Tensor& matrix) {
    std::vector<float> row(static_cast<size_t>(matrix.cols));
    for (int64_t r = 0; r < matrix.rows; ++r) {
      smoothed_.row(matrix, r, row.data());
      auto written = write_floats(out, name, options_.as == SaveAs::bf16, row.data(), row.size());
      if (!written.ok()) return written;
    }
    return {};
  }

  Result<void> write_as_floats(SafetensorsWriter& out, const std::string& name, const StoredTensor& tensor,
                               const std::vector<float>* divisors) {
    std::vector<float> values;
    const auto count = static_cast<size_t>(elements_of(tensor));
    for (size_t begin = 0; begin < count; begin += kPieceElements) {
      const size_t end = std::min<size_t>(count, begin + kPieceElements);
      values.resize(end - begin);
      for (size_t i = begin; i < end; ++i) values[i - begin] = float_at(tensor, i);
      for (size_t i = begin; divisors != nullptr && i < end; ++i) values[i - begin] /= (*divisors)[i];
      auto written = write_floats(out, name, options_.as == SaveAs::bf16, values.data(), values.size());
      if (!written.ok()) return written;
    }
    return {};
  }

  Result<void> write_quantized(SafetensorsWriter& out, const std::string& name, const std::string& file,
                               const Tensor& matrix) {
    if (options_.as == SaveAs::int8 && matrix.cols > kInputsMax) {
      return model_error(file, name, "more than " + std::to_string(kInputsMax) + " inputs: INT8 takes no more");
    }
    const bool four_bits = options_.as == SaveAs::int4;
    const int64_t row_bytes = four_bits ? matrix.cols / 2 : matrix.cols;
    const int64_t piece_rows = std::max<int64_t>(1, kPieceElements / matrix.cols);
    std::vector<uint32_t> values(static_cast<size_t>((std::min(piece_rows, matrix.rows) * row_bytes + 3) / 4));
    auto* bytes = reinterpret_cast<uint8_t*>(values.data());
    std::vector<float> scales(static_cast<size_t>(matrix.rows * (four_bits ? matrix.cols / report_.group : 1)));
    for (int64_t begin = 0; begin < matrix.rows; begin += piece_rows) {
      const int64_t end = std::min(matrix.rows, begin + piece_rows);
      if (!quantize_rows(matrix, begin, end, bytes, row_bytes, scales.data())) {
        return model_error(file, name, "holds a weight that is not a finite number");
      }
      auto written = out.write(four_bits ? name + "_packed" : name,
                               bytes_of(bytes, static_cast<size_t>((end - begin) * row_bytes)));
      if (!written.ok()) return written;
    }
    if (four_bits) return write_groups(out, name, matrix, scales);
    return out.write(name + "_scale", bytes_of(scales.data(), scales.size() * sizeof(float)));
  }

  /// False if a weight is not a finite number.
  bool quantize_rows(const Tensor& matrix, int64_t begin, int64_t end, uint8_t* values, int64_t row_bytes,
                     float* scales) {
    std::atomic<bool> finite{true};
    pool_.run(end - begin, 16, [&](int64_t from, int64_t to) {
      std::vector<float> row(static_cast<size_t>(matrix.cols));
      for (int64_t r = from; r < to; ++r) {
        smoothed_.row(matrix, begin + r, row.data());
        if (!quantize_row(row, begin + r, values + r * row_bytes, scales)) {
          finite.store(false, std::memory_order_relaxed);
        }
      }
    });
    return finite.load();
  }

  bool quantize_row(const std::vector<float>& row, int64_t number, uint8_t* bytes, float* scales) const {
    const auto cols = static_cast<int64_t>(row.size());
    if (options_.as == SaveAs::fp8) return quantize_row_fp8(row.data(), cols, bytes, scales + number);
    if (options_.as == SaveAs::int8) {
      return quantize_row_int8(row.data(), cols, reinterpret_cast<int8_t*>(bytes), scales + number);
    }
    return pack_row_int4(row.data(), cols, report_.group, reinterpret_cast<uint32_t*>(bytes),
                         scales + number * (cols / report_.group));
  }

  static int64_t zero_rows(int64_t rows) { return (rows + kInt4Word - 1) / kInt4Word; }

  /// Scales, zeros and shape of a matrix of 4 bits; `groups` as ops/int4.h keeps them.
  static Result<void> write_groups(SafetensorsWriter& out, const std::string& name, const Tensor& matrix,
                                   const std::vector<float>& groups) {
    const size_t width = groups.size() / static_cast<size_t>(matrix.rows);
    std::vector<float> scales(groups.size());
    std::vector<uint32_t> zeros(static_cast<size_t>(zero_rows(matrix.rows)) * width);
    for (size_t i = 0; i < groups.size(); ++i) {
      const size_t row = i / width;
      scales[i] = int4_scale(groups[i]);
      zeros[row / kInt4Word * width + i % width] |= static_cast<uint32_t>(int4_zero(groups[i]))
                                                    << 4 * (row % kInt4Word);
    }
    const std::array<int64_t, 2> shape = {matrix.rows, matrix.cols};
    auto written = out.write(name + "_scale", bytes_of(scales.data(), scales.size() * sizeof(float)));
    if (written.ok())
      written = out.write(name + "_zero_point", bytes_of(zeros.data(), zeros.size() * sizeof(uint32_t)));
    return written.ok() ? out.write(name + "_shape", bytes_of(shape.data(), sizeof shape)) : written;
  }

  const WeightStore& store_;
  const Smoothed& smoothed_;
  const SaveOptions& options_;
  const LoadProgress& progress_;
  ThreadPool pool_{0};
  SaveReport report_;
  bool divisible_ = false;  // by a group of INT4: the inputs of some projection
  uint64_t done_ = 0;
  uint64_t total_ = 0;
};

/// What a model's folder holds besides weights: tokenizer, chat template, generation config, licence.
bool goes_along(std::string_view name) {
  if (name == kConfigFile || name.ends_with(".safetensors.index.json") || name.ends_with(".bin.index.json"))
    return false;
  for (const std::string_view end : {".json", ".jinja", ".model", ".txt", ".tiktoken"}) {
    if (name.ends_with(end)) return true;
  }
  for (const std::string_view begin : {"LICENSE", "NOTICE", "USE_POLICY"}) {
    if (name.substr(0, begin.size()) == begin) return true;
  }
  return false;
}

Result<void> copy_files(const ModelFiles& files, NewFolder& folder) {
  for (const std::string& name : files.names()) {
    if (!goes_along(name)) continue;
    auto file = files.open(name, kModelTextBytesMax);
    if (!file.ok()) return file.error();
    if (auto written = folder.write_file(name, file->bytes); !written.ok()) return written;
  }
  return {};
}

}  // namespace

Result<SaveReport> save_quantized(const ModelFiles& files, NewFolder& folder, const SaveOptions& options,
                                  const LoadProgress& progress) {
  const Result<ModelSpec> spec = read_model_spec(files);
  if (!spec.ok()) return spec.error();
  if (spec->checkpoint.weights != Quantization::none) {
    return model_error(files.path(kConfigFile), "quantization_config",
                       std::string("the model is in ") + quantization_name(spec->checkpoint.weights) +
                           " already; give the one in F32, F16 or BF16");
  }
  Result<WeightStore> store = WeightStore::open(files);
  if (!store.ok()) return store.error();
  const Result<DecoderWeights> weights = spec->family->bind(*spec, *store);
  if (!weights.ok()) return weights.error();
  std::vector<LayerInputs> factors;
  if (!options.largest.empty()) factors = smoothing_factors(*spec, *weights, options.largest, options.smooth);
  const Smoothed smoothed(*spec, *weights, std::move(factors));
  Saver saver(*store, smoothed, options, progress);
  if (!saver.can_quantize()) {
    return model_error(files.path(kConfigFile), "",
                       "no weight has a multiple of " + std::to_string(kInt4GroupMin) +
                           " inputs, which INT4's groups are; use int8 or fp8");
  }
  auto report = saver.save(folder);
  if (!report.ok()) return report;
  auto config = quantized_config(files, options.as, *report);
  if (!config.ok()) return config.error();
  if (auto written = folder.write_file(kConfigFile, *config); !written.ok()) return written.error();
  if (auto copied = copy_files(files, folder); !copied.ok()) return copied.error();
  return report;
}

}  // namespace weir::engine
