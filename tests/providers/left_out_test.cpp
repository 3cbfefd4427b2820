// Nothing vanishes silently: what a provider has no word for is carried in another form, refused, or named.
#include <gtest/gtest.h>

#include "providers/anthropic.h"
#include "providers/bedrock.h"
#include "providers/cohere.h"
#include "providers/gemini.h"
#include "providers/openai.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

config::AccountConfig account(const char* provider) {
  config::AccountConfig out;
  out.provider = provider;
  out.api_key = Secret("k");
  return out;
}

std::unique_ptr<Codec> cohere() {
  return make_cohere_codec(account("cohere"), "/v2");
}
std::unique_ptr<Codec> openai() {
  return make_openai_codec(account("openai"), "/v1");
}
std::unique_ptr<Codec> gemini() {
  return make_gemini_codec(account("gemini"), "");
}
std::unique_ptr<Codec> anthropic() {
  return make_anthropic_codec(account("anthropic"), "");
}

Message said(Role role, Part part) {
  Message out;
  out.role = role;
  out.parts.push_back(std::move(part));
  return out;
}

Part thought(std::string text, std::string signature, Signer signer) {
  Part out;
  out.kind = Part::Kind::reasoning;
  out.text = std::move(text);
  out.signature = std::move(signature);
  out.signer = signer;
  return out;
}

TEST(LeftOut, DetailsOfHostedToolsThatNobodyElseCanTellAreNamed) {
  CodecRig rig;
  rig.say(Role::user, "hi");
  rig.request.unmodelled["include[file_search_call.results]"] = true;
  rig.body.protocol = rig.request.protocol = Protocol::openai_responses;
  EXPECT_EQ(encode(*cohere(), rig, "command-a").dropped, "include[file_search_call.results]");
  EXPECT_EQ(encode(*anthropic(), rig, "claude-sonnet-4-5").dropped, "include[file_search_call.results]");
}

/// Fields that no client's protocol but the upstream's knows would say past every limit how much is made, and in which
/// form it comes.
TEST(LeftOut, WhatWouldSteerPastThePolicyNeverTravels) {
  CodecRig rig;
  rig.say(Role::user, "hi");
  rig.request.output_tokens_max = 5;
  rig.body.protocol = rig.request.protocol = Protocol::anthropic_messages;
  rig.request.extensions = {{"stream", true}, {"n", 50}, {"max_completion_tokens", 60000}, {"mine", 1}};
  const auto gpt = encode(*openai(), rig, "gpt-5-mini");
  EXPECT_EQ(gpt.dropped, "stream,n,max_completion_tokens");
  EXPECT_EQ(gpt.json()["mine"], 1);
  EXPECT_FALSE(gpt.json().contains("n") || gpt.json().contains("stream"));

  rig.body.protocol = rig.request.protocol = Protocol::gemini_generate;
  rig.request.extensions = {{"stream", true}, {"mine", 1}};
  const auto claude = encode(*anthropic(), rig, "claude-sonnet-4-5");
  EXPECT_EQ(claude.dropped, "stream");
  EXPECT_FALSE(claude.json().contains("stream"));

  rig.body.protocol = rig.request.protocol = Protocol::openai_chat;
  rig.request.extensions = {{"contents", Json::array()},
                            {"generationConfig", {{"maxOutputTokens", 60000}, {"audioTimestamp", true}}},
                            {"generation_config", {{"max_output_tokens", 60000}, {"candidate_count", 8}}}};
  const auto google = encode(*gemini(), rig, "gemini-2.5-flash");
  EXPECT_EQ(google.json()["generationConfig"]["maxOutputTokens"], 5);
  EXPECT_EQ(google.json()["generationConfig"]["audioTimestamp"], true);
  EXPECT_FALSE(google.json()["generationConfig"].contains("candidateCount"));
  EXPECT_EQ(google.json()["contents"].size(), 1U);
  EXPECT_EQ(google.dropped, "maxOutputTokens,candidateCount,contents");

  config::AccountConfig aws = account("bedrock");
  aws.options["region"] = "us-east-1";
  rig.request.extensions = {{"max_tokens", 60000},
                            {"inferenceConfig", {{"maxTokens", 60000}}},
                            {"additionalModelRequestFields", {{"max_tokens", 60000}, {"k", 3}}}};
  const auto bedrock = encode(*make_bedrock_codec(aws, ""), rig, "us.anthropic.claude-sonnet-4-5-20250929-v1:0");
  EXPECT_EQ(bedrock.body.find("60000"), std::string::npos) << bedrock.body;
  EXPECT_EQ(bedrock.json()["additionalModelRequestFields"]["k"], 3);
}

