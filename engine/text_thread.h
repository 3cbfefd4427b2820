// A thread beside the engine's for text that takes long to prepare: rendering and tokenizing a prompt of megabytes
// would stall a core with all its connections, and the engine's own thread with all its sequences. Tenants take turns.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace weir::engine {

class TextThread {
 public:
  static constexpr size_t kWaitingOfTenantMax = 64;
  static constexpr size_t kWaitingMax = 1024;

  TextThread() = default;
  TextThread(const TextThread&) = delete;
  TextThread& operator=(const TextThread&) = delete;
  ~TextThread();  // runs what waits

  /// Runs `job` on the thread, a tenant's one after the other in the order of the calls, and one of each tenant that
  /// has any before the next of the same; it must not throw. False: too many are waiting. Any thread; the first call
  /// starts the thread.
  bool post(uint64_t tenant, std::function<void()> job);

 private:
  struct Queue {
    uint64_t tenant = 0;
    std::deque<std::function<void()>> jobs;  // not empty
  };
  void run();
  std::function<void()> take();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Queue> queues_;  // whose turn is next first
  size_t waiting_ = 0;       // jobs
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace weir::engine
