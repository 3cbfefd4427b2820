// Tasks, gates, events, the deadline wheel, and a core's loop.
#include "providers/net/core.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "providers/net/event.h"
#include "providers/net/wheel.h"
#include "tests/providers/net_rig.h"

namespace weir::providers {
namespace {

using std::chrono::milliseconds;
using testing::RunningCore;

Task<int> child(int n) {
  co_return n;
}
Task<int> sum(int n) {
  int total = 0;
  for (int i = 0; i < n; ++i) total += co_await child(1) + co_await Task<int>::ready(1);
  co_return total;
}
Task<void> store(int& into, int n) {
  into = co_await sum(n);
}
Task<void> thrower() {
  throw std::runtime_error("x");
  co_return;
}
Task<void> catcher(bool& caught) {
  try {
    co_await thrower();
  } catch (const std::runtime_error&) {
    caught = true;
  }
}

TEST(Task, RunsDeepLoopsWithoutGrowingTheStack) {
  Gate gate;
  int result = 0;
  spawn(gate, store(result, 1'000'000));
  EXPECT_EQ(result, 2'000'000);
  EXPECT_EQ(gate.live(), 0u);
}

TEST(Task, CarriesExceptions) {
  Gate gate;
  bool caught = false;
  spawn(gate, catcher(caught));
  EXPECT_TRUE(caught);
}

struct Counted {
  explicit Counted(int& n) : live(n) { ++live; }
  ~Counted() { --live; }
  int& live;
};
Task<void> hold(Event& event, int& live) {
  const Counted counted(live);
  co_await event.wait();
}
Task<void> outer(Event& event, int& live) {
  const Counted counted(live);
  co_await hold(event, live);
}

TEST(Gate, DestroysWhatStillWaits) {
  Core core(0);
  Event event(core);
  int live = 0;
  {
    Gate gate;
    spawn(gate, outer(event, live));
    spawn(gate, outer(event, live));  // takes the event's only place; the first one waits for ever
    EXPECT_EQ(live, 4);
    EXPECT_EQ(gate.live(), 2u);
  }
  EXPECT_EQ(live, 0);
}

struct Bell final : WheelTimer {
  explicit Bell(std::vector<int>& out, int id) : rung(out), number(id) {}
  ~Bell() = default;
  void expired() noexcept override { rung.push_back(number); }
  std::vector<int>& rung;
  int number;
};

TEST(Wheel, FiresNeverEarlyAndAtMostATickLate) {
  const TimePoint start{};
  int started = 0;
  DeadlineWheel wheel(start, [&] { ++started; });
  std::vector<int> rung;
  std::vector<std::unique_ptr<Bell>> bells;
  const int64_t times_ms[] = {0, 1, 9, 10, 11, 25, 10'239, 10'240, 10'241, 20'485, 75'000, 600'000};
  for (const int64_t t : times_ms) {
    bells.push_back(std::make_unique<Bell>(rung, static_cast<int>(t)));
    bells.back()->arm(wheel, start + milliseconds(t));
  }
  EXPECT_EQ(started, 1);
  std::vector<bool> seen(600'001);
  for (int64_t now_ms = 10; wheel.advance(start + milliseconds(now_ms)); now_ms += 10) {
    for (const int t : rung) {
      EXPECT_LE(t, now_ms);
      EXPECT_GT(t + 20, now_ms);
      EXPECT_FALSE(seen[static_cast<size_t>(t)]);
      seen[static_cast<size_t>(t)] = true;
    }
    rung.clear();
    ASSERT_LE(now_ms, 700'000);
  }
  EXPECT_EQ(rung, std::vector<int>{600'000});
  EXPECT_EQ(wheel.armed(), 0u);
}

TEST(Wheel, RearmsAndDisarms) {
  const TimePoint start{};
  int started = 0;
  DeadlineWheel wheel(start, [&] { ++started; });
  std::vector<int> rung;
  Bell bell(rung, 1);
  bell.arm(wheel, start + milliseconds(100));
  bell.arm(wheel, start + milliseconds(300));  // later: stays in its slot until then
  for (int t = 10; t < 300; t += 10) EXPECT_TRUE(wheel.advance(start + milliseconds(t)));
  EXPECT_TRUE(rung.empty());
  bell.arm(wheel, start + milliseconds(295));  // earlier
  wheel.advance(start + milliseconds(310));
  EXPECT_EQ(rung.size(), 1u);
  EXPECT_FALSE(bell.armed());
  bell.arm(wheel, start + milliseconds(400));
  bell.disarm();
  EXPECT_EQ(wheel.armed(), 0u);
  EXPECT_FALSE(wheel.advance(start + milliseconds(500)));
  bell.arm(wheel, kNever);
  EXPECT_FALSE(bell.armed());
  {
    Bell brief(rung, 2);
    brief.arm(wheel, start + milliseconds(600));
  }
  EXPECT_EQ(wheel.armed(), 0u);
  bell.arm(wheel, start + std::chrono::hours(1));
  wheel.advance(start + std::chrono::hours(2));  // a long pause
  EXPECT_EQ(rung.size(), 2u);
}

struct Killer final : WheelTimer {
  ~Killer() = default;
  void expired() noexcept override {
    for (WheelTimer* timer : others) timer->disarm();
    arm(*wheel, again);
  }
  std::vector<WheelTimer*> others;
  DeadlineWheel* wheel = nullptr;
  TimePoint again{};
};

TEST(Wheel, ExpiringTimersMayDisarmTheirNeighbours) {
  const TimePoint start{};
  DeadlineWheel wheel(start, [] {});
  std::vector<int> rung;
  Bell before(rung, 1);
  Killer killer;
  Bell after(rung, 2);
  before.arm(wheel, start + milliseconds(50));
  killer.arm(wheel, start + milliseconds(50));
  after.arm(wheel, start + milliseconds(50));
  killer.others = {&before, &after};
  killer.wheel = &wheel;
  killer.again = start + milliseconds(200);
  wheel.advance(start + milliseconds(60));
  EXPECT_LE(rung.size(), 1u);
  EXPECT_EQ(wheel.armed(), 1u);
  killer.others.clear();
  killer.again = kNever;
  wheel.advance(start + milliseconds(300));
  EXPECT_EQ(wheel.armed(), 0u);
}

TEST(Core, PostsFromManyThreads) {
  RunningCore core;
  std::atomic<int> count{0};
  testing::Latch done;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        core->post([&] {
          if (count.fetch_add(1) + 1 == 4000) done.set();
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(done.wait());
}

TEST(Core, SleepsUntilTheTimeOrTheAbort) {
  RunningCore core;
  const TimePoint start = now();
  EXPECT_TRUE(core.run([&]() -> Task<bool> {
    Abort abort;
    co_return co_await core->sleep_until(now() + milliseconds(30), abort);
  }));
  EXPECT_GE(now() - start, milliseconds(30));
  Abort abort;
  core->post([&] { abort.fire({ErrorKind::cancelled, "test"}); });
  EXPECT_FALSE(core.run([&]() -> Task<bool> { co_return co_await core->sleep_until(kNever, abort); }));
}

TEST(Core, DeadlineFiresTheAbort) {
  RunningCore core;
  const Error reason{ErrorKind::timeout, "test", Retry::no, 504, "late"};
  const std::string detail = core.run([&]() -> Task<std::string> {
    Abort abort;
    Deadline deadline;
    deadline.arm(core->wheel(), now() + milliseconds(20), abort, reason);
    Deadline disarmed;
    disarmed.arm(core->wheel(), now() + milliseconds(1), abort, reason);
    disarmed.disarm();
    const bool slept = co_await core->sleep_until(kNever, abort);
    co_return slept ? "slept" : abort.reason().detail;
  });
  EXPECT_EQ(detail, "late");
}

TEST(Core, EventSetBeforeAndAfterTheWait) {
  RunningCore core;
  core.run([&]() -> Task<int> {
    Event event(*core);
    event.set();
    co_await event.wait();
    event.reset();
    core->post([&] { event.set(); });
    co_await event.wait();
    co_return 0;
  });
}

}  // namespace
}  // namespace weir::providers
