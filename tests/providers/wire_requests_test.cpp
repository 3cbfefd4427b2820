// Every recorded request of a corpus through our own client API of its protocol, and out again: taken, decoded, and
// passed on byte for byte to where it went. See wire_corpus_test.cpp.
#include <gtest/gtest.h>

#include "gateway/api/client_api.h"
#include "providers/net/percent.h"
#include "tests/providers/codec_rig.h"
#include "tests/providers/recorded.h"

namespace weir::providers {
namespace {

class RecordedRequest : public Recorded {
 protected:
  /// The client's body that becomes the recorded one.
  Json client_body(const RecordedCall& to) const {
    Json body = recording().request;
    if (!to.is_claude_on_bedrock) return body;
    body.erase("anthropic_version");
    body["model"] = to.model;
    return body;
  }
  void check_body(const RecordedCall& to, const CallBody& body, const std::string& text, const Encoded& sent) const;
  void check_address(const RecordedCall& to, const Encoded& sent) const;
};

/// Byte for byte, but for what docs and headers promise: Claude on Bedrock has its model in the URL, and a stream of
/// OpenAI's is asked for its usage.
void RecordedRequest::check_body(const RecordedCall& to, const CallBody& body, const std::string& text,
                                 const Encoded& sent) const {
  if (to.is_claude_on_bedrock) {
    Json recorded = recording().request;
    recorded.erase("stream");
    Json without = sent.json();
    recorded["anthropic_version"] = without["anthropic_version"];  // of a date that is ours to choose
    EXPECT_EQ(nlohmann::json(without), nlohmann::json(recorded));
    return;
  }
  if (sent.body == text) return;
  EXPECT_TRUE(body.stream && !body.include_usage) << "sent " << sent.body << "\nof   " << text;
  Json expected = read_json<Json>(text);
  if (!expected.contains("stream_options")) {
    EXPECT_EQ(sent.body, R"({"stream_options":{"include_usage":true},)" + text.substr(1));
    return;
  }
  expected["stream_options"]["include_usage"] = true;
  EXPECT_EQ(sent.body, expected.dump());
}

/// The call goes where the recorded one went. Azure's deployment may have another name than its model.
void RecordedRequest::check_address(const RecordedCall& to, const Encoded& sent) const {
  const std::string path = percent_decoded(sent.target.substr(0, sent.target.find('?')));
  if (to.provider == "azure")
    EXPECT_EQ(path.substr(path.rfind('/')), recording().path.substr(recording().path.rfind('/')));
  else
    EXPECT_EQ(path, recording().path);
}

TEST_P(RecordedRequest, IsTakenAndPassedOn) {
  SCOPED_TRACE(recording().file.parent_path() / (recording().name + ".request.json"));
  ASSERT_EQ(recording().fault, "");
  const RecordedCall to = call();
  const gateway::ClientApi& api = gateway::client_api(*to.native);
  const std::string text = client_body(to).dump();
  gateway::Request request{};
  request.method = "POST";
  request.path = recording().path;
  request.query = recording().query;
  request.body = text;
  const std::string rest = recording().path.substr(recording().path.rfind('/') + 1);
  auto body = api.mark(request, rest);
  Result<ChatRequest> neutral = ChatRequest{};
  if (body && (generates_chat(*to.native) || to.native == Protocol::anthropic_count)) neutral = api.decode(*body);
  if (!recording().good()) {
    // What the upstream refused may be refused here already: as the caller's mistake, and naming it.
    for (const Error* error : {body ? nullptr : &body.error(), neutral ? nullptr : &neutral.error()}) {
      if (error == nullptr) continue;
      EXPECT_EQ(error->kind, ErrorKind::bad_request) << error->detail;
      return;
    }
  }
  ASSERT_TRUE(body.ok()) << body.error().detail;
  // A compatible's own word ("any" of Mistral's tool_choice) passes to it, and has no neutral meaning.
  const bool own_word = !neutral && to.provider == "mistral" && neutral.error().param == "tool_choice";
  ASSERT_TRUE(neutral.ok() || own_word) << neutral.error().detail;
  if (own_word) neutral = ChatRequest{};
  if (generates_chat(*to.native) && !own_word) {
    EXPECT_FALSE(neutral->messages.empty());
  }
  CodecRig rig(*to.native);
  rig.body = *body;
  rig.request = std::move(*neutral);
  if (!to.codec->decoder(rig.attempt(to.model))->native()) return;  // the provider has no such route: chat serves it
  const Encoded sent = encode(*to.codec, rig, to.native == Protocol::gemini_generate ? to.model : body->model);
  ASSERT_FALSE(sent.error) << sent.error->detail;
  check_body(to, *body, text, sent);
  check_address(to, sent);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RecordedRequest);
INSTANTIATE_TEST_SUITE_P(Corpus, RecordedRequest, testing::ValuesIn(those([](const Recording& recording) {
                           return recording.request.is_object() && call_of(recording).native.has_value();
                         })),
                         test_name);

}  // namespace
}  // namespace weir::providers
