#include "metrics/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace weir::metrics {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

/// A file that a log writes to.
class Sink {
 public:
  Sink() : file_(std::tmpfile()) {}
  ~Sink() { std::fclose(file_); }
  int fd() const { return fileno(file_); }
  std::string text() const {
    std::string all(static_cast<size_t>(::lseek(fd(), 0, SEEK_END)), '\0');
    EXPECT_EQ(::pread(fd(), all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
    return all;
  }
  size_t lines() const {
    const std::string all = text();
    return static_cast<size_t>(std::count(all.begin(), all.end(), '\n'));
  }

 private:
  FILE* file_;
};

TEST(Log, OneJsonObjectALine) {
  Sink sink;
  Log log(Level::info, sink.fd());
  log.event(Level::warn, "target_cools",
            {{"target", "a/b"}, {"seconds", 1.5}, {"count", 3}, {"trial", true}, {"bad", std::nan("")}});
  log.flush();
  EXPECT_THAT(sink.text(), MatchesRegex(R"(\{"time":"[0-9-]+T[0-9:]+\.[0-9]+Z","level":"warn","event":"target_cools",)"
                                        R"("target":"a/b","seconds":1.5,"count":3,"trial":true,"bad":null\})"
                                        "\n"));
}

TEST(Log, EscapesAndMendsText) {
  Sink sink;
  Log log(Level::info, sink.fd());
  log.event(Level::info, "e", {{"t", std::string_view("a\"b\\c\n\x01\x7f\0é", 11)}});
  log.event(Level::info, "e", {{"t", "\xff\xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 ok"}});
  log.flush();
  EXPECT_THAT(sink.text(), HasSubstr(R"("t":"a\"b\\c\u000a\u0001\u007f\u0000é")"));
  EXPECT_THAT(sink.text(), HasSubstr(" ok\""));
  for (const char c : sink.text()) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

TEST(Log, LongTextsAreCut) {
  Sink sink;
  Log log(Level::info, sink.fd());
  log.event(Level::info, "e", {{"t", std::string(1'000'000, 'x')}});
  log.flush();
  EXPECT_LT(sink.text().size(), kLogLineBytesMax + 200);
  EXPECT_THAT(sink.text(), HasSubstr("x…\"}"));
}

TEST(Log, Levels) {
  Sink sink;
  Log log(Level::warn, sink.fd());
  EXPECT_FALSE(log.enabled(Level::info));
  log.event(Level::info, "quiet");
  log.request({});
  log.event(Level::error, "loud");
  log.set_level(Level::debug);
  log.event(Level::debug, "now_too");
  log.flush();
  EXPECT_EQ(sink.lines(), 2u);
}

TEST(Log, RequestLine) {
  Sink sink;
  Log log(Level::info, sink.fd());
  RequestLine line;
  line.time = WallTime(std::chrono::milliseconds(1'700'000'000'123));
  line.id = "req_1";
  line.key = "demo";
  line.model = "gpt-4o";
  line.target = "openai-a/gpt-4o";
  line.status = 200;
  line.attempts = 1;
  line.input_tokens = 10;
  line.output_tokens = 3;
  line.cost = {1500};
  line.total_us = 12'345;
  line.first_token_us = 67;
  line.overhead_us = 50;
  line.stream = true;
  log.request(line);
  log.flush();
  EXPECT_EQ(sink.text(),
            R"({"time":"2023-11-14T22:13:20.123Z","level":"info","event":"request","id":"req_1","key":"demo",)"
            R"("model":"gpt-4o","target":"openai-a/gpt-4o","status":200,"attempts":1,"input_tokens":10,)"
            R"("cached_tokens":0,"output_tokens":3,"cost_usd":"0.0000015","total_ms":12.345,"first_token_ms":0.067,)"
            R"("overhead_us":50,"stream":true})"
            "\n");
  line.cache_write_tokens = 4;
  line.audio_input_tokens = 5;
  line.audio_output_tokens = 6;
  line.web_searches = 7;
  line.tier = "fast+eu";
  line.unpriced_tier = "eu";
  log.request(line);
  log.flush();
  EXPECT_THAT(sink.text(), HasSubstr(R"("status":200,"tier":"fast+eu","unpriced_tier":"eu","attempts":1)"));
  EXPECT_THAT(sink.text(), HasSubstr(R"("output_tokens":3,"cache_write_tokens":4,"audio_input_tokens":5,)"
                                     R"("audio_output_tokens":6,"web_searches":7,"cost_usd")"));
}

TEST(Log, DestructorWritesTheRest) {
  Sink sink;
  {
    Log log(Level::info, sink.fd());
    for (int i = 0; i < 1000; ++i) log.event(Level::info, "e", {{"i", i}});
  }
  EXPECT_EQ(sink.lines(), 1000u);
}

TEST(Log, ManyThreadsWholeLines) {
  Sink sink;
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  {
    Log log(Level::info, sink.fd());
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) {
          log.event(Level::info, "e", {{"i", i}});
          if (i % 500 == 0) log.flush();
        }
      });
    for (auto& thread : threads) thread.join();
  }
  EXPECT_EQ(sink.lines(), static_cast<size_t>(kThreads * kEach));
  const std::string all = sink.text();
  for (size_t at = 0; at < all.size();) {
    const size_t end = all.find('\n', at);
    ASSERT_EQ(all.compare(at, 9, R"({"time":")"), 0);
    ASSERT_EQ(all[end - 1], '}');
    at = end + 1;
  }
}

TEST(Log, ADescriptorNobodyReadsDropsLinesAndBlocksNobody) {
  for (const int flags : {O_CLOEXEC, O_CLOEXEC | O_NONBLOCK}) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, flags), 0);
    {
      Log log(Level::info, ends[1]);
      const std::string big(10'000, 'x');
      for (int i = 0; i < 2000; ++i) log.event(Level::info, "e", {{"t", big}});  // 20 MB into a pipe of 64 KiB
      EXPECT_GT(log.dropped(), 0u);
      log.flush();
    }
    ::close(ends[0]);
    ::close(ends[1]);
  }
}

TEST(Log, AClosedPipeEndsNothing) {
  ::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[0]);
  {
    Log log(Level::info, ends[1]);
    log.event(Level::info, "e");
    log.flush();
    EXPECT_GT(log.dropped(), 0u);
  }
  ::close(ends[1]);
}

}  // namespace
}  // namespace weir::metrics