TEST(LeftOut, CacheMarksAreNamedOnceWhereCachingNeedsNone) {
  CodecRig rig;
  Part text = Part::of_text("hi");
  text.cache = {{"type", "ephemeral"}};
  rig.request.messages = {said(Role::system, text), said(Role::user, text)};
  Tool tool;
  tool.name = "f";
  tool.cache = text.cache;
  rig.request.tools.push_back(tool);
  EXPECT_EQ(encode(*cohere(), rig, "command-a").dropped, "cache_control");
  rig.body.protocol = Protocol::anthropic_messages;  // else the body passes as it is
  EXPECT_EQ(encode(*openai(), rig, "gpt-5").dropped, "cache_control");
  rig.body.protocol = Protocol::openai_chat;
  EXPECT_EQ(encode(*gemini(), rig, "gemini-2.5-pro").dropped, "cache_control");
  const Encoded claude = encode(*anthropic(), rig, "claude-sonnet-4-5");
  EXPECT_EQ(claude.dropped, "");
  EXPECT_EQ(claude.json()["system"][0]["cache_control"], text.cache);
}

TEST(LeftOut, CacheMarksOfToolResultsAreNamedToo) {
  CodecRig rig;
  Message result = said(Role::tool, Part::of_text("r"));
  result.tool_call_id = "c1";
  result.parts[0].cache = {{"type", "ephemeral"}, {"ttl", "1h"}};
  rig.request.messages = {said(Role::user, Part::of_text("hi")),
                          said(Role::assistant, Part::of_call({"c1", "f", "{}"})), result};
  EXPECT_EQ(encode(*gemini(), rig, "gemini-2.5-pro").dropped, "cache_control");
  const auto bedrock = make_bedrock_codec(account("bedrock"), "");
  EXPECT_EQ(encode(*bedrock, rig, "amazon.nova-pro-v1:0").dropped, "cache_control.ttl");
  EXPECT_EQ(encode(*bedrock, rig, "meta.llama3-70b-instruct-v1:0").dropped, "cache_control");
  rig.body.protocol = Protocol::anthropic_messages;
  EXPECT_EQ(encode(*openai(), rig, "gpt-5").dropped, "cache_control");
}

TEST(LeftOut, NamesOfSpeakersAreRefused) {
  CodecRig rig;
  Message named = said(Role::user, Part::of_text("hi"));
  named.name = "Bob";
  rig.request.messages = {named};
  for (const auto& codec : {cohere(), gemini(), anthropic()}) {
    const Encoded out = encode(*codec, rig, "m");
    ASSERT_TRUE(out.error);
    EXPECT_EQ(out.error->param, "messages[0].name");
  }
}

TEST(LeftOut, FilesAreKnownAtTheProviderThatHoldsThem) {
  CodecRig rig(Protocol::gemini_generate);
  const auto refused = [&](const Codec& codec, Part::Kind kind, const char* id, std::string_view model) {
    Part part;
    part.kind = kind;
    part.media.file_id = id;
    part.media.mime = kind == Part::Kind::image ? "image/png" : "application/pdf";
    rig.request.messages = {said(Role::user, part)};
    const Encoded out = encode(codec, rig, model);
    return out.error && out.error->param == "messages[0].content[0]";
  };
  using Kind = Part::Kind;
  const char* claude = "claude-sonnet-4-5";
  EXPECT_TRUE(refused(*anthropic(), Kind::image, "gs://bucket/a.png", claude));
  EXPECT_TRUE(refused(*anthropic(), Kind::file, "file-6F2ksmvXxt4VdoqmHRw6kL", claude));
  EXPECT_FALSE(refused(*anthropic(), Kind::file, "file_011CNha8iCJcU1wXNR6q4V8w", claude));
  EXPECT_TRUE(refused(*openai(), Kind::file, "files/abc", "gpt-5"));
  EXPECT_TRUE(refused(*openai(), Kind::file, "file_011CNha8iCJcU1wXNR6q4V8w", "gpt-5"));
  EXPECT_FALSE(refused(*openai(), Kind::file, "file-6F2ksmvXxt4VdoqmHRw6kL", "gpt-5"));
  rig.body.protocol = Protocol::openai_chat;
  EXPECT_TRUE(refused(*gemini(), Kind::file, "file-6F2ksmvXxt4VdoqmHRw6kL", "gemini-2.5-pro"));
  EXPECT_FALSE(refused(*gemini(), Kind::image, "gs://bucket/a.png", "gemini-2.5-pro"));
}

