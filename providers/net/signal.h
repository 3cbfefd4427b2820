// One coroutine of a core waits, anybody on that core wakes it. Wakes before the wait are kept (as one).
#pragma once

#include <boost/asio/steady_timer.hpp>

#include "providers/net/abort.h"
#include "providers/net/core.h"
#include "providers/net/task.h"

namespace weir::providers {

class Signal final : public Closable {
 public:
  explicit Signal(Core& core) : timer_(core.io(), boost::asio::steady_timer::time_point::max()) {}

  /// Core's thread only.
  void set() {
    set_ = true;
    timer_.cancel();
  }
  void close_now() noexcept override { set(); }
  /// Completes when set() was called since the last wait. One waiter at a time.
  Task<void> wait();

 private:
  boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                    Executor>
      timer_;
  bool set_ = false;
};

}  // namespace weir::providers
