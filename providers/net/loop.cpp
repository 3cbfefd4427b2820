#include "providers/net/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <system_error>
#include <utility>

namespace weir::providers {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
using TickTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

namespace {

constexpr int kEventsOfTurn = 128;
// Turns in a row before Asio's own queue (posts, timers) has its go.
constexpr int kTurnsInARow = 8;

int make_set() {
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) throw std::system_error(errno, std::generic_category(), "cannot make an epoll set");  // at start-up only
  return set;
}

}  // namespace

// One thread runs the loop, so the reactor needs no lock; the scheduler keeps its own, which is what makes post() from
// other threads safe.
struct Loop::Asio {
  explicit Asio(int epoll) : set(io, epoll) {}
  asio::io_context io{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  asio::executor_work_guard<Executor> guard{io.get_executor()};
  TickTimer ticker{io};
  Descriptor set;  // epoll_, which is readable while it has events
};

Loop::Loop(std::chrono::nanoseconds tick, std::function<bool()> on_tick)
    : tick_(tick), on_tick_(std::move(on_tick)), epoll_(make_set()), asio_(std::make_unique<Asio>(epoll_)) {}

Loop::~Loop() {
  // What posted work holds may be sockets, and they hand their watches to this loop as they go.
  asio_->set.release();
  asio_.reset();
  while (scheduled_ != nullptr) {
    Watched* const watched = std::exchange(scheduled_, scheduled_->next_);
    watched->release();
  }
  delete_buried();
  ::close(epoll_);
}

asio::io_context& Loop::io() {
  return asio_->io;
}

void Loop::run() {
  want_turn();
  asio_->io.run();
}

void Loop::stop() {
  asio_->io.stop();
}

void Loop::post(std::function<void()> work) {
  asio::post(asio_->io, std::move(work));
}

void Loop::resume_soon(std::coroutine_handle<> waiter) {
  soon_.push_back(waiter);
  want_turn();
}

void Loop::start_ticking() {
  asio_->ticker.expires_after(tick_);
  asio_->ticker.async_wait([this](const boost::system::error_code& error) {
    if (!error && on_tick_()) start_ticking();
  });
}

/// Sees to it that turns() runs soon.
void Loop::want_turn() {
  if (turning_ || turn_wanted_ || !asio_) return;
  turn_wanted_ = true;
  asio::post(asio_->io, [this] {
    turn_wanted_ = false;
    turns();
  });
}

void Loop::wait_for_events() {
  if (std::exchange(waiting_, true)) return;
  asio_->set.async_wait(Descriptor::wait_read, [this](const boost::system::error_code& error) {
    waiting_ = false;
    if (!error) turns();
  });
}

/// What the sockets have to say, until they fall silent or Asio must have its go: under load the set is asked again
/// rather than watched, and Asio costs nothing.
void Loop::turns() {
  turning_ = true;
  int count = 1;
  for (int i = 0; i < kTurnsInARow && count > 0 && !asio_->io.stopped(); ++i) {
    count = dispatch();
    run_soon();
    run_scheduled();
    delete_buried();
    if (!soon_.empty() || scheduled_ != nullptr) count = 1;
  }
  turning_ = false;
  if (count > 0)
    want_turn();
  else
    wait_for_events();
}

/// How many events there were.
int Loop::dispatch() {
  std::array<epoll_event, kEventsOfTurn> events;
  const int count = ::epoll_wait(epoll_, events.data(), kEventsOfTurn, 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    static_cast<Watched*>(event.data.ptr)->on_events(event.events);
  }
  return count;
}

bool Loop::add(int fd, Watched& watched) noexcept {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
  event.data.ptr = &watched;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
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
  want_turn();
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
