// multipart/form-data calls: where the model stands in the bytes, and nothing of a hostile form believed.
#include <gtest/gtest.h>

#include "providers/body.h"

namespace weir::providers {
namespace {

constexpr std::string_view kType = "multipart/form-data; boundary=AaB03x";

std::string part(const std::string& name, const std::string& value, const std::string& more = "") {
  return "--AaB03x\r\nContent-Disposition: form-data; name=\"" + name + "\"" + more + "\r\n\r\n" + value + "\r\n";
}
const std::string kFile =
    part("file", "RIFF\r\n--AaB03\r\n\r\n--not it", "; filename=\"a.wav\"\r\nContent-Type: audio/wav");
const std::string kEnd = "--AaB03x--\r\n";

Result<CallBody> mark(const std::string& body, std::string_view type = kType) {
  return mark_multipart_call(Protocol::openai_transcriptions, type, body);
}

TEST(Multipart, FindsTheModelAndStream) {
  const std::string body = "preamble\r\n" + kFile + part("model", "whisper-1") + part("stream", "True") +
                           part("timestamp_granularities[]", "word") + part("timestamp_granularities[]", "segment") +
                           part("prompt", "") + kEnd + "epilogue";
  auto marked = mark(body);
  ASSERT_TRUE(marked.ok()) << marked.error().detail;
  EXPECT_EQ(marked->model, "whisper-1");
  EXPECT_EQ(body.substr(marked->model_value.begin, marked->model_value.end - marked->model_value.begin), "whisper-1");
  EXPECT_TRUE(marked->stream);
  EXPECT_EQ(marked->content_type, kType);
  EXPECT_EQ(marked->json, body);
}

TEST(Multipart, GuessesHowLongARecordingIs) {
  const auto seconds = [](const std::string& file, const std::string& before = "") {
    const std::string body = before + part("model", "m") + part("file", file, "; filename=\"a\"") + kEnd;
    return mark(body)->units;
  };
  const auto wave = [](uint16_t channels, uint32_t samples, uint16_t bits) {
    std::string out = "RIFF....WAVEfmt ....AA";
    const auto add = [&](uint64_t number, int bytes) {
      for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(number >> 8 * i & 0xFFU));
    };
    add(channels, 2), add(samples, 4), add(0xFFFFFFFF, 4), add(0, 2), add(bits, 2);  // a byte rate that nobody reads
    out.resize(320'000, 'x');
    return out;
  };
  EXPECT_EQ(seconds(std::string(80'000, 'x')), 11U) << "64 kbit/s";
  EXPECT_EQ(seconds(wave(1, 16'000, 16)), 11U);
  EXPECT_EQ(seconds(wave(2, 0xFFFFFFFF, 16)), 41U) << "no such rate";
  EXPECT_EQ(seconds(std::string(80'000, 'x'), part("prompt", wave(2, 48'000, 32).substr(0, 44))), 11U);
}

TEST(Multipart, TakesEveryFormOfBoundaryAndHead) {
  const std::string body = part("model", "m") + kFile + kEnd;
  for (const char* type :
       {"multipart/form-data;boundary=AaB03x", "Multipart/Form-Data; charset=utf-8; BOUNDARY=\"AaB03x\"",
        "multipart/form-data; boundary=\"AaB\\03x\";"})
    EXPECT_TRUE(mark(body, type).ok()) << type;
  const std::string other =
      "--AaB03x \t\r\nX-Other: 1\r\ncontent-disposition:form-data;name=model\r\n\r\nm\r\n" + kFile + kEnd;
  auto marked = mark(other);
  ASSERT_TRUE(marked.ok()) << marked.error().detail;
  EXPECT_EQ(marked->model, "m");
}

TEST(Multipart, AnEmptyPartIsEmpty) {
  auto marked = mark(part("prompt", "") + part("model", "m") + kFile + kEnd);
  ASSERT_TRUE(marked.ok()) << marked.error().detail;
  // The CRLF before the delimiter may be the one that ends the head.
  EXPECT_TRUE(
      mark("--AaB03x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n" + part("model", "m") + kFile + kEnd)
          .ok());
}

TEST(Multipart, RefusesWhatTwoReadersCouldReadDifferently) {
  const std::string fine = part("model", "m") + kFile;
  const std::pair<std::string, const char*> cases[] = {
      {"", ""},
      {"\r\n--AaB03x", ""},
      {fine, ""},                                   // no closing delimiter
      {kFile + kEnd, "model"},                      // no model
      {part("model", "m") + kEnd, "file"},          // no file
      {fine + part("model", "n") + kEnd, "model"},  // two
      {fine + part("stream", "1") + part("stream", "0") + kEnd, "stream"},
      {part("model", "m", "; filename=\"x\"") + kFile + kEnd, "model"},
      {part("model", "") + kFile + kEnd, "model"},
      {part("model", "a\nb") + kFile + kEnd, "model"},
      {part("model", std::string(2000, 'm')) + kFile + kEnd, "model"},
      {fine + part("stream", "maybe") + kEnd, "stream"},
      {fine + part("x", "1", "; name=\"model\"") + kEnd, ""},
      {fine + part("x", "1", "; name*=utf-8''model") + kEnd, ""},  // RFC 2231, which some readers prefer
      {fine + part("x", "1", "; NAME*0=\"mod\"; name*1=\"el\"") + kEnd, ""},
      {fine + "--AaB03x\r\nContent-Type: a/b\r\n\r\nnameless\r\n" + kEnd, ""},
      {fine + "--AaB03x\r\nContent-Disposition: attachment; name=\"x\"\r\n\r\n1\r\n" + kEnd, ""},
      {fine + "--AaB03x\r\nContent-Disposition: form-data; name=\"x\r\n\r\n1\r\n" + kEnd, ""},
      {fine + "--AaB03xyz\r\n\r\n" + kEnd, ""},
      {fine + "--AaB03x\r\nno header\r\n\r\n" + kEnd, ""},
      {fine + "--AaB03x\r\n" + std::string(20000, 'h') + "\r\n\r\n" + kEnd, ""},
  };
  for (const auto& [body, param] : cases) {
    auto marked = mark(body);
    ASSERT_FALSE(marked.ok()) << body.substr(0, 200);
    EXPECT_EQ(marked.error().param, param) << marked.error().detail;
    EXPECT_EQ(marked.error().http_status, 400);
  }
  std::string many = fine;
  for (int i = 0; i < 300; ++i) many += part("x", "y");
  EXPECT_FALSE(mark(many + kEnd).ok());
  for (const char* type : {"", "application/json", "multipart/form-data", "multipart/form-data; boundary=",
                           "multipart/form-data; boundary=\"a", "multipart/form-data; boundary=a; boundary=b",
                           "multipart/form-data; boundary=\"a\r\nb\"", "multipart/mixed; boundary=AaB03x"})
    EXPECT_FALSE(mark(fine + kEnd, type).ok()) << type;
  EXPECT_FALSE(mark(fine + kEnd, "multipart/form-data; boundary=" + std::string(71, 'a')).ok());
}

/// Cut off anywhere, with any byte changed: an answer or an error, never a read beyond the end.
TEST(Multipart, EndsOnAnyBytes) {
  const std::string body = part("model", "whisper-1") + kFile + kEnd;
  for (size_t cut = 0; cut < body.size() - 2; ++cut) {
    const std::string copy = body.substr(0, cut);  // its own allocation, so that a sanitizer sees the end
    EXPECT_FALSE(mark(copy).ok()) << cut;
  }
  for (size_t at = 0; at < body.size(); ++at)
    for (const char byte : {'\r', '\n', '"', ';', '-', '\0'}) {
      std::string copy = body;
      copy[at] = byte;
      (void)mark(copy);
    }
}

}  // namespace
}  // namespace weir::providers
