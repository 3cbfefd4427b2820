#include "engine/bench/shapes.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "config/base/rng.h"
#include "engine/ops/fp8.h"
#include "engine/ops/int4.h"
#include "engine/ops/quantized.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine::bench {
namespace {

struct Shape {
  std::string_view name;
  std::string_view config;  // config.json, as published with the model
};

// https://huggingface.co/Qwen/Qwen2.5-0.5B, .../meta-llama/Llama-3.2-1B, .../meta-llama/Llama-3.1-8B,
// .../Qwen/Qwen2.5-7B, each config.json
constexpr Shape kShapes[] = {
    {"qwen2.5-0.5b",
     R"({"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_act":"silu","hidden_size":896,
         "intermediate_size":4864,"max_position_embeddings":32768,"num_attention_heads":14,"num_hidden_layers":24,
         "num_key_value_heads":2,"rms_norm_eps":1e-06,"rope_theta":1000000.0,"tie_word_embeddings":true,
         "use_sliding_window":false,"vocab_size":151936})"},
    {"llama-3.2-1b",
     R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_act":"silu","hidden_size":2048,
         "intermediate_size":8192,"max_position_embeddings":131072,"num_attention_heads":32,"num_hidden_layers":16,
         "num_key_value_heads":8,"head_dim":64,"rms_norm_eps":1e-05,"rope_theta":500000.0,
         "tie_word_embeddings":true,"vocab_size":128256})"},
    {"llama-3.1-8b",
     R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_act":"silu","hidden_size":4096,
         "intermediate_size":14336,"max_position_embeddings":131072,"num_attention_heads":32,"num_hidden_layers":32,
         "num_key_value_heads":8,"rms_norm_eps":1e-05,"rope_theta":500000.0,"tie_word_embeddings":false,
         "vocab_size":128256})"},
    {"qwen2.5-7b",
     R"({"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_act":"silu","hidden_size":3584,
         "intermediate_size":18944,"max_position_embeddings":131072,"num_attention_heads":28,"num_hidden_layers":28,
         "num_key_value_heads":4,"rms_norm_eps":1e-06,"rope_theta":1000000.0,"tie_word_embeddings":false,
         "use_sliding_window":false,"vocab_size":152064})"},
};

/// Takes memory for weights and fills it; remembers that some could not be had.
class Maker {
 public:
  Maker(DecoderWeights& weights, Quantization quantization) : weights_(weights), quantization_(quantization) {
    weights_.memory = std::make_shared<WeightMemory>();
  }

  const float* vector(int64_t size, float value) {
    auto& floats = weights_.memory->floats.emplace_back(std::make_unique<float[]>(static_cast<size_t>(size)));
    std::fill_n(floats.get(), size, value);
    weights_.bytes += static_cast<uint64_t>(size) * sizeof(float);
    return floats.get();
  }

  /// As quantize.h would have it: the vocabulary in INT8 where the rest is in FP8 or INT4.
  Tensor matrix(int64_t rows, int64_t cols, bool vocabulary = false) {
    if (quantization_ == Quantization::none) return halves(rows, cols);
    if (quantization_ == Quantization::int8 || vocabulary) return packed(rows, cols);
    return quantization_ == Quantization::fp8 ? fp8(rows, cols) : int4(rows, cols);
  }

  bool failed() const { return failed_; }

 private:
  /// bfloat16 of random sign and of a size such that a product neither grows nor shrinks what goes through it.
  Tensor halves(int64_t rows, int64_t cols) {
    const auto count = static_cast<size_t>(rows * cols);
    std::unique_ptr<uint16_t[]> memory(new (std::nothrow) uint16_t[count]);
    if (!memory) return failed_ = true, Tensor{};
    const auto exponent =
        static_cast<uint16_t>((127 - static_cast<int>(std::log2(static_cast<double>(cols)) / 2)) << 7);
    pool_.run(rows, 64, [&](int64_t begin, int64_t end) {
      Rng rng(static_cast<uint64_t>(begin + 1));
      for (auto i = static_cast<size_t>(begin * cols); i < static_cast<size_t>(end * cols); ++i) {
        memory[i] = static_cast<uint16_t>((rng.next() & 0x807fU) | exponent);
      }
    });
    weights_.bytes += count * sizeof(uint16_t);
    weights_.memory->halves.push_back(std::move(memory));
    return {.data = weights_.memory->halves.back().get(), .dtype = DType::bf16, .rows = rows, .cols = cols};
  }

  /// Of random sign and fraction, in the middle of the exponents.
  Tensor fp8(int64_t rows, int64_t cols) {
    auto made = allocate_fp8(rows, cols);
    if (!made) return failed_ = true, Tensor{};
    auto* values = static_cast<uint8_t*>(const_cast<void*>(made->tensor.data));
    auto* scales = const_cast<float*>(made->tensor.scales);
    pool_.run(rows, 64, [&](int64_t begin, int64_t end) {
      Rng rng(static_cast<uint64_t>(begin + 1));
      uint64_t bits = 0;
      for (int64_t i = 0; i < (end - begin) * cols; ++i, bits >>= 8) {
        if (i % 8 == 0) bits = rng.next();
        values[begin * cols + i] = static_cast<uint8_t>((bits & 0x87U) | 0x38U);  // ±[1, 2)
      }
      std::fill(scales + begin, scales + end, 0.7F / std::sqrt(static_cast<float>(cols)));
    });
    return keep(*std::move(made));
  }

