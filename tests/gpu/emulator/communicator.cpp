#include "tests/gpu/emulator/communicator.h"

#include <atomic>
#include <cstring>
#include <functional>

#include "engine/backend/cuda/device.h"
#include "engine/ops/cuda/numbers.h"

namespace weir::engine::cuda {
namespace {

/// One call of a rank: what it brings, and where the result goes.
struct Call {
  const void* from = nullptr;
  void* to = nullptr;
};

struct Meeting {
  explicit Meeting(size_t ranks) : calls(ranks), arrivals(ranks, 0), ended(ranks) {}
  std::vector<Call> calls;
  std::vector<uint64_t> arrivals;        // of each rank, over all calls
  size_t here = 0;                       // ranks that wait
  uint64_t over = 0;                     // calls that are done
  std::atomic<bool> aborted = false;     // no rank may call any more
  std::vector<std::atomic<bool>> ended;  // this rank's calls on the device wait no more
  std::atomic<size_t> ends = 0;
  std::shared_ptr<int> uses = std::make_shared<int>();  // one of each call that is queued or in a graph
};

float read(const void* from, int64_t i, Element element) {
  return element == Element::f32 ? static_cast<const float*>(from)[i] : widen(static_cast<const Bf16*>(from)[i]);
}

void write(void* to, int64_t i, Element element, float value) {
  if (element == Element::f32) {
    static_cast<float*>(to)[i] = value;
  } else {
    static_cast<Bf16*>(to)[i] = to_bf16(value);
  }
}

class EmulatedCommunicator : public Communicator {
 public:
  EmulatedCommunicator(std::shared_ptr<Meeting> meeting, int rank) : meeting_(std::move(meeting)), rank_(rank) {}

  int rank() const override { return rank_; }
  int ranks() const override { return static_cast<int>(meeting_->calls.size()); }

  Result<void> all_reduce(void* data, int64_t count, Element element, void* stream) override {
    return meet({data, data}, stream, [count, element](const std::vector<Call>& calls) {
      for (int64_t i = 0; i < count; ++i) {
        float sum = 0.0F;
        for (const Call& call : calls) sum += read(call.from, i, element);
        for (const Call& call : calls) write(call.to, i, element, sum);
      }
    });
  }

  Result<void> all_gather(const void* mine, void* all, int64_t count, Element element, void* stream) override {
    const size_t bytes = static_cast<size_t>(count) * (element == Element::f32 ? sizeof(float) : sizeof(Bf16));
    return meet({mine, all}, stream, [bytes](const std::vector<Call>& calls) {
      for (const Call& to : calls) {
        auto* at = static_cast<unsigned char*>(to.to);
        for (const Call& from : calls) std::memcpy(at, from.from, bytes), at += bytes;
      }
    });
  }

  void abort() override { meeting_->aborted = true; }
  bool aborted() const override { return meeting_->aborted; }
  /// As NCCL's: the last waits until no graph has a call of any rank.
  void end() override {
    meeting_->ended[static_cast<size_t>(rank_)] = true;
    if (++meeting_->ends < meeting_->calls.size()) return;
    simt::wait_until([&] { return meeting_->uses.use_count() == 1; });
  }

 private:
  /// The last to arrive does the work of all; the streams of the others wait for that.
  Result<void> meet(const Call& call, void* stream, const std::function<void(const std::vector<Call>&)>& work) {
    if (aborted()) return rank_failed();
    const auto to = static_cast<cudaStream_t>(stream);
    const auto rank = static_cast<size_t>(rank_);
    const auto arrive = [meeting = meeting_, uses = meeting_->uses, rank, call, work] {
      if (meeting->ends > 0) return cudaSuccess;  // the others' memory may be gone
      meeting->calls[rank] = call;
      ++meeting->arrivals[rank];
      if (++meeting->here < meeting->calls.size()) return cudaSuccess;
      work(meeting->calls);
      meeting->here = 0;
      ++meeting->over;
      return cudaSuccess;
    };
    WEIR_CUDA_TRY(simt::enqueue(to, arrive), "meeting the other ranks");
    const auto is_over = [meeting = meeting_, uses = meeting_->uses, rank] {
      return meeting->ended[rank] || meeting->over >= meeting->arrivals[rank];
    };
    WEIR_CUDA_TRY(simt::enqueue(
                      to, [] { return cudaSuccess; }, is_over),
                  "meeting the other ranks");
    if (aborted()) return rank_failed();
    return {};
  }

  std::shared_ptr<Meeting> meeting_;
  int rank_;
};

}  // namespace

Result<std::vector<std::unique_ptr<Communicator>>> make_emulated_communicators(int /*first_device*/, int ranks) {
  const auto meeting = std::make_shared<Meeting>(static_cast<size_t>(ranks));
  std::vector<std::unique_ptr<Communicator>> made;
  for (int rank = 0; rank < ranks; ++rank) made.push_back(std::make_unique<EmulatedCommunicator>(meeting, rank));
  return made;
}

}  // namespace weir::engine::cuda
