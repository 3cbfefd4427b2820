// The functions of NCCL that are called, out of the library that the machine has.
// https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api.html
#pragma once

#include <nccl.h>

#include "config/base/result.h"

namespace weir::engine::cuda {

struct NcclLibrary {
  decltype(&ncclCommInitAll) init_all = nullptr;
  decltype(&ncclCommDestroy) destroy = nullptr;
  decltype(&ncclCommAbort) abort = nullptr;
  decltype(&ncclAllReduce) all_reduce = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;
  decltype(&ncclGetErrorString) error_string = nullptr;

  /// Errors: not_found.
  static Result<NcclLibrary> load();
};

}  // namespace weir::engine::cuda
