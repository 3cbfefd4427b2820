// The prefix cache against a plain list of least recently used blocks, over traces; and the cost-aware policy beside
// it. The real trace is read where it lies beside the checkout.
#include "engine/bench/cache_replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <list>
#include <sstream>
#include <unordered_map>

namespace weir::engine::bench {
namespace {

constexpr const char* kMooncake = "../shared/data/traces/mooncake_conversation_trace.jsonl";

/// Blocks in a list, the last used in front. A request finds its blocks up to the first that is not there; all of it
/// then lies in front, its first block foremost, so that what is used again without what is before it goes first.
double reference_lru(const Trace& trace, size_t capacity) {
  std::list<uint32_t> order;
  std::unordered_map<uint32_t, std::list<uint32_t>::iterator> places;
  uint64_t hits = 0;
  for (const auto& request : trace.requests) {
    if (request.size() > capacity) continue;
    hits += static_cast<uint64_t>(std::ranges::find_if(request, [&](uint32_t id) { return !places.contains(id); }) -
                                  request.begin());
    for (size_t i = request.size(); i-- > 0;) {
      const auto [place, fresh] = places.try_emplace(request[i], order.end());
      if (!fresh) order.erase(place->second);
      place->second = order.insert(order.begin(), request[i]);
    }
    for (; order.size() > capacity; order.pop_back()) places.erase(order.back());
  }
  return static_cast<double>(hits) / static_cast<double>(trace.blocks());
}

double hit_ratio(const Trace& trace, int32_t capacity, EvictionPolicy policy) {
  const auto figures = replay(trace, {.capacity = capacity, .block_tokens = 2, .policy = policy});
  EXPECT_TRUE(figures.ok()) << figures.error().detail;
  return figures.ok() ? figures->hit_ratio() : 0;
}

std::filesystem::path mooncake() {
  return std::filesystem::path(WEIR_SOURCE_DIR) / kMooncake;
}

TEST(CacheReplay, LruIsThatOfAPlainList) {
  const Trace trace = synthetic_trace(7, 1500);
  for (const int32_t capacity : {100, 300, 1000, 3000}) {
    EXPECT_DOUBLE_EQ(hit_ratio(trace, capacity, EvictionPolicy::lru),
                     reference_lru(trace, static_cast<size_t>(capacity)))
        << capacity;
  }
}

TEST(CacheReplay, CostFindsMoreWhereMemoryIsShort) {
  const Trace trace = synthetic_trace(7, 1500);
  for (const int32_t capacity : {100, 300}) {
    EXPECT_GT(hit_ratio(trace, capacity, EvictionPolicy::cost), hit_ratio(trace, capacity, EvictionPolicy::lru) + 0.03)
        << capacity;
  }
  // A chat of this trace goes on as likely after one turn as after ten: what was used often is kept for nothing.
  for (const int32_t capacity : {1000, 3000}) {
    EXPECT_GT(hit_ratio(trace, capacity, EvictionPolicy::cost), hit_ratio(trace, capacity, EvictionPolicy::lru) - 0.02)
        << capacity;
  }
}

/// A cache of two tiers finds what one of their size together does: the host forgets what that would.
TEST(CacheReplay, WhatTheDeviceLacksTheHostHas) {
  const Trace trace = synthetic_trace(7, 1500);
  for (const EvictionPolicy policy : {EvictionPolicy::lru, EvictionPolicy::cost}) {
    const auto figures = replay(trace, {.capacity = 100, .host_capacity = 900, .block_tokens = 2, .policy = policy});
    ASSERT_TRUE(figures.ok()) << figures.error().detail;
    EXPECT_NEAR(figures->hit_ratio(), hit_ratio(trace, 1000, policy), 0.01);
    EXPECT_GT(figures->host_hit_blocks, 0u);
    EXPECT_GT(figures->hit_blocks, figures->host_hit_blocks);
  }
}

TEST(CacheReplay, EveryRepeatIsFoundWhereAllFits) {
  const Trace trace{.name = "three", .requests = {{1, 2, 3}, {1, 2, 4}, {1, 2, 3, 5}}};
  const auto figures = replay(trace, {.capacity = 5, .block_tokens = 16});
  ASSERT_TRUE(figures.ok());
  EXPECT_EQ(figures->blocks, 10u);
  EXPECT_EQ(figures->hit_blocks, 5u);
  EXPECT_EQ(figures->too_long, 0u);
}

TEST(CacheReplay, WhatIsLongerThanTheCacheIsAMiss) {
  const Trace trace{.name = "long", .requests = {{1, 2, 3}, {1, 2, 3}}};
  const auto figures = replay(trace, {.capacity = 2, .block_tokens = 16});
  ASSERT_TRUE(figures.ok());
  EXPECT_EQ(figures->hit_blocks, 0u);
  EXPECT_EQ(figures->too_long, 2u);
}

/// The first part of the trace; the whole of it, at the capacities of its own description, is `weir bench cache`.
TEST(CacheReplay, RealRequests) {
  if (!std::filesystem::exists(mooncake())) GTEST_SKIP() << "no " << kMooncake << " beside this checkout";
  auto trace = read_trace(mooncake());
  ASSERT_TRUE(trace.ok()) << trace.error().detail;
  ASSERT_EQ(trace->requests.size(), 12'031u);
  ASSERT_EQ(trace->blocks(), 288'500u);
  trace->requests.resize(3000);
  for (const int32_t capacity : {1000, 10'000, 50'000}) {
    const double lru = hit_ratio(*trace, capacity, EvictionPolicy::lru);
    EXPECT_DOUBLE_EQ(lru, reference_lru(*trace, static_cast<size_t>(capacity))) << capacity;
    EXPECT_GE(hit_ratio(*trace, capacity, EvictionPolicy::cost), lru) << capacity;
  }
}

TEST(CacheReplay, ABrokenTraceIsNamedByFileAndLine) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "trace.jsonl";
  for (const char* line :
       {"{}", "[1]", "{\"hash_ids\": 3}", "{\"hash_ids\": [1, -1]}", "{\"hash_ids\": [4294967296]}"}) {
    std::ofstream(file) << "{\"hash_ids\": [1]}\n" << line << "\n";
    const auto trace = read_trace(file);
    ASSERT_FALSE(trace.ok()) << line;
    EXPECT_THAT(trace.error().detail, ::testing::HasSubstr("trace.jsonl:2: "));
  }
  EXPECT_EQ(read_trace("/nowhere").error().kind, ErrorKind::not_found);
}

TEST(CacheReplay, CommandPrintsAndRefuses) {
  std::ostringstream out, err;
  EXPECT_EQ(cache_command({"--synthetic", "200", "--capacity", "50,100", "--policy=lru"}, out, err), 0) << err.str();
  EXPECT_THAT(out.str(), ::testing::HasSubstr("100      lru"));
  out.str("");
  EXPECT_EQ(
      cache_command({"--synthetic", "200", "--capacity", "50", "--host-blocks", "100,200", "--policy=lru", "--json"},
                    out, err),
      0)
      << err.str();
  EXPECT_THAT(out.str(), ::testing::HasSubstr(R"("host_capacity":200)"));
  EXPECT_EQ(cache_command({"--synthetic", "9", "--host-blocks", "-1"}, out, err), 2);
  EXPECT_EQ(cache_command({"--synthetic", "9", "--trace", "x"}, out, err), 2);
  EXPECT_EQ(cache_command({"--capacity", "0"}, out, err), 2);
  EXPECT_EQ(cache_command({"--synthetic", "9", "--policy", "fifo"}, out, err), 2);
  EXPECT_THAT(err.str(), ::testing::HasSubstr("--policy must be lru, cost or both, is 'fifo'"));
  EXPECT_EQ(cache_command({"--trace", "/nowhere"}, out, err), 1);
}

}  // namespace
}  // namespace weir::engine::bench
