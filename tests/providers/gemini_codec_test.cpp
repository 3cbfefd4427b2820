// The gemini codec: what a neutral request becomes, and what answers mean, broken ones too. Recorded traffic is in
// wire_corpus_test.cpp.
#include "providers/gemini.h"

#include <gmock/gmock.h>

#include <gtest/gtest.h>

#include "providers/json_text.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::unique_ptr<Codec> codec(const std::string& base_path = "", bool drop = false) {
  config::AccountConfig account;
  account.api_key = Secret("key");
  account.drop_params = drop;
  return make_gemini_codec(account, base_path);
}

Json encoded(CodecRig& rig, std::string_view model = "gemini-2.5-flash") {
  const Encoded out = encode(*codec(), rig, model);
  EXPECT_FALSE(out.error) << (out.error ? out.error->detail : "");
  return out.json();
}

TEST(GeminiCodec, Conversation) {
  CodecRig rig;
  rig.say(Role::system, "be brief");
  rig.say(Role::user, "hi");
  const Part thought = thinking_part("hm", "foreign", Signer::anthropic);
  Part call = Part::of_call({"a", "temp", R"({"city":"Rome"})"});
  call.signer = Signer::gemini;
  call.signature = "c2ln";
  rig.say(Role::assistant, {thought, call, Part::of_call({"b", "sky", ""})});
  rig.answer("a", R"({"t":21})");
  rig.answer("b", "rain").tool_failed = true;
  rig.say(Role::developer, "and kind");
  const Json body = encoded(rig);
  EXPECT_EQ(body.dump(),
            R"({"systemInstruction":{"parts":[{"text":"be brief"},{"text":"and kind"}]},"contents":[)"
            R"({"role":"user","parts":[{"text":"hi"}]},)"
            R"({"role":"model","parts":[{"text":"hm","thought":true},)"
            R"({"functionCall":{"name":"temp","id":"a","args":{"city":"Rome"}},"thoughtSignature":"c2ln"},)"
            R"({"functionCall":{"name":"sky","id":"b","args":{}}}]},)"
            R"({"role":"user","parts":[{"functionResponse":{"name":"temp","id":"a","response":{"t":21}}},)"
            R"({"functionResponse":{"name":"sky","id":"b","response":{"error":"rain"}}}]}]})");
  rig.request.messages[2].parts[1].signature.clear();
  EXPECT_EQ(encoded(rig, "gemini-3-flash-preview")["contents"][1]["parts"][1]["thoughtSignature"],
            "skip_thought_signature_validator");
  rig.request.messages[3].tool_call_id = "unknown";
  EXPECT_EQ(encode(*codec("", true), rig, "gemini-2.5-flash").error->param, "messages[3].tool_call_id");
}

TEST(GeminiCodec, EmptyConversationsAndGemma) {
  CodecRig rig;
  rig.say(Role::system, "only this");
  EXPECT_EQ(encoded(rig)["contents"].dump(), R"([{"role":"user","parts":[{"text":"only this"}]}])");
  EXPECT_FALSE(encoded(rig).contains("systemInstruction"));
  rig.request.messages = {Message{}};
  EXPECT_EQ(encoded(rig)["contents"].size(), 1u);
  rig.request.messages.clear();
  rig.say(Role::user, "hi");
  rig.say(Role::system, "s");
  EXPECT_EQ(encoded(rig, "gemma-3-27b-it")["contents"][0]["parts"][0]["text"], "s");
}

