// A small persistent pool that runs one loop at a time over the cores of the kernels. Workers spin briefly after a
// loop, since the next layer's loop follows within microseconds, then park. The thread that owns the pool (the engine
// thread) calls run(), takes part in the work, and returns when every range is done.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace weir::engine {

inline constexpr int kKernelThreadsMax = 256;

class ThreadPool {
 public:
  /// `threads` counts the caller of run(): 1 starts no thread at all; 0 means one a core, at most 16. More than
  /// kKernelThreadsMax is clamped.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(begin, end) over disjoint ranges of at most `grain` that cover [0, count), on any thread, in any
  /// order. REQUIRES: grain ≥ 1; one caller at a time; body does not throw and does not call run().
  template <class Body>
  void run(int64_t count, int64_t grain, const Body& body) {
    if (count <= 0) return;
    if (workers_.empty() || count <= grain) {
      body(int64_t{0}, count);
      return;
    }
    run_job({&call<Body>, &body, count, grain});
  }

 private:
  struct Job {
    void (*function)(const void* body, int64_t begin, int64_t end) = nullptr;
    const void* body = nullptr;
    int64_t count = 0;
    int64_t grain = 1;
  };

  template <class Body>
  static void call(const void* body, int64_t begin, int64_t end) {
    (*static_cast<const Body*>(body))(begin, end);
  }

  void run_job(const Job& job);
  bool claim_and_run();
  void work();

  // The upper half numbers the job, the lower half counts its ranges not yet claimed. A claim is one compare-exchange
  // on both, so a worker that was asleep during a whole job can never take a range of the next with the old job's data.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<uint32_t> left_{0};  // ranges of the job not yet finished
  std::atomic<bool> stop_{false};
  Job job_;  // written before ticket_ is released, read only after a successful claim
  std::vector<std::thread> workers_;
};

}  // namespace weir::engine
