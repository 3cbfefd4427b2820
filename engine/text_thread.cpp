#include "engine/text_thread.h"

#include <algorithm>
#include <utility>

namespace weir::engine {

TextThread::~TextThread() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool TextThread::post(uint64_t tenant, std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_ >= kWaitingMax || closing_) return false;
    auto queue = std::ranges::find(queues_, tenant, &Queue::tenant);
    if (queue == queues_.end()) queue = queues_.insert(queue, {tenant, {}});
    if (queue->jobs.size() >= kWaitingOfTenantMax) return false;
    queue->jobs.push_back(std::move(job));
    ++waiting_;
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  wake_.notify_one();
  return true;
}

void TextThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return closing_ || waiting_ > 0; });
    if (waiting_ == 0) return;  // closing
    const std::function<void()> job = take();
    lock.unlock();
    job();
    lock.lock();
  }
}

/// REQUIRES: the lock, and a job that waits.
std::function<void()> TextThread::take() {
  Queue& queue = queues_.front();
  std::function<void()> job = std::move(queue.jobs.front());
  queue.jobs.pop_front();
  --waiting_;
  if (queue.jobs.empty()) {
    queues_.pop_front();
  } else {
    queues_.splice(queues_.end(), queues_, queues_.begin());
  }
  return job;
}

}  // namespace weir::engine
