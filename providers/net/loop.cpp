#include "providers/net/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace weir::providers {
namespace {

constexpr int kEventsOfTurn = 128;

// In epoll_event::data, beside pointers to what is watched.
constexpr uint64_t kBell = 0;
constexpr uint64_t kTimer = 1;

bool add_fd(int epoll, int fd, uint32_t events, uint64_t data) {
  epoll_event event{};
  event.events = events | EPOLLET;
  event.data.u64 = data;
  return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

Loop::Loop(std::chrono::nanoseconds tick, std::function<bool()> on_tick) : tick_(tick), on_tick_(std::move(on_tick)) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  bell_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (epoll_ < 0 || bell_ < 0 || timer_ < 0 || !add_fd(epoll_, bell_, EPOLLIN, kBell) ||
      !add_fd(epoll_, timer_, EPOLLIN, kTimer))
    throw std::system_error(errno, std::generic_category(), "cannot make an event loop");  // at start-up only
}

Loop::~Loop() {
  // What work holds may be sockets, and they hand their watches to this loop as they go.
  std::vector<std::function<void()>> dropped;
  {
    const std::lock_guard lock(mutex_);
    dropped.swap(inbox_);
  }
  dropped.clear();
  while (scheduled_ != nullptr) {
    Watched* const watched = std::exchange(scheduled_, scheduled_->next_);
    watched->release();
  }
  delete_buried();
  for (const int fd : {timer_, bell_, epoll_}) ::close(fd);
}

void Loop::run() {
  std::array<epoll_event, kEventsOfTurn> events;
  while (!stopped_.load(std::memory_order_acquire)) {
    const bool more = !soon_.empty() || scheduled_ != nullptr;
    const int count = ::epoll_wait(epoll_, events.data(), kEventsOfTurn, more ? 0 : -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      if (event.data.u64 == kBell) {
        take_inbox();
      } else if (event.data.u64 == kTimer) {
        if (on_tick_()) start_ticking();
      } else {
        static_cast<Watched*>(event.data.ptr)->on_events(event.events);
      }
    }
    run_soon();
    run_scheduled();
    delete_buried();
  }
}

void Loop::stop() {
  const std::lock_guard lock(mutex_);
  stopped_.store(true, std::memory_order_release);
  wake();
}

// Edge-triggered: every write is an event of its own, so nobody needs to read the counter. Under the mutex: what was
// posted may end this loop, and does not run before the poster has let go of it.
void Loop::wake() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(bell_, &one, sizeof one);
}

void Loop::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  inbox_.push_back(std::move(work));
  if (inbox_.size() == 1) wake();  // else the one before did, and the inbox has not been taken since
}

void Loop::take_inbox() {
  std::vector<std::function<void()>> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(inbox_);
  }
  for (auto& work : taken) {
    work();
    work = nullptr;
  }
}

void Loop::start_ticking() {
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(tick_.count() / 1'000'000'000);
  when.it_value.tv_nsec = static_cast<long>(tick_.count() % 1'000'000'000);
  ::timerfd_settime(timer_, 0, &when, nullptr);
}

bool Loop::add(int fd, Watched& watched) noexcept {
  return add_fd(epoll_, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, reinterpret_cast<uint64_t>(&watched));
}

void Loop::remove(int fd) noexcept {
  epoll_event unused{};
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, &unused);
}

void Loop::schedule(Watched& watched) noexcept {
  if (std::exchange(watched.scheduled_, true)) return;
  watched.retain();
  watched.next_ = nullptr;
  (scheduled_ == nullptr ? scheduled_ : scheduled_last_->next_) = &watched;
  scheduled_last_ = &watched;
}

// One pass: what these wake takes its turn after the sockets had theirs.
void Loop::run_soon() {
  running_.swap(soon_);
  for (const auto waiter : running_) waiter.resume();
  running_.clear();
}

void Loop::run_scheduled() {
  Watched* next = std::exchange(scheduled_, nullptr);
  while (next != nullptr) {
    Watched* const watched = std::exchange(next, next->next_);
    watched->scheduled_ = false;
    watched->on_turn();
    watched->release();
  }
}

void Loop::bury(Watched& watched) noexcept {
  watched.next_ = buried_;
  buried_ = &watched;
}

void Loop::delete_buried() {
  while (buried_ != nullptr) delete std::exchange(buried_, buried_->next_);
}

}  // namespace weir::providers
