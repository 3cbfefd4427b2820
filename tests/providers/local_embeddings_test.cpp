// The embeddings call as an engine of our own answers it: every form of input, both forms of a vector, what is refused,
// and a client that leaves.
#include "providers/local_embeddings.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "providers/base64.h"
#include "tests/engine/engine_rig.h"
#include "tests/providers/codec_rig.h"
#include "tests/providers/net_rig.h"

namespace weir::providers {
namespace {

using engine::testing::Gate;
using ::testing::HasSubstr;

const std::string kFolder = std::string(WEIR_SOURCE_DIR) + "/tests/engine/reference/bert-mean";

/// What came of a call.
struct Answer {
  std::optional<Error> error;
  Json json;
  std::string dropped;
  Usage usage;
};

class LocalEmbeddings : public ::testing::Test {
 protected:
  LocalEmbeddings() {
    config::EngineConfig config = engine::testing::engine_config();
    config.model = kFolder;
    config.threads = 1;
    auto made = engine::make_engine(config);
    EXPECT_TRUE(made.ok()) << made.error().detail;
    engine_ = *std::move(made);
  }

  /// A call's body but for "model".
  Answer ask(const Json& fields, const std::function<void(Attempt&)>& change = {}) {
    Json body = {{"model", "public"}};
    body.update(fields);
    return ask_text(body.dump(), Protocol::openai_embeddings, change);
  }
  Answer ask_text(const std::string& text, Protocol protocol, const std::function<void(Attempt&)>& change = {}) {
    CodecRig rig(protocol, text);
    return core_.run([&]() -> Task<Answer> { co_return co_await call(rig, change); });
  }
  Task<Answer> call(CodecRig& rig, std::function<void(Attempt&)> change) {
    Answer out;
    Attempt given = rig.attempt("upstream");
    Attempt attempt{*core_, given.abort, given.body, given.neutral, given.client_header, given.model, given.request_id};
    if (change) change(attempt);
    const auto provider = make_local_provider(*core_, *engine_);
    auto reply = co_await provider->start(attempt);
    if (!reply) {
      out.error = reply.error();
      co_return out;
    }
    ReplyBatch batch;
    co_await (*reply)->pull(batch);
    out.usage = (*reply)->usage();
    out.dropped = (*reply)->dropped();
    out.error = batch.error;
    if (!batch.segments.empty()) out.json = Json::parse(batch.segments.front().bytes);
    co_return out;
  }
  Error refused(const Json& fields) {
    const Answer answer = ask(fields);
    EXPECT_TRUE(answer.error.has_value()) << fields;
    return answer.error.value_or(Error{});
  }

