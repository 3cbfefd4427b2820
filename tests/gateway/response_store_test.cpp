// Stored answers: whole conversations by their last id, only for the key that had them, in memory and in the file; and
// the calls that go on from them.
#include "gateway/response_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include "config/base/json.h"

#include "gateway/accounting/sqlite.h"
#include "gateway/api/openai_responses.h"
#include "gateway/api/openai_responses_state.h"

namespace weir::gateway {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using std::chrono::hours;

const WallTime kNow{std::chrono::hours(24 * 365 * 50)};

class ResponseStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("weir_responses_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path() const { return (folder_ / "responses.db").string(); }
  std::unique_ptr<ResponseStore> open(ResponseStoreOptions options = {}) {
    auto store = ResponseStore::open(path(), options);
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().detail);
    return store.ok() ? std::move(*store) : nullptr;
  }
  static StoredResponse turn(std::string id, std::string previous = {}, std::string key = "k") {
    return {std::move(id), std::move(key), std::move(previous), "[1]", "{}"};
  }
  fs::path folder_;
};

TEST_F(ResponseStoreTest, ReadsBackWhatWasPutBeforeAndAfterItIsWritten) {
  auto store = open();
  for (const bool flushed : {false, true}) {
    const std::string mark = flushed ? "b" : "a";
    ASSERT_TRUE(store->put(turn(mark + "1"), kNow));
    ASSERT_TRUE(store->put(turn(mark + "2", mark + "1"), kNow));
    ASSERT_TRUE(store->put(turn(mark + "3", mark + "2"), kNow));
    if (flushed) store->flush();
    auto turns = store->conversation(mark + "3", "k", kNow);
    ASSERT_TRUE(turns.ok()) << turns.error().detail;
    ASSERT_EQ(turns->size(), 3U);
    EXPECT_EQ(turns->front().id, mark + "1");
    EXPECT_EQ(turns->back().id, mark + "3");
    EXPECT_EQ(*store->response(mark + "2", "k", kNow), "{}");
  }
  store->flush();
  EXPECT_EQ(store->stats().written, 6U);
  EXPECT_GT(store->stats().bytes, 0U);
}

TEST_F(ResponseStoreTest, SurvivesARestart) {
  open()->put(turn("a"), kNow);  // closed again: what waits is written
  EXPECT_TRUE(open()->conversation("a", "k", kNow).ok());
}

TEST_F(ResponseStoreTest, IsForItsKeyAlone) {
  auto store = open();
  store->put(turn("a"), kNow);
  for (int i = 0; i < 2; ++i) {
    auto other = store->conversation("a", "other", kNow);
    ASSERT_FALSE(other.ok());
    EXPECT_EQ(other.error().code, "previous_response_not_found");
    EXPECT_EQ(other.error().http_status, 400);
    EXPECT_EQ(other.error().param, "previous_response_id");
    EXPECT_FALSE(store->remove("a", "other", kNow));
    store->flush();
  }
  // A turn that names another key's as its own past does not open it.
  store->put({"b", "other", "a", "[]", "{}"}, kNow);
  EXPECT_FALSE(store->conversation("b", "other", kNow).ok());
  store->flush();
  EXPECT_FALSE(store->conversation("b", "other", kNow).ok());
  EXPECT_TRUE(store->conversation("a", "k", kNow).ok());
}

TEST_F(ResponseStoreTest, RemovesAndForgets) {
  auto store = open();
  store->put(turn("a"), kNow);
  store->put(turn("b", "a"), kNow);
  EXPECT_TRUE(store->remove("a", "k", kNow));
  EXPECT_FALSE(store->conversation("b", "k", kNow).ok()) << "a chain with a gap is none";
  store->flush();
  EXPECT_FALSE(store->response("a", "k", kNow).ok());
  EXPECT_TRUE(store->response("b", "k", kNow).ok());
  EXPECT_FALSE(store->remove("a", "k", kNow));
}

TEST_F(ResponseStoreTest, KeepsAConversationAsLongAsItsLastTurn) {
  auto store = open();
  const WallTime later = kNow + hours(24 * 29);
  store->put(turn("a"), kNow);
  store->flush();
  store->put(turn("b", "a"), later);
  store->flush();
  EXPECT_TRUE(store->conversation("b", "k", later + hours(24 * 29)).ok());
  EXPECT_FALSE(store->conversation("b", "k", later + hours(24 * 32)).ok());
  store->put(turn("c"), later + hours(24 * 40));  // clears what is too old away
  store->flush();
  EXPECT_FALSE(store->response("a", "k", kNow).ok());
}

