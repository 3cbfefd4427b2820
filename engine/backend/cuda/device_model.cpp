#include "engine/backend/cuda/device_model.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "engine/backend/cuda/matrix_product.h"
#include "engine/backend/cuda/step_inputs.h"
#include "engine/ops/fp8.h"
#include "engine/ops/int4.h"
#include "engine/ops/widen_row.h"

namespace weir::engine::cuda {
namespace {

constexpr size_t kStagingBytes = size_t{32} << 20;  // twice: one half is filled while the other is copied

WeightFormat format_of(const Tensor& w) {
  if (w.dtype == DType::i8) return WeightFormat::int8;
  if (w.dtype == DType::i4) return WeightFormat::int4;
  if (w.dtype != DType::f8e4m3) return WeightFormat::bf16;
  return w.group == 0 ? WeightFormat::fp8 : WeightFormat::fp8_groups;
}

uint16_t narrow_bf16(float x) {
  uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40U);
  return static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

/// Integers of one output, out of the panels of ops/quantized.h.
void unpack_row(const Tensor& w, int64_t row, int8_t* to) {
  const int64_t quads = (w.cols + kQuad - 1) / kQuad;
  const auto* panel = static_cast<const int8_t*>(w.data) + row / kPanelOutputs * quads * kPanelOutputs * kQuad;
  for (int64_t i = 0; i < w.cols; ++i) {
    to[i] = panel[(i / kQuad * kPanelOutputs + row % kPanelOutputs) * kQuad + i % kQuad];
  }
}

/// Of eight numbers, those at even places in the lower half and those at odd ones in the upper.
uint32_t apart(uint32_t word) {
  const auto together = [](uint32_t nibbles) {  // every second one, in the lower half
    nibbles &= 0x0f0f0f0fU;
    nibbles = (nibbles | nibbles >> 4) & 0x00ff00ffU;
    return (nibbles | nibbles >> 8) & 0x0000ffffU;
  };
  return together(word) | together(word >> 4) << 16;
}

/// A row of ops/int4.h as the chunks of ops/cuda/weight.h.
void chunk_row(const Tensor& w, int64_t row, uint32_t* to) {
  constexpr int64_t kChunkWords = kInt4Chunk / kInt4Word;
  constexpr int64_t kSide = 4;
  std::memset(to, 0, static_cast<size_t>(row_bytes(WeightFormat::int4, w.cols)));
  const auto* from = static_cast<const uint32_t*>(w.data) + row * w.cols / kInt4Word;
  for (int64_t i = 0; i < w.cols / kInt4Word; ++i) {
    const int64_t within = i % kChunkWords;
    to[i - within + within % kSide * kSide + within / kSide] = apart(from[i]);
  }
}

/// One row in bf16, whatever it is stored as.
void bf16_row(const Tensor& w, int64_t row, uint16_t* to, std::vector<float>& floats, std::vector<int8_t>& integers) {
  if (w.dtype == DType::bf16) {
    std::memcpy(to, static_cast<const uint16_t*>(w.data) + row * w.cols, static_cast<size_t>(w.cols) * 2);
    return;
  }
  floats.resize(static_cast<size_t>(w.cols));
  if (w.dtype == DType::i8) {
    integers.resize(static_cast<size_t>(w.cols));
    unpack_row(w, row, integers.data());
    for (size_t i = 0; i < floats.size(); ++i) floats[i] = static_cast<float>(integers[i]) * w.scales[row];
  } else if (w.dtype == DType::f8e4m3) {
    widen_row_fp8(w, row, floats.data());
  } else if (w.dtype == DType::i4) {
    widen_row_int4(w, row, floats.data());
  } else {
    widen_row(w, row, floats.data());
  }
  for (size_t i = 0; i < floats.size(); ++i) to[i] = narrow_bf16(floats[i]);
}

uint64_t bytes_of_rows(WeightFormat format, const Tensor& w, int64_t rows) {
  return static_cast<uint64_t>(row_bytes(format, w.cols) * rows);
}

class Uploader {
 public:
  Uploader(const Model& model, int32_t context_tokens, cudaStream_t stream, const LoadProgress& progress)
      : model_(model),
        rope_(rope_frequencies(model.spec.rope, context_tokens)),
        stream_(stream),
        progress_(progress),
        total_(device_bytes(model)) {}

  Result<DeviceModel> run() {
    for (Half& half : halves_) {
      if (auto made = half.memory.allocate(kStagingBytes, "copying weights"); !made.ok()) return made.error();
      WEIR_CUDA_TRY(cudaEventCreateWithFlags(half.copied.slot(), cudaEventDisableTiming), "making an event");
    }
    const ModelSpec& spec = model_.spec;
    const DecoderWeights& from = model_.weights;
    bf16_only_ = true;
    const Weight embedding = matrix({&from.embedding});
    bf16_only_ = false;
    to_.embedding = static_cast<const Bf16*>(embedding.values);
    to_.embedding_rows = from.embedding.rows;
    to_.first_token = from.first_token;
    const bool tied = from.tied() && format_of(from.lm_head) == WeightFormat::bf16;
    to_.lm_head = tied ? embedding : matrix({&from.lm_head});
    to_.norm = floats({{from.norm, spec.hidden}});
    to_.inverse_frequency = floats({{rope_.inverse.data(), static_cast<int64_t>(rope_.inverse.size())}});
    to_.rotary_factor = rope_.attention_factor;
    for (const DecoderLayer& layer : from.layers) add_layer(spec, layer);
    WEIR_CUDA_TRY(cudaStreamSynchronize(stream_), "copying weights");
    if (error_) return *error_;
    to_.bytes = done_;
    return std::move(to_);
  }

