// A model in parts (model/shard.h) on several GPUs: a CudaBackend a rank, all of which walk through every step
// together; the first one's tokens count. A rank that fails ends the waiting of the others.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "config/base/result.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/parallel/communicator.h"

namespace weir::engine::cuda {

/// Rank r on device `first_device` + r.
using MakeCommunicators = Result<std::vector<std::unique_ptr<Communicator>>> (*)(int first_device, int ranks);

/// Has every rank do the work and waits for all: RankThreads; or one after the other, where a test has one thread.
using EachRank = std::function<void(const std::function<void(int rank)>& work)>;

/// Part r goes to device `first_device` + r. kv_cache.memory and host_memory are that of all together. Errors: as
/// make_cuda_backend; config, too few GPUs.
Result<std::unique_ptr<Backend>> make_ranks_backend(const std::vector<std::shared_ptr<const Model>>& parts,
                                                    const config::EngineConfig& config, MakeProduct make_product,
                                                    MakeCommunicators make_communicators,
                                                    const LoadProgress& progress = {}, EachRank each_rank = {},
                                                    int first_device = 0);

}  // namespace weir::engine::cuda
