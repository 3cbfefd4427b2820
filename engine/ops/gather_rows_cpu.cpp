#include <cstring>

#include "engine/ops/gather_rows.h"

namespace weir::engine {

void gather_rows_cpu(ThreadPool& pool, const GatherRowsArgs& args) {
  const int64_t width = args.table.cols;
  pool.run(args.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* y = args.y + i * width;
      if (args.table.dtype == DType::f32) {
        const float* from = static_cast<const float*>(args.table.data) + args.index[i] * width;
        std::memcpy(y, from, static_cast<size_t>(width) * sizeof(float));
      } else {
        const uint16_t* from = static_cast<const uint16_t*>(args.table.data) + args.index[i] * width;
        for (int64_t c = 0; c < width; ++c) {
          const uint32_t bits = static_cast<uint32_t>(from[c]) << 16;
          std::memcpy(y + c, &bits, sizeof bits);
        }
      }
    }
  });
}

}  // namespace weir::engine