  std::unique_ptr<engine::Engine> engine_;
  testing::RunningCore core_;
};

std::vector<float> floats(const std::string& base64) {
  std::string bytes;
  EXPECT_TRUE(decode_base64(base64, bytes));
  std::vector<float> out(bytes.size() / sizeof(float));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

TEST_F(LocalEmbeddings, EveryFormOfInput) {
  const Json reference = Json::parse(read_file(kFolder + "/reference.json"));
  const Answer one = ask({{"input", "The world is good."}});
  ASSERT_FALSE(one.error) << one.error->detail;
  EXPECT_EQ(one.json["object"], "list");
  EXPECT_EQ(one.json["model"], "public");
  EXPECT_EQ(one.json["usage"], Json::parse(R"({"prompt_tokens":7,"total_tokens":7})"));
  EXPECT_EQ(one.usage.counts.input, 7);
  EXPECT_TRUE(one.usage.reported);
  const auto vector = one.json["data"][0]["embedding"].get<std::vector<float>>();
  const auto expected = reference["embeddings"][0].get<std::vector<float>>();
  ASSERT_EQ(vector.size(), expected.size());
  for (size_t i = 0; i < vector.size(); ++i) EXPECT_NEAR(vector[i], expected[i], 1e-4) << i;

  const Json& ids = reference["ids"];
  const Answer tokens = ask({{"input", ids[0]}});
  EXPECT_EQ(tokens.json["data"], one.json["data"]);
  const Answer several = ask({{"input", {"a", "The world is good."}}});
  ASSERT_EQ(several.json["data"].size(), 2U);
  EXPECT_EQ(several.json["data"][1]["index"], 1);
  EXPECT_EQ(several.json["data"][1]["embedding"], one.json["data"][0]["embedding"]);
  EXPECT_EQ(several.usage.counts.input, 10);
  const Answer lists = ask({{"input", {ids[3], ids[0]}}});
  EXPECT_EQ(lists.json["data"], several.json["data"]);
}

TEST_F(LocalEmbeddings, Base64HoldsTheSameBits) {
  const Answer written = ask({{"input", "The world"}, {"encoding_format", "float"}, {"user", "u"}});
  const Answer packed = ask({{"input", "The world"}, {"encoding_format", "base64"}, {"dimensions", 32}});
  EXPECT_EQ(floats(packed.json["data"][0]["embedding"]),
            written.json["data"][0]["embedding"].get<std::vector<float>>());
  EXPECT_EQ(written.dropped, "user");
  EXPECT_EQ(packed.dropped, "");
}

TEST_F(LocalEmbeddings, RefusesWithTheParameterNamed) {
  const Error shorter = refused({{"input", "a"}, {"dimensions", 16}});
  EXPECT_EQ(shorter.param, "dimensions");
  EXPECT_THAT(shorter.detail, HasSubstr("was not trained for shorter vectors; leave it out, or set it to 32"));
  EXPECT_THAT(refused({{"input", "a"}, {"dimensions", 33}}).detail, HasSubstr("between 1 and this model's 32"));
  EXPECT_EQ(refused({{"input", "a"}, {"truncate", true}}).param, "truncate");
  EXPECT_THAT(refused({{"input", {1, "a"}}}).detail, HasSubstr("the text must hold token ids alone"));
  EXPECT_THAT(refused({{"input", {"a", 1}}}).detail, HasSubstr("text 1 must be a string"));
  EXPECT_THAT(refused({{"input", {{1}, {-1}}}}).detail, HasSubstr("text 1 must hold token ids alone"));
  EXPECT_THAT(refused({{"input", {{1}, {5000}}}}).detail, HasSubstr("text 1 has the token 5000"));
  EXPECT_THAT(refused({{"input", Json::parse("[[]]")}}).detail, HasSubstr("the text has no tokens"));
  EXPECT_THAT(refused({{"input", std::vector<std::string>(2049, "a")}}).detail, HasSubstr("at most 2048 texts a call"));
  std::string text = "the";
  for (int i = 0; i < 80; ++i) text += " world";
  const Error longer = refused({{"input", {"a", text}}});
  EXPECT_EQ(longer.kind, ErrorKind::context_length);
  EXPECT_EQ(longer.code, "context_length_exceeded");
  EXPECT_EQ(longer.http_status, 400);
  EXPECT_THAT(longer.detail, HasSubstr("text 1 has 83 tokens, and this model takes at most 64"));
  const Error far = refused({{"input", std::string(100'000, 'x')}});
  EXPECT_EQ(far.code, "context_length_exceeded");
  const Answer large = ask({{"input", {"a", "b"}}}, [](Attempt& attempt) { attempt.response_bytes_max = 1000; });
  ASSERT_TRUE(large.error);
  EXPECT_THAT(large.error->detail, HasSubstr("larger than server.limits.response"));
}

TEST_F(LocalEmbeddings, AModelOfEmbeddingsDoesNotChatAndOneThatChatsEmbedsNothing) {
  const Answer chat = ask_text("", Protocol::openai_chat);
  ASSERT_TRUE(chat.error);
  EXPECT_EQ(chat.error->code, "unsupported_operation");
  EXPECT_THAT(chat.error->detail, HasSubstr("only makes embeddings"));
  engine_ = engine::testing::make_sim_engine(engine::testing::engine_config(), {});
  EXPECT_THAT(refused({{"input", "a"}}).detail, HasSubstr("only writes text"));
}

TEST_F(LocalEmbeddings, ManyTextsAndALargeBody) {
  std::vector<std::string> texts(2048, "The world is good. The world is good.");
  texts[7] = "a";
  const Answer answer = ask({{"input", texts}});
  ASSERT_FALSE(answer.error) << answer.error->detail;
  ASSERT_EQ(answer.json["data"].size(), 2048U);
  EXPECT_EQ(answer.usage.counts.input, 2047 * 12 + 3);
  EXPECT_EQ(answer.json["data"][7]["embedding"], ask({{"input", "a"}}).json["data"][0]["embedding"]);
  EXPECT_EQ(answer.json["data"][0]["embedding"], answer.json["data"][2047]["embedding"]);
}

TEST_F(LocalEmbeddings, AClientThatLeavesGivesUpWhatIsNotBegun) {
  Gate gate;
  gate.close();
  engine_->on_step([&](const engine::StepSeen&) { gate.pass(); });
  CodecRig rig(Protocol::openai_embeddings,
               Json{{"model", "m"}, {"input", std::vector<std::string>(2000, "The world is good.")}}.dump());
  std::thread leaver([&] {
    gate.wait_for_arrival();
    core_.call([&] {
      rig.abort.fire({ErrorKind::cancelled, "test", Retry::no, 499, "left"});
      return true;
    });
  });
  const Answer answer = core_.run([&]() -> Task<Answer> { co_return co_await call(rig, {}); });
  leaver.join();
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->detail, "left");
  EXPECT_EQ(answer.usage.counts.input, 9 * 7);  // the step of at most 64 tokens that was under way
  gate.open();
  ASSERT_FALSE(ask({{"input", "a"}}).error);
  EXPECT_EQ(engine_->stats().running + engine_->stats().waiting, 0);
  EXPECT_EQ(engine_->stats().prefill_tokens, 9U * 7 + 3);
}

TEST_F(LocalEmbeddings, AClientThatLeavesBeforeItsTurnCostsTheTextThreadNothing) {
  CodecRig rig(Protocol::openai_embeddings,
               Json{{"model", "m"}, {"input", std::vector<std::string>(2000, std::string(40, 'x'))}}.dump());
  Gate gate;
  gate.close();
  ASSERT_TRUE(engine_->post_text(0, [&] { gate.pass(); }));
  gate.wait_for_arrival();
  rig.abort.fire({ErrorKind::cancelled, "test", Retry::no, 499, "left"});
  const Answer answer = core_.run([&]() -> Task<Answer> { co_return co_await call(rig, {}); });
  ASSERT_TRUE(answer.error);  // while the gate is closed
  EXPECT_EQ(answer.error->detail, "left");
  gate.open();
  ASSERT_FALSE(ask({{"input", "a"}}).error);
  EXPECT_EQ(engine_->stats().prefill_tokens, 3U);
}

}  // namespace
}  // namespace weir::providers
