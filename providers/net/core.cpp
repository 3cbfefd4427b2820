#include "providers/net/core.h"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "providers/net/event.h"
#include "providers/net/wheel.h"

namespace weir::providers {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
using TickTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

// One thread runs the loop, so the reactor needs no lock; the scheduler keeps its own, which is what makes post() from
// other threads safe.
struct Core::Loop {
  asio::io_context io{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  asio::executor_work_guard<Executor> guard{io.get_executor()};
  TickTimer ticker{io};
  DeadlineWheel* wheel = nullptr;

  void tick() {
    ticker.expires_after(kWheelTick);
    ticker.async_wait([this](const boost::system::error_code& error) {
      if (!error && wheel->advance(now())) tick();
    });
  }
};

Core::Core(int index)
    : index_(index),
      loop_(std::make_unique<Loop>()),
      wheel_(std::make_unique<DeadlineWheel>(now(), [loop = loop_.get()] { loop->tick(); })) {
  loop_->wheel = wheel_.get();
}

Core::~Core() = default;

void Core::run() {
  loop_->io.run();
}

void Core::stop() {
  loop_->io.stop();
}

asio::io_context& Core::io() {
  return loop_->io;
}

void Core::post(std::function<void()> work) {
  asio::post(loop_->io, std::move(work));
}

void Core::resume_soon(std::coroutine_handle<> waiter) noexcept {
  asio::post(loop_->io, [waiter] { waiter.resume(); });
}

namespace {
struct Alarm final : WheelTimer {
  explicit Alarm(Event& e) : event(e) {}
  ~Alarm() = default;
  void expired() noexcept override { event.set(); }
  Event& event;
};
}  // namespace

Task<bool> Core::sleep_until(TimePoint when, Abort& abort) {
  Event event(*this);
  AbortScope scope(abort, event);
  Alarm alarm(event);
  alarm.arm(*wheel_, when);
  co_await event.wait();
  co_return !abort.fired();
}

}  // namespace weir::providers
