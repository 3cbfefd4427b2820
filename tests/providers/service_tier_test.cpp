// The tier that a call asks for and that each provider's answer says it was served at.
#include "providers/service_tier.h"

#include <gtest/gtest.h>

#include "providers/anthropic.h"
#include "providers/bedrock.h"
#include "providers/gemini.h"
#include "providers/openai.h"
#include "providers/openai_unary.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using Tier = std::optional<std::string>;

TEST(ServiceTier, EachProvidersWordIsOneTerm) {
  for (const char* standard : {"", "auto", "default", "standard", "standard_only", "on_demand", "ON_DEMAND",
                               "TRAFFIC_TYPE_UNSPECIFIED", "SERVICE_TIER_STANDARD", "unspecified"})
    EXPECT_EQ(service_tier(standard), "") << standard;
  EXPECT_EQ(service_tier("Flex"), "flex");
  EXPECT_EQ(service_tier("ON_DEMAND_PRIORITY"), "priority");
  EXPECT_EQ(service_tier("PROVISIONED_THROUGHPUT"), "provisioned_throughput");
  EXPECT_EQ(service_tier("fast"), "priority");
  EXPECT_EQ(service_tier("a+b\n"), "a_b_") << "no word makes two terms, or a line of a log";
  EXPECT_EQ(service_tier(std::string(1000, 'x')).size(), 32U);
}

TEST(ServiceTier, ClaudesThreeWordsAreTerms) {
  EXPECT_EQ((ClaudeTier{"standard", "fast", "us"}.terms()), "fast+us");
  EXPECT_EQ((ClaudeTier{"priority", "standard", "global"}.terms()), "priority");
  EXPECT_EQ((ClaudeTier{"standard", {}, "not_available"}.terms()), "");
  EXPECT_FALSE(ClaudeTier{}.told());
}

std::string asked(Protocol protocol, const std::string& json) {
  const auto body = mark_call(protocol, json);
  EXPECT_TRUE(body.ok()) << json;
  return body.ok() ? body->tier : "";
}

TEST(ServiceTier, ACallAsksInItsProtocolsWords) {
  const std::string say = R"("messages":[{"role":"user","content":"x"}])";
  EXPECT_EQ(asked(Protocol::openai_chat, R"({"model":"m","service_tier":"priority",)" + say + "}"), "priority");
  EXPECT_EQ(asked(Protocol::openai_chat, R"({"model":"m","service_tier":"fast",)" + say + "}"), "priority");
  EXPECT_EQ(asked(Protocol::openai_chat, R"({"model":"m","service_tier":null,"speed":"fast",)" + say + "}"), "");
  EXPECT_EQ(asked(Protocol::openai_chat, R"({"model":"m","service_tier":7,)" + say + "}"), "");
  EXPECT_EQ(asked(Protocol::openai_responses, R"({"model":"m","service_tier":"flex","input":"x"})"), "flex");
  EXPECT_EQ(asked(Protocol::openai_completions, R"({"model":"m","service_tier":"flex","prompt":"x"})"), "flex");
  EXPECT_EQ(asked(Protocol::anthropic_messages, R"({"model":"m","max_tokens":1,"speed":"fast","inference_geo":"us",)"
                                                R"("service_tier":"auto",)" +
                                                    say + "}"),
            "fast+us");
  EXPECT_EQ(asked(Protocol::gemini_generate, R"({"serviceTier":"flex","contents":[{"parts":[{"text":"x"}]}]})"),
            "flex");
  const auto twice = mark_call(Protocol::openai_chat,
                               R"({"model":"m","service_tier":"default","service_tier":"priority",)" + say + "}");
  ASSERT_FALSE(twice.ok()) << "the hold must be for what the upstream reads";
  EXPECT_EQ(twice.error().param, "service_tier");
}

