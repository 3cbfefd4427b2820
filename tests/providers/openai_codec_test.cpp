// The openai codec: requests whose bytes change nowhere but where they must, usage, errors and broken streams. Recorded
// traffic of every compatible provider is in wire_corpus_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "providers/openai.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

const Codec& codec() {
  config::AccountConfig account;
  account.provider = "openai";
  account.api_key = Secret("sk-upstream");
  static const std::unique_ptr<Codec> made = make_openai_codec(account, "/v1");
  return *made;
}

std::string encoded(const std::string& json, std::string_view model, std::optional<int64_t> cap = {}) {
  CodecRig rig(Protocol::openai_chat, json);
  rig.cap = cap;
  const Encoded out = encode(codec(), rig, model);
  EXPECT_FALSE(out.error);
  EXPECT_EQ(out.target, "/v1/chat/completions");
  return out.body;
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

TEST(OpenAiCodec, WhatSteersPastThePolicyIsTakenOut) {
  const std::string messages = R"("messages":[{"role":"user","content":"hi"}])";
  const auto sent = [&](const std::string& fields, std::optional<int64_t> cap = {}) {
    return read_json<Json>(encoded(R"({"model":"a",)" + messages + fields + "}", "a", cap));
  };
  EXPECT_EQ(sent(R"(,"n_predict":60000)").value("n_predict", 0), 60000) << "it is the call's own limit";
  EXPECT_FALSE(sent(R"(,"n_predict":60000)", 9).contains("n_predict"));
  EXPECT_EQ(sent(R"(,"n_predict":60000)", 9)["max_completion_tokens"], 9);
  const Json both = sent(R"(,"max_tokens":5,"n\u005fpredict":-1,"max_new_tokens":70000)");
  EXPECT_FALSE(both.contains("n_predict") || both.contains("max_new_tokens"));
  EXPECT_EQ(both["max_tokens"], 5);
  const Json others = sent(R"(,"models":["dear"],"route":"fallback","n_cmpl":50)");
  EXPECT_FALSE(others.contains("models") || others.contains("n_cmpl"));
  const std::string limited = R"({"model":"a",)" + messages + R"(,"n_predict":60000,"max_tokens":5})";
  EXPECT_EQ(mark_call(Protocol::openai_chat, limited)->output_tokens_max, 60000) << "the most that can be asked of us";
  const std::string later = R"({"model":"a",)" + messages + R"(,"deferred":true})";
  EXPECT_EQ(mark_call(Protocol::openai_chat, later).error().param, "deferred");
}

TEST(OpenAiCodec, NothingSteersWhateverTheProtocol) {
  for (const auto& [protocol, path, rest] :
       {std::tuple{Protocol::openai_responses, "/v1/responses", R"("input":"hi")"},
        std::tuple{Protocol::openai_embeddings, "/v1/embeddings", R"("input":"hi")"},
        std::tuple{Protocol::openai_images, "/v1/images/generations", R"("prompt":"a cat")"}}) {
    CodecRig rig(protocol, R"({"model":"a","models":["dear"],"route":"fallback","preset":"x","fallbacks":["dear"],)" +
                               std::string(rest) + "}");
    const Encoded out = encode(codec(), rig, "a");
    EXPECT_EQ(out.target, path);
    EXPECT_EQ(out.body, R"({"model":"a",)" + std::string(rest) + "}");
    EXPECT_EQ(out.dropped, "models,route,preset,fallbacks");
  }
}

Decoded decode(const std::vector<std::string_view>& pieces) {
  CodecRig rig(Protocol::openai_chat, "", true);
  return decode_pieces(codec(), rig, "a", pieces);
}

TEST(OpenAiCodec, EveryChoiceMustHaveFinishedWhereNoEndMarkCame) {
  const std::string first = R"(data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]})"
                            "\n\n";
  const std::string second = R"(data: {"choices":[{"index":1,"delta":{"content":"b"},"finish_reason": null}]})"
                             "\n\n";
  const std::string second_end = R"(data: {"choices":[{"index":1,"delta":{},"finish_reason": "length"}]})"
                                 "\n\n";
  const std::string both =
      R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"finish_reason":"stop"}]})"
      "\n\n";
  const auto decode_two = [](const std::string& text) {
    CodecRig rig(Protocol::openai_chat,
                 R"({"model":"m","stream":true,"n":2,"messages":[{"role":"user","content":"x"}]})", true);
    return decode_pieces(codec(), rig, "a", {text});
  };
  const Decoded half = decode_two(first + second);
  EXPECT_TRUE(half.error && !half.end && !half.reported);
  EXPECT_GT(half.counts.output, 0);
  EXPECT_TRUE(decode_two(first + second + second_end).end);
  EXPECT_TRUE(decode_two(both).end);
  EXPECT_TRUE(decode_two(first + second + "data: [DONE]\n\n").end);
}

