// The openai codec against recorded traffic of every OpenAI-compatible provider at hand: streams whole and split at
// every byte, and requests whose bytes change nowhere but where they must.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "providers/codec.h"

namespace weir::providers {
namespace {

namespace fs = std::filesystem;
const fs::path kWire = fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire/best";

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// What a codec is handed for one attempt.
struct Rig {
  explicit Rig(std::string text) : json(std::move(text)), body(*mark_call(Protocol::openai_chat, json)) {}
  std::string json;
  CallBody body;
  Core core{0};
  Abort abort;
  std::function<Result<const ChatRequest*>()> neutral = [] { return Result<const ChatRequest*>(Error{}); };
  std::function<std::string_view(std::string_view)> client_header = [](std::string_view) { return std::string_view(); };
  Attempt attempt(std::string_view model) {
    return {.core = core,
            .abort = abort,
            .body = body,
            .neutral = neutral,
            .client_header = client_header,
            .model = model,
            .request_id = "r"};
  }
};

std::unique_ptr<Codec> codec() {
  config::AccountConfig account;
  account.provider = "openai";
  account.api_key = Secret("sk-upstream");
  return make_openai_codec(account, "/v1");
}

std::string encoded(const std::string& json, std::string_view model, std::optional<int64_t> cap = {}) {
  Rig rig(json);
  Attempt attempt = rig.attempt(model);
  attempt.output_tokens_cap = cap;
  EncodedCall call;
  const auto openai = codec();
  EXPECT_TRUE(openai->encode(attempt, call).ok());
  EXPECT_EQ(call.target, "/v1/chat/completions");
  std::string text;
  for (const std::string_view piece : call.body) text += piece;
  return text;
}

TEST(OpenAiCodec, OnlyWhatMustChangeChanges) {
  const std::string messages = R"("messages":[{"role":"user","content":"h\u00e9"}])";
  EXPECT_EQ(encoded(R"({ "model" : "a", )" + messages + R"( , "x":1.50 })", "b\"c"),
            R"({ "model" : "b\"c", )" + messages + R"( , "x":1.50 })");
  EXPECT_EQ(encoded(R"({"model":"a",)" + messages + R"(,"stream":true})", "a"),
            R"({"stream_options":{"include_usage":true},"model":"a",)" + messages + R"(,"stream":true})");
  EXPECT_EQ(
      encoded(R"({"stream_options":{"include_usage":false,"k":1},"model":"a",)" + messages + R"(,"stream":true})", "a"),
      R"({"stream_options":{"include_usage":true,"k":1},"model":"a",)" + messages + R"(,"stream":true})");
  EXPECT_EQ(encoded(R"({"model":"a",)" + messages + "}", "a", 9),
            R"({"max_completion_tokens":9,"model":"a",)" + messages + "}");
  EXPECT_EQ(encoded(R"({"max_completion_tokens":50,"model":"a",)" + messages + "}", "a", 9),
            R"({"max_completion_tokens":9,"model":"a",)" + messages + "}");
}

struct Decoded {
  std::string bytes;
  config::TokenCounts counts;
  bool reported = false, end = false, error = false, done = false;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(const std::vector<std::string_view>& pieces) {
  Rig rig(R"({"model":"a","stream":true,"messages":[{"role":"user","content":"x"}]})");
  const Attempt attempt = rig.attempt("a");
  auto decoder = codec()->decoder(attempt);
  Decoded out;
  ReplyBatch batch;
  for (const std::string_view piece : pieces) {
    batch.clear();
    decoder->feed(piece, batch);
    for (const Segment& segment : batch.segments) {
      out.bytes += segment.bytes;
      out.done = out.done || segment.kind == Segment::Kind::done;
    }
    out.error = out.error || batch.error;
  }
  batch.clear();
  decoder->finish(batch);
  for (const Segment& segment : batch.segments) out.bytes += segment.bytes;
  out.end = batch.end;
  out.error = out.error || batch.error;
  out.counts = decoder->usage().counts;
  out.reported = decoder->usage().reported;
  return out;
}

TEST(OpenAiCodec, RecordedStreamsWholeAndSplitAtEveryByte) {
  if (!fs::is_directory(kWire)) GTEST_SKIP() << "../shared/data is not there";
  int streams = 0;
  for (const char* provider : {"openai", "azure", "groq", "mistral", "deepseek", "together", "perplexity", "cerebras",
                               "openrouter", "local", "huggingface"}) {
    if (!fs::is_directory(kWire / provider)) continue;
    for (const auto& entry : fs::directory_iterator(kWire / provider)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with("chat") || !name.ends_with(".response.sse")) continue;
      SCOPED_TRACE(entry.path().string());
      const std::string text = read(entry.path());
      const Decoded whole = decode({text});
      ++streams;
      if (text.find("\"error\":{") != std::string::npos) {  // an upstream's own error event ends the reply
        EXPECT_TRUE(whole.error);
        continue;
      }
      EXPECT_FALSE(whole.error);
      EXPECT_EQ(whole.bytes, text) << "bytes pass in order, untouched";
      const size_t step = std::max<size_t>(1, text.size() / 300);  // every byte of short ones, 300 places of long ones
      for (size_t at = 0; at < text.size(); at += step)
        ASSERT_EQ(decode({std::string_view(text).substr(0, at), std::string_view(text).substr(at)}), whole) << at;
    }
  }
  std::printf("%d recorded streams\n", streams);
  EXPECT_GE(streams, 15);
}

TEST(OpenAiCodec, RecordedErrorsAreClassified) {
  if (!fs::is_directory(kWire)) GTEST_SKIP() << "../shared/data is not there";
  for (const auto& entry : fs::directory_iterator(kWire / "openai")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("error-") || !name.ends_with(".response.json")) continue;
    const auto meta = nlohmann::json::parse(read(kWire / "openai" / (name.substr(0, name.size() - 5) + ".meta.json")));
    const int status = meta.contains("status") ? meta["status"].get<int>() : meta.value("status_code", 400);
    const Error error = codec()->classify(
        status, [](std::string_view) { return std::nullopt; }, read(entry.path()));
    EXPECT_FALSE(error.detail.empty());
    EXPECT_NE(error.kind, ErrorKind::internal) << name;
    EXPECT_EQ(error.http_status, status >= 500 ? 502 : status) << name;
  }
}

TEST(OpenAiCodec, UsageErrorsAndBrokenStreams) {
  const Decoded usage = decode({"data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n",
                                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,"
                                "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n"});
  EXPECT_TRUE(usage.end && usage.done && usage.reported);
  EXPECT_EQ(usage.counts, (config::TokenCounts{9, 4, 3, 0}));
  const Decoded broken = decode({"data: {\"choices\":[{\"delta\":{\"content\":\"some text\"}}]}\n\n"});
  EXPECT_TRUE(broken.error && !broken.reported);
  EXPECT_GT(broken.counts.output, 0) << "what came is charged as an estimate";
  EXPECT_TRUE(decode({"data: {\"error\":{\"message\":\"boom\"}}\n\n"}).error);
  EXPECT_FALSE(
      decode({"data: {\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\": no\"},\"finish_reason\":\"stop\"}]}\n\n"})
          .error);
}

}  // namespace
}  // namespace weir::providers