TEST(ServiceTier, OfOpenAisAnswers) {
  const auto codec = make_openai_codec({}, "/v1");
  const std::string whole =
      R"({"choices":[{"message":{"content":"a \"service_tier\":\"flex\""},"finish_reason":"stop"}],)"
      R"("service_tier":"priority","usage":{"prompt_tokens":5,"completion_tokens":7}})";
  CodecRig rig;
  EXPECT_EQ(decode_whole(*codec, rig, "m", whole).tier, Tier("priority"));
  const auto neutral = make_openai_event_decoder(rig.attempt("m"));
  EXPECT_EQ(decode_whole(*neutral, whole).tier, Tier("priority"));
  EXPECT_FALSE(decode_whole(*codec, rig, "m", R"({"choices":[],"service_tier":null})").tier);

  CodecRig streamed(Protocol::openai_chat, "", true);
  const std::string events =
      sse({R"({"choices":[{"index":0,"delta":{"content":"a"}}],"service_tier":"auto"})",
           R"({"choices":[{"index":0,"delta":{"content":"b"}}],"service_tier":"auto"})",
           R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"service_tier":"flex"})",
           R"({"choices":[],"service_tier":"flex","usage":{"prompt_tokens":5,"completion_tokens":7}})"}) +
      "data: [DONE]\n\n";
  EXPECT_EQ(decode_every_way(*codec, streamed, "m", events).tier, Tier("flex"));
  EXPECT_EQ(decode_every_way([&] { return make_openai_event_decoder(streamed.attempt("m")); }, events).tier,
            Tier("flex"));
}

TEST(ServiceTier, OfAResponse) {
  CallBody call;
  call.protocol = Protocol::openai_responses;
  call.stream = true;
  const std::string events =
      sse({R"({"type":"response.created","response":{"service_tier":"auto","metadata":{"service_tier":"flex"}}})",
           R"({"type":"response.completed","response":{"metadata":{"service_tier":"flex"},"service_tier":"priority",)"
           R"("output":[],"usage":{"input_tokens":5,"output_tokens":7}}})"},
          true);
  EXPECT_EQ(decode_every_way([&] { return make_openai_unary_decoder(call); }, events).tier, Tier("priority"));
}

TEST(ServiceTier, OfClaudesAnswers) {
  const auto codec = make_anthropic_codec({}, "");
  const std::string events = sse(
      {R"({"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1,"service_tier":"standard",)"
       R"("inference_geo":"us","speed":"fast"}}})",
       R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":5,"output_tokens":7,)"
       R"("server_tool_use":{"web_search_requests":3}}})",
       R"({"type":"message_stop"})"},
      true);
  for (const Protocol protocol : {Protocol::anthropic_messages, Protocol::openai_chat}) {
    CodecRig rig(protocol, "", true);
    const Decoded out = decode_every_way(*codec, rig, "m", events);
    EXPECT_EQ(out.tier, Tier("fast+us"));
    EXPECT_EQ(out.counts.web_searches, 3);
  }
  CodecRig rig(Protocol::anthropic_messages);
  const std::string_view whole =
      R"({"type":"message","content":[],"usage":{"input_tokens":5,"output_tokens":7,"service_tier":"priority"}})";
  EXPECT_EQ(decode_whole(*codec, rig, "m", whole).tier, Tier("priority"));
}

TEST(ServiceTier, OfGooglesAndBedrocksAnswers) {
  const auto gemini = make_gemini_codec({}, "");
  const auto answer = [](const std::string& more) {
    return R"({"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],"usageMetadata":)"
           R"({"promptTokenCount":5,"candidatesTokenCount":7,"totalTokenCount":12)" +
           more + "}}";
  };
  for (const Protocol protocol : {Protocol::gemini_generate, Protocol::openai_chat}) {
    CodecRig rig(protocol);
    EXPECT_EQ(decode_whole(*gemini, rig, "m", answer(R"(,"serviceTier":"flex")")).tier, Tier("flex"));
    EXPECT_EQ(decode_whole(*gemini, rig, "m", answer(R"(,"trafficType":"ON_DEMAND")")).tier, Tier(""));
    EXPECT_FALSE(decode_whole(*gemini, rig, "m", answer("")).tier);
  }
  config::AccountConfig account;
  account.options["region"] = "us-east-1";
  const auto bedrock = make_bedrock_codec(account, "");
  CodecRig rig;
  const std::string_view converse =
      R"({"output":{"message":{"role":"assistant","content":[{"text":"a"}]}},"stopReason":"end_turn",)"
      R"("serviceTier":{"type":"priority"},"usage":{"inputTokens":5,"outputTokens":7}})";
  EXPECT_EQ(decode_whole(*bedrock, rig, "amazon.nova-pro-v1:0", converse).tier, Tier("priority"));
}

}  // namespace
}  // namespace weir::providers
