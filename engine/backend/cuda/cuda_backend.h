// The backend on an NVIDIA GPU: weights and paged KV in its memory, the walk of decoder_walk.h, tokens chosen there
// too. A step is queued by submit() and waited for by wait(). Steps of decoding rows alone are recorded as graphs, one
// for each rounded number of rows, and replayed. The engine thread is the only caller. A row's attention is cut by the
// row alone; its products may differ in their last bits with the number of rows beside it, as cuBLASLt's algorithms do,
// and FP8 weights by more: where cuBLASLt multiplies FP8 (Hopper), more than 16 rows are in FP8 themselves, fewer in
// bf16.
#pragma once

#include <memory>
#include <string>

#include "config/base/result.h"
#include "config/config.h"
#include "engine/backend/backend.h"
#include "engine/backend/cuda/device.h"
#include "engine/backend/cuda/matrix_product.h"
#include "engine/model/model.h"
#include "engine/parallel/communicator.h"

namespace weir::engine::cuda {

/// How products of many rows are made, on the device that is open. Errors: a library that cannot be used.
using MakeProduct = Result<std::unique_ptr<MatrixProduct>> (*)(const DeviceInfo& device);

/// Where a model goes, and with whom it computes.
struct Place {
  int device = 0;
  Communicator* together = nullptr;  // with the ranks of the other parts, rank 0 choosing the tokens; null: it is whole
};

/// Copies the model to the device. Errors: not_found (no GPU that can be used, or a model that its kernels cannot run;
/// the detail says which), config (its memory does not hold what the config asks for; the detail says what to lower),
/// internal (the device fails).
Result<std::unique_ptr<Backend>> make_cuda_backend(const Model& model, const config::EngineConfig& config,
                                                   MakeProduct make_product, const LoadProgress& progress = {},
                                                   const Place& place = {});

}  // namespace weir::engine::cuda
