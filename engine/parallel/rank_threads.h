// One thread a rank, the caller's for the first: run() has every rank do the same work at once and returns when all
// have. Between two calls the others sleep. One caller.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace weir::engine {

class RankThreads {
 public:
  explicit RankThreads(int ranks);
  ~RankThreads();
  RankThreads(const RankThreads&) = delete;
  RankThreads& operator=(const RankThreads&) = delete;

  /// `work` is called once for each rank, with its number. It does not throw.
  void run(const std::function<void(int rank)>& work);

 private:
  void serve(int rank);

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void(int)>* work_ = nullptr;
  uint64_t turn_ = 0;  // of run(), from 1
  int busy_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;  // of ranks 1, 2, …
};

}  // namespace weir::engine