TEST(OpenAiCodec, UsageErrorsAndBrokenStreams) {
  const Decoded usage = decode({"data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n",
                                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,"
                                "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n"});
  EXPECT_TRUE(usage.end && usage.done && usage.reported);
  EXPECT_EQ(usage.counts, (config::TokenCounts{9, 4, 3, 0}));
  const Decoded apart = decode({"data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n",
                                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":32,\"completion_tokens\":9,"
                                "\"total_tokens\":135,\"completion_tokens_details\":{\"reasoning_tokens\":94}}}\n\n"
                                "data: [DONE]\n\n"});
  EXPECT_EQ(apart.counts.output, 103) << "xAI counts reasoning beside the completion";
  EXPECT_EQ(apart.counts.reasoning, 94);
  const Decoded broken = decode({"data: {\"choices\":[{\"delta\":{\"content\":\"some text\"}}]}\n\n"});
  EXPECT_TRUE(broken.error && !broken.reported);
  EXPECT_GT(broken.counts.output, 0) << "what came is charged as an estimate";
  EXPECT_TRUE(decode({"data: {\"error\":{\"message\":\"boom\"}}\n\n"}).error);
  EXPECT_FALSE(
      decode({"data: {\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\": no\"},\"finish_reason\":\"stop\"}]}\n\n"})
          .error);
}

TEST(OpenAiCodec, CommentsBeforeTheFirstEventComeWithIt) {
  const std::string waiting = ": OPENROUTER PROCESSING\n\n";
  const std::string word = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
  CodecRig rig(Protocol::openai_chat, "", true);
  ReplyBatch batch;
  const auto attempt = rig.attempt("a");
  const auto decoder = make_openai_decoder(attempt);
  decoder->feed(waiting, batch);
  decoder->feed(waiting, batch);
  EXPECT_TRUE(batch.segments.empty()) << "a comment is no first token";
  decoder->feed(word, batch);
  std::string passed;
  for (const Segment& segment : batch.segments) passed += segment.bytes;
  EXPECT_EQ(passed, waiting + waiting + word);
  batch.clear();
  decoder->feed(waiting, batch);
  ASSERT_EQ(batch.segments.size(), 1U) << "later ones pass as they come";
  EXPECT_EQ(batch.segments[0].bytes, waiting);

  const Decoded refused = decode({waiting, "data: {\"error\":{\"message\":\"no such model\"}}\n\n"});
  EXPECT_TRUE(refused.error);
  EXPECT_EQ(refused.bytes.find("PROCESSING"), std::string::npos) << "nothing was said: another target may answer";
}

TEST(OpenAiCodec, WhatOnlyOpensAnAnswerComesWithItsFirstWord) {
  const std::string filter =
      "data: {\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n";
  const std::string role =
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
      "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
  const std::string waits = ": keep-alive\n\ndata: \n\nevent: ping\ndata: {}\n\n";
  const std::string rest[] = {
      "{\"delta\":{\"content\":\"hi\"}}", "{\"delta\":{\"reasoning\":\"hm\"}}",
      "{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}",
      "{\"delta\":{},\"finish_reason\":\"stop\"}"};
  for (const std::string& choice : rest) {
    const std::string next = "data: {\"choices\":[" + choice + "]}\n\n";
    CodecRig rig(Protocol::openai_chat, "", true);
    ReplyBatch batch;
    const auto attempt = rig.attempt("a");
    const auto decoder = make_openai_decoder(attempt);
    decoder->feed(filter, batch);
    decoder->feed(role, batch);
    decoder->feed(waits, batch);
    EXPECT_TRUE(batch.segments.empty()) << "no first token yet: another target may answer";
    decoder->feed(next, batch);
    std::string passed;
    for (const Segment& segment : batch.segments) passed += segment.bytes;
    EXPECT_EQ(passed, filter + role + waits + next);
    batch.clear();
    decoder->feed(role, batch);
    EXPECT_EQ(batch.segments.size(), 1U) << "later ones pass as they come";
  }
  const Decoded silent = decode({role});
  EXPECT_TRUE(silent.error && silent.bytes.empty());
}

