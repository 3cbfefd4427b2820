// Threads for work that would hold a core up: reading and translating a large body, rendering the metrics. A coroutine
// hands over a closure and waits on its core; what the closure touches is the coroutine's own and outlives it. Shared
// by all cores. What can stand in the queue is bounded by who asks: `server.limits.bodies` bounds the large bodies.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "providers/net/core.h"

namespace weir::providers {

class Workers {
 public:
  explicit Workers(size_t threads);
  /// REQUIRES: nobody waits any more.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Runs `work` on one of the threads and goes on on `core`, whose thread calls this. False: `abort` fired before its
  /// turn came, and it did not run. Once begun it is waited for, whatever `abort` says and even where the coroutine is
  /// destroyed. What it throws is thrown here.
  Task<bool> run(Core& core, Abort& abort, std::function<void()> work);

 private:
  struct Job;
  class Wait;

  void enqueue(std::shared_ptr<Job> job);
  bool take_back(const Job& job);
  void wait_for_end(const Job& job);
  void serve();

  std::mutex mutex_;
  std::condition_variable work_there_;
  std::condition_variable job_ended_;
  std::deque<std::shared_ptr<Job>> queue_;  // guarded by mutex_
  bool stopping_ = false;                   // guarded by mutex_
  std::vector<std::thread> threads_;
};

/// The same where the work is `large` and the core has workers; else it runs here and now.
template <class F>
Task<bool> run_aside(Core& core, Abort& abort, bool large, F work) {
  if (large && core.workers() != nullptr) return core.workers()->run(core, abort, std::move(work));
  work();
  return Task<bool>::ready(true);
}

}  // namespace weir::providers
