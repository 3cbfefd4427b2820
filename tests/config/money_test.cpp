#include "config/base/money.h"

#include <gtest/gtest.h>

#include "config/base/rng.h"

namespace weir {
namespace {

TEST(Money, ParsesDecimalDollars) {
  const std::pair<const char*, int64_t> cases[] = {{"0", 0},
                                                   {"0.15", 150'000'000},
                                                   {"5.00", 5'000'000'000},
                                                   {"-3", -3'000'000'000},
                                                   {"+1.5", 1'500'000'000},
                                                   {".5", 500'000'000},
                                                   {"1.", 1'000'000'000},
                                                   {"0.000000001", 1},
                                                   {"0.0000000010000", 1},
                                                   {"-0", 0},
                                                   {"9223372036.854775807", INT64_MAX},
                                                   {"-9223372036.854775808", INT64_MIN}};
  for (const auto& [text, nanos] : cases) {
    const auto amount = parse_usd(text);
    ASSERT_TRUE(amount.ok()) << text;
    EXPECT_EQ(amount->nanos, nanos) << text;
  }
}

TEST(Money, RefusesWhatIsNotAnExactAmount) {
  for (const char* text : {"", "-", "+", ".", "1e3", "1,5", "$1", " 1", "1 ", "0x1", "1.2.3", "--1", "0.0000000001",
                           "9223372036.854775808", "-9223372036.854775809", "99999999999999999999", "nan", "١"}) {
    EXPECT_FALSE(parse_usd(text).ok()) << text;
  }
  EXPECT_EQ(parse_usd("12x").error().kind, ErrorKind::config);
}

TEST(Money, PrintsExactlyAndWithoutTrailingZeros) {
  const std::pair<int64_t, const char*> cases[] = {{0, "0"},
                                                   {1, "0.000000001"},
                                                   {-1, "-0.000000001"},
                                                   {1'500'000'000, "1.5"},
                                                   {10'000'000'000, "10"},
                                                   {INT64_MAX, "9223372036.854775807"},
                                                   {INT64_MIN, "-9223372036.854775808"}};
  for (const auto& [nanos, text] : cases) EXPECT_EQ(to_decimal_usd({nanos}), text);
}

TEST(Money, PrintingAndParsingAreInverse) {
  Rng rng(7);
  for (int i = 0; i < 20'000; ++i) {
    const NanoUsd amount{static_cast<int64_t>(rng.next() >> rng.below(64)) * (rng.below(2) == 0 ? 1 : -1)};
    const auto again = parse_usd(to_decimal_usd(amount));
    ASSERT_TRUE(again.ok());
    ASSERT_EQ(again->nanos, amount.nanos);
  }
}

TEST(Money, SumsSaturate) {
  EXPECT_EQ((NanoUsd{INT64_MAX} + NanoUsd{1}).nanos, INT64_MAX);
  EXPECT_EQ((NanoUsd{INT64_MIN} + NanoUsd{-1}).nanos, INT64_MIN);
  EXPECT_EQ((NanoUsd{INT64_MIN} - NanoUsd{1}).nanos, INT64_MIN);
  EXPECT_EQ((NanoUsd{INT64_MAX} - NanoUsd{-1}).nanos, INT64_MAX);
  NanoUsd sum{5};
  sum += {3};
  sum -= {10};
  EXPECT_EQ(sum.nanos, -2);
}

TEST(Money, PricesArePicoDollarsAToken) {
  EXPECT_EQ(parse_price_per_million("0.15")->picos, 150'000);
  EXPECT_EQ(parse_price_per_million("1")->picos, 1'000'000);
  EXPECT_EQ(parse_price_per_million("0.000001")->picos, 1);
  EXPECT_EQ(parse_price_per_million("0")->picos, 0);
  for (const char* text : {"-0.1", "0.0000001", "free", ""}) EXPECT_FALSE(parse_price_per_million(text).ok()) << text;
}

}  // namespace
}  // namespace weir
