// The current configuration, swapped whole. Readers take a shared_ptr (any thread, under a lock held for one
// increment); one reloader thread publishes. `Watcher` is the rim: it watches the file (inotify on its folder, so that
// editors' rename-over works, and Kubernetes' ..data symlink swaps too) and is told of SIGHUP.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "config/config.h"
#include "config/load.h"

namespace weir::config {

class Snapshot {
 public:
  explicit Snapshot(std::shared_ptr<const Config> initial) : current_(std::move(initial)) {}
  std::shared_ptr<const Config> get() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  void publish(std::shared_ptr<const Config> next) {
    {
      const std::lock_guard lock(mutex_);
      current_.swap(next);
    }  // the old one, if this was its last owner, dies outside the lock
    version_.fetch_add(1, std::memory_order_release);
  }
  /// Changes with every publish: a core keeps its own shared_ptr and refreshes it only when this moved.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

 private:
  // Not std::atomic<std::shared_ptr>: libstdc++ 12 unlocks its loads with relaxed order, which is a data race.
  mutable std::mutex mutex_;
  std::shared_ptr<const Config> current_;
  std::atomic<uint64_t> version_{1};
};

/// Watches the config file (and the TLS files it names) on its own thread; a change or `request_reload()` (SIGHUP)
/// loads and validates it and calls `on_reload` on that thread: with config set if it is good, null and mistakes if
/// not. Bursts of writes are folded (a change is read 50 ms after the last event, and again until it reads the same
/// twice); a file that was only touched is passed over, and one that is gone is a mistake, until it is back. Where
/// `on_reload` returns false (it could not take it this time) the same comes again after some seconds. What
/// changes after the constructor has returned is seen; given the config that is `in_force`, also what changed since it
/// was loaded.
class Watcher {
 public:
  using OnReload = std::function<bool(LoadOutcome outcome)>;
  Watcher(std::string file, KnownNames known, OnReload on_reload,
          const std::shared_ptr<const Config>& in_force = nullptr);
  ~Watcher();  // joins, at once unless on_reload is running; not to be called from on_reload
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  /// Reads and tells no more; waits for an on_reload that is running, but no longer than this. False: it still runs,
  /// and the destructor would wait for it.
  bool stop(std::chrono::milliseconds timeout);
  /// Reads now, whether anything changed or not. Any thread, and a signal handler.
  void request_reload();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::config
