#include "providers/net/task.h"

#include <array>
#include <new>

#include "providers/net/spawn.h"

namespace weir::providers {
namespace detail {
namespace {

constexpr std::size_t kClassBytes = 64;
constexpr std::size_t kClasses = 256;         // 16 KiB
constexpr std::size_t kFreeFramesMax = 1024;  // kept a class; what a burst made beyond that goes back to the heap

struct FreeFrame {
  FreeFrame* next;
};

struct FreeLists {
  struct List {
    FreeFrame* first = nullptr;
    std::size_t length = 0;
  };
  std::array<List, kClasses> lists;

  ~FreeLists() {
    for (auto& list : lists) {
      while (list.first != nullptr) ::operator delete(std::exchange(list.first, list.first->next));
      list.length = kFreeFramesMax;  // a frame that outlives its thread's lists goes to the heap
    }
  }
};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
thread_local FreeLists free_lists;
#endif

}  // namespace

void* allocate_frame(std::size_t bytes) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const std::size_t index = (bytes - 1) / kClassBytes;
  if (index < kClasses) {
    auto& list = free_lists.lists[index];
    if (list.first != nullptr) {
      --list.length;
      return std::exchange(list.first, list.first->next);
    }
    return ::operator new((index + 1) * kClassBytes);
  }
#endif
  return ::operator new(bytes);
}

void free_frame(void* frame, [[maybe_unused]] std::size_t bytes) noexcept {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const std::size_t index = (bytes - 1) / kClassBytes;
  if (index < kClasses) {
    auto& list = free_lists.lists[index];
    if (list.length < kFreeFramesMax) {
      ++list.length;
      list.first = new (frame) FreeFrame{list.first};
      return;
    }
  }
#endif
  ::operator delete(frame);
}

Root::promise_type::promise_type(Gate& owner, Task<void>&) noexcept : gate(owner), next(owner.first_) {
  if (next != nullptr) next->previous = this;
  gate.first_ = this;
  ++gate.live_;
}

Root::promise_type::~promise_type() {
  (previous != nullptr ? previous->next : gate.first_) = next;
  if (next != nullptr) next->previous = previous;
  if (--gate.live_ == 0 && gate.on_empty_) gate.on_empty_();
}

}  // namespace detail

namespace {
detail::Root run(Gate&, Task<void> task) {
  co_await std::move(task);
}
}  // namespace

void spawn(Gate& gate, Task<void> task) {
  run(gate, std::move(task));
}

Gate::~Gate() {
  on_empty_ = nullptr;
  while (first_ != nullptr) std::coroutine_handle<detail::Root::promise_type>::from_promise(*first_).destroy();
}

}  // namespace weir::providers
