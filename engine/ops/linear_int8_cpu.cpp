#include <algorithm>
#include <cstring>

#include "engine/ops/linear_int8.h"

namespace weir::engine {
namespace {

constexpr int64_t kPanelQuadBytes = kPanelOutputs * kQuad;
// Half of a second-level cache of 1 MiB; the panel and the results want some too.
constexpr int64_t kBlockBytes = 512 * 1024;
// About 15 µs of a core: of multiplications, and of reading. Less is not worth another thread.
constexpr int64_t kRangeMultiplies = 2 * 1024 * 1024;
constexpr int64_t kRangeBytes = 96 * 1024;

PanelJob job_of(const LinearInt8Args& args, const LinearInt8Args::Part& part) {
  return {.x = args.x.values,
          .x_scales = args.x.scales,
          .x_stride = args.x.stride,
          .rows = args.rows,
          .quads = (part.w.cols + kQuad - 1) / kQuad,
          .w = static_cast<const int8_t*>(part.w.data),
          .w_scales = part.w.scales,
          .sums = part.w.sums,
          .bias = part.bias,
          .y = part.y,
          .outputs = part.w.rows,
          .accumulate = args.accumulate};
}

PanelKernel kernel_of([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::avx512_vnni) return &panels_int8_vnni;
  if (isa >= Isa::avx2) return &panels_int8_avx2;
#endif
  return &panels_int8_base;
}

}  // namespace

int64_t rows_of_block(const PanelJob& job, int64_t tile) {
  return std::max(tile, kBlockBytes / job.x_stride / tile * tile);
}

void panels_int8_base(const PanelJob& j, int64_t panel_begin, int64_t panel_end) {
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    const int8_t* w = j.w + panel * j.quads * kPanelQuadBytes;
    const int64_t output_end = std::min(kPanelOutputs, j.outputs - panel * kPanelOutputs);
    for (int64_t row = 0; row < j.rows; ++row) {
      const uint8_t* x = j.x + row * j.x_stride;
      int32_t sums[kPanelOutputs] = {};
      for (int64_t q = 0; q < j.quads; ++q) {
        for (int64_t o = 0; o < kPanelOutputs; ++o) {
          const int8_t* four = w + q * kPanelQuadBytes + o * kQuad;
          for (int64_t i = 0; i < kQuad; ++i) sums[o] += (x[q * kQuad + i] - 128) * four[i];
        }
      }
      for (int64_t o = 0; o < output_end; ++o) {
        const int64_t output = panel * kPanelOutputs + o;
        float* y = j.y + row * j.outputs + output;
        float value = static_cast<float>(sums[o]) * (j.x_scales[row] * j.w_scales[output]);
        if (j.bias != nullptr) value += j.bias[output];
        *y = j.accumulate ? *y + value : value;
      }
    }
  }
}

void linear_int8_cpu(ThreadPool& pool, const LinearInt8Args& args) {
  linear_int8_cpu(pool, args, best_isa());
}

void linear_int8_cpu(ThreadPool& pool, const LinearInt8Args& args, Isa isa) {
  if (args.rows <= 0) return;
  const PanelKernel kernel = kernel_of(isa);
  PanelJob jobs[kLinearPartsMax];
  int64_t ends[kLinearPartsMax];  // panels of the parts so far
  int64_t panels = 0;
  for (int p = 0; p < args.part_count; ++p) {
    jobs[p] = job_of(args, args.parts[p]);
    panels += (jobs[p].outputs + kPanelOutputs - 1) / kPanelOutputs;
    ends[p] = panels;
  }
  const int64_t panel_bytes = jobs[0].quads * kPanelQuadBytes;
  const int64_t worth = std::min(kRangeMultiplies / (panel_bytes * args.rows), kRangeBytes / panel_bytes) + 1;
  const int64_t fair = panels / (static_cast<int64_t>(pool.threads()) * 8) + 1;
  pool.run(panels, std::max(worth, fair), [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (int p = 0; p < args.part_count; ++p) {
      const int64_t from = std::max(begin, first);
      const int64_t to = std::min(end, ends[p]);
      if (from < to) kernel(jobs[p], from - first, to - first);
      first = ends[p];
    }
  });
}

}  // namespace weir::engine
