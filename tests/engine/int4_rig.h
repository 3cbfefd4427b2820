// A small random Llama whose projections are in 4 bits, stored as compressed-tensors, AutoGPTQ and AutoAWQ do, each by
// the definition of its format; and the same model with the widened weights in float32. For the tests of loading and of
// the backends.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/base/json.h"
#include "config/base/rng.h"
#include "engine/model/model.h"
#include "engine/ops/half.h"

namespace weir::engine {

struct Int4Case {
  std::string_view method;  // "packed", "gptq", "gptq_v2", "awq", or "float": the widened weights
  int64_t group = 128;      // -1: all inputs of an output
  bool symmetric = false;
  bool bf16_scales = false;
};

class Int4Checkpoint {
 public:
  static constexpr int64_t kHidden = 128, kIntermediate = 384, kLayers = 2, kVocab = 97, kKvWidth = 64;

  explicit Int4Checkpoint(const Int4Case& c) : case_(c) {
    floats("model.embed_tokens.weight", {kVocab, kHidden}, 1.0, 0);
    for (int64_t i = 0; i < kLayers; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".";
      floats(layer + "input_layernorm.weight", {kHidden}, 0.2, 1);
      floats(layer + "post_attention_layernorm.weight", {kHidden}, 0.2, 1);
      matrix(layer + "self_attn.q_proj", kHidden, kHidden);
      matrix(layer + "self_attn.k_proj", kKvWidth, kHidden);
      matrix(layer + "self_attn.v_proj", kKvWidth, kHidden);
      matrix(layer + "self_attn.o_proj", kHidden, kHidden);
      matrix(layer + "mlp.gate_proj", kIntermediate, kHidden);
      matrix(layer + "mlp.up_proj", kIntermediate, kHidden);
      matrix(layer + "mlp.down_proj", kHidden, kIntermediate);
    }
    floats("model.norm.weight", {kHidden}, 0.2, 1);
    floats("lm_head.weight", {kVocab, kHidden}, 0.1, 0);
    config_ = {{"architectures", {"LlamaForCausalLM"}},
               {"model_type", "llama"},
               {"hidden_size", kHidden},
               {"intermediate_size", kIntermediate},
               {"num_hidden_layers", kLayers},
               {"num_attention_heads", 4},
               {"num_key_value_heads", 2},
               {"head_dim", 32},
               {"hidden_act", "silu"},
               {"rms_norm_eps", 1e-6},
               {"vocab_size", kVocab},
               {"max_position_embeddings", 512},
               {"tie_word_embeddings", false}};
    if (c.method != "float") config_["quantization_config"] = quantization();
  }

  nlohmann::json& config() { return config_; }
  struct Stored {
    std::string dtype;
    std::vector<int64_t> shape;
    std::string bytes;
  };
  std::map<std::string, Stored>& tensors() { return tensors_; }

  /// What it gives points into this.
  Result<std::vector<std::shared_ptr<const Model>>> load(Quantization quantization = Quantization::none,
                                                         int parts = 1) {
    return load_parts(*files(), parts, quantization);
  }

  /// As load() reads them.
  std::unique_ptr<ModelFiles> files() {
    write();
    return memory_files("model", {{"config.json", text_}, {"model.safetensors", bytes_}});
  }

  /// Where the file lies that load() read last.
  std::string_view file() const { return bytes_; }

 private:
  using Words = std::vector<uint32_t>;

  static void put(Words& words, int64_t word, int64_t place, int32_t number) {
    words[static_cast<size_t>(word)] |= static_cast<uint32_t>(number & 15) << 4 * place;
  }

