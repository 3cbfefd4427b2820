#include "providers/net/workers.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

namespace weir::providers {
namespace {

// Where all processors are busy a core comes first: it serves thousands while a worker serves one.
constexpr int kNiceness = 5;

}  // namespace

/// Shared by the coroutine's frame, the queue or a thread, and the wake-up posted to the core.
struct Workers::Job {
  enum class State : uint8_t { queued, running, ended };

  Job(Core& owner, std::function<void()> what) : core(owner), work(std::move(what)) {}
  Core& core;
  std::function<void()> work;
  State state = State::queued;       // guarded by the workers' mutex
  std::exception_ptr failure;        // set before the wake-up is posted
  std::coroutine_handle<> waiter{};  // of the core's thread; null where nobody waits any more
};

/// The coroutine's end of a job.
class Workers::Wait final : public Closable {
 public:
  Wait(Workers& workers, std::shared_ptr<Job> job) : workers_(workers), job_(std::move(job)) {}
  ~Wait() {
    job_->waiter = nullptr;
    if (begun_ && !workers_.take_back(*job_)) workers_.wait_for_end(*job_);
  }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  void close_now() noexcept override {
    if (!workers_.take_back(*job_)) return;
    begun_ = false;
    job_->core.resume_soon(std::exchange(job_->waiter, nullptr));
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    job_->waiter = waiter;
    begun_ = true;
    workers_.enqueue(job_);
  }
  /// Whether it ran.
  bool await_resume() const noexcept { return begun_; }

 private:
  Workers& workers_;
  std::shared_ptr<Job> job_;
  bool begun_ = false;  // in the queue or beyond
};

Workers::Workers(size_t threads) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { serve(); });
}

Workers::~Workers() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_there_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::enqueue(std::shared_ptr<Job> job) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
  }
  work_there_.notify_one();
}

/// True: it had not begun, and will not.
bool Workers::take_back(const Job& job) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(queue_.begin(), queue_.end(), [&](const auto& one) { return one.get() == &job; });
  if (found == queue_.end()) return false;
  queue_.erase(found);
  return true;
}

void Workers::wait_for_end(const Job& job) {
  std::unique_lock lock(mutex_);
  job_ended_.wait(lock, [&] { return job.state == Job::State::ended; });
}

void Workers::serve() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);
  std::unique_lock lock(mutex_);
  while (true) {
    work_there_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const std::shared_ptr<Job> job = std::move(queue_.front());
    queue_.pop_front();
    job->state = Job::State::running;
    lock.unlock();
    try {
      job->work();
    } catch (...) {
      job->failure = std::current_exception();
    }
    // Before it counts as ended: a core that waits for the end may be gone afterwards.
    job->core.post([job] {
      if (job->waiter) std::exchange(job->waiter, nullptr).resume();
    });
    lock.lock();
    job->state = Job::State::ended;
    job_ended_.notify_all();
  }
}

Task<bool> Workers::run(Core& core, Abort& abort, std::function<void()> work) {
  if (abort.fired()) co_return false;
  const auto job = std::make_shared<Job>(core, std::move(work));
  Wait wait(*this, job);
  const AbortScope scope(abort, wait);
  if (!co_await wait) co_return false;
  if (job->failure) std::rethrow_exception(job->failure);
  co_return true;
}

}  // namespace weir::providers
