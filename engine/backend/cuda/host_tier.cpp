#include "engine/backend/cuda/host_tier.h"

#include <algorithm>
#include <string>

#include "engine/backend/cuda/host_memory.h"
#include "engine/backend/engine_limits.h"

namespace weir::engine::cuda {
namespace {

constexpr uint64_t kPackingBytes = uint64_t{64} << 20;

std::string mib(uint64_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

uint64_t layer_scales_bytes(const KvCache& kv) {
  return static_cast<uint64_t>(kv.block_scales()) * sizeof(float);
}

uint64_t layer_numbers_bytes(const KvCache& kv) {
  return static_cast<uint64_t>(kv.block_numbers() * kv.number_bytes());
}

}  // namespace

uint64_t packing_bytes(uint64_t block_bytes) {
  return std::clamp<uint64_t>(kPackingBytes / block_bytes, 1, kPackedBlocksMax) * block_bytes;
}

HostTier::~HostTier() {
  if (stream_.get() != nullptr) cudaStreamSynchronize(stream_.get());
}

Result<void> HostTier::allocate(const config::EngineConfig& config, const PagedKv& paged, int32_t host_blocks) {
  paged_ = paged;
  block_bytes_ = static_cast<uint64_t>(paged.kv.block_bytes()) * static_cast<uint64_t>(paged.layers);
  packed_max_ = static_cast<size_t>(packing_bytes(block_bytes_) / block_bytes_);
  const uint64_t bytes = block_bytes_ * static_cast<uint64_t>(host_blocks);
  const auto refused = [&](const std::string& why) {
    return config_error(config, "kv_cache.host_memory", "asks for " + mib(bytes) + ", and " + why + "; lower it");
  };
  const uint64_t available = available_bytes();
  if (bytes > available) return refused("the machine has " + mib(available) + " available");
  if (auto made = host_.allocate(bytes, "blocks of the host"); !made.ok()) {
    if (made.error().kind != ErrorKind::config) return made;
    return refused("the system pins no more");
  }
  if (auto made = packing_.allocate(packing_bytes(block_bytes_), "packing blocks"); !made.ok()) return made;
  for (Event* event : {&out_done_, &in_done_}) {
    WEIR_CUDA_TRY(cudaEventCreateWithFlags(event->slot(), cudaEventDisableTiming), "making an event");
  }
  WEIR_CUDA_TRY(cudaStreamCreateWithFlags(stream_.slot(), cudaStreamNonBlocking), "making a stream");
  return {};
}

Result<void> HostTier::before_step(const std::vector<BlockCopy>& out, cudaStream_t compute) {
  WEIR_CUDA_TRY(cudaStreamWaitEvent(compute, in_done_.get(), 0), "waiting for blocks of the host");
  if (out.empty()) return {};
  if (auto moved = move(out, true); !moved.ok()) return moved;
  WEIR_CUDA_TRY(cudaEventRecord(out_done_.get(), stream_.get()), "copying blocks to the host");
  WEIR_CUDA_TRY(cudaStreamWaitEvent(compute, out_done_.get(), 0), "copying blocks to the host");
  return {};
}

Result<void> HostTier::after_step(const std::vector<BlockCopy>& in, cudaEvent_t done) {
  if (in.empty()) return {};
  WEIR_CUDA_TRY(cudaStreamWaitEvent(stream_.get(), done, 0), "copying blocks from the host");
  if (auto moved = move(in, false); !moved.ok()) return moved;
  WEIR_CUDA_TRY(cudaEventRecord(in_done_.get(), stream_.get()), "copying blocks from the host");
  return {};
}

Result<void> HostTier::move(const std::vector<BlockCopy>& copies, bool out) {
  PackBlocksArgs packed{
      .packed = packing_.as<void>(), .layers = paged_.layers, .packed_bytes = static_cast<int64_t>(block_bytes_)};
  for (size_t first = 0; first < copies.size(); first += packed_max_) {
    const size_t count = std::min(packed_max_, copies.size() - first);
    packed.count = static_cast<int32_t>(count);
    for (size_t i = 0; i < count; ++i) packed.blocks[i] = out ? copies[first + i].from : copies[first + i].to;
    if (!out) {
      if (auto crossed = cross(&copies[first], count, out); !crossed.ok()) return crossed;
    }
    if (auto done = pack(packed, out); !done.ok()) return done;
    if (out) {
      if (auto crossed = cross(&copies[first], count, out); !crossed.ok()) return crossed;
    }
  }
  return {};
}

/// Numbers of all layers, then their scales.
Result<void> HostTier::pack(const PackBlocksArgs& blocks, bool out) {
  const auto run = [&](void* paged, uint64_t packed_at, uint64_t bytes) {
    PackBlocksArgs args = blocks;
    args.paged = paged;
    args.packed = packing_.as<void>(packed_at);
    args.block_bytes = static_cast<int64_t>(bytes);
    args.layer_bytes = static_cast<int64_t>(bytes) * paged_.blocks;
    return out ? pack_blocks(stream_.get(), args) : unpack_blocks(stream_.get(), args);
  };
  const uint64_t numbers = layer_numbers_bytes(paged_.kv);
  WEIR_CUDA_TRY(run(paged_.kv.numbers, 0, numbers), "packing blocks");
  if (paged_.kv.scales == nullptr) return {};
  const uint64_t scales_at = numbers * static_cast<uint64_t>(paged_.layers);
  WEIR_CUDA_TRY(run(paged_.kv.scales, scales_at, layer_scales_bytes(paged_.kv)), "packing blocks");
  return {};
}

/// Over the bus; neighbours on the host in one go.
Result<void> HostTier::cross(const BlockCopy* copies, size_t count, bool out) {
  const auto host_block = [&](size_t i) { return out ? copies[i].to : copies[i].from; };
  for (size_t first = 0; first < count;) {
    size_t end = first + 1;
    while (end < count && host_block(end) == host_block(end - 1) + 1) ++end;
    void* host = host_.as<void>(static_cast<size_t>(host_block(first)) * block_bytes_);
    void* packed = packing_.as<void>(first * block_bytes_);
    const size_t bytes = (end - first) * block_bytes_;
    WEIR_CUDA_TRY(out ? cudaMemcpyAsync(host, packed, bytes, cudaMemcpyDeviceToHost, stream_.get())
                      : cudaMemcpyAsync(packed, host, bytes, cudaMemcpyHostToDevice, stream_.get()),
                  out ? "copying blocks to the host" : "copying blocks from the host");
    first = end;
  }
  return {};
}

}  // namespace weir::engine::cuda