TEST(GeminiCodec, Media) {
  CodecRig rig;
  Message& user = rig.say(Role::user, "look");
  Part image{.kind = Part::Kind::image};
  image.media.data = "iVBORw0KGgo=";
  image.media.detail = "low";
  Part url{.kind = Part::Kind::image};
  url.media.url = "https://example.com/a.webp?size=1";
  const Part audio = media_part(Part::Kind::audio, "audio/mpeg", "SUQz");
  Part file{.kind = Part::Kind::file};
  file.media.file_id = "files/abc";
  user.parts.insert(user.parts.end(), {image, url, audio, file});
  const Json body = encoded(rig);
  EXPECT_EQ(body["contents"][0]["parts"].dump(),
            R"([{"text":"look"},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}},)"
            R"({"fileData":{"mimeType":"image/webp","fileUri":"https://example.com/a.webp?size=1"}},)"
            R"({"inlineData":{"mimeType":"audio/mpeg","data":"SUQz"}},)"
            R"({"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}])");
  EXPECT_EQ(body["generationConfig"]["mediaResolution"], "MEDIA_RESOLUTION_LOW");
  rig.request.messages[0].parts[4].media.file_id = "file-openai";
  EXPECT_EQ(encode(*codec("", true), rig, "gemini-2.5-flash").error->param, "messages[0].content[4]");

  rig.request.messages.clear();
  rig.say(Role::user, "x");
  rig.say(Role::assistant, std::vector<Part>{Part::of_call({"a", "shot", "{}"})});
  rig.answer("a", "done").parts.push_back(image);
  const Json beside = encoded(rig)["contents"][2]["parts"];
  EXPECT_TRUE(beside.size() == 2 && beside[1].contains("inlineData"));
  const Json within = encoded(rig, "gemini-3.1-pro-preview")["contents"][2]["parts"];
  EXPECT_EQ(within.size(), 1u);
  EXPECT_EQ(within[0]["functionResponse"]["parts"][0]["inlineData"]["data"], "iVBORw0KGgo=");
}

TEST(GeminiCodec, Configuration) {
  CodecRig rig;
  ChatRequest& in = rig.request;
  rig.say(Role::user, "hi");
  in.temperature = 0.5;
  in.top_p = 0.9;
  in.top_k = 40;
  in.output_tokens_max = 100;
  in.presence_penalty = 1;
  in.seed = 7;
  in.n = 2;
  in.stop = {"END"};
  in.logprobs = true;
  in.top_logprobs = 3;
  in.response_format.kind = ResponseFormat::Kind::json_schema;
  in.response_format.schema = read_json<Json>(R"({"type":"object","additionalProperties":false})");
  in.service_tier = "flex";
  in.extensions["cachedContent"] = "cachedContents/x";
  in.extensions["generationConfig"] = {{"audioTimestamp", true}};
  rig.cap = 60;
  EXPECT_EQ(encoded(rig).dump(),
            R"({"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"temperature":0.5,"topP":0.9,)"
            R"("topK":40,"maxOutputTokens":60,"presencePenalty":1.0,"seed":7,"candidateCount":2,)"
            R"("stopSequences":["END"],"responseLogprobs":true,"logprobs":3,"responseMimeType":"application/json",)"
            R"("responseJsonSchema":{"type":"object","additionalProperties":false},"audioTimestamp":true},)"
            R"("serviceTier":"flex","cachedContent":"cachedContents/x"})");
}

TEST(GeminiCodec, WhatCannotBeSaid) {
  CodecRig rig;
  ChatRequest& in = rig.request;
  rig.say(Role::user, "hi");
  in.logit_bias = {{5, 1.0}};
  in.user = "u";
  in.seed = int64_t{1} << 40;
  in.unmodelled["store"] = true;
  const Encoded refused = encode(*codec(), rig, "gemini-2.5-flash");
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code, "unsupported_parameter");
  EXPECT_EQ(refused.error->retry, Retry::other_target);
  const Encoded dropped = encode(*codec("", true), rig, "gemini-2.5-flash");
  EXPECT_FALSE(dropped.error);
  EXPECT_EQ(dropped.dropped, "seed,logit_bias,user,store");
  in = {};
  in.prompts = {"a", "b"};
  rig.say(Role::user, "a");
  EXPECT_EQ(encode(*codec("", true), rig, "gemini-2.5-flash").error->param, "prompt");
}

