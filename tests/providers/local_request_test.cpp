// What a client's fields become for the in-process engine.
#include "providers/local_request.h"

#include <gtest/gtest.h>

#include "providers/json_text.h"
#include "tests/engine/engine_rig.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

TEST(LocalRequest, VllmsStopTokensEndAnAnswer) {
  const auto engine = engine::testing::make_sim_engine(engine::testing::engine_config(), {});
  ChatRequest request;
  request.token_prompts = {{1}};
  request.extensions = parse_json(R"({"min_tokens":2,"stop_token_ids":[3,4]})");
  EXPECT_TRUE(check_local_request(request, *engine).ok());
  EXPECT_EQ(local_prompts(request, *engine)->left_out, "min_tokens");
  CodecRig rig;
  EXPECT_EQ(local_generate_request(request, rig.attempt("m"), *engine, 0).stop.token_ids,
            (std::vector<engine::TokenId>{3, 4}));
  for (const char* wrong : {"3", R"(["a"])", "[-1]", "[1.5]", "[4294967296]"}) {
    request.extensions["stop_token_ids"] = parse_json(wrong);
    EXPECT_EQ(check_local_request(request, *engine).error().param, "stop_token_ids") << wrong;
  }
}

}  // namespace
}  // namespace weir::providers
