#include "engine/model/shard.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>
#include <utility>

#include "engine/parallel/communicator.h"

namespace weir::engine {
namespace {

bool divides(const ModelSpec& spec, int parts) {
  const bool kv = spec.kv_heads % parts == 0 || parts % spec.kv_heads == 0;
  return spec.heads % parts == 0 && kv && spec.intermediate % parts == 0 && spec.vocab >= parts;
}

/// What rank `part` has of a row of equal pieces.
struct Share {
  int64_t begin;
  int64_t size;
};

class Cutter {
 public:
  Cutter(const ModelSpec& spec, const DecoderWeights& whole, int part, int parts)
      : spec_(spec), part_(part_of(spec, parts)), whole_(whole), index_(part), parts_(parts) {
    to_.memory = std::make_shared<WeightMemory>();
    to_.memory->whole = whole.memory;
  }

  Result<DecoderWeights> run() {
    const int64_t begin = vocab_begin(spec_.vocab, index_, parts_);
    const int64_t rows = vocab_begin(spec_.vocab, index_ + 1, parts_) - begin;
    to_.embedding = rows_of(whole_.embedding, begin, rows);
    to_.lm_head = rows_of(whole_.lm_head, begin, rows);
    to_.first_token = begin;
    count(to_.embedding);
    if (!to_.tied()) count(to_.lm_head);
    to_.norm = vector(whole_.norm, {0, spec_.hidden});
    for (const DecoderLayer& layer : whole_.layers) to_.layers.push_back(cut(layer));
    if (!failed_.empty()) return Error{.kind = ErrorKind::config, .source = "engine", .detail = failed_};
    return std::move(to_);
  }

 private:
  DecoderLayer cut(const DecoderLayer& l) {
    const int64_t dim = spec_.head_dim;
    const Share q{index_ * part_.q_width(), part_.q_width()};
    const Share kv{index_ * spec_.kv_heads / parts_ * dim, part_.kv_width()};
    const Share mlp{index_ * part_.intermediate, part_.intermediate};
    const Share hidden{0, spec_.hidden};
    DecoderLayer to;
    to.input_norm = vector(l.input_norm, hidden);
    to.q = outputs(l.q, q), to.q_bias = vector(l.q_bias, q);
    to.k = outputs(l.k, kv), to.k_bias = vector(l.k_bias, kv);
    to.v = outputs(l.v, kv), to.v_bias = vector(l.v_bias, kv);
    to.q_norm = vector(l.q_norm, {0, dim}), to.k_norm = vector(l.k_norm, {0, dim});
    to.o = inputs(l.o, q), to.o_bias = vector(l.o_bias, hidden);
    to.attention_norm = vector(l.attention_norm, hidden);
    to.gate = outputs(l.gate, mlp), to.gate_bias = vector(l.gate_bias, mlp);
    to.up = outputs(l.up, mlp), to.up_bias = vector(l.up_bias, mlp);
    to.down = inputs(l.down, mlp), to.down_bias = vector(l.down_bias, hidden);
    return to;
  }

  Tensor outputs(const Tensor& w, const Share& share) {
    const Tensor part = rows_of(w, share.begin, share.size);
    count(part);
    return part;
  }

  Tensor inputs(const Tensor& w, const Share& share) {
    assert(w.dtype != DType::i8);
    const auto bytes = static_cast<size_t>(bytes_of(w.dtype, share.size));
    std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[static_cast<size_t>(w.rows) * bytes]);
    if (memory == nullptr) {
      failed_ = "no memory for the model's parts; choose a smaller tensor_parallel";
      return {};
    }
    const auto* from = static_cast<const std::byte*>(w.data) + bytes_of(w.dtype, share.begin);
    for (int64_t row = 0; row < w.rows; ++row) {
      std::memcpy(memory.get() + static_cast<size_t>(row) * bytes, from + bytes_of(w.dtype, row * w.cols), bytes);
    }
    Tensor part = w;
    part.data = memory.get();
    part.cols = share.size;
    if (w.group != 0) part.scales = scales_of_inputs(w, share);
    to_.memory->bytes.push_back(std::move(memory));
    count(part);
    return part;
  }

  const float* scales_of_inputs(const Tensor& w, const Share& share) {
    if (share.size % w.group != 0) {
      if (!failed_.empty()) return nullptr;
      failed_ = "the checkpoint has a scale for every " + std::to_string(w.group) + " inputs of a weight, and " +
                std::to_string(parts_) + " parts would have " + std::to_string(share.size) +
                " inputs each; choose another tensor_parallel";
      return nullptr;
    }
    const auto groups = static_cast<size_t>(share.size / w.group);
    auto own = std::make_unique<float[]>(static_cast<size_t>(w.rows) * groups);
    for (int64_t row = 0; row < w.rows; ++row) {
      std::copy_n(w.scales + row * groups_of(w) + share.begin / w.group, groups,
                  own.get() + static_cast<size_t>(row) * groups);
    }
    to_.memory->floats.push_back(std::move(own));
    return to_.memory->floats.back().get();
  }

  const float* vector(const float* values, const Share& share) {
    if (values == nullptr) return nullptr;
    auto& own = to_.memory->floats.emplace_back(std::make_unique<float[]>(static_cast<size_t>(share.size)));
    std::copy_n(values + share.begin, share.size, own.get());
    to_.bytes += static_cast<uint64_t>(share.size) * sizeof(float);
    return own.get();
  }

  void count(const Tensor& w) {
    to_.bytes += static_cast<uint64_t>(bytes_of(w.dtype, w.rows * w.cols));
    if (w.scales != nullptr) to_.bytes += static_cast<uint64_t>(w.rows * groups_of(w)) * sizeof(float);
  }

  const ModelSpec& spec_;
  ModelSpec part_;
  const DecoderWeights& whole_;
  int64_t index_;
  int parts_;
  DecoderWeights to_;
  std::string failed_;  // why; empty: it has not
};

}  // namespace

std::string uncuttable(const ModelSpec& spec, int parts) {
  if (parts <= kRanksMax && divides(spec, parts)) return "";
  std::string fitting;
  for (int n = 1; n <= kRanksMax; ++n) {
    if (divides(spec, n)) fitting += (fitting.empty() ? "" : ", ") + std::to_string(n);
  }
  return std::to_string(parts) + " parts do not divide the model's " + std::to_string(spec.heads) + " heads, " +
         std::to_string(spec.kv_heads) + " heads of keys and values and MLP of " + std::to_string(spec.intermediate) +
         "; possible: " + fitting;
}

int64_t vocab_begin(int64_t vocab, int part, int parts) {
  return vocab * part / parts;
}

ModelSpec part_of(const ModelSpec& spec, int parts) {
  ModelSpec part = spec;
  part.heads = spec.heads / parts;
  part.kv_heads = std::max<int64_t>(1, spec.kv_heads / parts);
  part.intermediate = spec.intermediate / parts;
  return part;
}

Result<DecoderWeights> part_of(const ModelSpec& spec, const DecoderWeights& whole, int part, int parts) {
  return Cutter(spec, whole, part, parts).run();
}

}  // namespace weir::engine