TEST(GeminiCodec, Tools) {
  CodecRig rig;
  ChatRequest& in = rig.request;
  rig.say(Role::user, "hi");
  Tool tool;
  tool.name = "f";
  tool.description = "d";
  tool.parameters =
      read_json<Json>(R"({"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"required":["a"],)"
                      R"("$defs":{"A":{"type":["string","null"],"const":"x"}},"additionalProperties":false})");
  Tool search;
  search.native = {{"googleSearch", Json::object()}};
  search.native_of = Protocol::gemini_generate;
  in.tools = {tool, search};
  in.tool_choice = {.kind = ToolChoice::Kind::named, .name = "f", .parallel = {}};
  const Json body = encoded(rig);
  EXPECT_EQ(body["tools"][0].dump(), R"({"googleSearch":{}})");
  EXPECT_EQ(body["tools"][1]["functionDeclarations"][0]["parametersJsonSchema"], tool.parameters);
  EXPECT_EQ(body["toolConfig"].dump(), R"({"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}})");
  EXPECT_EQ(encoded(rig, "gemini-2.0-flash")["tools"][1]["functionDeclarations"][0]["parameters"].dump(),
            R"({"type":"OBJECT","properties":{"a":{"nullable":true,"type":"STRING","enum":["x"]}},"required":["a"]})");
  in.tool_choice = {};
  in.tools = {tool};
  in.tools[0].strict = true;
  EXPECT_EQ(encoded(rig)["toolConfig"]["functionCallingConfig"]["mode"], "VALIDATED");
  in.tools[0].parameters["not"] = Json::object();
  EXPECT_THAT(encode(*codec(), rig, "gemini-2.0-flash").error->detail, HasSubstr("not"));
  in.tools[0].parameters = read_json<Json>(R"({"$ref":"#/$defs/A","$defs":{"A":{"items":{"$ref":"#/$defs/A"}}}})");
  EXPECT_THAT(encode(*codec(), rig, "gemini-2.0-flash").error->detail, HasSubstr("$ref"));
}

TEST(GeminiCodec, SchemasAreBounded) {
  CodecRig rig;
  rig.say(Role::user, "hi");
  const auto lost = [&](const Json& schema) {
    rig.request.tools.assign(1, Tool{.name = "f", .description = {}, .parameters = schema, .strict = {}});
    const Encoded out = encode(*codec(), rig, "gemini-2.0-flash");
    return out.error ? out.error->detail : std::string();
  };
  Json unknown = {{"type", "object"}};
  for (int i = 0; i < 100; ++i) unknown["k" + std::to_string(i)] = 1;
  EXPECT_THAT(lost(unknown), HasSubstr("k63"));
  EXPECT_THAT(lost(unknown), Not(HasSubstr("k64"))) << "an error that names so many is read by nobody";
  // 40 times a definition of 128 KiB
  Json large = {{"$defs", {{"a", {{"type", "string"}, {"description", std::string(128 * 1024, 'd')}}}}}};
  for (int i = 0; i < 20; ++i) large["properties"]["p" + std::to_string(i)] = {{"$ref", "#/$defs/a"}};
  EXPECT_EQ(lost(large), "");
  for (int i = 20; i < 40; ++i) large["properties"]["p" + std::to_string(i)] = {{"$ref", "#/$defs/a"}};
  EXPECT_THAT(lost(large), HasSubstr("$ref"));
}

TEST(GeminiCodec, Thinking) {
  struct Row {
    const char* model;
    const char* effort;
    const char* expected;  // "refused", or thinkingConfig
  };
  for (const Row& row : {
           Row{"gemini-2.5-flash", "low", R"({"includeThoughts":true,"thinkingBudget":2048})"},
           Row{"gemini-2.5-flash", "none", R"({"thinkingBudget":0})"},
           Row{"gemini-2.5-flash", "max", R"({"includeThoughts":true,"thinkingBudget":24576})"},
           Row{"gemini-2.5-pro", "max", R"({"includeThoughts":true,"thinkingBudget":32768})"},
           Row{"gemini-2.5-pro", "none", "refused"},
           Row{"gemini-3-flash-preview", "none", R"({"thinkingLevel":"minimal"})"},
           Row{"gemini-3-flash-preview", "medium", R"({"includeThoughts":true,"thinkingLevel":"medium"})"},
           Row{"gemini-3-pro-preview", "medium", R"({"includeThoughts":true,"thinkingLevel":"high"})"},
           Row{"gemini-3.1-pro-preview", "minimal", R"({"includeThoughts":true,"thinkingLevel":"low"})"},
           Row{"gemini-3.1-pro-preview", "none", "refused"},
           Row{"gemini-flash-latest", "high", R"({"includeThoughts":true,"thinkingLevel":"high"})"},
           Row{"gemini-2.0-flash", "none", "null"},
           Row{"gemini-2.0-flash", "low", "refused"},
       }) {
    SCOPED_TRACE(std::string(row.model) + " " + row.effort);
    CodecRig rig;
    rig.say(Role::user, "hi");
    rig.request.reasoning.effort = row.effort;
    const Encoded out = encode(*codec(), rig, row.model);
    if (out.error) {
      EXPECT_STREQ(row.expected, "refused");
      continue;
    }
    Json json = out.json();
    EXPECT_EQ(json["generationConfig"]["thinkingConfig"].dump(), row.expected);
  }
  CodecRig rig;
  rig.say(Role::user, "hi");
  rig.request.reasoning.budget_tokens = 5000;
  rig.request.reasoning.show = false;
  EXPECT_EQ(encoded(rig)["generationConfig"].dump(), R"({"thinkingConfig":{"thinkingBudget":5000}})");
  EXPECT_EQ(encoded(rig, "gemini-3-flash")["generationConfig"].dump(),
            R"({"thinkingConfig":{"thinkingLevel":"medium"}})");
}

