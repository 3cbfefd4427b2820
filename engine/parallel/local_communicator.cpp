#include "engine/parallel/local_communicator.h"

#include <barrier>
#include <cassert>
#include <cstring>

namespace weir::engine {
namespace {

/// What all ranks see.
struct Meeting {
  explicit Meeting(int ranks) : pointers(static_cast<size_t>(ranks)), barrier(ranks) {}
  std::vector<const void*> pointers;  // of each rank, between two barriers
  std::barrier<> barrier;
};

class LocalCommunicator : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<Meeting> meeting, int rank) : meeting_(std::move(meeting)), rank_(rank) {}

  int rank() const override { return rank_; }
  int ranks() const override { return static_cast<int>(meeting_->pointers.size()); }

  Result<void> all_reduce(void* data, int64_t count, Element element, void*) override {
    assert(element == Element::f32);
    (void)element;
    meet(data);
    const int64_t begin = count * rank_ / ranks();
    const int64_t end = count * (rank_ + 1) / ranks();
    for (int64_t i = begin; i < end; ++i) {
      float sum = 0.0F;
      for (const void* from : meeting_->pointers) sum += static_cast<const float*>(from)[i];
      for (const void* to : meeting_->pointers) static_cast<float*>(const_cast<void*>(to))[i] = sum;
    }
    meeting_->barrier.arrive_and_wait();
    return {};
  }

  Result<void> all_gather(const void* mine, void* all, int64_t count, Element element, void*) override {
    const auto bytes = static_cast<size_t>(count) * (element == Element::f32 ? sizeof(float) : sizeof(uint16_t));
    meet(mine);
    auto* to = static_cast<unsigned char*>(all);
    for (const void* from : meeting_->pointers) {
      std::memcpy(to, from, bytes);
      to += bytes;
    }
    meeting_->barrier.arrive_and_wait();
    return {};
  }

  void abort() override {}  // threads of one process fall together
  bool aborted() const override { return false; }
  void end() override {}

 private:
  void meet(const void* mine) {
    meeting_->pointers[static_cast<size_t>(rank_)] = mine;
    meeting_->barrier.arrive_and_wait();
  }

  std::shared_ptr<Meeting> meeting_;
  int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_communicators(int ranks) {
  assert(ranks >= 1 && ranks <= kRanksMax);
  const auto meeting = std::make_shared<Meeting>(ranks);
  std::vector<std::unique_ptr<Communicator>> made;
  made.reserve(static_cast<size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) made.push_back(std::make_unique<LocalCommunicator>(meeting, rank));
  return made;
}

}  // namespace weir::engine
