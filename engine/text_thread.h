// A thread beside the engine's for text that takes long to prepare: rendering and tokenizing a prompt of megabytes
// would stall a core with all its connections, and the engine's own thread with all its sequences.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace weir::engine {

class TextThread {
 public:
  static constexpr size_t kWaitingMax = 64;

  TextThread() = default;
  TextThread(const TextThread&) = delete;
  TextThread& operator=(const TextThread&) = delete;
  ~TextThread();  // runs what waits

  /// Runs `job` on the thread, one after the other in the order of the calls; it must not throw. False: kWaitingMax
  /// jobs are waiting. Any thread; the first call starts the thread.
  bool post(std::function<void()> job);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace weir::engine