TEST(GeminiCodec, AddressesAndPassThrough) {
  CodecRig rig(Protocol::gemini_generate, R"({ "contents" : [ {"parts":[{"text":"x"}]} ] , "x":1.50 })", true);
  Encoded out = encode(*codec(), rig, "gemini-2.5-flash");
  EXPECT_EQ(out.target, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
  EXPECT_EQ(out.body, rig.json);
  EXPECT_THAT(out.headers, HasSubstr("x-goog-api-key: key\r\n"));
  rig.body.sse = false;
  EXPECT_EQ(encode(*codec("/p/v1"), rig, "tunedModels/a b").target, "/p/v1/tunedModels/a%20b:streamGenerateContent");
  rig.body.stream = false;
  rig.cap = 9;
  out = encode(*codec("/p"), rig, "m");
  EXPECT_EQ(out.target, "/p/v1beta/models/m:generateContent");
  EXPECT_EQ(out.body,
            R"({"generationConfig":{"maxOutputTokens":9}, "contents" : [ {"parts":[{"text":"x"}]} ] , "x":1.50 })");
  const auto capped = [](std::string json) {
    CodecRig call(Protocol::gemini_generate, std::move(json));
    call.cap = 9;
    return encode(*codec(), call, "m").body;
  };
  EXPECT_EQ(capped(R"({"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"topK":1}})"),
            R"({"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":9,"topK":1}})");
  EXPECT_EQ(capped(R"({"generation_config": { } ,"contents":[{"parts":[{"text":"x"}]}]})"),
            R"({"generation_config": {"maxOutputTokens":9 } ,"contents":[{"parts":[{"text":"x"}]}]})");
  CodecRig images(Protocol::openai_images);
  EXPECT_EQ(encode(*codec(), images, "m").error->code, "unsupported_operation");
}