TEST_F(ResponseStoreTest, HasLimits) {
  auto store = open({.turn_bytes_max = 100, .chain_bytes_max = 60, .chain_turns_max = 3});
  StoredResponse large = turn("large");
  large.input = std::string(200, ' ');
  EXPECT_FALSE(store->put(large, kNow));
  EXPECT_EQ(store->stats().refused, 1U);
  for (int i = 0; i < 5; ++i) store->put(turn(std::to_string(i), i == 0 ? "" : std::to_string(i - 1)), kNow);
  EXPECT_TRUE(store->conversation("2", "k", kNow).ok());
  auto long_one = store->conversation("4", "k", kNow);
  ASSERT_FALSE(long_one.ok());
  EXPECT_EQ(long_one.error().http_status, 413);
  // A ring, which only a broken file could hold, ends at the limit.
  store->put(turn("x", "y"), kNow);
  store->put(turn("y", "x"), kNow);
  EXPECT_FALSE(store->conversation("x", "k", kNow).ok());
  store->flush();
  EXPECT_FALSE(store->conversation("x", "k", kNow).ok());
}

TEST_F(ResponseStoreTest, DropsTheOldestOfAFullTable) {
  auto store = open({.table_bytes_max = 64 * 1024});
  for (int i = 0; i < 200; ++i) {
    StoredResponse one = turn(std::to_string(i));
    one.input = std::string(4096, 'x');
    store->put(one, kNow + std::chrono::seconds(i));
    if (i % 10 == 0) store->flush();
  }
  store->flush();
  EXPECT_FALSE(store->response("0", "k", kNow).ok());
  EXPECT_LT(store->stats().bytes, 1024U * 1024);
}

TEST_F(ResponseStoreTest, RefusesAFileThatIsNotItsOwn) {
  std::ofstream(path()) << "this is no database, but long enough to be read as one: " << std::string(2000, 'x');
  auto store = ResponseStore::open(path());
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().kind, ErrorKind::config);
}

TEST_F(ResponseStoreTest, OneKeysAnswerDoesNotTakeAnothersPlace) {
  auto store = open();
  // Written or not: the owner's row, and the thief's.
  for (const auto& [id, owner_flushed, thief_flushed] :
       {std::tuple{"a", false, false}, std::tuple{"b", true, true}, std::tuple{"c", true, false}}) {
    store->put(turn(id), kNow);
    if (owner_flushed) store->flush();
    store->put(turn(id, {}, "thief"), kNow);
    if (thief_flushed) store->flush();
    EXPECT_TRUE(store->response(id, "k", kNow).ok()) << id;
    EXPECT_FALSE(store->remove(id, "nobody", kNow)) << id;
  }
  store->flush();
  for (const char* id : {"a", "b", "c"}) {
    EXPECT_TRUE(store->response(id, "k", kNow).ok()) << id;
    EXPECT_FALSE(store->response(id, "thief", kNow).ok()) << id;
  }
}

TEST_F(ResponseStoreTest, TakesOverAFileOfVersion1) {
  Connection old;
  ASSERT_TRUE(old.open(path()).ok());
  ASSERT_TRUE(old.execute("CREATE TABLE response(id TEXT PRIMARY KEY, key TEXT NOT NULL, previous TEXT NOT NULL, "
                          "created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL, input TEXT NOT NULL, response "
                          "TEXT NOT NULL); INSERT INTO response VALUES('a','k','',0,9e18,'[1]','{}'), "
                          "('i','k','',0,9e18,'[1]','{\"output\":[1,{\"id\":\"msg_1\"},{\"id\":2}]}'), "
                          "('n','k','',0,9e18,'[1]','no JSON'); "
                          "PRAGMA application_id = 1465013104; PRAGMA user_version = 1;")
                  .ok());
  auto store = open();
  auto turns = store->conversation("a", "k", kNow);
  ASSERT_TRUE(turns.ok());
  EXPECT_EQ(turns->front().account, "");
  EXPECT_EQ(store->with_item("msg_1", "k", kNow)->id, "i");
  EXPECT_FALSE(store->with_item("msg_1", "other", kNow).ok());
  StoredResponse bound = turn("b");
  bound.account = "openai-a";
  store->put(bound, kNow);
  store->flush();
  EXPECT_EQ(store->conversation("b", "k", kNow)->front().account, "openai-a");
}

// --- calls that go on -----------------------------------------------------------------------------------------------

providers::CallBody call_of(std::string_view json) {
  auto marked = providers::mark_call(providers::Protocol::openai_responses, json);
  EXPECT_TRUE(marked.ok()) << json << ": " << (marked.ok() ? "" : marked.error().detail);
  return marked.ok() ? std::move(*marked) : providers::CallBody{};
}

const char* kAnswer =
    R"({"id":"resp_weir_1","object":"response","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"b"}]}]})";