TEST(LeftOut, PicturesThatAnAssistantSaidAreRefused) {
  CodecRig rig(Protocol::gemini_generate);
  Message turn = said(Role::assistant, Part::of_text("here"));
  turn.parts.push_back(media_part(Part::Kind::image, "image/png", "AAAA"));
  rig.request.messages = {said(Role::user, Part::of_text("draw")), turn, said(Role::user, Part::of_text("again"))};
  const Encoded out = encode(*openai(), rig, "gpt-5");
  ASSERT_TRUE(out.error);
  EXPECT_EQ(out.error->param, "messages[1].content[1]");
}

TEST(LeftOut, InstructionsAloneAreWhatTheUserSays) {
  CodecRig rig;
  const auto bedrock = make_bedrock_codec(account("bedrock"), "");
  rig.request.messages = {said(Role::system, Part::of_text("sing"))};
  const Json claude = encode(*anthropic(), rig, "claude-sonnet-4-5").json();
  EXPECT_FALSE(claude.contains("system"));
  EXPECT_EQ(claude["messages"], read_json<Json>(R"([{"role":"user","content":[{"type":"text","text":"sing"}]}])"));
  for (const char* model : {"us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"}) {
    const Json converse = encode(*bedrock, rig, model).json();
    EXPECT_FALSE(converse.contains("system"));
    EXPECT_EQ(converse["messages"], read_json<Json>(R"([{"role":"user","content":[{"text":"sing"}]}])")) << model;
  }
  rig.request.messages = {said(Role::user, Part::of_text(""))};
  EXPECT_EQ(encode(*anthropic(), rig, "claude-sonnet-4-5").error->param, "messages");
  EXPECT_EQ(encode(*bedrock, rig, "amazon.nova-pro-v1:0").error->param, "messages");
}

TEST(LeftOut, ThinkingIsTurnedDownInTheWordsThatTheModelKnows) {
  CodecRig rig(Protocol::anthropic_messages);
  rig.request.protocol = Protocol::anthropic_messages;
  rig.request.messages = {said(Role::user, Part::of_text("hi"))};
  const auto effort = [&](std::string_view model) {
    return encode(*openai(), rig, model).json().value("reasoning_effort", Json());
  };
  rig.request.reasoning.enabled = false;
  EXPECT_EQ(effort("gpt-4o"), Json());
  EXPECT_EQ(effort("o3-mini"), "low");
  EXPECT_EQ(effort("gpt-5-mini"), "minimal");
  EXPECT_EQ(effort("gpt-5.1"), "none");
  rig.request.reasoning = {};
  rig.request.reasoning.effort = "max";
  EXPECT_EQ(effort("gpt-5.1"), "xhigh");
}

TEST(LeftOut, HintsAreNamedAndWhatChangesToolsIsRefused) {
  CodecRig rig(Protocol::anthropic_messages);
  rig.request.protocol = Protocol::anthropic_messages;
  Message cited = said(Role::assistant, Part::of_text("it says so"));
  cited.parts[0].citations = read_json<Json>(R"([{"type":"char_location","cited_text":"so"}])");
  rig.request.messages = {said(Role::user, Part::of_text("hi")), cited, said(Role::user, Part::of_text("more"))};
  rig.request.unmodelled["tools[0].eager_input_streaming"] = true;
  EXPECT_EQ(encode(*openai(), rig, "gpt-5").dropped, "tools[0].eager_input_streaming,messages.citations");
  rig.request.unmodelled["tools[0].defer_loading"] = true;
  EXPECT_EQ(encode(*openai(), rig, "gpt-5").error->param, "tools[0].defer_loading");
}

TEST(LeftOut, GeminiKnowsNoNamesOfFiles) {
  CodecRig rig;
  rig.request.messages = {said(Role::user, media_part(Part::Kind::file, "application/pdf", "JVBERi0=", "a.pdf"))};
  EXPECT_EQ(encode(*gemini(), rig, "gemini-2.5-pro").dropped, "filename");
}

