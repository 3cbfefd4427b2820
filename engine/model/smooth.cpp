#include "engine/model/smooth.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "engine/ops/widen_row.h"

namespace weir::engine {
namespace {

/// largest[c] = max over rows |w[·, c]|, and over what is in it already.
void add_column_maxima(const Tensor& w, std::vector<float>& largest) {
  std::vector<float> row(static_cast<size_t>(w.cols));
  for (int64_t r = 0; r < w.rows; ++r) {
    widen_row(w, r, row.data());
    for (size_t c = 0; c < row.size(); ++c) largest[c] = std::max(largest[c], std::fabs(row[c]));
  }
}

std::vector<float> column_maxima(std::initializer_list<const Tensor*> weights) {
  std::vector<float> largest(static_cast<size_t>((*weights.begin())->cols), 0.0F);
  for (const Tensor* w : weights) add_column_maxima(*w, largest);
  return largest;
}

/// Of o's inputs, the heads that read one head of keys and values taken together: [q_width] to [kv_width].
std::vector<float> over_groups(const ModelSpec& spec, const std::vector<float>& of_heads) {
  std::vector<float> of_kv(static_cast<size_t>(spec.kv_width()), 0.0F);
  const int64_t group = spec.heads / spec.kv_heads;
  for (int64_t head = 0; head < spec.heads; ++head) {
    for (int64_t d = 0; d < spec.head_dim; ++d) {
      float& largest = of_kv[static_cast<size_t>(head / group * spec.head_dim + d)];
      largest = std::max(largest, of_heads[static_cast<size_t>(head * spec.head_dim + d)]);
    }
  }
  return of_kv;
}

/// The other way: each head the factors of the keys and values that it reads.
std::vector<float> over_heads(const ModelSpec& spec, const std::vector<float>& of_kv) {
  std::vector<float> of_heads(static_cast<size_t>(spec.q_width()));
  const int64_t group = spec.heads / spec.kv_heads;
  for (int64_t head = 0; head < spec.heads; ++head) {
    std::copy_n(of_kv.begin() + head / group * spec.head_dim, spec.head_dim, of_heads.begin() + head * spec.head_dim);
  }
  return of_heads;
}

std::vector<float> equation_4(const std::vector<float>& x, const std::vector<float>& w, double a) {
  std::vector<float> s(w.size(), 1.0F);
  for (size_t j = 0; j < s.size(); ++j) {
    const double factor = std::pow(static_cast<double>(x[j]), a) / std::pow(static_cast<double>(w[j]), 1.0 - a);
    const bool sensible = x[j] > 0.0F && w[j] > 0.0F && factor > 1e-5 && factor < 1e5;
    if (sensible) s[j] = static_cast<float>(factor);
  }
  return s;
}

}  // namespace

std::vector<LayerInputs> smoothing_factors(const ModelSpec& spec, const DecoderWeights& weights,
                                           const std::vector<LayerInputs>& largest, double a) {
  std::vector<LayerInputs> factors;
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const DecoderLayer& l = weights.layers[i];
    const LayerInputs& x = largest[i];
    factors.push_back({.attention = equation_4(x.attention, column_maxima({&l.q, &l.k, &l.v}), a),
                       .output = equation_4(over_groups(spec, x.output), over_groups(spec, column_maxima({&l.o})), a),
                       .mlp = equation_4(x.mlp, column_maxima({&l.gate, &l.up}), a),
                       .down = equation_4(x.down, column_maxima({&l.down}), a)});
  }
  return factors;
}

Smoothed::Smoothed(const ModelSpec& spec, const DecoderWeights& weights, std::vector<LayerInputs> factors)
    : factors_(std::move(factors)) {
  if (factors_.empty()) {
    for (const DecoderLayer& l : weights.layers) {
      for (const Tensor* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) add(*w, nullptr, nullptr);
    }
    return;
  }
  o_columns_.reserve(weights.layers.size());
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const DecoderLayer& l = weights.layers[i];
    const LayerInputs& s = factors_[i];
    o_columns_.push_back(over_heads(spec, s.output));
    add(l.q, &s.attention, nullptr);
    add(l.k, &s.attention, nullptr);
    add(l.v, &s.attention, &s.output);
    add(l.o, &o_columns_.back(), nullptr);
    add(l.gate, &s.mlp, nullptr);
    add(l.up, &s.mlp, &s.down);
    add(l.down, &s.down, nullptr);
    divisors_[l.input_norm] = &s.attention;
    divisors_[l.attention_norm] = &s.mlp;
    if (l.v_bias != nullptr) divisors_[l.v_bias] = &s.output;
    if (l.up_bias != nullptr) divisors_[l.up_bias] = &s.down;
  }
}

void Smoothed::add(const Tensor& w, const std::vector<float>* columns, const std::vector<float>* rows) {
  const auto begin = reinterpret_cast<uintptr_t>(w.data);
  const int64_t row_bytes = bytes_of(w.dtype, w.cols);
  projections_[begin] = {begin + static_cast<uintptr_t>(w.rows * row_bytes), row_bytes, columns, rows};
}

bool Smoothed::is_projection(const Tensor& matrix) const {
  const auto begin = reinterpret_cast<uintptr_t>(matrix.data);
  const auto end = begin + static_cast<uintptr_t>(bytes_of(matrix.dtype, matrix.rows * matrix.cols));
  const auto found = projections_.lower_bound(begin);
  return found != projections_.end() && found->first < end;
}

void Smoothed::row(const Tensor& matrix, int64_t row, float* to) const {
  widen_row(matrix, row, to);
  const auto at =
      reinterpret_cast<uintptr_t>(matrix.data) + static_cast<uintptr_t>(bytes_of(matrix.dtype, row * matrix.cols));
  auto found = projections_.upper_bound(at);
  if (found == projections_.begin()) return;
  const auto& [begin, projection] = *--found;
  if (at >= projection.end || projection.columns == nullptr) return;
  for (int64_t c = 0; c < matrix.cols; ++c) to[c] *= (*projection.columns)[static_cast<size_t>(c)];
  if (projection.rows == nullptr) return;
  const float divisor = (*projection.rows)[(at - begin) / static_cast<uintptr_t>(projection.row_bytes)];
  for (int64_t c = 0; c < matrix.cols; ++c) to[c] /= divisor;
}

const std::vector<float>* Smoothed::divisors(const float* vector) const {
  const auto found = divisors_.find(vector);
  return found == divisors_.end() ? nullptr : found->second;
}

}  // namespace weir::engine