TEST(OpenAiCodec, AStreamThatBeginsWithGarbageIsNone) {
  for (const char* garbage : {"data: {not json\n\n", "event: m\ndata: {not json\n\n", "data: \"x\"\n\n",
                              "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: nonsense\n\n"}) {
    const Decoded decoded = decode({garbage});
    EXPECT_TRUE(decoded.error && decoded.bytes.empty()) << garbage;
  }
}

/// As events, for a client of another protocol; `n` choices were asked for.
Decoded events_of(std::initializer_list<std::string_view> stream, int64_t n = 1) {
  CodecRig rig(Protocol::gemini_generate, "", true);
  rig.body.n = n;
  return decode_every_way([&] { return make_openai_event_decoder(rig.attempt("m")); }, sse(stream));
}

TEST(OpenAiCodec, AnErrorThatSaysNothingIsNone) {
  for (const std::string nothing : {"null", "false", R"("")", "{}", "[]"}) {
    const std::string event =
        R"(data: {"error":)" + nothing + R"(,"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]})" + "\n\n";
    const Decoded out = decode({event, "data: [DONE]\n\n"});
    EXPECT_TRUE(!out.error && out.done) << nothing;
    EXPECT_FALSE(events_of({event.substr(6, event.size() - 8)}).error) << nothing;
  }
  EXPECT_TRUE(decode({"data: {\"error\":\"boom\"}\n\n"}).error);
  EXPECT_TRUE(decode({"data: {\"error\":{\"code\":500}}\n\n"}).error);
}

std::string calls_chunk(const std::string& calls) {
  return R"({"choices":[{"index":0,"delta":{"tool_calls":[)" + calls + "]}}]}";
}

TEST(OpenAiEvents, ToolCallsAreToldApartHoweverTheyAreNumbered) {
  const std::string end = R"({"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]})";
  const auto calls = [&](std::initializer_list<std::string> chunks) {
    std::string text;
    for (const std::string& one : chunks) text += sse({calls_chunk(one)});
    CodecRig rig(Protocol::gemini_generate, "", true);
    return decode_every_way([&] { return make_openai_event_decoder(rig.attempt("m")); }, text + sse({end})).calls();
  };
  using testing::ElementsAre;
  EXPECT_THAT(calls({R"({"function":{"name":"f","arguments":"{}"}})", R"({"function":{"name":"g","arguments":"{}"}})"}),
              ElementsAre("call_7_0 f {}", "call_7_1 g {}"))
      << "neither index nor id";
  EXPECT_THAT(
      calls({R"({"id":"a","function":{"name":"f","arguments":""}})", R"({"function":{"arguments":"{\"x\":"}})",
             R"({"id":"a","function":{"arguments":"1}"}},{"id":"b","function":{"name":"g","arguments":"{}"}})"}),
      ElementsAre(R"(a f {"x":1})", "b g {}"));
  EXPECT_THAT(calls({R"({"index":0,"id":"a","function":{"name":"f","arguments":"{"}})",
                     R"({"index":0,"id":"a","function":{"name":"f","arguments":"}"}})"}),
              ElementsAre("a f {}"))
      << "id and name in every piece";
  EXPECT_THAT(calls({R"({"index":0,"id":"a","function":{"name":"f","arguments":"{}"}})",
                     R"({"index":0,"id":"b","function":{"name":"f","arguments":"{}"}})"}),
              ElementsAre("a f {}", "b f {}"))
      << "every call index 0";
  EXPECT_THAT(calls({R"({"index":0,"id":"a"})", R"({"index":0,"function":{"name":"get_"}})",
                     R"({"index":0,"function":{"name":"weather","arguments":""}})",
                     R"({"index":0,"function":{"arguments":"{}"}})"}),
              ElementsAre("a get_weather {}"))
      << "the name after the id, in pieces";
  EXPECT_THAT(
      calls({R"({"index":0,"id":"a","function":{"name":"get_"}})", R"({"index":1,"id":"b","function":{"name":"set_"}})",
             R"({"index":0,"function":{"name":"x"}})", R"({"index":1,"function":{"name":"y","arguments":"{}"}})"}),
      ElementsAre("a get_x ", "b set_y {}"))
      << "names of two calls in pieces";
  EXPECT_THAT(calls({R"({"index":0,"id":"a","function":{"name":null,"arguments":"{"}})",
                     R"({"index":0,"function":{"name":"f","arguments":"}"}})"}),
              ElementsAre("a f {}"))
      << "the name after its arguments";
  EXPECT_THAT(calls({R"({"index":0,"function":{"name":"f","arguments":"{}"}})",
                     R"({"index":0,"function":{"name":"g","arguments":"{}"}})"}),
              ElementsAre("call_7_0 f {}", "call_7_1 g {}"))
      << "index 0 and no id";
  EXPECT_THAT(
      calls({R"({"index":0,"id":"a","function":{"name":"f"}})", R"({"index":1,"id":"b","function":{"name":"g"}})"}),
      ElementsAre("a f ", "b g "))
      << "without arguments";
}

