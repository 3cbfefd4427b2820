#include "engine/parallel/rank_threads.h"

namespace weir::engine {

RankThreads::RankThreads(int ranks) {
  for (int rank = 1; rank < ranks; ++rank) threads_.emplace_back([this, rank] { serve(rank); });
}

RankThreads::~RankThreads() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void RankThreads::run(const std::function<void(int rank)>& work) {
  if (!threads_.empty()) {
    {
      const std::lock_guard lock(mutex_);
      work_ = &work;
      busy_ = static_cast<int>(threads_.size());
      ++turn_;
    }
    changed_.notify_all();
  }
  work(0);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return busy_ == 0; });
}

void RankThreads::serve(int rank) {
  uint64_t served = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || turn_ != served; });
    if (stop_) return;
    served = turn_;
    const auto& work = *work_;
    lock.unlock();
    work(rank);
    lock.lock();
    if (--busy_ == 0) changed_.notify_all();
  }
}

}  // namespace weir::engine
