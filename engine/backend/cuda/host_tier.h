// The KV blocks of the host: pinned memory, a block's layers in one piece, and the copies between them and the paged
// memory of the device. These run on a stream of their own, so that the device computes meanwhile: blocks are packed in
// a small buffer on the device and cross the bus whole.
//
//   copies out of step n ─> step n           what they read was computed by a step that is over
//   step n-1 ─> copies in of step n ─> step n+1   where they go, step n-1 may still read
//
// Within the stream they keep their order, so that a host block is written only when what was to be read of it is read.
// The engine thread is the only caller.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "config/base/result.h"
#include "config/config.h"
#include "engine/backend/cuda/device.h"
#include "engine/core/types.h"
#include "engine/ops/cuda/kv_cache.h"

namespace weir::engine::cuda {

/// All layers' keys and values on the device.
struct PagedKv {
  KvCache kv;  // of the first layer
  int32_t layers = 0;
  int32_t blocks = 0;
};

/// Bytes of the device that packing takes, of blocks of `block_bytes`.
uint64_t packing_bytes(uint64_t block_bytes);

class HostTier {
 public:
  HostTier() = default;
  ~HostTier();  // waits for what is queued
  HostTier(const HostTier&) = delete;
  HostTier& operator=(const HostTier&) = delete;

  /// Errors: config, the machine has no memory for so many blocks, or no leave to pin it, and what to lower.
  Result<void> allocate(const config::EngineConfig& config, const PagedKv& paged, int32_t host_blocks);

  /// Queues the copies out; what is queued on `compute` afterwards waits for them, and for the last copies in.
  Result<void> before_step(const std::vector<BlockCopy>& out, cudaStream_t compute);
  /// Queues the copies in, which wait for the step before (`done`).
  Result<void> after_step(const std::vector<BlockCopy>& in, cudaEvent_t done);

 private:
  Result<void> move(const std::vector<BlockCopy>& copies, bool out);
  Result<void> pack(const PackBlocksArgs& blocks, bool out);
  Result<void> cross(const BlockCopy* copies, size_t count, bool out);

  PagedKv paged_;
  uint64_t block_bytes_ = 0;  // of all layers
  size_t packed_max_ = 0;     // blocks
  PinnedMemory host_;
  DeviceMemory packing_;
  Event out_done_;
  Event in_done_;
  Stream stream_;  // the last: it is ended before the memory goes
};

}  // namespace weir::engine::cuda