  Tensor int4(int64_t rows, int64_t cols) {
    auto made = allocate_int4(rows, cols, int4_group_of(cols, kInt4GroupMax));
    if (!made) return failed_ = true, Tensor{};
    auto* words = static_cast<uint32_t*>(const_cast<void*>(made->tensor.data));
    auto* groups = const_cast<float*>(made->tensor.scales);
    pool_.run(rows, 64, [&](int64_t begin, int64_t end) {
      Rng rng(static_cast<uint64_t>(begin + 1));
      for (int64_t i = begin * cols / kInt4Word; i < end * cols / kInt4Word; ++i) {
        words[i] = static_cast<uint32_t>(rng.next());
      }
      const int64_t count = groups_of(made->tensor);
      const float scale = 1.0F / (4.6F * std::sqrt(static_cast<float>(cols)));  // 4.6: deviation of 0 … 15
      std::fill(groups + begin * count, groups + end * count, int4_group(scale, 8));
    });
    return keep(*std::move(made));
  }

  Tensor keep(PackedWeight made) {
    weights_.bytes += made.bytes;
    const Tensor tensor = made.tensor;
    weights_.packed.push_back(std::move(made));
    return tensor;
  }

  Tensor packed(int64_t rows, int64_t cols) {
    auto made = allocate_packed(rows, cols);
    if (!made) return failed_ = true, Tensor{};
    const int64_t quads = (cols + kQuad - 1) / kQuad;
    auto* values = reinterpret_cast<int8_t*>(made->memory.get());
    auto* scales = const_cast<float*>(made->tensor.scales);
    auto* sums = const_cast<int32_t*>(made->tensor.sums);
    const float scale = 1.0F / (73.0F * std::sqrt(static_cast<float>(cols)));  // 73: deviation of −127 … 127
    pool_.run((rows + kPanelOutputs - 1) / kPanelOutputs, 1, [&](int64_t begin, int64_t end) {
      Rng rng(static_cast<uint64_t>(begin + 1));
      for (int64_t panel = begin; panel < end; ++panel) {
        int8_t* to = values + panel * quads * kPanelOutputs * kQuad;
        uint64_t bits = 0;
        for (int64_t i = 0; i < quads * kPanelOutputs * kQuad; ++i, bits >>= 8) {
          if (i % 8 == 0) bits = rng.next();
          const auto byte = static_cast<int8_t>(bits & 0xffU);
          to[i] = byte == -128 ? int8_t{0} : byte;
          sums[panel * kPanelOutputs + i / kQuad % kPanelOutputs] += to[i];
        }
        for (int64_t o = 0; o < kPanelOutputs; ++o) scales[panel * kPanelOutputs + o] = scale;
      }
    });
    return keep(*std::move(made));
  }

  DecoderWeights& weights_;
  ThreadPool pool_{0};
  Quantization quantization_;
  bool failed_ = false;
};

void fill(const ModelSpec& spec, DecoderWeights& weights, Maker& make) {
  weights.embedding = make.matrix(spec.vocab, spec.hidden, true);
  for (int64_t i = 0; i < spec.layers && !make.failed(); ++i) {
    DecoderLayer layer;
    layer.input_norm = make.vector(spec.hidden, 1.0F);
    layer.q = make.matrix(spec.q_width(), spec.hidden);
    layer.k = make.matrix(spec.kv_width(), spec.hidden);
    layer.v = make.matrix(spec.kv_width(), spec.hidden);
    layer.o = make.matrix(spec.hidden, spec.q_width());
    if (spec.qkv_bias) {
      layer.q_bias = make.vector(spec.q_width(), 0.1F);
      layer.k_bias = make.vector(spec.kv_width(), 0.1F);
      layer.v_bias = make.vector(spec.kv_width(), 0.1F);
    }
    layer.attention_norm = make.vector(spec.hidden, 1.0F);
    layer.gate = make.matrix(spec.intermediate, spec.hidden);
    layer.up = make.matrix(spec.intermediate, spec.hidden);
    layer.down = make.matrix(spec.hidden, spec.intermediate);
    weights.layers.push_back(layer);
  }
  weights.norm = make.vector(spec.hidden, 1.0F);
  weights.lm_head = spec.tied_embeddings ? weights.embedding : make.matrix(spec.vocab, spec.hidden, true);
}

}  // namespace

std::vector<std::string_view> shape_names() {
  std::vector<std::string_view> names;
  for (const Shape& shape : kShapes) names.push_back(shape.name);
  return names;
}

Result<std::shared_ptr<const Model>> random_model(std::string_view shape, Quantization quantization) {
  for (const Shape& known : kShapes) {
    if (known.name != shape) continue;
    auto spec = read_model_spec(*memory_files(std::string(shape), {{"config.json", known.config}}));
    if (!spec.ok()) return spec.error();
    DecoderWeights weights;
    Maker make(weights, quantization);
    fill(*spec, weights, make);
    if (make.failed()) {
      return Error{.kind = ErrorKind::config, .source = "engine", .detail = std::string(shape) + ": no memory for it"};
    }
    return std::shared_ptr<const Model>(std::make_shared<Model>(Model{*std::move(spec), std::move(weights)}));
  }
  return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = "no shape '" + std::string(shape) + "'"};
}

}  // namespace weir::engine::bench
