#include "gateway/accounting/charge.h"

#include <gtest/gtest.h>

#include <string>

#include "config/base/rng.h"

namespace weir::gateway {
namespace {

Ask ask(int64_t in, int64_t out) {
  Ask a;
  a.rates.input = {in};
  a.rates.output = {out};
  return a;
}

TEST(Ask, Bounds) {
  Ask a = ask(150'000, 600'000);
  a.prompt_tokens = 1000;
  a.max_tokens = 100;
  EXPECT_EQ(bounds(a).least.nanos, 150'000 + 60'000);
  EXPECT_EQ(bounds(a).most, bounds(a).least);
  a.choices = 3;
  EXPECT_EQ(bounds(a).most.nanos, 150'000 + 180'000);
  a.choices = 1;
  a.max_tokens.reset();
  EXPECT_EQ(bounds(a).least.nanos, 150'000 + 600);
  EXPECT_EQ(bounds(a).most.nanos, 150'000 + 600 * kOutputTokensMaxUnknown);
  a.output_tokens_max = 20;
  EXPECT_EQ(bounds(a).most.nanos, 150'000 + 12'000);
  a.rates.cached_input = PicoUsdPerToken{300'000};  // should caching ever be the dearer
  EXPECT_EQ(bounds(a).most.nanos, 300'000 + 12'000);
  a.rates.cache_write = PicoUsdPerToken{187'500};
  a.rates.cache_write_1h = PicoUsdPerToken{400'000};
  a.rates.audio_output = PicoUsdPerToken{1'000'000};
  EXPECT_EQ(bounds(a).most.nanos, 400'000 + 20'000) << "the dearest kinds: what the tokens will be is not known yet";
}

TEST(Ask, WhatIsOnlyNamedIsHeldWhereTheMoneyReaches) {
  Ask a = ask(1'000'000, 2'000'000);
  a.prompt_tokens = 100;
  a.named_tokens = 1'000;
  a.output_tokens_max = 10;
  EXPECT_EQ(bounds(a).least.nanos, 102'000);
  EXPECT_EQ(bounds(a).most.nanos, 1'100'000 + 20'000);
  EXPECT_EQ(output_tokens_for(a, bounds(a).most), 10);
  EXPECT_EQ(output_tokens_for(a, bounds(a).least), 1);
}

TEST(Ask, HugeNumbersSaturate) {
  Ask a = ask(INT64_MAX / 2, INT64_MAX / 2);
  a.prompt_tokens = INT64_MAX / 2;
  a.max_tokens = INT64_MAX;
  a.choices = 128;
  EXPECT_EQ(bounds(a).most.nanos, INT64_MAX);
  a.max_tokens = -5;
  EXPECT_EQ(output_tokens_max(a), 0);
}

TEST(Ask, WhatAnAmountBuys) {
  Ask a = ask(1'000'000, 2'000'000);
  a.prompt_tokens = 100;
  EXPECT_EQ(output_tokens_for(a, {99'999}), 0);
  EXPECT_EQ(output_tokens_for(a, {100'000}), 0);
  EXPECT_EQ(output_tokens_for(a, {102'000}), 1);
  EXPECT_EQ(output_tokens_for(a, {103'999}), 1);
  a.choices = 2;
  EXPECT_EQ(output_tokens_for(a, {103'999}), 0);
  a.choices = 1;
  a.max_tokens = 50;
  EXPECT_EQ(output_tokens_for(a, {INT64_MAX}), 50);
  a.rates.output = {0};
  EXPECT_EQ(output_tokens_for(a, {100'000}), 50);
}

/// Whatever an amount buys costs at most the amount, and one token more would cost more: for any price.
TEST(Ask, BuyingIsExact) {
  Rng rng(3);
  for (int i = 0; i < 20'000; ++i) {
    Ask a = ask(static_cast<int64_t>(rng.below(10'000'000)), static_cast<int64_t>(1 + rng.below(90'000'000)));
    a.prompt_tokens = static_cast<int64_t>(rng.below(5000));
    a.choices = static_cast<int64_t>(1 + rng.below(4));
    a.output_tokens_max = 1'000'000;
    const NanoUsd amount{static_cast<int64_t>(rng.below(5'000'000'000))};
    const int64_t tokens = output_tokens_for(a, amount);
    const auto cost = [&](int64_t out) { return config::charge(a.rates, {a.prompt_tokens, 0, out * a.choices, 0}); };
    if (tokens > 0) {
      ASSERT_LE(cost(tokens), amount);
    }
    if (tokens < 1'000'000) {
      a.max_tokens = tokens + 1;
      ASSERT_GT(bounds(a).most, amount);
      ASSERT_GE(bounds(a).most, cost(tokens + 1));
    }
  }
}

}  // namespace
}  // namespace weir::gateway