  template <class T>
  void store(const std::string& name, const char* dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
    std::string bytes(values.size() * sizeof(T), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    tensors_[name] = {dtype, std::move(shape), std::move(bytes)};
  }

  void floats(const std::string& name, std::vector<int64_t> shape, double size, double middle) {
    int64_t count = 1;
    for (const int64_t side : shape) count *= side;
    std::vector<float> values(static_cast<size_t>(count));
    for (float& v : values) v = static_cast<float>(middle + (rng_.uniform() * 2 - 1) * size);
    store(name, "F32", std::move(shape), values);
  }

  void matrix(const std::string& name, int64_t rows, int64_t cols) {
    const int64_t group = case_.group < 0 ? cols : case_.group;
    const int64_t groups = cols / group;
    std::vector<int32_t> numbers, zeros;
    std::vector<uint16_t> scales;
    for (int64_t i = 0; i < rows * cols; ++i) numbers.push_back(static_cast<int32_t>(rng_.below(16)));
    for (int64_t i = 0; i < rows * groups; ++i) {
      zeros.push_back(case_.symmetric ? 8 : static_cast<int32_t>(rng_.below(16)));
      const auto scale = static_cast<float>(0.004 + 0.01 * rng_.uniform());
      scales.push_back(case_.bf16_scales ? narrow_bf16(scale) : narrow_f16(scale));
    }
    if (case_.method == "float") {
      std::vector<float> w;
      for (int64_t i = 0; i < rows * cols; ++i) {
        const auto g = static_cast<size_t>(i / group);
        const float scale = case_.bf16_scales ? widen_bf16(scales[g]) : widen_f16(scales[g]);
        w.push_back(static_cast<float>(numbers[static_cast<size_t>(i)] - zeros[g]) * scale);
      }
      return store(name + ".weight", "F32", {rows, cols}, w);
    }
    if (case_.method == "packed") return packed(name, rows, cols, groups, numbers, zeros, scales);
    along_outputs(name, rows, cols, groups, numbers, zeros, scales);
  }

  void packed(const std::string& name, int64_t rows, int64_t cols, int64_t groups, const std::vector<int32_t>& numbers,
              const std::vector<int32_t>& zeros, const std::vector<uint16_t>& scales) {
    Words words(static_cast<size_t>(rows * cols / 8));
    for (int64_t i = 0; i < rows * cols; ++i) put(words, i / 8, i % 8, numbers[static_cast<size_t>(i)]);
    store(name + ".weight_packed", "I32", {rows, cols / 8}, words);
    store(name + ".weight_scale", case_.bf16_scales ? "BF16" : "F16", {rows, groups}, scales);
    store(name + ".weight_shape", "I64", {2}, std::vector<int64_t>{rows, cols});
    if (case_.symmetric) return;
    Words own(static_cast<size_t>(rows / 8 * groups));
    for (int64_t o = 0; o < rows; ++o) {
      for (int64_t g = 0; g < groups; ++g)
        put(own, o / 8 * groups + g, o % 8, zeros[static_cast<size_t>(o * groups + g)]);
    }
    store(name + ".weight_zero_point", "I32", {rows / 8, groups}, own);
  }

  /// GPTQ's and AWQ's, whose scales and zeros lie [groups, outputs].
  void along_outputs(const std::string& name, int64_t rows, int64_t cols, int64_t groups,
                     const std::vector<int32_t>& numbers, const std::vector<int32_t>& zeros,
                     const std::vector<uint16_t>& scales) {
    const bool awq = case_.method == "awq";
    constexpr int64_t kOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};  // of outputs in a word of AWQ's
    Words words(static_cast<size_t>(rows * cols / 8));
    Words own(static_cast<size_t>(rows * groups / 8));
    std::vector<uint16_t> turned(scales.size());
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t o = 0; o < rows; ++o) {
        if (awq) {
          const int64_t output = o / 8 * 8 + kOrder[o % 8];
          put(words, i * (rows / 8) + o / 8, o % 8, numbers[static_cast<size_t>(output * cols + i)]);
        } else {
          put(words, i / 8 * rows + o, i % 8, numbers[static_cast<size_t>(o * cols + i)]);
        }
      }
    }
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t o = 0; o < rows; ++o) {
        turned[static_cast<size_t>(g * rows + o)] = scales[static_cast<size_t>(o * groups + g)];
        const int64_t output = awq ? o / 8 * 8 + kOrder[o % 8] : o;
        const int32_t zero = zeros[static_cast<size_t>(output * groups + g)];
        put(own, g * (rows / 8) + o / 8, o % 8, case_.method == "gptq" ? zero - 1 : zero);
      }
    }
    store(name + ".qweight", "I32", awq ? std::vector{cols, rows / 8} : std::vector{cols / 8, rows}, words);
    store(name + ".qzeros", "I32", {groups, rows / 8}, own);
    store(name + ".scales", case_.bf16_scales ? "BF16" : "F16", {groups, rows}, turned);
    if (awq) return;
    std::vector<int32_t> order;
    for (int64_t i = 0; i < cols; ++i) order.push_back(static_cast<int32_t>(i / (cols / groups)));
    store(name + ".g_idx", "I32", {cols}, order);
  }

  nlohmann::json quantization() const {
    if (case_.method == "awq") {
      return {{"quant_method", "awq"}, {"bits", 4},         {"group_size", case_.group},
              {"zero_point", true},    {"version", "gemm"}, {"modules_to_not_convert", nullptr}};
    }
    if (case_.method != "packed") {
      return {{"quant_method", "gptq"},
              {"bits", 4},
              {"group_size", case_.group},
              {"desc_act", false},
              {"sym", case_.symmetric},
              {"damp_percent", 0.01},
              {"static_groups", false},
              {"true_sequential", true},
              {"checkpoint_format", case_.method == "gptq" ? "gptq" : "gptq_v2"}};
    }
    nlohmann::json weights = {{"num_bits", 4},
                              {"type", "int"},
                              {"strategy", case_.group < 0 ? "channel" : "group"},
                              {"symmetric", case_.symmetric},
                              {"dynamic", false},
                              {"group_size", nullptr},
                              {"actorder", nullptr}};
    if (case_.group > 0) weights["group_size"] = case_.group;
    const nlohmann::json group = {{"targets", {"Linear"}}, {"weights", weights}, {"input_activations", nullptr}};
    return {{"quant_method", "compressed-tensors"},
            {"format", "pack-quantized"},
            {"config_groups", {{"group_0", group}}},
            {"ignore", {"lm_head"}}};
  }

  void write() {
    text_ = config_.dump();
    nlohmann::json header = nlohmann::json::object();
    std::string data;
    for (const auto& [name, tensor] : tensors_) {
      header[name] = {{"dtype", tensor.dtype},
                      {"shape", tensor.shape},
                      {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
      data += tensor.bytes;
    }
    std::string top = header.dump();
    top.resize((top.size() + 7) / 8 * 8, ' ');
    bytes_.clear();
    for (int i = 0; i < 8; ++i) bytes_.push_back(static_cast<char>(top.size() >> (8 * i) & 0xff));
    bytes_ += top + data;
  }

  Int4Case case_;
  Rng rng_{77};
  std::map<std::string, Stored> tensors_;
  nlohmann::json config_;
  std::string text_, bytes_;
};

}  // namespace weir::engine
