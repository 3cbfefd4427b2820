// SmoothQuant: what makes activations hard to quantize is moved into the weights (Xiao et al. 2022,
// https://arxiv.org/abs/2211.10438, equations 3 and 4). An input j of a product is divided by s_j and the weights'
// column j multiplied by it, where a = 0.5 shares the difficulty evenly:
//
//   s_j = max|X_j|^a / max|W_j|^(1 - a)
//
// The division costs nothing: it is folded into what makes the input. For q, k and v, and for gate and up, that is the
// norm before them, as in the paper; for down it is up's outputs, and for o it is v's, shared by the heads that read
// the same keys and values. In exact arithmetic the model stays the same. Plain values; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "engine/core/tensor.h"
#include "engine/model/decoder.h"
#include "engine/model/spec.h"

namespace weir::engine {

/// A number for each input of a layer's products: the largest magnitude it took (of activations), or s.
struct LayerInputs {
  std::vector<float> attention;  // [hidden] of q, k and v
  std::vector<float> output;     // [q_width] of o; s: [kv_width]
  std::vector<float> mlp;        // [hidden] of gate and up
  std::vector<float> down;       // [intermediate]
};

/// Equation 4. An input that was never other than 0, or that no weight reads, keeps its size: s = 1. `largest` is of
/// activations, one entry a layer. REQUIRES: float matrices, 0 ≤ a ≤ 1.
std::vector<LayerInputs> smoothing_factors(const ModelSpec& spec, const DecoderWeights& weights,
                                           const std::vector<LayerInputs>& largest, double a);

/// The weights of a model with such factors folded in (or none), read a row at a time: nothing is copied whole.
class Smoothed {
 public:
  /// `factors` is empty, or has an entry a layer. Keeps pointers into the weights, which outlive this.
  Smoothed(const ModelSpec& spec, const DecoderWeights& weights, std::vector<LayerInputs> factors);
  Smoothed(const Smoothed&) = delete;  // it points into itself
  Smoothed& operator=(const Smoothed&) = delete;

  /// Is the matrix, or a part of it, what a layer multiplies by? Not so: embedding and lm_head.
  bool is_projection(const Tensor& matrix) const;
  /// to[0 … cols) = the row as it is to be. REQUIRES: is_projection, f32, bf16 or f16.
  void row(const Tensor& matrix, int64_t row, float* to) const;
  /// Of a norm or a bias: what its elements are to be divided by; null: it stays as it is.
  const std::vector<float>* divisors(const float* vector) const;

 private:
  struct Projection {
    uintptr_t end = 0;
    int64_t row_bytes = 0;
    const std::vector<float>* columns = nullptr;  // to multiply by, or null
    const std::vector<float>* rows = nullptr;     // to divide by, or null
  };
  void add(const Tensor& w, const std::vector<float>* columns, const std::vector<float>* rows);

  std::vector<LayerInputs> factors_;
  std::vector<std::vector<float>> o_columns_;    // [layers][q_width]
  std::map<uintptr_t, Projection> projections_;  // by where they begin
  std::map<const float*, const std::vector<float>*> divisors_;
};

}  // namespace weir::engine
