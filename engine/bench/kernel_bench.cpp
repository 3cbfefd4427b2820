#include <algorithm>
#include <vector>

#include "engine/bench/bench.h"
#include "engine/bench/quantile.h"
#include "engine/ops/ops.h"

namespace weir::engine::bench {
namespace {

constexpr double kWeightBytesMax = 400e6;
constexpr int kRounds = 5;

double stored_bytes(const Tensor& w) {
  return static_cast<double>(bytes_of(w.dtype, w.rows * w.cols));
}

std::vector<Tensor> matrices_of(const Model& model) {
  std::vector<Tensor> matrices;
  double bytes = 0;
  for (const DecoderLayer& l : model.weights.layers) {
    for (const Tensor* t : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) {
      if (bytes + stored_bytes(*t) > kWeightBytesMax) return matrices;
      bytes += stored_bytes(*t);
      matrices.push_back(*t);
    }
  }
  return matrices;
}

/// Rows for the widest matrix, as floats and quantized.
struct Rows {
  std::vector<float> floats;
  std::vector<uint8_t> bytes;
  std::vector<float> scales;
  std::vector<float> y;
};

void multiply(ThreadPool& pool, Rows& rows, const Tensor& w, int64_t count) {
  if (w.dtype != DType::i8) {
    linear_cpu(pool, {rows.floats.data(), w, nullptr, rows.y.data(), count, false});
    return;
  }
  LinearInt8Args args{.x = {rows.bytes.data(), rows.scales.data(), quantized_stride(w.cols)}, .rows = count};
  args.parts[0] = {w, nullptr, rows.y.data()};
  linear_int8_cpu(pool, args);
}

KernelFigures measure(ThreadPool& pool, const std::vector<Tensor>& matrices, int32_t count) {
  int64_t widest = 0;
  int64_t longest = 0;
  double operations = 0;
  double bytes = 0;
  for (const Tensor& w : matrices) {
    widest = std::max(widest, w.cols);
    longest = std::max(longest, w.rows);
    operations += 2.0 * count * static_cast<double>(w.rows) * static_cast<double>(w.cols);
    bytes += stored_bytes(w);
  }
  const auto rows_count = static_cast<size_t>(count);
  Rows rows{.floats = std::vector<float>(rows_count * static_cast<size_t>(widest), 0.5F),
            .bytes = std::vector<uint8_t>(rows_count * static_cast<size_t>(quantized_stride(widest)), 130),
            .scales = std::vector<float>(rows_count, 1.0F),
            .y = std::vector<float>(rows_count * static_cast<size_t>(longest))};
  const bool int8 = matrices[0].dtype == DType::i8;
  std::vector<double> rates, of_peak, of_reading;
  for (int round = 0; round < kRounds; ++round) {
    double reading = 0;
    double multiplying = 0;
    std::vector<double> peaks;
    for (size_t i = 0; i < matrices.size(); ++i) {
      if (i % 16 == 0) peaks.push_back(int8 ? int8_peak_of_thread() : float_peak_of_thread());
      multiplying -= thread_seconds();
      multiply(pool, rows, matrices[i], count);
      multiplying += thread_seconds();
    }
    reading -= thread_seconds();
    for (const Tensor& w : matrices) read_once(w.data, static_cast<int64_t>(stored_bytes(w)) / 128 * 128);
    reading += thread_seconds();
    const double peak = median(peaks);
    rates.push_back(operations / multiplying);
    of_peak.push_back(peak > 0 ? operations / multiplying / peak : 0);
    of_reading.push_back(reading / multiplying);
  }
  const double rate = median(rates);
  return {.rows = count,
          .ops_per_s = rate,
          .share_of_peak = median(of_peak),
          .bytes_per_s = rate / operations * bytes,
          .share_of_reading = median(of_reading)};
}

}  // namespace

void measure_kernels(const Model& model, Report& report) {
  const std::vector<Tensor> matrices = matrices_of(model);
  if (matrices.empty()) return;
  ThreadPool one(1);
  for (const int32_t count : {1, 16, 512}) report.kernels.push_back(measure(one, matrices, count));
}

}  // namespace weir::engine::bench
