// The event stream decoder against AWS's vectors and every recorded Bedrock stream: whole, split at every byte and a
// byte at a time; and against streams that lie about their lengths, checksums and headers.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include "config/base/json.h"

#include "providers/net/aws_eventstream.h"

namespace weir::providers {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
const fs::path kWire = fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire";
const fs::path kVectors = kWire / "fixtures/aws-eventstream/eventstream/testdata";

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) text.push_back(i + k <= bytes.size() ? kDigits[(group >> (18 - 6 * k)) & 63] : '=');
  }
  return text;
}

Json to_json(const EventStreamMessage& message) {
  Json headers = Json::array();
  EventHeaderReader reader(message.headers);
  while (const auto header = reader.next()) {
    Json value = header->number;
    const auto type = static_cast<int>(header->type);
    if (type <= 1) value = header->number == 1;
    if (type == 6 || type == 7 || type == 9) value = base64(header->bytes);
    Json one;
    one["name"] = std::string(header->name);
    one["type"] = type;
    one["value"] = value;
    headers.push_back(one);
  }
  Json json;
  json["total_length"] = message.raw.size();
  json["headers_length"] = message.headers.size();
  json["headers"] = headers;
  json["payload"] = base64(message.payload);
  return json;
}

using Texts = std::vector<std::string>;

/// Everything that a message says, to compare.
std::string to_text(const EventStreamMessage& message) {
  std::string text(message.raw);
  EventHeaderReader reader(message.headers);
  while (const auto header = reader.next()) {
    text.append("\n").append(header->name).append("=").append(header->bytes).append(std::to_string(header->number));
  }
  return text.append("\n").append(message.payload);
}

/// All messages of a stream that comes in these pieces; an error is the last text, and begins with "error: ".
Texts decode(const Texts& pieces, size_t bytes_max = kEventStreamMessageMax) {
  EventStreamDecoder decoder(bytes_max);
  Texts result;
  EventStreamMessage message;
  for (const std::string& piece : pieces) {
    // A copy of its own, so that AddressSanitizer sees a view that outlives its piece.
    const auto own = std::make_unique<std::string>(piece);
    decoder.feed(*own);
    for (;;) {
      const auto more = decoder.next(message);
      if (!more) {
        result.push_back("error: " + more.error().detail);
        EXPECT_EQ(more.error().kind, ErrorKind::upstream);
        decoder.feed("more");
        EXPECT_EQ(decoder.next(message).error().detail, more.error().detail);
        EXPECT_EQ(decoder.finish().error().detail, more.error().detail);
        return result;
      }
      if (!*more) break;
      result.push_back(to_text(message));
    }
  }
  if (const auto end = decoder.finish(); !end) result.push_back("error: " + end.error().detail);
  return result;
}

bool is_error(const std::string& text) {
  return text.starts_with("error: ");
}

void expect_same_however_split(const std::string& bytes, const Texts& want) {
  for (size_t at = 0; at <= bytes.size(); ++at) {
    ASSERT_EQ(decode({bytes.substr(0, at), bytes.substr(at)}), want) << "split at " << at;
  }
  Texts single;
  for (const char c : bytes) single.emplace_back(1, c);
  EXPECT_EQ(decode(single), want);
}

TEST(EventStream, AwsVectorsThatAreRight) {
  if (!fs::exists(kVectors)) GTEST_SKIP() << "no shared/data/wire/fixtures/aws-eventstream beside the repository";
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(kVectors / "encoded/positive")) {
    SCOPED_TRACE(entry.path().filename().string());
    const std::string bytes = read(entry.path());
    Json want = read_json<Json>(read(kVectors / "decoded/positive" / entry.path().filename()));
    EXPECT_EQ(crc32(std::string_view(bytes).substr(0, 8)), want["prelude_crc"].get<int64_t>() & 0xffffffff);
    EXPECT_EQ(crc32(std::string_view(bytes).substr(0, bytes.size() - 4)),
              want["message_crc"].get<int64_t>() & 0xffffffff);
    want.erase("prelude_crc");
    want.erase("message_crc");
    EventStreamDecoder decoder;
    EventStreamMessage message;
    decoder.feed(bytes);
    ASSERT_TRUE(*decoder.next(message));
    EXPECT_EQ(to_json(message), want);
    expect_same_however_split(bytes, {to_text(message)});

    // And back again, byte for byte.
    std::vector<EventHeader> headers;
    EventHeaderReader reader(message.headers);
    while (const auto header = reader.next()) headers.push_back(*header);
    std::string again;
    ASSERT_TRUE(append_event_message(again, headers, message.payload).ok());
    EXPECT_EQ(again, bytes);
    ++cases;
  }
  EXPECT_GE(cases, 5);
}

