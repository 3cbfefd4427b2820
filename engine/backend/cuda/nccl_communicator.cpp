#include "engine/backend/cuda/nccl_communicator.h"

#include <atomic>
#include <mutex>
#include <string>
#include <utility>

#include "engine/backend/cuda/nccl_library.h"

namespace weir::engine::cuda {
namespace {

Error failed(const NcclLibrary& nccl, ncclResult_t result, const std::string& what) {
  return Error{.kind = ErrorKind::internal,
               .source = "engine",
               .retry = Retry::other_target,
               .detail = "the GPUs failed: " + what + ": " + nccl.error_string(result)};
}

class NcclCommunicator;

/// Of all ranks. The mutex is held for moments, and never while NCCL is in a call of a collective.
struct Together {
  std::mutex mutex;
  std::atomic<bool> aborted{false};
  std::vector<NcclCommunicator*> ranks;
};

/// ncclCommAbort raises the flag that NCCL's loops, on host and device, look at; where the ranks are of one process,
/// the last of these calls also frees what all ranks have, after the last graph with a collective is gone
/// (commReclaim() in NCCL's src/init.cc). So a rank that fails calls it for those alone that are in a collective, which
/// may wait for it on the host; each rank's end() does for the others.
class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(const NcclLibrary& nccl, ncclComm_t comm, int rank, int ranks, std::shared_ptr<Together> together)
      : nccl_(nccl), comm_(comm), rank_(rank), ranks_(ranks), together_(std::move(together)) {
    together_->ranks.push_back(this);
  }
  ~NcclCommunicator() override {
    if (aborted()) {
      end();
    } else {
      nccl_.destroy(comm_);
    }
  }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }

  Result<void> all_reduce(void* data, int64_t count, Element element, void* stream) override {
    return call("a sum over the ranks", [&] {
      return nccl_.all_reduce(data, data, static_cast<size_t>(count), type_of(element), ncclSum, comm_,
                              static_cast<cudaStream_t>(stream));
    });
  }
  Result<void> all_gather(const void* mine, void* all, int64_t count, Element element, void* stream) override {
    return call("gathering from the ranks", [&] {
      return nccl_.all_gather(mine, all, static_cast<size_t>(count), type_of(element), comm_,
                              static_cast<cudaStream_t>(stream));
    });
  }
  void abort() override {
    const std::lock_guard lock(together_->mutex);
    if (together_->aborted.exchange(true)) return;
    for (NcclCommunicator* rank : together_->ranks) {
      if (rank->in_call_) rank->end();
    }
  }
  bool aborted() const override { return together_->aborted; }
  void end() override {
    if (!std::exchange(ended_, true)) nccl_.abort(comm_);
  }

 private:
  static ncclDataType_t type_of(Element element) { return element == Element::f32 ? ncclFloat32 : ncclBfloat16; }

  template <class Collective>
  Result<void> call(const std::string& what, const Collective& collective) {
    if (!enters(true)) return rank_failed();
    const ncclResult_t result = collective();
    if (!enters(false)) return rank_failed();
    if (result != ncclSuccess) return failed(nccl_, result, what);
    return {};
  }

  /// A call, or leaves it. False: a rank has failed.
  bool enters(bool in_call) {
    const std::lock_guard lock(together_->mutex);
    in_call_ = in_call && !together_->aborted;
    return !together_->aborted;
  }

  NcclLibrary nccl_;
  ncclComm_t comm_;
  int rank_;
  int ranks_;
  std::shared_ptr<Together> together_;
  bool in_call_ = false;
  bool ended_ = false;
};

}  // namespace

Result<std::vector<std::unique_ptr<Communicator>>> make_nccl_communicators(int first_device, int ranks) {
  const auto nccl = NcclLibrary::load();
  if (!nccl.ok()) return nccl.error();
  std::vector<int> devices;
  for (int rank = 0; rank < ranks; ++rank) devices.push_back(first_device + rank);
  std::vector<ncclComm_t> comms(devices.size());
  const ncclResult_t result = nccl->init_all(comms.data(), ranks, devices.data());
  if (result != ncclSuccess) return failed(*nccl, result, "connecting " + std::to_string(ranks) + " of them");
  const auto together = std::make_shared<Together>();
  std::vector<std::unique_ptr<Communicator>> made;
  for (int rank = 0; rank < ranks; ++rank) {
    made.push_back(std::make_unique<NcclCommunicator>(*nccl, comms[static_cast<size_t>(rank)], rank, ranks, together));
  }
  return made;
}

}  // namespace weir::engine::cuda
