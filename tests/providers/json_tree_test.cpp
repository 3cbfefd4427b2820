// The linear tree builder and the text of a tree against nlohmann's own, whose results they must equal.
#include <gtest/gtest.h>

#include <string>
#include "config/base/json.h"

#include "providers/json_text.h"
#include "providers/json_tree.h"

namespace weir::providers {
namespace {

using Json = nlohmann::ordered_json;

TEST(JsonTree, EqualsTheLibrarysParser) {
  for (const char* text :
       {"{}",
        "[]",
        "null",
        "true",
        "1",
        "-5",
        "1.5e3",
        "18446744073709551615",
        "-9223372036854775808",
        R"("a\u00e9")",
        R"({"a":1,"b":{"c":[1,2,{"d":null}]},"z":"","e":[[],{}]})",
        R"([[[]],{}])",
        " { \"a\" : [ 1 , 2 ] } ",
        R"({"a":1,"b":2,"a":{"b":[3]}})",
        R"({"a":{"x":1,"x":{"y":[]}},"q":true,"a":[3],"a":[4]})",  // repeated names
        "",
        "{",
        "[1,]",
        "tru",
        R"({"a":)",
        R"({"a":1}x)",
        R"({"a" 1})",
        "1e999",
        "[-0,-0.0,0.1,1e-400,2.2250738585072014e-308,9007199254740993.0,9223372036854775807,9223372036854775808]",
        "123456789012345678901",
        "-9223372036854775809",
        "01",
        R"("\udc00")",
        R"("\ud83d\ude00 \/ \b")",
        "\"\x01\"",
        "\"\xff\"",
        R"("\ud800")",
        "\xEF\xBB\xBF{}"}) {
    const Json expected = read_json<Json>(text);
    const Json actual = json_tree(text);
    ASSERT_EQ(actual.is_discarded(), expected.is_discarded()) << text;
    if (!expected.is_discarded()) {
      EXPECT_EQ(actual.dump(), expected.dump()) << text;
      EXPECT_EQ(actual.type(), expected.type()) << text;
    }
  }
}

TEST(JsonTree, LongTextsAndShortOnesAreReadAlike) {
  std::string inner = R"({"role":"user","content":"a\nb","n":[1,-1,1.5,true,null],"role":"again"})";
  for (const int repeats : {1, 10, 2000}) {
    std::string text = "[";
    for (int i = 0; i < repeats; ++i) text += (i > 0 ? "," : "") + inner;
    text += "]";
    EXPECT_EQ(json_tree(text).dump(), read_json<Json>(text).dump()) << repeats;
  }
  for (const int repeats : {0, 100'000}) {
    const std::string nested = std::string(1000, '[') + std::string(1000, ']');
    EXPECT_EQ(json_tree(nested + std::string(repeats, ' ')).dump(), nested);
  }
}

TEST(JsonTree, ManyMembersKeepTheirOrder) {
  Json expected = Json::object();
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    const std::string name = "k" + std::to_string(i * 7919 % 3000);
    expected[name] = i;
    text += (text.empty() ? "{\"" : ",\"") + name + "\":" + std::to_string(i);
  }
  text += R"(,"k0":"last"})";
  expected["k0"] = "last";
  EXPECT_EQ(json_tree(text).dump(), expected.dump());
}

TEST(JsonText, SaysWhatTheLibrarySays) {
  for (const char* text :
       {"{}", "[]", R"("x")", "[1,-2,1.5,1e300,0.1,true,false,null,18446744073709551615,-9223372036854775808]",
        R"({"a":[{},[],{"b":[null]}],"é":"日本","\"":"\\/\u0000\u001f\u007f\n\t\r\b\f"})"}) {
    const Json json = read_json<Json>(text);
    const std::string said = json_text(json);
    EXPECT_EQ(read_json<Json>(said), json) << said;
  }
  Json odd;
  odd["x\xff"] = "a\xff\xfe b";
  EXPECT_EQ(json_text(odd), odd.dump(-1, ' ', false, Json::error_handler_t::replace));
}

TEST(JsonTree, DepthTakesNoStack) {
  const std::string open(200'000, '[');
  EXPECT_TRUE(json_tree(open).is_discarded());
  EXPECT_TRUE(json_tree(open + std::string(200'000, ']')).is_discarded());
  EXPECT_TRUE(json_tree(std::string(1500, '[') + std::string(1500, ']')).is_discarded());
}

}  // namespace
}  // namespace weir::providers
