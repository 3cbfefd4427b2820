// Thinking that a client got in its own protocol comes back in the next turn as what it was: text, signature, signer.
#include <gtest/gtest.h>

#include "config/base/json.h"

#include "gateway/api/gemini_fields.h"
#include "gateway/api/gemini_generate.h"
#include "gateway/api/openai_chat.h"
#include "providers/media.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::Json;
using providers::Part;
using providers::Signer;

std::vector<ChatEvent> thought_then_text(Signer signer, bool text_signed) {
  std::vector<ChatEvent> events(4);
  events[0].kind = ChatEvent::Kind::reasoning;
  events[0].text = "first this";
  ChatEvent signature;
  signature.kind = ChatEvent::Kind::signature;
  signature.signature = "sig";
  signature.signer = signer;
  ChatEvent text;
  text.text = "done";
  events[1] = text_signed ? text : signature;
  events[2] = text_signed ? signature : text;
  events[3].kind = ChatEvent::Kind::finish;
  return events;
}

std::vector<Part> replayed(const std::vector<ChatEvent>& events) {
  ChatEncoder encoder("chatcmpl-1", 7, "m", false);
  for (const ChatEvent& event : events) encoder.add(event);
  const Json answer = read_json<Json>(encoder.whole({}, {}));
  Json body;
  body["model"] = "m";
  body["messages"] = Json::array();
  body["messages"].push_back(answer["choices"][0]["message"]);
  const std::string text = body.dump();
  auto request = decode_chat(text);
  EXPECT_TRUE(request.ok()) << request.error().detail;
  return request.ok() ? request->messages.at(0).parts : std::vector<Part>();
}

TEST(ThinkingReplay, ChatGivesAnthropicsBack) {
  const auto parts = replayed(thought_then_text(Signer::anthropic, false));
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].text, "first this");
  EXPECT_EQ(parts[0].signature, "sig");
  EXPECT_EQ(parts[0].signer, Signer::anthropic);
  EXPECT_EQ(parts[1].text, "done");
}

TEST(ThinkingReplay, ChatGivesGeminisSignatureBackToTheTextThatItSigned) {
  const auto parts = replayed(thought_then_text(Signer::gemini, true));
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].kind, Part::Kind::reasoning);
  EXPECT_EQ(parts[0].text, "first this");
  EXPECT_EQ(parts[0].signature, "");
  EXPECT_EQ(parts[1].text, "done");
  EXPECT_EQ(parts[1].signature, "sig");
  EXPECT_EQ(parts[1].signer, Signer::gemini);
}

TEST(ThinkingReplay, ChatKeepsWhoseEncryptedThinkingItWas) {
  std::vector<ChatEvent> events(2);
  events[0].kind = ChatEvent::Kind::signature;
  events[0].redacted = "secret";
  events[0].signer = Signer::openai;
  events[1].kind = ChatEvent::Kind::finish;
  const auto parts = replayed(events);
  ASSERT_FALSE(parts.empty());
  EXPECT_EQ(parts[0].redacted, "secret");
  EXPECT_EQ(parts[0].signer, Signer::openai);
}

TEST(ThinkingReplay, ChatStreamsTheSameBlocks) {
  ChatEncoder encoder("chatcmpl-1", 7, "m", false);
  std::string out;
  for (const ChatEvent& event : thought_then_text(Signer::gemini, true)) encoder.chunk(event, out);
  EXPECT_NE(
      out.find(R"("thinking_blocks":[{"type":"thinking","thinking":"","signature":"weir:gemini:sig","index":0}])"),
      std::string::npos)
      << out;
}

TEST(ThinkingReplay, EachEntryOfAStreamedListHasItsIndex) {
  ChatEncoder encoder("chatcmpl-1", 7, "m", false);
  std::string out;
  for (const char* where : {"a", "b"}) {
    ChatEvent redacted{.kind = ChatEvent::Kind::signature};
    redacted.redacted = where;
    ChatEvent cited{.kind = ChatEvent::Kind::citation};
    cited.citation = Json{{"url", where}};
    encoder.chunk(redacted, out);
    encoder.chunk(cited, out);
  }
  for (const char* entry : {R"("url":"a","title":""},"index":0}])", R"("url":"b","title":""},"index":1}])",
                            R"("data":"a","index":0}])", R"("data":"b","index":1}])"})
    EXPECT_NE(out.find(entry), std::string::npos) << entry << '\n' << out;
}

/// A client of Gemini's sends the parts of a stream back as they came: the last of a thought holds its signature.
TEST(ThinkingReplay, GeminiPutsAStreamedThoughtTogether) {
  ChatEvent signature;
  signature.kind = ChatEvent::Kind::signature;
  signature.signature = "sig";
  signature.signer = Signer::anthropic;
  Json body = read_json<Json>(R"({"contents":[{"role":"model","parts":[{"text":"first ","thought":true},
      {"text":"this","thought":true},{"text":"","thought":true},{"text":"done"}]}]})");
  body["contents"][0]["parts"][2]["thoughtSignature"] = gemini_signature(signature);
  const std::string text = body.dump();
  auto request = decode_gemini(text);
  ASSERT_TRUE(request.ok()) << request.error().detail;
  const auto& parts = request->messages.at(0).parts;
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].text, "first this");
  EXPECT_EQ(parts[0].signature, "sig");
  EXPECT_EQ(parts[0].signer, Signer::anthropic);
}

}  // namespace
}  // namespace weir::gateway
