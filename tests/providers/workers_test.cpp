// Work beside a core: where it runs, who waits for it, and what an abort does before and after it began.
#include "providers/net/workers.h"

#include <optional>
#include <stdexcept>
#include <string>

#include "tests/providers/net_rig.h"

namespace weir::providers {
namespace {

using testing::Latch;
using testing::RunningCore;

Error stop_reason() {
  return {ErrorKind::cancelled, "test", Retry::no, 499, "stopped"};
}

/// A core with one worker. Members die in the order that the gateway's do: the core before its workers.
struct Rig {
  Workers workers{1};
  RunningCore core{workers};
};

/// Runs `work` beside the core and says how that ended, in `ran`.
Task<void> aside(Core& core, Abort& abort, std::function<void()> work, std::optional<bool>& ran, Latch& ended) {
  ran = co_await run_aside(core, abort, true, std::move(work));
  ended.set();
}

TEST(Workers, RunElsewhereAndComeBack) {
  Rig rig;
  const auto core_thread = rig.core.call([] { return std::this_thread::get_id(); });
  std::thread::id worked;
  const auto resumed = rig.core.run([&]() -> Task<std::thread::id> {
    Abort abort;
    co_await run_aside(*rig.core, abort, true, [&] { worked = std::this_thread::get_id(); });
    co_return std::this_thread::get_id();
  });
  EXPECT_EQ(resumed, core_thread);
  EXPECT_NE(worked, core_thread);
}

TEST(Workers, SmallWorkStaysOnTheCore) {
  Rig rig;
  const auto core_thread = rig.core.call([] { return std::this_thread::get_id(); });
  std::thread::id worked;
  EXPECT_TRUE(rig.core.run([&]() -> Task<bool> {
    Abort abort;
    co_return co_await run_aside(*rig.core, abort, false, [&] { worked = std::this_thread::get_id(); });
  }));
  EXPECT_EQ(worked, core_thread);
}

TEST(Workers, TheCoreGoesOnMeanwhile) {
  Rig rig;
  Latch begun;
  Latch served;
  std::optional<bool> ran;
  Latch ended;
  Abort abort;
  rig.core->post([&] {
    spawn(rig.core->gate(), aside(
                                *rig.core, abort,
                                [&] {
                                  begun.set();
                                  EXPECT_TRUE(served.wait());
                                },
                                ran, ended));
  });
  EXPECT_TRUE(begun.wait());
  rig.core.call([] { return 0; });  // something else is served while the worker works
  served.set();
  EXPECT_TRUE(ended.wait());
  EXPECT_EQ(ran, true);
}

TEST(Workers, ExceptionsReachTheCaller) {
  Rig rig;
  const auto said = rig.core.run([&]() -> Task<std::string> {
    Abort abort;
    try {
      co_await run_aside(*rig.core, abort, true, [] { throw std::runtime_error("broken"); });
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "";
  });
  EXPECT_EQ(said, "broken");
}

TEST(Workers, AnAbortTakesWorkOutOfTheQueueButWaitsForWhatBegan) {
  Rig rig;
  Latch begun;
  Latch go_on;
  Latch first_ended;
  Latch second_ended;
  std::optional<bool> first;
  std::optional<bool> second;
  Abort abort_first;
  Abort abort_second;
  bool second_worked = false;
  rig.core->post([&] {
    spawn(rig.core->gate(), aside(
                                *rig.core, abort_first,
                                [&] {
                                  begun.set();
                                  EXPECT_TRUE(go_on.wait());
                                },
                                first, first_ended));
    spawn(rig.core->gate(), aside(
                                *rig.core, abort_second, [&] { second_worked = true; }, second, second_ended));
  });
  EXPECT_TRUE(begun.wait());
  rig.core->post([&] {
    abort_second.fire(stop_reason());
    abort_first.fire(stop_reason());
  });
  EXPECT_TRUE(second_ended.wait()) << "at once, though the only worker is busy";
  EXPECT_EQ(second, false);
  EXPECT_FALSE(first_ended.is_set());
  go_on.set();
  EXPECT_TRUE(first_ended.wait());
  EXPECT_EQ(first, true);
  EXPECT_FALSE(second_worked);
}

TEST(Workers, AnAbortedRequestBeginsNothing) {
  Rig rig;
  bool worked = false;
  EXPECT_FALSE(rig.core.run([&]() -> Task<bool> {
    Abort abort;
    abort.fire(stop_reason());
    co_return co_await run_aside(*rig.core, abort, true, [&] { worked = true; });
  }));
  EXPECT_FALSE(worked);
}

/// The closure uses what the coroutine owns, so that must not die under it.
TEST(Workers, ADestroyedCoroutineWaitsForItsWork) {
  Rig rig;
  Latch begun;
  Latch go_on;
  std::optional<bool> ran;
  std::optional<bool> queued_ran;
  Latch ended;
  Abort abort;
  Abort abort_queued;
  bool worked = false;
  bool queued_worked = false;
  auto gate = std::make_unique<Gate>();
  auto gate_queued = std::make_unique<Gate>();
  rig.core.call([&] {
    spawn(*gate, aside(
                     *rig.core, abort,
                     [&] {
                       begun.set();
                       EXPECT_TRUE(go_on.wait());
                       worked = true;
                     },
                     ran, ended));
    spawn(*gate_queued, aside(
                            *rig.core, abort_queued, [&] { queued_worked = true; }, queued_ran, ended));
    return 0;
  });
  EXPECT_TRUE(begun.wait());
  Latch destroyed;
  rig.core->post([&] {
    gate_queued.reset();  // while the one thread is taken, so that its work has not begun
    go_on.set();
    gate.reset();
    EXPECT_TRUE(worked);
    destroyed.set();
  });
  EXPECT_TRUE(destroyed.wait());
  EXPECT_FALSE(queued_worked);
  EXPECT_FALSE(ran || queued_ran) << "nobody was resumed";
}

}  // namespace
}  // namespace weir::providers