TEST(GeminiCodec, EmbeddingsAndCounts) {
  CodecRig rig(Protocol::openai_embeddings,
               R"({"model":"public","input":["a","b"],"dimensions":2,"encoding_format":"base64"})");
  const Encoded out = encode(*codec(), rig, "gemini-embedding-001");
  EXPECT_EQ(out.target, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
  EXPECT_EQ(out.body,
            R"({"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a"}]},)"
            R"("outputDimensionality":2},{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"b"}]},)"
            R"("outputDimensionality":2}]})");
  const char* answer = R"({"embeddings":[{"values":[1,0.5]},{"values":[-1,0.25]}]})";
  const Decoded binary = decode_whole(*codec(), rig, "m", answer);
  EXPECT_THAT(binary.bytes, HasSubstr(R"("index":0,"embedding":"AACAPwAAAD8="})"));
  EXPECT_THAT(binary.bytes, HasSubstr(R"("model":"public","usage":{"prompt_tokens":)"));
  EXPECT_FALSE(binary.reported);
  CodecRig plain(Protocol::openai_embeddings, R"({"model":"public","input":["a","b"]})");
  EXPECT_THAT(decode_whole(*codec(), plain, "m", answer).bytes, HasSubstr(R"("embedding":[-1,0.25]})"));
  CodecRig one(Protocol::openai_embeddings, R"({"model":"public","input":"a"})");
  EXPECT_THAT(decode_whole(*codec(), one, "m", answer).error_line(), HasSubstr("2 embeddings for 1 inputs"));
  CodecRig tokens(Protocol::openai_embeddings, R"({"model":"public","input":[[1,2]]})");
  EXPECT_EQ(encode(*codec(), tokens, "m").error->param, "input");
  CodecRig wrong(Protocol::openai_embeddings, R"({"model":"public","input":[]})");
  EXPECT_EQ(encode(*codec(), wrong, "m").error->param, "input");

  CodecRig count(Protocol::anthropic_count);
  count.say(Role::user, "hi");
  EXPECT_EQ(encode(*codec(), count, "m").body,
            R"({"generateContentRequest":{"model":"models/m","contents":[{"role":"user","parts":[{"text":"hi"}]}]}})");
  EXPECT_EQ(decode_whole(*codec(), count, "m", R"({"totalTokens": 12})").bytes, R"({"input_tokens":12})");
}

TEST(GeminiCodec, EventsOfAnAnswer) {
  CodecRig rig;
  const Decoded out = decode_whole(*codec(), rig, "m", R"({"candidates":[{"content":{"parts":[
      {"text":"plan","thought":true},{"text":"I look","thoughtSignature":"c2ln"},
      {"functionCall":{"name":"f","args":{"a":[1,2.5]}},"thoughtSignature":"Zg=="},{"functionCall":{"name":"g","id":"own"}},
      {"inlineData":{"mimeType":"image/png","data":"AA=="}},{}]},
      "finishReason":"STOP","citationMetadata":{"citationSources":[{"startIndex":1,"uri":"u"}]},
      "groundingMetadata":{"webSearchQueries":["q"]},
      "logprobsResult":{"chosenCandidates":[{"token":"I","logProbability":-0.5}],
                        "topCandidates":[{"candidates":[{"token":"I","logProbability":-0.5}]}]}},
      {"index":1,"content":{"parts":[{"text":"b"}]},"finishReason":"MAX_TOKENS"}],
      "usageMetadata":{"promptTokenCount":10,"toolUsePromptTokenCount":5,"candidatesTokenCount":7,"thoughtsTokenCount":3,
        "cachedContentTokenCount":4,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":6}]}})");
  EXPECT_THAT(out.lines(),
              ElementsAre("reasoning 0 plan", "text 0 I look", "signature 0 c2ln",
                          R"(call 0 0 call_7_0 f {"a":[1,2.5]})", "signature 0 Zg==", "call 0 1 own g {}",
                          "text 0 ![image](data:image/png;base64,AA==) +1", R"(citation 0 {"startIndex":1,"uri":"u"})",
                          R"(citation 0 {"groundingMetadata":{"webSearchQueries":["q"]}})", "text 1 b",
                          finish_line(StopReason::tool_calls), finish_line(StopReason::length, 1)));
  config::TokenCounts counts{.input = 15, .cached_input = 4, .output = 10, .reasoning = 3};
  counts.audio_input = 6;
  EXPECT_EQ(out.counts, counts);
  EXPECT_TRUE(out.end && out.reported);
}

TEST(GeminiCodec, PagesAreCitedForTheStretchThatTheySupport) {
  CodecRig rig(Protocol::openai_chat, "", true);
  const std::string text =
      sse({R"({"candidates":[{"content":{"parts":[{"text":"Süß ist es. "}]}}]})",
           R"({"candidates":[{"content":{"parts":[{"text":"Es regnet."}]},"finishReason":"STOP","groundingMetadata":{
"groundingChunks":[{"web":{"uri":"https://a","title":"A"}},{"web":{"uri":"https://b","title":"B"}}],
"groundingSupports":[{"segment":{"startIndex":14,"endIndex":24,"text":"Es regnet."},"groundingChunkIndices":[1,0,7]},
{"segment":{"endIndex":13,"text":"Süß ist es."},"groundingChunkIndices":[0]}]}}]})"});
  const Decoded out = decode_every_way(*codec(), rig, "m", text);
  std::vector<Json> pages;
  for (const ChatEvent& event : out.events)
    if (event.kind == ChatEvent::Kind::citation && event.citation.contains("url_citation"))
      pages.push_back(event.citation["url_citation"]);
  EXPECT_THAT(pages, ElementsAre(read_json<Json>(R"({"url":"https://b","title":"B","start_index":12,"end_index":22,
"cited_text":"Es regnet."})"),
                                 read_json<Json>(R"({"url":"https://a","title":"A","start_index":12,"end_index":22,
"cited_text":"Es regnet."})"),
                                 read_json<Json>(R"({"url":"https://a","title":"A","start_index":0,"end_index":11,
"cited_text":"Süß ist es."})")));
  EXPECT_EQ(out.count(ChatEvent::Kind::citation), 4U) << "and the whole";
}

