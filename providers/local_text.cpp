#include "providers/local_text.h"

#include <utility>

#include "providers/net/event.h"

namespace weir::providers {

Task<Result<void>> prepare_text(const Attempt& attempt, engine::Engine& engine, std::function<void()> work,
                                bool aside) {
  constexpr size_t kShortBytes = 64 * 1024;
  if (!aside && attempt.body.json.size() <= kShortBytes) {
    work();
    co_return Result<void>{};
  }
  Event done(attempt.core);
  const bool posted = engine.post_text([&] {
    work();
    attempt.core.post([&done] { done.set(); });
  });
  if (!posted)
    co_return Error{ErrorKind::overloaded,
                    "engine",
                    Retry::other_target,
                    429,
                    "too many long texts wait at engine \"" + engine.name() + "\"; try again in a moment",
                    "engine_overloaded"};
  co_await done.wait();
  co_return Result<void>{};
}

}  // namespace weir::providers
