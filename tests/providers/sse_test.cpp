// Server-sent events whole, split at every byte, and by the short way of next_like().
#include "providers/net/sse.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir::providers {
namespace {

struct Seen {
  std::string raw, data, type;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> scan(const std::vector<std::string>& pieces) {
  SseScanner scanner;
  std::vector<Seen> seen;
  for (const std::string& piece : pieces) {
    scanner.feed(piece);
    SseEvent event;
    while (scanner.next(event))
      seen.push_back({std::string(event.raw), std::string(event.data), std::string(event.type)});
  }
  return seen;
}

TEST(Sse, FieldsCommentsAndLineEnds) {
  const auto seen = scan({": hello\n\ndata: a\n\nevent: e\r\ndata:b\r\ndata: c\r\n\r\n\ndata: d\n\ndata: unfinished"});
  ASSERT_EQ(seen.size(), 5U);
  EXPECT_EQ(seen[0].data, "");
  EXPECT_EQ(seen[1].data, "a");
  EXPECT_EQ(seen[2].data, "b\nc");
  EXPECT_EQ(seen[2].type, "e");
  EXPECT_EQ(seen[3].raw, "\n");
  EXPECT_EQ(seen[4].data, "d");
}

TEST(Sse, SplitAtEveryByteGivesTheSameEvents) {
  const std::string text = "data: one\n\nevent: x\r\ndata: two\r\n\r\n: c\ndata: {\"a\":\"\\n\"}\n\ndata: [DONE]\n\n";
  const auto whole = scan({text});
  for (size_t at = 0; at <= text.size(); ++at) EXPECT_EQ(scan({text.substr(0, at), text.substr(at)}), whole) << at;
  std::vector<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  EXPECT_EQ(scan(bytes), whole);
}

/// Each would take hours if what came before were copied, or looked through, again with every byte or line.
TEST(Sse, LongEventsInSmallPiecesTakeTimeForTheirBytesAlone) {
  const std::string head = "data: {\"text\":\"";
  const std::string tail = "\"}\n\n";
  for (const bool alike : {false, true}) {
    SseScanner scanner;
    SseEvent event;
    const std::string text = head + std::string(2'000'000, '"') + tail;
    size_t events = 0;
    for (const char& c : text) {
      scanner.feed({&c, 1});
      std::string_view raw;
      std::string_view inside;
      if (alike && scanner.next_like(head, tail, raw, inside)) ++events;
      while (scanner.next(event)) ++events;
    }
    EXPECT_EQ(events, 1U);
    EXPECT_EQ(event.raw, text);
  }
  std::string lines;
  for (int i = 0; i < 2'000'000; ++i) lines += ":\r";
  const auto seen = scan({lines + "data: a\r\r"});
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].data, "a");
}

TEST(Sse, LinesMayEndWithCarriageReturnsAlone) {
  const std::string text = "data: one\r\rdata: two\rdata: lines\r\r: c\revent: x\rdata: three\r\r";
  const auto whole = scan({text});
  ASSERT_EQ(whole.size(), 3U);
  EXPECT_EQ(whole[0].raw, "data: one\r\r");
  EXPECT_EQ(whole[0].data, "one");
  EXPECT_EQ(whole[1].data, "two\nlines");
  EXPECT_EQ(whole[2].data, "three");
  EXPECT_EQ(whole[2].type, "x");
  for (size_t at = 0; at <= text.size(); ++at) EXPECT_EQ(scan({text.substr(0, at), text.substr(at)}), whole) << at;
  const auto mixed = scan({"data: a\n\rdata: b\r\n\rdata: c\r\n\r\n"});
  ASSERT_EQ(mixed.size(), 3U);
  EXPECT_EQ(mixed[0].data, "a");
  EXPECT_EQ(mixed[1].data, "b");
  EXPECT_EQ(mixed[2].data, "c");
}

TEST(Sse, LikeEventsAreTakenAndOthersLeft) {
  const std::string head = "data: {\"c\":\"";
  const std::string tail = "\"}\n\n";
  SseScanner scanner;
  std::string_view raw;
  std::string_view inside;
  const std::string input = head + "a\\\"b" + tail + head + tail + head + "x\"} \n\n";
  scanner.feed(input);
  ASSERT_TRUE(scanner.next_like(head, tail, raw, inside));
  EXPECT_EQ(inside, "a\\\"b");
  ASSERT_TRUE(scanner.next_like(head, tail, raw, inside));
  EXPECT_EQ(inside, "");
  EXPECT_FALSE(scanner.next_like(head, tail, raw, inside));
  SseEvent event;
  ASSERT_TRUE(scanner.next(event));
  EXPECT_EQ(event.data, "{\"c\":\"x\"} ");
}

TEST(Sse, AnEventWithoutEndHasALimit) {
  SseScanner scanner(1000);
  SseEvent event;
  for (int i = 0; i < 20; ++i) {
    const std::string piece(100, 'x');
    scanner.feed(piece);
    EXPECT_FALSE(scanner.next(event));
  }
  EXPECT_TRUE(scanner.too_large());
}

}  // namespace
}  // namespace weir::providers
