// Characters cut in two between the events of a stream: by bytes and by UTF-16 units, in pieces of a text and in whole
// events.
#include "providers/half_characters.h"

#include <gtest/gtest.h>

#include "providers/gemini.h"
#include "providers/openai.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

std::string inside(std::initializer_list<std::string_view> pieces) {
  HalfCharacters halves;
  std::string out;
  for (const std::string_view piece : pieces) out.append(halves.inside(piece)).append("|");
  return out;
}

std::string data(std::initializer_list<std::string_view> events) {
  HalfCharacters halves;
  std::string out;
  for (const std::string_view event : events) out.append(halves.data(event)).append("|");
  return out;
}

TEST(HalfCharacters, OfPieces) {
  EXPECT_EQ(inside({"a", "", "b\xC3\xA9", R"(\ud83d\ude00)"}), "a||b\xC3\xA9|\\ud83d\\ude00|");
  EXPECT_EQ(inside({"a\xF0\x9F", "\x98\x80z"}), "a|\xF0\x9F\x98\x80z|");
  EXPECT_EQ(inside({"a\xF0", "\x9F", "\x98", "\x80"}), "a|||\xF0\x9F\x98\x80|");
  EXPECT_EQ(inside({R"(a\ud83d)", R"(\uDE00z)"}), R"(a|\ud83d\uDE00z|)");
  EXPECT_EQ(inside({R"(a\ud83d)", "", R"(\uDE00z)"}), R"(a||\ud83d\uDE00z|)");
  EXPECT_EQ(inside({R"(a\ud83d)", "z"}), "a|\xEF\xBF\xBDz|") << "its other half did not come";
  EXPECT_EQ(inside({R"(a\\ud83d)", R"(\uDE00z)"}), R"(a\\ud83d|\uDE00z|)") << "no escape of a surrogate";
  EXPECT_EQ(inside({"\x98\x80z", R"(\ude00)"}), "\x98\x80z|\\ude00|") << "nothing waits";
}

TEST(HalfCharacters, OfEvents) {
  EXPECT_EQ(data({R"({"a":"x\ud83d","b":"y"})", R"({"ping":1})", R"({"c":"\\","a":"\ude00z"})"}),
            R"({"a":"x","b":"y"}|{"ping":1}|{"c":"\\","a":"\ud83d\ude00z"}|)");
  EXPECT_EQ(data({"{\"a\":\"x\xE4\xBD\"}", "{\"a\":\"\xA0\"}"}), "{\"a\":\"x\"}|{\"a\":\"\xE4\xBD\xA0\"}|");
  EXPECT_EQ(data({"{\"a\":\"\xF0\x9F\"}", "{\"a\":\"\x98\"}", "{\"a\":\"\x80\"}"}),
            "{\"a\":\"\"}|{\"a\":\"\"}|{\"a\":\"\xF0\x9F\x98\x80\"}|");
  EXPECT_EQ(data({R"({"a":"\ud83d\ude00"})", R"({"a":"\\ud83d"})", R"({"a":"x\ud83d)"}),
            R"({"a":"\ud83d\ude00"}|{"a":"\\ud83d"}|{"a":"x|)")
      << "pairs, and a text that is no JSON";
  EXPECT_EQ(data({"{\"a\":\"x\xE4\xBD\"}", R"({"a":"y\ud83d"})"}), "{\"a\":\"x\"}|{\"a\":\"\xEF\xBF\xBDy\"}|");
  HalfCharacters halves;
  const std::string_view plain = R"({"a":"b"})";
  EXPECT_EQ(halves.data(plain).data(), plain.data()) << "not copied";
}

TEST(HalfCharacters, OfBothInTurn) {
  HalfCharacters halves;
  EXPECT_EQ(halves.data(R"({"a":"x\ud83d"})"), R"({"a":"x"})");
  EXPECT_EQ(halves.inside(R"(\ude00\ud83d)"), R"(\ud83d\ude00)");
  EXPECT_EQ(halves.data(R"({"a":"\ude01"})"), R"({"a":"\ud83d\ude01"})");
}

TEST(HalfCharacters, InAnAnswer) {
  CodecRig rig;
  const auto piece = [](std::string_view text, const char* more = "") {
    return "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"" + std::string(text) + "\"}]}" + more +
           "}]}\n\n";
  };
  const Decoded out =
      decode_every_way([&] { return make_gemini_decoder(rig.attempt("m")); },
                       piece("a\xF0\x9F") + piece("\x98\x80") + piece("z", R"(,"finishReason":"STOP")"));
  EXPECT_EQ(out.text(), "a\xF0\x9F\x98\x80z") << out;
}

/// Events like the last one are read without a parser: not while a half waits, or what is told would hang on how the
/// stream arrives (found by fuzzing).
TEST(HalfCharacters, InAnAnswerOfEventsAlike) {
  const auto openai = [](std::string_view text, std::string_view key = "finish_reason") {
    return "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + std::string(text) + "\"},\"" +
           std::string(key) + "\":null}]}\n\n";
  };
  CodecRig rig;
  const Decoded out = decode_every_way(
      [&] { return make_openai_event_decoder(rig.attempt("m")); },
      openai("a") + openai("b") + openai("c", "x\xFA") + openai("d") + openai("e\xF0\x9F") + openai("\x98\x80") +
          openai("f") +
          "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
  EXPECT_EQ(out.text(),
            "abcd\xEF\xBF\xBD"
            "e\xF0\x9F\x98\x80"
            "f")
      << out;
}

}  // namespace
}  // namespace weir::providers
