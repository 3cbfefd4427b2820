// multipart/form-data calls: where the model stands in the bytes, and nothing of a hostile form believed.
#include <gtest/gtest.h>

#include "providers/body.h"
#include "providers/recording.h"

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
  const auto wave = [](uint16_t channels, uint32_t samples, uint16_t bits, uint16_t form = 1,
                       uint32_t bytes_a_second = 0xFFFFFFFF) {
    std::string out = "RIFF....WAVEfmt ....";
    const auto add = [&](uint64_t number, int bytes) {
      for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(number >> 8 * i & 0xFFU));
    };
    add(form, 2), add(channels, 2), add(samples, 4), add(bytes_a_second, 4), add(0, 2), add(bits, 2);
    out.resize(320'000, 'x');
    return out;
  };
  EXPECT_EQ(seconds(std::string(80'000, 'x')), 11U) << "64 kbit/s";
  EXPECT_EQ(seconds(wave(1, 16'000, 16)), 11U);
  EXPECT_EQ(seconds(wave(2, 0xFFFFFFFF, 16)), 41U) << "no such rate";
  EXPECT_EQ(seconds(wave(2, 48'000, 32, 3, 1'000)), 1U) << "of samples a decoder does not read the byte rate";
  EXPECT_EQ(seconds(wave(2, 48'000, 32, 0x55, 4'000)), 81U) << "of MP3 in a WAV file the samples say nothing";
  EXPECT_EQ(seconds(wave(2, 48'000, 32, 0x55)), 41U) << "nor does a byte rate that makes it shorter";
  EXPECT_EQ(seconds(std::string(80'000, 'x'), part("prompt", wave(2, 48'000, 32).substr(0, 44))), 11U);
}

/// A page with whole packets of under 255 bytes.
std::string page(uint64_t position, const std::vector<std::string>& packets) {
  std::string out("OggS\0\0", 6);
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(position >> 8 * i & 0xFFU));
  out.append(12, '\0').push_back(static_cast<char>(packets.size()));
  for (const std::string& packet : packets) out.push_back(static_cast<char>(packet.size()));
  for (const std::string& packet : packets) out += packet;
  return out;
}

TEST(Multipart, AnOggFileIsAsLongAsItsPackets) {
  const std::string head = page(0, {"OpusHead\x01\x01"}) + page(0, {"OpusTags"});
  const auto opus = [&](const std::string& packet) {
    std::string out = head;
    for (int i = 0; i < 10; ++i)
      out += page(1, std::vector<std::string>(100, packet));  // positions that say too little
    return seconds_of_recording(out);
  };
  EXPECT_EQ(opus(std::string(1, '\x18') + "xx"), 61U) << "SILK, one frame of 60 ms";
  EXPECT_EQ(opus(std::string(1, '\x68') + "xx"), 21U) << "hybrid, 20 ms";
  EXPECT_EQ(opus(std::string(1, '\x81') + "xx"), 6U) << "CELT, two frames of 2.5 ms";
  EXPECT_EQ(opus("\x1B\x02xx"), 121U) << "a number of frames of its own";
  EXPECT_EQ(opus(""), 1U);
  EXPECT_EQ(seconds_of_recording(head + std::string(20'000, 'x')), 11U) << "what cannot be read is at 16 kbit/s";
  EXPECT_EQ(seconds_of_recording("OggS" + std::string(19'996, '\0')), 11U);
  // A packet of 300 bytes over two pages counts once.
  std::string first = page(0, {std::string(1, '\x18') + std::string(253, 'x')});
  first[27] = '\xFF';
  first += 'x';
  EXPECT_EQ(seconds_of_recording(head + first + page(0, {std::string(45, '\x18')})), 1U);

  const std::string vorbis = page(0, {std::string("\x01vorbis\0\0\0\0\x01\x44\xAC\0\0", 16)});
  EXPECT_EQ(seconds_of_recording(vorbis + page(441'000, {"x"}) + page(UINT64_MAX, {"x"})), 11U);
  EXPECT_EQ(seconds_of_recording(vorbis + page(44'100, std::vector<std::string>(250, std::string(254, 'x')))), 8U)
      << "a position that makes it shorter than 64 kbit/s is not believed";
  for (size_t cut = 0; cut < first.size(); ++cut) seconds_of_recording((head + first).substr(0, head.size() + cut));
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