TEST_F(ResponseStoreTest, ACallGoesOnFromAStoredAnswer) {
  auto store = open();
  auto first = stored_turn("k", call_of(R"({"model":"m","input":"a","instructions":"i"})"), "", "", kAnswer);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id, "resp_weir_1");
  ASSERT_TRUE(store->put(*first, kNow));
  const std::string bodies[] = {
      R"({ "model":"m", "input" : "c" , "x":1.50, "previous_response_id" : "resp_weir_1" })",
      R"({ "previous_response_id" : "resp_weir_1" , "model":"m", "x":1.50, "input" : [ {"role":"user","content":"c"} ]})",
      R"({"previous_response_id":"resp_weir_1","model":"m","input":[],"x":1.50})",
      R"({"previous_response_id":"resp_weir_1","model":"m","x":1.50})"};
  for (size_t i = 0; i < std::size(bodies); ++i) {
    SCOPED_TRACE(bodies[i]);
    auto call = continue_call(store.get(), "k", call_of(bodies[i]), kNow);
    ASSERT_TRUE(call.ok()) << call.error().detail;
    ASSERT_TRUE(call->has_value());
    EXPECT_EQ((*call)->previous_id, "resp_weir_1");
    EXPECT_NE((*call)->body.find("1.50"), std::string::npos) << "every other byte stays";
    const Json body = read_json<Json>((*call)->body);
    EXPECT_TRUE(body["previous_response_id"].is_null());
    ASSERT_EQ(body["input"].size(), i < 2 ? 3U : 2U);
    EXPECT_EQ(body["input"][0]["content"], "a");
    EXPECT_EQ(body["input"][1]["content"][0]["text"], "b");
    EXPECT_TRUE(decode_responses((*call)->body).ok());
  }
  // The second turn's own input alone is stored; the chain gives the rest.
  auto second = stored_turn("k", call_of(bodies[0]), "resp_weir_1", "",
                            "event: x\ndata: {}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\","
                            "\"response\":{\"id\":\"resp_weir_2\",\"output\":[]}}\n\n");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->previous, "resp_weir_1");
  EXPECT_EQ(read_json<Json>(second->input).size(), 1U);
  store->put(*second, kNow);
  auto third = continue_call(store.get(), "k",
                             call_of(R"({"model":"m","input":"d","previous_response_id":"resp_weir_2"})"), kNow);
  ASSERT_TRUE(third.ok());
  EXPECT_EQ(read_json<Json>((*third)->body)["input"].size(), 4U);
}

TEST_F(ResponseStoreTest, OnlyFromAnswersOfItsOwn) {
  auto store = open();
  for (const char* body : {R"({"model":"m","input":"x"})", R"({"model":"m","input":"x","previous_response_id":null})",
                           R"({"model":"m","input":"x","previous_response_id":""})"}) {
    auto fresh = continue_call(store.get(), "k", call_of(body), kNow);
    ASSERT_TRUE(fresh.ok());
    EXPECT_FALSE(fresh->has_value());
  }
  // The name of the field can be written in other ways.
  for (const char* body : {R"({"model":"m","input":"x","previous_response_id":"resp_weir_none"})",
                           R"({"model":"m","input":"x","previous_response_id":"resp_abc"})",
                           R"({"model":"m","input":"x","previous_response\u005fid":"resp_abc"})"})
    for (ResponseStore* with : {store.get(), static_cast<ResponseStore*>(nullptr)}) {
      auto unknown = continue_call(with, "k", call_of(body), kNow);
      ASSERT_FALSE(unknown.ok());
      EXPECT_EQ(unknown.error().code, "previous_response_not_found");
      EXPECT_EQ(unknown.error().http_status, 400);
    }
}

TEST_F(ResponseStoreTest, AnUpstreamsAnswerTiesTheCallToItsAccount) {
  auto store = open();
  const auto asked = call_of(R"({"model":"m","input":"a"})");
  for (const char* answer :
       {R"({"object":"response","output":[],"usage":{"input_tokens":70,"output_tokens":7},"id":"resp_abc"})",
        "event: response.completed\r\ndata:{\"response\":{\"id\":\"resp_abc\",\"usage\":{\"input_tokens\":70,"
        "\"output_tokens\":7}},\"type\":\"response.completed\"}\r\n\r\n"}) {
    SCOPED_TRACE(answer);
    auto turn = stored_turn("k", asked, "", "openai-a", answer);
    ASSERT_TRUE(turn);
    EXPECT_EQ(turn->id, "resp_abc");
    EXPECT_EQ(read_json<Json>(turn->response)["id"], "resp_abc");
    store->put(*turn, kNow);
    const char* next = R"({"model":"m","input":"b","previous_response_id":"resp_abc"})";
    auto call = continue_call(store.get(), "k", call_of(next), kNow);
    ASSERT_TRUE(call.ok());
    ASSERT_TRUE(call->has_value());
    EXPECT_EQ((*call)->account, "openai-a");
    EXPECT_EQ((*call)->body, "") << "it goes as it is";
    EXPECT_EQ((*call)->held_tokens, 77);
    EXPECT_FALSE(continue_call(store.get(), "other", call_of(next), kNow).ok());
  }
}

