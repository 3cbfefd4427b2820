// `device: auto | cpu | cuda | cuda:N` made into a backend. Start-up work.
#pragma once

#include <memory>
#include <vector>

#include "config/base/result.h"
#include "config/config.h"
#include "engine/backend/backend.h"
#include "engine/model/model.h"

namespace weir::engine {

/// cpu: the CPU. cuda: the first GPU, cuda:N that of the number, or an error that says why not. auto: the GPU where
/// this build has its backend, there is one, its kernels run the model and its memory holds what the config asks for;
/// else the CPU. info().reason says why. Errors (config) name the key; a GPU that fails while the model is copied is an
/// error too (internal). `parts`: of a model that is cut, by rank (a GPU each, from that GPU on); the whole alone,
/// where it is not. `gpus_before`: of that GPU and those behind it, how many others have.
Result<std::unique_ptr<Backend>> make_backend(std::vector<std::shared_ptr<const Model>> parts,
                                              const config::EngineConfig& config, const LoadProgress& progress = {},
                                              int gpus_before = 0);

}  // namespace weir::engine
