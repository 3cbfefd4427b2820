// One model served by several engines, each with its own thread, backend and KV blocks: data parallel, a GPU (or
// several) each. To the others it is one engine. A prompt goes to the replica that was last given its longest known
// beginning, since that one may still hold its blocks, unless another has much less to do; else to the one with the
// least. One that is down is passed over, and the engine is up as long as one is. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/types.h"
#include "engine/engine.h"

namespace weir::engine {

/// Which replica was last given a prompt that begins so: a table of fixed size over hashes of beginnings, kStride
/// tokens apart, where a new entry takes an old one's place. A mistake sends a prompt where its blocks are not. One
/// thread.
class PrefixMap {
 public:
  static constexpr size_t kStride = 64;
  static constexpr size_t kEntries = size_t{1} << 16;

  PrefixMap() : entries_(kEntries) {}

  /// Of the longest beginning that is known; -1: of none.
  int32_t find(std::span<const TokenId> prompt, uint64_t salt) const;
  void put(std::span<const TokenId> prompt, uint64_t salt, int32_t replica);

 private:
  struct Entry {
    uint64_t hash = 0;
    int32_t replica = -1;
  };
  std::vector<Entry> entries_;
};

/// REQUIRES: at least one, all of one model and config.
std::unique_ptr<Engine> make_replicas(std::vector<std::unique_ptr<Engine>> replicas);

}  // namespace weir::engine