TEST_F(ResponseStoreTest, AnItemIsNamedByWhoHasItAlone) {
  auto store = open();
  const auto asked = call_of(R"({"model":"m","input":"a"})");
  const char* ours =
      R"({"id":"resp_weir_1","output":[{"id":"msg_1","type":"message","role":"assistant","content":[]}]})";
  const char* theirs = R"({"output":[{"type":"reasoning"},{"id":"rs_1","type":"reasoning"}],"id":"resp_abc",)"
                       R"("usage":{"input_tokens":70,"output_tokens":7}})";
  const char* elsewhere = R"({"output":[{"id":"rs_2"}],"id":"resp_def"})";
  store->put(*stored_turn("k", asked, "", "", ours), kNow);
  store->put(*stored_turn("k", asked, "", "openai-a", theirs), kNow);
  store->put(*stored_turn("k", asked, "", "openai-b", elsewhere), kNow);
  for (const bool written : {false, true}) {
    if (written) store->flush();
    const auto one = call_of(R"({"model":"m","input":[{"type":"item_reference","id":"rs_1"}],"x":1.50})");
    auto referred = refer_to_items(store.get(), "k", one, kNow);
    ASSERT_TRUE(referred.ok()) << referred.error().detail;
    EXPECT_EQ(referred->account, "openai-a");
    EXPECT_EQ(referred->body, "") << "it goes as it is";
    EXPECT_EQ(referred->held_tokens, 77);
    const auto both = call_of(R"({"model":"m","input":[{"id":"rs_1"},{"id":"msg_1","type":null},"x"],"x":1.50})");
    referred = refer_to_items(store.get(), "k", both, kNow);
    ASSERT_TRUE(referred.ok()) << referred.error().detail;
    EXPECT_EQ(referred->account, "openai-a");
    EXPECT_EQ(referred->body,
              R"({"model":"m","input":[{"id":"rs_1"},{"id":"msg_1","type":"message","role":"assistant",)"
              R"("content":[]},"x"],"x":1.50})");
    for (const char* key : {"other", "k"}) {
      const auto unknown = call_of(key == std::string("k") ? R"({"model":"m","input":[{"id":"rs_9"}]})" : both.json);
      for (ResponseStore* with : {store.get(), static_cast<ResponseStore*>(nullptr)}) {
        auto refused = refer_to_items(with, key, unknown, kNow);
        ASSERT_FALSE(refused.ok());
        EXPECT_EQ(refused.error().code, "item_not_found");
        EXPECT_EQ(refused.error().http_status, 404);
        EXPECT_EQ(refused.error().param, "input");
      }
    }
    auto apart =
        refer_to_items(store.get(), "k", call_of(R"({"model":"m","input":[{"id":"rs_1"},{"id":"rs_2"}]})"), kNow);
    ASSERT_FALSE(apart.ok());
    EXPECT_EQ(apart.error().http_status, 400);
  }
  store->remove("resp_abc", "k", kNow);
  EXPECT_FALSE(store->with_item("rs_1", "k", kNow).ok());
  store->flush();
  EXPECT_FALSE(store->with_item("rs_1", "k", kNow).ok());
  EXPECT_TRUE(store->with_item("rs_2", "k", kNow).ok());
}

TEST_F(ResponseStoreTest, NotEveryAnswerIsStored) {
  const auto stored = [](const char* body, std::string_view answer) {
    return stored_turn("k", call_of(body), "", "", answer).has_value();
  };
  EXPECT_FALSE(stored(R"({"model":"m","input":"a","store":false})", kAnswer));
  EXPECT_TRUE(stored(R"({"model":"m","input":"a","store":null})", kAnswer));
  const char* body = R"({"model":"m","input":"a"})";
  EXPECT_FALSE(
      stored(body, "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"x\"}}\n\n"));
  EXPECT_FALSE(stored(body, "event: response.failed\ndata: {}\n\n"));
  EXPECT_FALSE(stored(body, ""));
  EXPECT_FALSE(stored(body, "{"));
  EXPECT_FALSE(stored(body, R"({"id":7})"));
}

}  // namespace
}  // namespace weir::gateway
