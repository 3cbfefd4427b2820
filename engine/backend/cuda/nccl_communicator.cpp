#include "engine/backend/cuda/nccl_communicator.h"

#include <atomic>
#include <string>

#include "engine/backend/cuda/nccl_library.h"

namespace weir::engine::cuda {
namespace {

Error failed(const NcclLibrary& nccl, ncclResult_t result, const std::string& what) {
  return Error{.kind = ErrorKind::internal,
               .source = "engine",
               .retry = Retry::other_target,
               .detail = "the GPUs failed: " + what + ": " + nccl.error_string(result)};
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(const NcclLibrary& nccl, ncclComm_t comm, int rank, int ranks)
      : nccl_(nccl), comm_(comm), rank_(rank), ranks_(ranks) {}
  ~NcclCommunicator() override {
    if (!aborted_.load()) nccl_.destroy(comm_);
  }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }

  Result<void> all_reduce(void* data, int64_t count, Element element, void* stream) override {
    return check(nccl_.all_reduce(data, data, static_cast<size_t>(count), type_of(element), ncclSum, comm_,
                                  static_cast<cudaStream_t>(stream)),
                 "a sum over the ranks");
  }
  Result<void> all_gather(const void* mine, void* all, int64_t count, Element element, void* stream) override {
    return check(nccl_.all_gather(mine, all, static_cast<size_t>(count), type_of(element), comm_,
                                  static_cast<cudaStream_t>(stream)),
                 "gathering from the ranks");
  }
  void abort() override {
    if (!aborted_.exchange(true)) nccl_.abort(comm_);
  }

 private:
  static ncclDataType_t type_of(Element element) { return element == Element::f32 ? ncclFloat32 : ncclBfloat16; }

  Result<void> check(ncclResult_t result, const std::string& what) const {
    if (result != ncclSuccess) return failed(nccl_, result, what);
    return {};
  }

  NcclLibrary nccl_;
  ncclComm_t comm_;
  int rank_;
  int ranks_;
  std::atomic<bool> aborted_{false};
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
  std::vector<std::unique_ptr<Communicator>> made;
  for (int rank = 0; rank < ranks; ++rank) {
    made.push_back(std::make_unique<NcclCommunicator>(*nccl, comms[static_cast<size_t>(rank)], rank, ranks));
  }
  return made;
}

}  // namespace weir::engine::cuda