TEST(EventStream, AwsVectorsThatAreCorruptedAreRefused) {
  if (!fs::exists(kVectors)) GTEST_SKIP() << "no shared/data/wire/fixtures/aws-eventstream beside the repository";
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(kVectors / "encoded/negative")) {
    SCOPED_TRACE(entry.path().filename().string());
    const std::string bytes = read(entry.path());
    const std::string reason = read(kVectors / "decoded/negative" / entry.path().filename());
    const Texts got = decode({bytes});
    ASSERT_EQ(got.size(), 1u);
    const std::string word =
        reason.starts_with("Prelude") ? "the prelude's checksum is 0x" : "the message's checksum is 0x";
    EXPECT_NE(got[0].find(word), std::string::npos) << got[0] << " " << reason;
    expect_same_however_split(bytes, got);
    ++cases;
  }
  EXPECT_GE(cases, 4);
}

TEST(EventStream, EveryRecordedBedrockStream) {
  if (!fs::exists(kWire / "best")) GTEST_SKIP() << "no shared/data/wire/best beside the repository";
  int streams = 0;
  for (const auto& entry : fs::recursive_directory_iterator(kWire / "best")) {
    if (!entry.path().string().ends_with(".eventstream.bin")) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const std::string bytes = read(entry.path());
    const Texts whole = decode({bytes});
    ASSERT_FALSE(whole.empty());
    for (const std::string& text : whole) ASSERT_FALSE(is_error(text)) << text;
    expect_same_however_split(bytes, whole);

    EventStreamDecoder decoder;
    EventStreamMessage message;
    decoder.feed(bytes);
    while (*decoder.next(message)) {
      EXPECT_EQ(message.text(":message-type"), "event");
      EXPECT_EQ(message.text(":content-type"), "application/json");
      EXPECT_FALSE(message.text(":event-type").empty());
      EXPECT_TRUE(Json::accept(message.payload));
      EXPECT_GE(message.raw.data(), bytes.data());  // a view of the input, not of a copy
      EXPECT_LE(message.raw.data() + message.raw.size(), bytes.data() + bytes.size());
    }
    ++streams;
  }
  EXPECT_GE(streams, 11);
}

std::string message_of(std::string_view payload) {
  std::string out;
  const EventHeader headers[] = {EventHeader::text(":message-type", "event"),
                                 EventHeader::text(":event-type", "chunk")};
  EXPECT_TRUE(append_event_message(out, headers, payload).ok());
  return out;
}

/// A message with these header bytes and lengths, its checksums right.
std::string crafted(uint32_t total, uint32_t headers, const std::string& rest) {
  const auto number = [](uint32_t value) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8) text.push_back(static_cast<char>(value >> shift & 255));
    return text;
  };
  std::string out = number(total) + number(headers);
  out += number(crc32(out));
  out += rest;
  return out + number(crc32(out));
}

/// What the stream ends with, without "error: ".
std::string error_of(const std::string& bytes) {
  const Texts got = decode({bytes});
  if (got.empty() || !is_error(got.back())) return "no error";
  expect_same_however_split(bytes, got);
  return got.back().substr(7);
}

TEST(EventStream, AnyFlippedBitIsSeen) {
  const std::string good = message_of("{\"bytes\":\"aGVsbG8=\"}");
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_TRUE(is_error(decode({bad})[0])) << bit;
  }
}

TEST(EventStream, ErrorsSayWhereAndWhat) {
  const std::string good = message_of("{}");
  std::string bad = good + good;
  bad[good.size() + 20] ^= 1;
  const std::string where = "the event stream is corrupted at byte " + std::to_string(good.size()) + ": the message's";
  EXPECT_TRUE(error_of(bad).starts_with(where)) << error_of(bad);
  EXPECT_EQ(error_of(good.substr(0, good.size() - 1)), "the event stream ended inside a message, after " +
                                                           std::to_string(good.size() - 1) + " of " +
                                                           std::to_string(good.size()) + " bytes");
  EXPECT_EQ(error_of(good.substr(0, 5)), "the event stream ended inside a message, after 5 bytes");
}