TEST(LeftOut, ThinkingThatAnotherFamilySignedIsNamed) {
  CodecRig rig;
  Message turn = said(Role::assistant, thought("first this", "sig", Signer::gemini));
  turn.parts.push_back(Part::of_text("done"));
  rig.request.messages = {said(Role::user, Part::of_text("hi")), turn, said(Role::user, Part::of_text("more"))};
  EXPECT_EQ(encode(*anthropic(), rig, "claude-sonnet-4-5").dropped, "messages.reasoning");
  rig.body.protocol = Protocol::anthropic_messages;
  EXPECT_EQ(encode(*openai(), rig, "gpt-5").dropped, "messages.reasoning");
  rig.body.protocol = Protocol::openai_chat;
  EXPECT_EQ(encode(*gemini(), rig, "gemini-2.5-pro").dropped, "");
  rig.request.messages[1].parts[0] = thought("", "", Signer::anthropic);
  rig.request.messages[1].parts[0].redacted = "encrypted";
  EXPECT_EQ(encode(*gemini(), rig, "gemini-2.5-pro").dropped, "messages.reasoning");
  EXPECT_EQ(encode(*cohere(), rig, "command-a").dropped, "messages.reasoning");
  EXPECT_EQ(encode(*anthropic(), rig, "claude-sonnet-4-5").dropped, "");
}

TEST(LeftOut, ThinkingThatAnotherFamilyGaveIsTakenFromBodiesThatPass) {
  CodecRig messages(Protocol::anthropic_messages, R"({"model":"public","max_tokens":9,"messages":[
      {"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},
      {"type":"text","text":"done"},{"type":"thinking","thinking":"","signature":"weir:gemini:c2ln"}]},
      {"role":"user","content":"on"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""}]},
      {"role":"user","content":[]}]})");
  messages.body = *mark_call(Protocol::anthropic_messages, messages.json);
  const Encoded claude = encode(*anthropic(), messages, "claude-sonnet-4-5");
  EXPECT_EQ(claude.dropped, "messages.reasoning");
  EXPECT_EQ(claude.json()["messages"][1]["content"], read_json<Json>(R"([{"type":"text","text":"done"}])"));
  ASSERT_EQ(claude.json()["messages"].size(), 4U) << "a turn of nothing is none; what the client left empty stays";
  EXPECT_EQ(claude.json()["messages"][3]["content"], Json::array());

  // base64 of "weir:anthropic:sig", as a client of Gemini's got it
  CodecRig contents(Protocol::gemini_generate, R"({"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"},
      "thoughtSignature" : "d2VpcjphbnRocm9waWM6c2ln"},{"text":"x","thoughtSignature":"b3du"},
      {"inlineData":{"mimeType":"text/plain","data":"d2Vpci1nYXRld2F5IG5vdGVz"}}]}]})");
  const Encoded google = encode(*gemini(), contents, "gemini-3-pro");
  EXPECT_EQ(google.dropped, "messages.reasoning");
  const Json parts = google.json()["contents"][0]["parts"];
  EXPECT_EQ(parts[0]["thoughtSignature"], "skip_thought_signature_validator");
  EXPECT_EQ(parts[1]["thoughtSignature"], "b3du");
  EXPECT_EQ(parts[2]["inlineData"]["data"], "d2Vpci1nYXRld2F5IG5vdGVz") << "a file that begins with our name";
}

TEST(LeftOut, CohereIsToldOfAFailedCallInWords) {
  CodecRig rig;
  Message call = said(Role::assistant, Part::of_call({"c1", "f", "{}"}));
  Message result = said(Role::tool, Part::of_text("no such city"));
  result.tool_call_id = "c1";
  result.tool_failed = true;
  rig.request.messages = {said(Role::user, Part::of_text("hi")), call, result};
  EXPECT_EQ(encode(*cohere(), rig, "command-a").json()["messages"][2]["content"], "Error: no such city");
}

TEST(LeftOut, CohereSaysWhatItReadFromItsCache) {
  CodecRig rig;
  const auto codec = cohere();
  const auto decoder = codec->decoder(rig.attempt("command-a"));
  ReplyBatch batch;
  decoder->whole(R"({"message":{"role":"assistant","content":[{"type":"text","text":"x"}]},"finish_reason":"COMPLETE",
      "usage":{"billed_units":{"input_tokens":9,"output_tokens":1},"cached_tokens":4}})",
                 batch);
  EXPECT_EQ(decoder->usage().counts.input, 9);
  EXPECT_EQ(decoder->usage().counts.cached_input, 4);
}

TEST(LeftOut, NamesCannotEndTheHeaderLineTheyStandIn) {
  config::AccountConfig dropping = account("cohere");
  dropping.drop_params = true;
  Refusals refusals(dropping);
  refusals.cannot_say("metadata.a\r\nset-cookie: b,c");
  refusals.cannot_say(std::string(1000, 'x'));
  EncodedCall call;
  ASSERT_TRUE(refusals.finish("Cohere", call).ok());
  EXPECT_EQ(call.dropped, "metadata.a??set-cookie:?b?c," + std::string(128, 'x'));
}

}  // namespace
}  // namespace weir::providers