TEST(OpenAiEvents, ACallWithoutANameIsNamedAsAFault) {
  const Decoded out = events_of({calls_chunk(R"({"index":0,"id":"a","function":{"arguments":"{}"}})")});
  ASSERT_TRUE(out.error);
  EXPECT_EQ(out.error->http_status, 502);
}

TEST(OpenAiEvents, AnErrorWithinAGoodAnswerKeepsItsClass) {
  for (const char* code : {"429", R"("429")", R"("rate_limit_exceeded")"}) {
    const std::string event = std::string(R"({"error":{"code":)") + code + R"(,"message":"slow down"}})";
    const Decoded translated = events_of({event});
    ASSERT_TRUE(translated.error) << code;
    EXPECT_EQ(translated.error->kind, ErrorKind::rate_limit) << code;
    const Decoded passed = decode({"data: " + event + "\n\n"});
    ASSERT_TRUE(passed.error) << code;
    EXPECT_EQ(passed.error->kind, ErrorKind::rate_limit) << code;
  }
  EXPECT_EQ(events_of({R"({"error":"the model is gone"})"}).error->detail, "the model is gone");
}

TEST(OpenAiEvents, TheOldFormOfACallIsOne) {
  const Decoded out = events_of({R"({"choices":[{"index":0,"delta":{"function_call":{"name":"f","arguments":""}}}]})",
                                 R"({"choices":[{"index":0,"delta":{"function_call":{"arguments":"{\"a\":1}"}}}]})",
                                 R"({"choices":[{"index":0,"delta":{},"finish_reason":"function_call"}]})"});
  EXPECT_THAT(out.calls(), testing::ElementsAre(R"(call_7_0 f {"a":1})"));
  EXPECT_EQ(out.stop(), StopReason::tool_calls);
}

TEST(OpenAiEvents, EveryChoiceThatWasAskedForMustHaveFinished) {
  const std::string_view first = R"({"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]})";
  const std::string_view second = R"({"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]})";
  EXPECT_TRUE(events_of({first}).end);
  EXPECT_TRUE(events_of({first}, 2).error) << "the second never came";
  EXPECT_TRUE(events_of({first, second}, 2).end);
  EXPECT_TRUE(events_of({first, "[DONE]"}, 2).end) << "the upstream says that this is all";
}

TEST(OpenAiEvents, StopReasonsOfTheCompatibles) {
  const auto ended = [](const std::string& reason) {
    return events_of({R"({"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":")" + reason + "\"}]}"});
  };
  EXPECT_EQ(ended("model_length").stop(), StopReason::length);
  EXPECT_EQ(ended("model_context_window_exceeded").stop(), StopReason::length);
  EXPECT_EQ(ended("sensitive").stop(), StopReason::content_filter);
  EXPECT_TRUE(ended("network_error").error);
}

TEST(OpenAiEvents, AByteOrderMarkIsNoPartOfTheFirstEvent) {
  CodecRig rig(Protocol::gemini_generate, "", true);
  const std::string text =
      "\xEF\xBB\xBF" + sse({R"({"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]})"});
  EXPECT_EQ(decode_every_way([&] { return make_openai_event_decoder(rig.attempt("m")); }, text).text(), "a");
}

