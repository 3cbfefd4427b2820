// The routes whose answers only pass through: what their calls are checked for, and their errors.
#include "gateway/api/unary.h"

#include <gtest/gtest.h>

#include "config/base/json.h"

namespace weir::gateway {
namespace {

using providers::Protocol;

TEST(Unary, ChecksWhatTheReferencesAsk) {
  const struct {
    Protocol protocol;
    std::string json;
    const char* param;  // null: fine
  } cases[] = {
      {Protocol::openai_embeddings, R"({"model":"m","input":"a","dimensions":8,"encoding_format":"base64"})", nullptr},
      {Protocol::openai_embeddings, R"({"model":"m","input":[1,2,3],"user":"u"})", nullptr},
      {Protocol::openai_embeddings, R"({"model":"m","input":["a"],"dimensions":null})", nullptr},
      {Protocol::openai_embeddings, R"({"model":"m"})", "input"},
      {Protocol::openai_embeddings, R"({"model":"m","input":[]})", "input"},
      {Protocol::openai_embeddings, R"({"model":"m","input":{}})", "input"},
      {Protocol::openai_embeddings, R"({"model":"m","input":"a","dimensions":0})", "dimensions"},
      {Protocol::openai_embeddings, R"({"model":"m","input":"a","encoding_format":"hex"})", "encoding_format"},
      {Protocol::openai_images, R"({"model":"m","prompt":"p","n":2,"response_format":"url"})", nullptr},
      {Protocol::openai_images, R"({"model":"m","prompt":"p","n":11})", "n"},
      {Protocol::openai_images, R"({"model":"m","n":1})", "prompt"},
      {Protocol::openai_speech, R"({"model":"m","input":"hi","voice":"v"})", nullptr},
      {Protocol::openai_speech, R"({"model":"m","input":")" + std::string(5000, 'a') + R"("})", "input"},
      {Protocol::openai_speech, R"({"model":"m","input":"hi","stream_format":"x"})", "stream_format"},
      {Protocol::openai_moderations, R"({"input":[{"type":"text","text":"x"}]})", nullptr},
      {Protocol::openai_moderations, R"({"input":7})", "input"},
      {Protocol::rerank, R"({"model":"m","query":"q","documents":["a"],"top_n":1})", nullptr},
      {Protocol::rerank, R"({"model":"m","query":"q","documents":[]})", "documents"},
      {Protocol::rerank, R"({"model":"m","documents":["a"]})", "query"},
      {Protocol::rerank, R"({"model":"m","query":"q","documents":["a"],"top_n":0})", "top_n"},
  };
  for (const auto& one : cases) {
    auto checked = check_unary(one.protocol, one.json);
    if (one.param == nullptr) {
      EXPECT_TRUE(checked.ok()) << one.json.substr(0, 100) << (checked.ok() ? "" : checked.error().detail);
      continue;
    }
    ASSERT_FALSE(checked.ok()) << one.json.substr(0, 100);
    EXPECT_EQ(checked.error().param, one.param);
    EXPECT_EQ(checked.error().http_status, 400);
  }
}

TEST(Unary, TakesAtMost2048TextsToEmbedButAnyNumberOfTokens) {
  std::string texts = R"({"input":["a")";
  std::string tokens = R"({"input":[1)";
  for (int i = 0; i < 2048; ++i) {
    texts += ",\"a\"";
    tokens += ",1";
  }
  EXPECT_EQ(check_unary(Protocol::openai_embeddings, texts + "]}").error().detail,
            "input: must be a string, an array of 1 to 2048 texts, or an array of tokens");
  EXPECT_TRUE(check_unary(Protocol::openai_embeddings, tokens + "]}").ok());
}

TEST(Unary, MarksAndSpeaksOpenAisErrors) {
  const std::string body = R"({"model":"m","input":"abc"})";
  Request request{
      .method = "POST", .path = "/v1/embeddings", .query = "", .headers = {}, .body = body, .peer = "", .accepted = {}};
  for (const ClientApi* api : {&openai_embeddings_api(), &openai_moderations_api(), &openai_speech_api()}) {
    auto marked = api->mark(request, "");
    ASSERT_TRUE(marked.ok()) << marked.error().detail;
    EXPECT_EQ(marked->model, "m");
    EXPECT_EQ(marked->protocol, api->protocol());
    EXPECT_FALSE(api->decode(*marked).ok());
    const Error error{ErrorKind::bad_request, "request", Retry::no, 400, "wrong", "invalid_request_error"};
    EXPECT_EQ(read_json<nlohmann::json>(api->error_body(error))["error"]["message"], "wrong");
  }
}

TEST(Unary, MarksTranscriptions) {
  const std::string body =
      "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n"
      "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n";
  const HeaderView headers[] = {{"Content-Type", "multipart/form-data; boundary=b"}};
  const Request request{
      .method = "POST", .path = "", .query = "", .headers = headers, .body = body, .peer = "", .accepted = {}};
  auto marked = openai_transcriptions_api().mark(request, "");
  ASSERT_TRUE(marked.ok()) << marked.error().detail;
  EXPECT_EQ(marked->model, "whisper-1");
  EXPECT_EQ(marked->content_type, "multipart/form-data; boundary=b");
}

}  // namespace
}  // namespace weir::gateway
