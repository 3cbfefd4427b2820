#include "providers/net/core.h"

#include "providers/net/event.h"
#include "providers/net/loop.h"
#include "providers/net/wheel.h"

namespace weir::providers {

Core::Core(int index, Workers* workers)
    : index_(index),
      workers_(workers),
      loop_(std::make_unique<Loop>(kWheelTick, [this] { return wheel_->advance(now()); })),
      wheel_(std::make_unique<DeadlineWheel>(now(), [loop = loop_.get()] { loop->start_ticking(); })) {}

Core::~Core() = default;

void Core::run() {
  loop_->run();
}

void Core::stop() {
  loop_->stop();
}

void Core::post(std::function<void()> work) {
  loop_->post(std::move(work));
}

void Core::resume_soon(std::coroutine_handle<> waiter) noexcept {
  loop_->resume_soon(waiter);
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