TEST(EventStream, LengthsThatMakeNoSense) {
  const std::string at = "the event stream is corrupted at byte 0: ";
  EXPECT_EQ(error_of(crafted(15, 0, "")), at + "a message of 15 bytes is shorter than its frame");
  EXPECT_EQ(error_of(crafted(0, 0, "")), at + "a message of 0 bytes is shorter than its frame");
  EXPECT_EQ(error_of(crafted(20, 5, "abcd")), at + "headers of 5 bytes in a message of 20");
  EXPECT_EQ(error_of(crafted(20, 0xffffffff, "abcd")), at + "headers of 4294967295 bytes in a message of 20");
  EXPECT_EQ(error_of(crafted(0xffffffff, 0, "abcd")),
            at + "a message of 4294967295 bytes; at most " + std::to_string(kEventStreamMessageMax));
  EXPECT_EQ(error_of(crafted(1'000'000, 131'073, "abcd")), at + "headers of 131073 bytes in a message of 1000000");
}

TEST(EventStream, TheLimitIsTheCallers) {
  const std::string message = message_of("0123456789");
  EXPECT_EQ(decode({message}, message.size()).size(), 1u);
  EXPECT_FALSE(is_error(decode({message}, message.size())[0]));
  EXPECT_EQ(decode({message}, message.size() - 1)[0], "error: the event stream is corrupted at byte 0: a message of " +
                                                          std::to_string(message.size()) + " bytes; at most " +
                                                          std::to_string(message.size() - 1));
}

TEST(EventStream, HeadersThatMakeNoSense) {
  using namespace std::string_literals;
  for (const std::string& headers :
       {"\0\0"s, "\1a"s, "\1"s, "\5ab\0"s, "\1a\12"s, "\1a\xff"s, "\1a\2"s, "\1a\3x"s, "\1a\4xyz"s, "\1a\5xyzxyzx"s,
        "\1a\6"s, "\1a\6\0"s, "\1a\7\0\2x"s, "\1a\x8xyzxyzx"s, "\1a\x9xyzxyzxyzxyzxyz"s, "\1a\0\1"s}) {
    const auto size = static_cast<uint32_t>(headers.size());
    EXPECT_EQ(error_of(crafted(16 + size, size, headers)),
              "the event stream is corrupted at byte 0: the headers of a message make no sense");
  }
}

TEST(EventStream, NumbersKeepTheirSign) {
  std::string out;
  const std::vector<EventHeader> headers = {
      {"a", EventHeaderType::int8, -1, {}},         {"b", EventHeaderType::int16, INT16_MIN, {}},
      {"c", EventHeaderType::int32, INT32_MIN, {}}, {"d", EventHeaderType::int64, INT64_MIN, {}},
      {"e", EventHeaderType::timestamp, -1, {}},    {"f", EventHeaderType::int64, INT64_MAX, {}},
      {"a", EventHeaderType::int8, 127, {}}};
  ASSERT_TRUE(append_event_message(out, headers, "").ok());
  EventStreamDecoder decoder;
  EventStreamMessage message;
  decoder.feed(out);
  ASSERT_TRUE(*decoder.next(message));
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(message.header(headers[i].name)->number, headers[i].number);
  EXPECT_FALSE(message.header("g"));
  EXPECT_EQ(message.text("a"), "");
}

TEST(EventStream, WhatCannotBeEncodedIsRefused) {
  std::string out;
  const std::string long_text(70'000, 'x');
  const auto refused = [&](EventHeader header) {
    const auto result = append_event_message(out, {&header, 1}, "");
    return !result && out.empty();
  };
  EXPECT_TRUE(refused(EventHeader::text("", "x")));
  EXPECT_TRUE(refused(EventHeader::text(std::string_view(long_text).substr(0, 256), "x")));
  EXPECT_TRUE(refused(EventHeader::text("a", long_text)));
  EXPECT_TRUE(refused({"a", EventHeaderType::uuid, 0, "short"}));
  const std::vector<EventHeader> many(3, EventHeader::text("a", std::string_view(long_text).substr(0, 60'000)));
  EXPECT_FALSE(append_event_message(out, many, "").ok());
  const std::string huge(kEventStreamMessageMax, 'x');
  EXPECT_FALSE(append_event_message(out, {}, huge).ok());
  EXPECT_TRUE(out.empty());
}

TEST(EventStream, ALargeMessageInManyPieces) {
  const std::string payload(5'000'000, 'p');
  const std::string stream = message_of("{}") + message_of(payload) + message_of("{}");
  EventStreamDecoder decoder;
  EventStreamMessage message;
  std::vector<size_t> sizes;
  for (size_t at = 0; at < stream.size(); at += 1460) {
    decoder.feed(std::string_view(stream).substr(at, 1460));
    while (*decoder.next(message)) sizes.push_back(message.payload.size());
  }
  EXPECT_EQ(sizes, (std::vector<size_t>{2, 5'000'000, 2}));
  EXPECT_TRUE(decoder.finish().ok());
}

}  // namespace
}  // namespace weir::providers
