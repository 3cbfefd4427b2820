#include "config/load/scalars.h"

#include <gtest/gtest.h>

#include "config/base/nearest.h"

namespace weir::config {
namespace {

using std::chrono::milliseconds;

TEST(Scalars, Durations) {
  const std::pair<const char*, int64_t> cases[] = {{"0s", 0},           {"250ms", 250},       {"10s", 10'000},
                                                   {"2m", 120'000},     {"1h30m", 5'400'000}, {"1d", 86'400'000},
                                                   {"1w", 604'800'000}, {"1m1s1ms", 61'001},  {"007s", 7'000}};
  for (const auto& [text, ms] : cases) {
    const auto duration = parse_duration(text);
    ASSERT_TRUE(duration) << text;
    EXPECT_EQ(duration->count(), ms) << text;
  }
  for (const char* text : {"", "10", "s", "1.5s", "-1s", "10 s", "10sec", "1s1m", "1s1s", "1y", "99999999999999999999s",
                           "101y", "40000d", "1d 2h", "10s ", "٣s"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(Scalars, DurationsPrintAsTheyParse) {
  const std::pair<int64_t, const char*> cases[] = {{0, "0s"},          {250, "250ms"},      {90'000, "1m30s"},
                                                   {86'400'000, "1d"}, {604'800'000, "7d"}, {3'600'001, "1h1ms"}};
  for (const auto& [ms, text] : cases) {
    EXPECT_EQ(to_text(milliseconds(ms)), text);
    EXPECT_EQ(parse_duration(text)->count(), ms);
  }
}

TEST(Scalars, Sizes) {
  const std::pair<const char*, uint64_t> cases[] = {{"0", 0},
                                                    {"512", 512},
                                                    {"1B", 1},
                                                    {"32KiB", 32768},
                                                    {"2GiB", 2147483648},
                                                    {"10MB", 10'000'000},
                                                    {"1TiB", 1ULL << 40}};
  for (const auto& [text, bytes] : cases) EXPECT_EQ(parse_size(text), bytes) << text;
  for (const char* text :
       {"", "KiB", "1.5MiB", "-1", "1 MiB", "1kib", "1Mi", "99999999999TiB", "9999999999999999999999"})
    EXPECT_FALSE(parse_size(text)) << text;
  EXPECT_EQ(size_to_text(33554432), "32MiB");
  EXPECT_EQ(size_to_text(1025), "1025B");
  EXPECT_EQ(size_to_text(0), "0B");
}

TEST(Scalars, IntegersAndBooleans) {
  EXPECT_EQ(parse_integer("-3"), -3);
  EXPECT_EQ(parse_integer("+3"), 3);
  EXPECT_EQ(parse_integer("9223372036854775807"), INT64_MAX);
  for (const char* text : {"", "-", "+", "+-3", "1e3", "0x10", "3.0", "9223372036854775808", "1_000", " 1"})
    EXPECT_FALSE(parse_integer(text)) << text;
  EXPECT_EQ(parse_boolean("True"), true);
  EXPECT_EQ(parse_boolean("off"), false);
  EXPECT_FALSE(parse_boolean("1"));
  EXPECT_FALSE(parse_boolean("tRue"));
}

TEST(Scalars, HostAndPort) {
  const auto v4 = parse_host_port("127.0.0.1:4000");
  ASSERT_TRUE(v4.ok());
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 4000);
  const auto v6 = parse_host_port("[::1]:0");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 0);
  EXPECT_TRUE(parse_host_port("my-host.example:65535").ok());
  for (const char* text : {"", "4000", ":4000", "host", "host:", "host:65536", "host:-1", "host:4000:1", "::1:4000",
                           "[::1]", "[::1]4000", "[::1:4000", "[x]:1", "ho st:1", "host:4k", "[]:1"})
    EXPECT_FALSE(parse_host_port(text).ok()) << text;
}

TEST(Scalars, BaseUrls) {
  const std::pair<const char*, const char*> cases[] = {{"https://api.openai.com/v1", "https://api.openai.com/v1"},
                                                       {"http://127.0.0.1:9000/v1/", "http://127.0.0.1:9000/v1"},
                                                       {"http://[::1]:80", "http://[::1]:80"},
                                                       {"https://host//", "https://host"},
                                                       {"http://[::1]/x", "http://[::1]/x"}};
  for (const auto& [text, url] : cases) {
    const auto parsed = parse_base_url(text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.error().detail;
    EXPECT_EQ(*parsed, url);
  }
  for (const char* text : {"", "api.openai.com", "ftp://host", "https://", "https:///v1", "http://host:0/",
                           "http://host:70000", "http://host:/v1", "http://host/?a=b", "http://host/#x",
                           "http://ho st/", "http://u:p@host/", "HTTP://host", "http://host:80x/", "http://[::1/"})
    EXPECT_FALSE(parse_base_url(text).ok()) << text;
  EXPECT_EQ(parse_base_url("http://user:hunter2@host").error().detail.find("hunter2"), std::string::npos);
}

TEST(Scalars, Rfc3339) {
  const std::pair<const char*, int64_t> cases[] = {{"1970-01-01", 0},
                                                   {"2000-02-29", 951'782'400},
                                                   {"2026-12-31T18:00:00Z", 1'798'740'000},
                                                   {"2026-12-31T18:00:00.25z", 1'798'740'000},
                                                   {"2026-12-31t20:00:00+02:00", 1'798'740'000},
                                                   {"2026-12-31 13:30:00-04:30", 1'798'740'000},
                                                   {"1969-12-31T23:59:59Z", -1}};
  for (const auto& [text, unix_s] : cases) EXPECT_EQ(parse_rfc3339(text), unix_s) << text;
  for (const char* text : {"", "2026", "2026-13-01", "2026-02-30", "2026-1-1", "2026-01-01T", "2026-01-01T10:00Z",
                           "2026-01-01T24:00:00Z", "2026-01-01T10:00:00", "2026-01-01T10:00:00+2:00",
                           "2026-01-01T10:00:00.Z", "2026-01-01T10:00:00Zx", "2026-01-01x"})
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  EXPECT_EQ(rfc3339_to_text(1'798'740'000), "2026-12-31T18:00:00Z");
}

TEST(Nearest, CountsEdits) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("weight", "wieght"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("base_url", "Base-URL"), 0u);
  EXPECT_LE(edit_distance(std::string(100'000, 'a'), std::string(100'000, 'b')), 64u);
}

TEST(Nearest, SuggestsOnlyWhatIsNear) {
  const std::vector<std::string> names = {"gpt-4o", "gpt-4o-mini", "claude-sonnet", "tiny"};
  EXPECT_EQ(nearest("gpt4o", names, 3), (std::vector<std::string>{"gpt-4o"}));
  EXPECT_EQ(nearest("claude", names, 3), (std::vector<std::string>{"claude-sonnet"}));
  EXPECT_TRUE(nearest("llama", names, 3).empty());
  EXPECT_EQ(did_you_mean("gpt-4o-min", names, 3), "; did you mean \"gpt-4o-mini\" or \"gpt-4o\"?");
  EXPECT_EQ(did_you_mean("x", names), "");
}

}  // namespace
}  // namespace weir::config
