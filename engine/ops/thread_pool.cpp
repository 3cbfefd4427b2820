#include "engine/ops/thread_pool.h"

#include <algorithm>

namespace weir::engine {
namespace {

// About 20 µs: longer than the gap between two loops of one step, far shorter than the gap between two requests.
constexpr int kSpins = 512;
constexpr int kAutoThreadsMax = 16;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

int thread_count(int asked) {
  if (asked > 0) return std::min(asked, kKernelThreadsMax);
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kAutoThreadsMax);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const int count = thread_count(threads);
  workers_.reserve(static_cast<size_t>(count - 1));
  for (int i = 1; i < count; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  ticket_.fetch_add(uint64_t{1} << 32, std::memory_order_release);
  ticket_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_job(const Job& job) {
  // A range more than 2^20 times as many as the grain would be all overhead; it also keeps the count within 32 bits.
  job_ = job;
  job_.grain = std::max(job.grain, (job.count >> 20) + 1);
  const auto ranges = static_cast<uint32_t>((job_.count + job_.grain - 1) / job_.grain);
  left_.store(ranges, std::memory_order_relaxed);
  const uint64_t number = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  ticket_.store(number << 32 | ranges, std::memory_order_release);
  ticket_.notify_all();

  while (claim_and_run()) {
  }
  for (int spin = 0; spin < kSpins && left_.load(std::memory_order_acquire) != 0; ++spin) pause_cpu();
  for (uint32_t left = left_.load(std::memory_order_acquire); left != 0; left = left_.load(std::memory_order_acquire)) {
    left_.wait(left, std::memory_order_acquire);
  }
}

bool ThreadPool::claim_and_run() {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while ((ticket & 0xffffffffU) != 0) {
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      continue;
    }
    const auto index = static_cast<int64_t>((ticket & 0xffffffffU) - 1);
    const Job& job = job_;
    const int64_t begin = index * job.grain;
    job.function(job.body, begin, std::min(begin + job.grain, job.count));
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_one();
    return true;
  }
  return false;
}

void ThreadPool::work() {
  while (!stop_.load(std::memory_order_relaxed)) {
    if (claim_and_run()) continue;
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (int spin = 0; spin < kSpins && (ticket & 0xffffffffU) == 0; ++spin) {
      pause_cpu();
      ticket = ticket_.load(std::memory_order_acquire);
    }
    if ((ticket & 0xffffffffU) == 0 && !stop_.load(std::memory_order_relaxed)) {
      ticket_.wait(ticket, std::memory_order_acquire);
    }
  }
}

}  // namespace weir::engine
