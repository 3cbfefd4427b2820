// How checkpoints store a matrix [rows, cols] of 4 bits, and the way from there to ops/int4.h. Words are I32, eight
// numbers in each; number n of a word has the bits 4n … 4n + 3, but in AWQ's order, 0 2 4 6 1 3 5 7:
//
//   packed (compressed-tensors, compressors/quantized_compressors/pack_quantized.py)
//     NAME.weight_packed [rows, ⌈cols / 8⌉]   along the inputs, each number stored plus 8
//     NAME.weight_scale [rows, groups], NAME.weight_zero_point [⌈rows / 8⌉, groups] along the outputs, likewise plus 8
//   gptq (AutoGPTQ, auto_gptq/nn_modules/qlinear; GPTQModel)
//     NAME.qweight [cols / 8, rows]           along the inputs
//     NAME.scales [groups, rows], NAME.qzeros [groups, rows / 8] along the outputs, each zero stored less one
//   awq (AutoAWQ, awq/modules/linear/gemm.py)
//     NAME.qweight [cols, rows / 8]           along the outputs
//     NAME.scales [groups, rows], NAME.qzeros [groups, rows / 8] along the outputs
//
// Start-up work; the caller's thread and as many as the machine has.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/quantization_config.h"
#include "engine/model/safetensors.h"

namespace weir::engine {

/// A matrix by its shape and that of its groups in the file.
struct Int4Shape {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t group = 0;  // inputs; divides cols

  int64_t groups() const { return cols / group; }
  std::vector<int64_t> words_of(Int4Layout layout) const;
  std::vector<int64_t> scales_of(Int4Layout layout) const;
  std::vector<int64_t> zeros_of(Int4Layout layout) const;
};

/// to [rows, cols / 8] = the words, along the inputs. REQUIRES: the tensor is I32 in the shape of the layout.
void lay_int4_words(const StoredTensor& words, Int4Layout layout, const Int4Shape& shape, uint32_t* to);

/// to [rows, cols / `group`] = each group's scale and zero. False if a scale is not a finite number. REQUIRES: `group`
/// divides the file's; `zeros` null: all of them are 8.
bool lay_int4_groups(const StoredTensor& scales, const StoredTensor* zeros, const CheckpointFormat& format,
                     const Int4Shape& shape, int64_t group, float* to);

}  // namespace weir::engine