 private:
  struct Half {
    PinnedMemory memory;
    Event copied;
  };

  void add_layer(const ModelSpec& spec, const DecoderLayer& l) {
    DeviceLayer layer;
    layer.input_norm = floats({{l.input_norm, spec.hidden}});
    layer.qkv = matrix({&l.q, &l.k, &l.v});
    layer.qkv_bias = floats({{l.q_bias, spec.q_width()}, {l.k_bias, spec.kv_width()}, {l.v_bias, spec.kv_width()}});
    layer.q_norm = floats({{l.q_norm, spec.head_dim}});
    layer.k_norm = floats({{l.k_norm, spec.head_dim}});
    layer.o = matrix({&l.o});
    layer.o_bias = floats({{l.o_bias, spec.hidden}});
    layer.attention_norm = floats({{l.attention_norm, spec.hidden}});
    layer.gate_up = matrix({&l.gate, &l.up});
    layer.gate_up_bias = floats({{l.gate_bias, spec.intermediate}, {l.up_bias, spec.intermediate}});
    layer.down = matrix({&l.down});
    layer.down_bias = floats({{l.down_bias, spec.hidden}});
    to_.layers.push_back(layer);
  }

  /// Matrices of one width, one below the other, then zeros. Where their formats differ, bf16.
  Weight matrix(std::initializer_list<const Tensor*> parts) {
    const Tensor& first = **parts.begin();
    WeightFormat format = format_of(first);
    int64_t rows = 0;
    for (const Tensor* part : parts) {
      if (format_of(*part) != format || part->group != first.group || bf16_only_) format = WeightFormat::bf16;
      rows += part->rows;
    }
    Weight w{.format = format, .outputs = padded_outputs(rows), .inputs = first.cols};
    if (format == WeightFormat::int4) w.group = first.group;
    auto* to = static_cast<unsigned char*>(allocate(bytes_of_rows(format, first, w.outputs)));
    w.values = to;
    std::vector<std::pair<const float*, int64_t>> scales;
    for (const Tensor* part : parts) {
      copy_rows(*part, format, to);
      to += bytes_of_rows(format, *part, part->rows);
      scales.emplace_back(part->scales, part->rows * groups_of(*part));
    }
    clear(to, bytes_of_rows(format, first, w.outputs - rows));
    if (format != WeightFormat::bf16) w.scales = floats(scales, (w.outputs - rows) * groups_of(first));
    return w;
  }

  void copy_rows(const Tensor& w, WeightFormat format, unsigned char* to) {
    const uint64_t bytes = bytes_of_rows(format, w, 1);
    const auto rows_at_once = static_cast<int64_t>(std::max<uint64_t>(1, kStagingBytes / bytes));
    for (int64_t row = 0; row < w.rows && !error_; row += rows_at_once) {
      const int64_t count = std::min(rows_at_once, w.rows - row);
      unsigned char* staged = begin_copy();
      for (int64_t i = 0; i < count && !error_; ++i)
        stage_row(w, format, row + i, staged + static_cast<uint64_t>(i) * bytes);
      end_copy(to + static_cast<uint64_t>(row) * bytes, bytes * static_cast<uint64_t>(count));
    }
  }

  void stage_row(const Tensor& w, WeightFormat format, int64_t row, unsigned char* to) {
    if (format == WeightFormat::bf16) return bf16_row(w, row, reinterpret_cast<uint16_t*>(to), floats_, integers_);
    if (format == WeightFormat::int8) return unpack_row(w, row, reinterpret_cast<int8_t*>(to));
    if (format == WeightFormat::int4) return chunk_row(w, row, reinterpret_cast<uint32_t*>(to));
    std::memcpy(to, static_cast<const uint8_t*>(w.data) + row * w.cols, static_cast<size_t>(w.cols));
  }

  /// Vectors one behind the other, then zeros; null if they are absent.
  const float* floats(const std::vector<std::pair<const float*, int64_t>>& parts, int64_t zeros = 0) {
    if (parts.front().first == nullptr) return nullptr;
    constexpr auto kAtOnce = static_cast<int64_t>(kStagingBytes / sizeof(float));
    int64_t count = zeros;
    for (const auto& part : parts) count += part.second;
    auto* const all = static_cast<float*>(allocate(static_cast<uint64_t>(count) * sizeof(float)));
    float* to = all;
    for (const auto& [values, size] : parts) {
      for (int64_t at = 0; at < size && !error_; at += kAtOnce) {
        const int64_t some = std::min(kAtOnce, size - at);
        std::copy_n(values + at, some, reinterpret_cast<float*>(begin_copy()));
        end_copy(to, static_cast<uint64_t>(some) * sizeof(float));
        to += some;
      }
    }
    clear(to, static_cast<uint64_t>(zeros) * sizeof(float));
    return error_ ? nullptr : all;
  }

