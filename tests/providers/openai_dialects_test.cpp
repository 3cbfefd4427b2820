// What APIs compatible with OpenAI's do otherwise: who keeps answers of /responses.
#include <gtest/gtest.h>

#include "providers/openai.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

std::unique_ptr<Codec> codec_of(const char* provider, const std::string& base, const std::string& version = "") {
  config::AccountConfig account;
  account.provider = provider;
  account.api_key = Secret("k");
  if (!version.empty()) account.options["api_version"] = version;
  return make_openai_codec(account, base);
}

TEST(OpenAiDialects, WhatKeepsNoAnswersIsNotAskedTo) {
  const std::string body = R"({"model":"m", "store" : true ,"previous_response_id":null,"input":"hi"})";
  for (const OpenAiDialect& dialect : openai_dialects()) {
    if (!dialect.responses || dialect.name == "azure") continue;
    CodecRig rig(Protocol::openai_responses, body);
    const auto codec = codec_of(std::string(dialect.name).c_str(), "/v1");
    EncodedCall call;
    const auto attempt = rig.attempt("m");
    ASSERT_TRUE(codec->encode(attempt, call).ok());
    std::string sent;
    for (const std::string_view piece : call.body) sent += piece;
    const bool keeps = dialect.name == "openai" || dialect.name == "fireworks" || dialect.name == "xai";
    EXPECT_EQ(call.kept_upstream, keeps) << dialect.name;
    const std::string otherwise = R"({"model":"m", "store" : false ,"previous_response_id":null,"input":"hi"})";
    EXPECT_EQ(sent, keeps ? body : otherwise) << dialect.name;
  }
  CodecRig unsaid(Protocol::openai_responses, R"({"model":"m","input":"hi","store":null})");
  EXPECT_EQ(encode(*codec_of("groq", "/v1"), unsaid, "m").json()["store"], false);
  CodecRig silent(Protocol::openai_responses, R"({"model":"m","input":"hi"})");
  EXPECT_EQ(encode(*codec_of("groq", "/v1"), silent, "m").body, silent.json);
}

}  // namespace
}  // namespace weir::providers
