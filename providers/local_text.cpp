#include "providers/local_text.h"

#include <atomic>
#include <memory>
#include <utility>

#include "providers/net/abort.h"
#include "providers/net/event.h"

namespace weir::providers {

Task<Result<void>> prepare_text(const Attempt& attempt, engine::Engine& engine, std::function<void()> work,
                                bool aside) {
  constexpr size_t kShortBytes = 64 * 1024;
  if (!aside && attempt.body.json.size() <= kShortBytes) {
    work();
    co_return Result<void>{};
  }
  enum class Phase { waits, begun, given_up };
  const auto phase = std::make_shared<std::atomic<Phase>>(Phase::waits);
  const auto leave = [](std::atomic<Phase>& from, Phase to) {
    Phase waits = Phase::waits;
    return from.compare_exchange_strong(waits, to);
  };
  Event woken(attempt.core);
  bool ended = false;
  const bool posted = engine.post_text(attempt.cache_salt, [&, phase, leave] {
    if (!leave(*phase, Phase::begun)) return;  // what it would work on is gone
    work();
    attempt.core.post([&] {
      ended = true;
      woken.set();
    });
  });
  if (!posted)
    co_return Error{ErrorKind::overloaded,
                    "engine",
                    Retry::other_target,
                    429,
                    "too many long texts wait at engine \"" + engine.name() + "\"; try again in a moment",
                    "engine_overloaded"};
  {
    const AbortScope scope(attempt.abort, woken);
    co_await woken.wait();
  }
  if (!ended) {
    if (leave(*phase, Phase::given_up)) co_return attempt.abort.reason();
    woken.reset();
    co_await woken.wait();
  }
  co_return Result<void>{};
}

}  // namespace weir::providers