TEST(OpenAiEvents, SourcesBesideTheChoicesAreCitationsOnce) {
  const std::string_view piece = R"({"search_results":[{"title":"T","url":"https://a"}],"citations":["https://a"],
      "choices":[{"index":0,"delta":{"content":"x"}}]})";
  const Decoded out = events_of({piece, piece, R"({"citations":["https://a","https://b"],
      "choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"});
  std::vector<std::string> urls;
  for (const ChatEvent& event : out.events)
    if (event.kind == ChatEvent::Kind::citation) urls.push_back(event.citation["url_citation"]["url"]);
  EXPECT_THAT(urls, testing::ElementsAre("https://a", "https://b"));
}

TEST(OpenAiEvents, SignaturesOfOpenRoutersModels) {
  const Decoded out = events_of(
      {R"({"choices":[{"index":0,"delta":{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm",
           "format":"anthropic-claude-v1"}]}}]})",
       R"({"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.text","signature":"SIG",
           "format":"anthropic-claude-v1"}]}}]})",
       R"({"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.encrypted","data":"ENC",
           "format":"openai-responses-v1"}]}}]})",
       R"({"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]})"});
  std::string seen;
  for (const ChatEvent& event : out.events)
    if (event.kind == ChatEvent::Kind::signature)
      seen += event.signature + "/" + event.redacted + "/" + std::to_string(static_cast<int>(event.signer)) + " ";
  EXPECT_EQ(seen, "SIG//1 /ENC/3 ");
  EXPECT_EQ(out.all(ChatEvent::Kind::reasoning), "hm");
}

TEST(OpenAiEvents, HalvesOfACharacterAreJoined) {
  const Decoded out = events_of({R"({"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]})",
                                 R"({"choices":[{"index":0,"delta":{"content":"\ude00b"},"finish_reason":"stop"}]})"});
  EXPECT_FALSE(out.error);
  EXPECT_EQ(out.text(),
            "a\xF0\x9F\x98\x80"
            "b");
  const auto text = [](const char* content) {
    return std::string(R"({"choices":[{"index":0,"delta":{"content":")") + content + "\"}}]}";
  };
  const Decoded alike = events_of({text("a"), text("b\\ud83d"), text("\\ude00c"), text("d"),
                                   R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"});
  EXPECT_EQ(alike.text(),
            "ab\xF0\x9F\x98\x80"
            "cd");
}

TEST(OpenAiEvents, AnAnswerThatFailsIsPaid) {
  const auto failed = [](const char* more) {
    return events_of({std::string(R"({"choices":[{"index":0,"delta":{},"finish_reason":"error")") + more + "}]}",
                      R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}})"});
  };
  const Decoded gave_up = failed("");
  ASSERT_TRUE(gave_up.error) << gave_up;
  EXPECT_EQ(gave_up.error->kind, ErrorKind::overloaded);
  const Decoded spoiled = failed(R"(,"native_finish_reason":"MALFORMED_FUNCTION_CALL")");
  ASSERT_TRUE(spoiled.error) << spoiled;
  EXPECT_EQ(spoiled.error->kind, ErrorKind::unusable);
  EXPECT_EQ(spoiled.error->retry, Retry::other_target);
  for (const Decoded* out : {&gave_up, &spoiled}) {
    EXPECT_FALSE(out->end);
    EXPECT_TRUE(out->reported) << "the usage comes behind it";
    EXPECT_EQ(out->counts, (config::TokenCounts{.input = 7, .output = 5}));
  }
}

TEST(OpenAiEvents, ARefusalIsNoEndOfTurn) {
  const Decoded out = events_of({R"({"choices":[{"index":0,"delta":{"refusal":"no"}}]})",
                                 R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"});
  EXPECT_EQ(out.stop(), StopReason::refusal);
}

TEST(OpenAiEvents, UsageInTheCompatiblesOwnPlaces) {
  const auto counts = [](const std::string& usage) { return openai_usage_counts(usage)->counts; };
  EXPECT_EQ(counts(R"({"prompt_tokens":10,"completion_tokens":1,"cached_tokens":4})").cached_input, 4);  // Moonshot
  EXPECT_EQ(counts(R"({"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cache_write_tokens":6}})")
                .cache_write_5m,
            6);  // OpenRouter
  EXPECT_EQ(counts(R"({"prompt_tokens":10.0,"completion_tokens":1e1})"), (config::TokenCounts{10, 0, 10, 0}));
  EXPECT_FALSE(openai_usage_counts(R"({"prompt_tokens":10.5,"completion_tokens":"1"})"));
}

}  // namespace
}  // namespace weir::providers