TEST(GeminiCodec, CitationsAreBounded) {
  const auto pages = [](const std::string& said, int count) {
    CodecRig rig;
    std::string supports;
    for (int i = 0; i < count; ++i)
      supports += std::string(i > 0 ? "," : "") + R"({"segment":{"startIndex":)" + std::to_string(i) +
                  R"(,"text":"x"},"groundingChunkIndices":[0]})";
    const Decoded out = decode_whole(*codec(), rig, "m",
                                     R"({"candidates":[{"content":{"parts":[{"text":")" + said +
                                         R"("}]},"finishReason":"STOP","groundingMetadata":{"groundingChunks":[)" +
                                         R"({"web":{"uri":"u"}}],"groundingSupports":[)" + supports + "]}}]}");
    return out.count(ChatEvent::Kind::citation) - 1;  // the whole
  };
  EXPECT_EQ(pages(std::string(1200, 'x'), 1100), 1023U);
  // In 1 MiB of text 64 are looked for.
  EXPECT_EQ(pages(std::string(1 << 20, 'x'), 70), 63U);
}

TEST(GeminiCodec, StreamedArguments) {
  const auto part = [](const char* call) {
    return std::string(R"({"candidates":[{"content":{"parts":[{"functionCall":)") + call + "}]}}]}";
  };
  const std::string end = R"({"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}],)"
                          R"("usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5}})";
  CodecRig rig;
  const std::string stream = sse(
      {part(R"({"name":"f","id":"t1","willContinue":true})"),
       part(
           R"({"partialArgs":[{"jsonPath":"$.place","stringValue":"Bos\"","willContinue":true}],"willContinue":true})"),
       part(R"({"partialArgs":[{"jsonPath":"$.place","stringValue":"ton"}],"willContinue":true})"),
       part(
           R"({"partialArgs":[{"jsonPath":"$.days[0].n","numberValue":50},{"jsonPath":"$.days[0]['is it']","boolValue":true},)"
           R"({"jsonPath":"$.days[1].n","nullValue":"NULL_VALUE"},{"jsonPath":"$.last","stringValue":""}],"willContinue":true})"),
       part("{}"), part(R"({"name":"g","id":"t2","willContinue":true})"), part("{}"),
       part(R"({"name":"h","id":"t3","args":{"a":1}})"),
       part(
           R"({"name":"i","id":"t4","partialArgs":[{"jsonPath":"$.x","stringValue":"cut","willContinue":true}],"willContinue":true})"),
       end});
  const Decoded out = decode_every_way(*codec(), rig, "m", stream);
  EXPECT_TRUE(out.end && !out.error) << out;
  EXPECT_THAT(out.calls(),
              ElementsAre(R"(t1 f {"place":"Bos\"ton","days":[{"n":50,"is it":true},{"n":null}],"last":""})", "t2 g {}",
                          R"(t3 h {"a":1})", R"(t4 i {"x":"cut"})"));
  EXPECT_EQ(out.stop(), StopReason::tool_calls);
  EXPECT_GT(out.count(ChatEvent::Kind::tool_call), 8U) << "in pieces";
  for (const char* odd : {"$.a[1]", "a", "$", "$.a['b", "$[0]", "$.a[x]"}) {
    const std::string leaf = R"({"name":"f","partialArgs":[{"jsonPath":)" + quoted(odd) + R"(,"boolValue":true}]})";
    const Decoded broken = decode_pieces(*codec(), rig, "m", {sse({part(leaf.c_str())})});
    EXPECT_TRUE(broken.error && broken.error->kind == ErrorKind::unusable) << odd;
  }
  const Decoded twice = decode_pieces(
      *codec(), rig, "m",
      {sse({part(
          R"({"name":"f","partialArgs":[{"jsonPath":"$.a","boolValue":true},{"jsonPath":"$.b","boolValue":true},{"jsonPath":"$.a","boolValue":false}]})")})});
  EXPECT_TRUE(twice.error) << "a text cannot go back";
}