  void* allocate(uint64_t bytes) {
    if (error_) return nullptr;
    DeviceMemory memory;
    if (auto made = memory.allocate(bytes, "the model's weights"); !made.ok()) {
      fail(made.error());
      return nullptr;
    }
    to_.memory.push_back(std::move(memory));
    return to_.memory.back().as<void>();
  }

  /// The staging half whose last copy is done.
  unsigned char* begin_copy() {
    turn_ = 1 - turn_;
    check(cudaEventSynchronize(halves_[turn_].copied.get()));
    return halves_[turn_].memory.as<unsigned char>();
  }

  void end_copy(void* to, uint64_t bytes) {
    if (error_) return;
    Half& half = halves_[turn_];
    check(cudaMemcpyAsync(to, half.memory.as<void>(), bytes, cudaMemcpyHostToDevice, stream_));
    check(cudaEventRecord(half.copied.get(), stream_));
    done_ += bytes;
    if (progress_) progress_(done_, total_);
  }

  void clear(void* from, uint64_t bytes) {
    if (error_ || bytes == 0) return;
    check(cudaMemsetAsync(from, 0, bytes, stream_));
    done_ += bytes;
  }

  void check(cudaError_t error) {
    if (error != cudaSuccess) fail(device_error(error, "copying weights"));
  }
  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }

  const Model& model_;
  RopeFrequencies rope_;
  cudaStream_t stream_;
  const LoadProgress& progress_;
  uint64_t total_;
  uint64_t done_ = 0;
  DeviceModel to_;
  Half halves_[2];
  int turn_ = 0;
  bool bf16_only_ = false;
  std::optional<Error> error_;
  std::vector<float> floats_;
  std::vector<int8_t> integers_;
};

}  // namespace

std::string unsupported_on_gpu(const ModelSpec& spec) {
  const int64_t dims[] = {32, 64, 96, 128, 256};
  if (std::find(std::begin(dims), std::end(dims), spec.head_dim) == std::end(dims)) {
    return "heads of " + std::to_string(spec.head_dim) + " numbers; the GPU's attention takes 32, 64, 96, 128 or 256";
  }
  if (windows_of(spec).size() > kWindowsMax) return "layers with more than two sliding windows";
  for (const int64_t width : {spec.hidden, spec.intermediate, spec.q_width()}) {
    if (width % 16 != 0) return "a width of " + std::to_string(width) + "; the GPU's kernels take multiples of 16";
  }
  return "";
}

uint64_t device_bytes(const Model& model) {
  const auto matrix = [](const Tensor& w) {
    const WeightFormat format = format_of(w);
    const uint64_t scales = format == WeightFormat::bf16 ? 0 : static_cast<uint64_t>(groups_of(w)) * sizeof(float);
    return static_cast<uint64_t>(padded_outputs(w.rows)) * (bytes_of_rows(format, w, 1) + scales);
  };
  const DecoderWeights& w = model.weights;
  uint64_t bytes = bytes_of_rows(WeightFormat::bf16, w.embedding, padded_outputs(w.embedding.rows));
  const bool tied = w.tied() && format_of(w.lm_head) == WeightFormat::bf16;
  if (!tied) bytes += matrix(w.lm_head);
  for (const DecoderLayer& l : w.layers) {
    for (const Tensor* part : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) bytes += matrix(*part);
  }
  return bytes;
}

int64_t wide_numbers_of(const Model& model) {
  int64_t largest = 0;
  const auto count = [&](std::initializer_list<const Tensor*> stacked) {
    const WeightFormat format = format_of(**stacked.begin());
    if (format == WeightFormat::bf16 || format == WeightFormat::int8) return;
    int64_t rows = 0;
    for (const Tensor* part : stacked) rows += part->rows;
    largest = std::max(largest, padded_outputs(rows) * (*stacked.begin())->cols);
  };
  count({&model.weights.lm_head});
  for (const DecoderLayer& l : model.weights.layers) {
    count({&l.q, &l.k, &l.v});
    count({&l.o});
    count({&l.gate, &l.up});
    count({&l.down});
  }
  return std::min(largest, kWideNumbersMax);
}

std::vector<int32_t> windows_of(const ModelSpec& spec) {
  std::vector<int32_t> windows;
  for (int64_t i = 0; i < spec.layers; ++i) {
    const auto window = static_cast<int32_t>(spec.window_of(i));
    if (std::find(windows.begin(), windows.end(), window) == windows.end()) windows.push_back(window);
  }
  return windows;
}

Result<DeviceModel> upload(const Model& model, int32_t context_tokens, cudaStream_t stream,
                           const LoadProgress& progress) {
  return Uploader(model, context_tokens, stream, progress).run();
}

}  // namespace weir::engine::cuda
