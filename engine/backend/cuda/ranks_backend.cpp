#include "engine/backend/cuda/ranks_backend.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include "engine/backend/engine_limits.h"
#include "engine/parallel/rank_threads.h"

namespace weir::engine::cuda {
namespace {

class RanksBackend : public Backend {
 public:
  RanksBackend(std::vector<std::unique_ptr<Communicator>> together, EachRank each_rank)
      : together_(std::move(together)), ranks_(together_.size()), each_rank_(std::move(each_rank)) {}
  ~RanksBackend() override {
    each_rank_([&](int rank) { ranks_[static_cast<size_t>(rank)].reset(); });
  }
  RanksBackend(const RanksBackend&) = delete;
  RanksBackend& operator=(const RanksBackend&) = delete;

  Result<void> set_up(const std::vector<std::shared_ptr<const Model>>& parts, const config::EngineConfig& config,
                      MakeProduct make_product, const LoadProgress& progress, int first_device) {
    config::EngineConfig each = config;
    if (each.kv_cache.memory_bytes) *each.kv_cache.memory_bytes /= parts.size();
    each.kv_cache.host_memory_bytes /= parts.size();
    auto made = on_each([&](size_t rank) -> Result<void> {
      const LoadProgress none;
      const Place place{first_device + static_cast<int>(rank), together_[rank].get()};
      auto backend = make_cuda_backend(*parts[rank], each, make_product, rank == 0 ? progress : none, place);
      if (!backend.ok()) return backend.error();
      ranks_[rank] = *std::move(backend);
      return {};
    });
    if (!made.ok()) return made;
    info_ = ranks_.front()->info();
    info_.name += " × " + std::to_string(ranks_.size());
    info_.kv_bytes = 0;
    info_.weight_bytes = 0;
    for (const auto& rank : ranks_) {
      info_.blocks = std::min(info_.blocks, rank->info().blocks);
      info_.host_blocks = std::min(info_.host_blocks, rank->info().host_blocks);
      info_.copies_in_max = std::min(info_.copies_in_max, rank->info().copies_in_max);
      info_.context_tokens = std::min(info_.context_tokens, rank->info().context_tokens);
      info_.kv_bytes += rank->info().kv_bytes;
      info_.weight_bytes += rank->info().weight_bytes;
    }
    return {};
  }

  const BackendInfo& info() const override { return info_; }

  Result<void> submit(const StepPlan& plan) override {
    return on_each([&](size_t rank) { return ranks_[rank]->submit(plan); });
  }

  Result<StepResult> wait() override {
    StepResult result;
    const auto done = on_each([&](size_t rank) -> Result<void> {
      auto one = ranks_[rank]->wait();
      if (!one.ok()) return one.error();
      if (rank == 0) result = *std::move(one);
      return {};
    });
    if (!done.ok()) return done.error();
    return result;
  }

 private:
  /// The error of the rank that fails first; it ends the waiting of the others, who have nothing to add.
  template <class Work>
  Result<void> on_each(const Work& work) {
    std::mutex mutex;
    Result<void> all;
    each_rank_([&](int rank) {
      auto done = work(static_cast<size_t>(rank));
      if (done.ok()) return;
      {
        const std::lock_guard lock(mutex);
        if (all.ok()) all = std::move(done);
      }
      together_[static_cast<size_t>(rank)]->abort();
    });
    return all;
  }

  std::vector<std::unique_ptr<Communicator>> together_;
  std::vector<std::unique_ptr<Backend>> ranks_;
  EachRank each_rank_;
  BackendInfo info_;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_ranks_backend(const std::vector<std::shared_ptr<const Model>>& parts,
                                                    const config::EngineConfig& config, MakeProduct make_product,
                                                    MakeCommunicators make_communicators, const LoadProgress& progress,
                                                    EachRank each_rank, int first_device) {
  const auto ranks = static_cast<int>(parts.size());
  const Result<DeviceInfo> first = open_device(0);
  if (!first.ok()) return first.error();
  if (const int there = count_devices(); there < first_device + ranks) {
    return config_error(
        config, "tensor_parallel",
        "asks for " + std::to_string(first_device + ranks) + " GPUs and there are " + std::to_string(there));
  }
  auto together = make_communicators(first_device, ranks);
  if (!together.ok()) return together.error();
  if (!each_rank) {
    each_rank = [threads = std::make_shared<RankThreads>(ranks)](const std::function<void(int)>& work) {
      threads->run(work);
    };
  }
  auto backend = std::make_unique<RanksBackend>(*std::move(together), std::move(each_rank));
  if (auto made = backend->set_up(parts, config, make_product, progress, first_device); !made.ok()) return made.error();
  return std::unique_ptr<Backend>(std::move(backend));
}

}  // namespace weir::engine::cuda