TEST(GeminiCodec, BrokenAnswers) {
  CodecRig rig;
  const auto gemini = codec();
  const auto whole = [&](std::string_view body) { return decode_whole(*gemini, rig, "m", body); };
  EXPECT_THAT(whole("nonsense").error_line(), HasSubstr("not JSON"));
  EXPECT_THAT(whole("").error_line(), HasSubstr("empty"));
  EXPECT_THAT(whole("[]").error_line(), HasSubstr("no candidates"));
  EXPECT_THAT(whole("3").error_line(), HasSubstr("not a JSON object"));
  EXPECT_THAT(whole(R"({"candidates":[{"index":99999}]})").error_line(), HasSubstr("99999"));
  EXPECT_THAT(
      whole(R"({"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"no such f"}]})").error_line(),
      HasSubstr("no such f"));
  const Decoded spoiled = whole(R"({"candidates":[{"content":{},"finishReason":"UNEXPECTED_TOOL_CALL"}],
"usageMetadata":{"promptTokenCount":7,"thoughtsTokenCount":5}})");
  ASSERT_TRUE(spoiled.error && spoiled.error->kind == ErrorKind::unusable) << spoiled;
  EXPECT_EQ(spoiled.error->retry, Retry::other_target);
  EXPECT_TRUE(spoiled.reported) << "it is paid";
  EXPECT_EQ(spoiled.counts.output, 5);
  const Decoded empty = whole(R"({"candidates":[{"content":{}}],"usageMetadata":{"promptTokenCount":7}})");
  EXPECT_TRUE(empty.error && empty.error->kind == ErrorKind::upstream) << empty;
  EXPECT_THAT(whole(R"([{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}])").error_line(),
              HasSubstr("429 RESOURCE_EXHAUSTED slow down"));
  const auto stream = [&](std::string_view body) { return decode_pieces(*gemini, rig, "m", {body}); };
  EXPECT_THAT(stream("").error_line(), HasSubstr("ended before"));
  EXPECT_THAT(stream(R"([{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]})").error_line(),
              HasSubstr("ended before"));
  EXPECT_THAT(stream(R"([{"candidates":[)").error_line(), HasSubstr("not JSON"));
  EXPECT_THAT(stream("[nonsense").error_line(), HasSubstr("not a JSON array"));
  const Decoded cut = stream("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"some words\"}]}}]}\n\n");
  EXPECT_THAT(cut.error_line(), HasSubstr("ended before"));
  EXPECT_GT(cut.counts.output, 0);
  const Decoded half = stream(
      "data: {\"candidates\":[{\"index\":0,\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":\"STOP\"},"
      "{\"index\":1,\"content\":{\"parts\":[{\"text\":\"b\"}]}}]}\n\n");
  EXPECT_THAT(half.error_line(), HasSubstr("ended before")) << "one that ended does not make another whole";
  EXPECT_EQ(half.count(ChatEvent::Kind::finish), 0U);
}

TEST(GeminiCodec, WhatPassesThroughIsCompleteOnlyWithItsOwnEnd) {
  CodecRig rig(Protocol::gemini_generate, "", true);
  rig.body.sse = true;
  const auto gemini = codec();
  const auto ends = [&](std::string_view json) {
    return decode_pieces(*gemini, rig, "m", {"data: " + std::string(json) + "\n\n"}).end;
  };
  EXPECT_FALSE(ends(R"({"candidates":[{"content":{"parts":[{"functionCall":{"name":"f",
      "args":{"finishReason":"STOP"}}}]}}]})"))
      << "the word of a call's arguments";
  EXPECT_TRUE(ends(R"({"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]})"));
  EXPECT_FALSE(ends(R"({"candidates":[{"index":0,"finishReason":"STOP"},{"index":1,"content":{"parts":[]}}]})"));
  EXPECT_TRUE(ends(R"({"promptFeedback":{"blockReason":"SAFETY"}})"));
}

TEST(GeminiCodec, NativeErrorsInsideStreams) {
  const auto gemini = codec();
  const std::string first = R"({"candidates":[{"content":{"parts":[{"text":"a"}]}}]})";
  const std::string error = R"({"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}})";
  CodecRig rig(Protocol::gemini_generate, "", true);
  const Decoded array = decode_pieces(*gemini, rig, "m", {"[" + first + "\n,\n" + error + "\n]"});
  EXPECT_EQ(array.bytes, "[" + first + "\n,\n" + error + "]");
  EXPECT_THAT(array.error_line(), HasSubstr("busy"));
  const Decoded events = decode_pieces(*gemini, rig, "m", {"data: " + first + "\r\n\r\n" + error + "\n"});
  EXPECT_EQ(events.bytes, "data: " + first + "\r\n\r\ndata: " + error + "\r\n\r\n");
}

}  // namespace
}  // namespace weir::providers
