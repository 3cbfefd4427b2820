// Numbers that readers refuse or do not keep: found, rounded, and written as they were.
#include "providers/json_numbers.h"

#include <gtest/gtest.h>

#include "config/base/json.h"

#include "providers/json_scan.h"
#include "providers/json_text.h"

namespace weir::providers {
namespace {

using Json = nlohmann::ordered_json;

TEST(JsonNumbers, AreFoundInTheirOrderAndNotInStrings) {
  NumberTexts numbers(R"({"1":[-2.50,true,"3\"4",{"e":1e+400}],"x":20000000000000000000})");
  EXPECT_EQ(numbers.next(), "-2.50");
  EXPECT_EQ(numbers.next(), "1e+400");
  EXPECT_EQ(numbers.next(), "20000000000000000000");
  EXPECT_EQ(numbers.next(), "");
  EXPECT_TRUE(numbers.none());
}

TEST(JsonNumbers, FollowTheGrammar) {
  for (const char* good : {"0", "-0", "10", "1.10", "1e400", "-1.5E+03", "0e0", "123456789012345678901234567890"})
    EXPECT_TRUE(is_json_number(good)) << good;
  for (const char* bad : {"", "-", "01", "1.", ".5", "1e", "1e+", "+1", "0x1", "1.2.3", "1e5.0", "--1", "1 "})
    EXPECT_FALSE(is_json_number(bad)) << bad;
}

std::string rounded(std::string json) {
  round_numbers(json);
  return json;
}

TEST(JsonNumbers, AreRoundedWhereReadersRefuseThem) {
  EXPECT_EQ(rounded(R"([18446744073709551615,-9223372036854775808,1.10,"20000000000000000000"])"),
            R"([18446744073709551615,-9223372036854775808,1.10,"20000000000000000000"])");
  EXPECT_EQ(rounded(R"([18446744073709551616,-9223372036854775809,{"a":1e400},-1e999])"),
            R"([1.8446744073709552e+19,-9.223372036854776e+18,{"a":1.7976931348623157e+308},)"
            R"(-1.7976931348623157e+308])");
  EXPECT_EQ(rounded("[" + std::string(400, '9') + "]"), "[1.7976931348623157e+308]");
  EXPECT_EQ(rounded("[01e999,1.e999,020000000000000000000]"), "[01e999,1.e999,020000000000000000000]");
}

TEST(JsonNumbers, EveryReaderTakesThem) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  for (const char* text : {"[20000000000000000000]", "[-20000000000000000000]", "[1e400]", "[1.10]"}) {
    EXPECT_TRUE(parse_dom(parser, text, root)) << text;
    EXPECT_TRUE(parse_json(text)[0].is_number()) << text;
    EXPECT_EQ(json_text(parse_written(text)), text);
  }
  EXPECT_FALSE(parse_dom(parser, "[01e999]", root));
  EXPECT_TRUE(parse_json("[1.e999]").is_discarded());
  EXPECT_TRUE(parse_written("[20000000000000000000,]").is_discarded());
}

TEST(JsonNumbers, AreWrittenAsTheyWere) {
  const std::string members =
      R"("a":1.10,"b":[-0,0.1234567890123456789,1E5,1.0,5],"c":{"d":123456789012345678901,"e":"\ud800"},"f":1e400)";
  const std::string as_read = R"("\ud800")";
  std::string kept = "{" + members + "}";
  kept.replace(kept.find(as_read), as_read.size(), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(json_text(parse_written("{" + members + "}")), kept);
  // A text too long for one parser has another.
  const std::string filler = R"("z":")" + std::string(100'000, 'z') + "\",";
  kept.insert(1, filler);
  EXPECT_EQ(json_text(parse_written("{" + filler + members + "}")), kept);
  EXPECT_EQ(json_text(parse_written(R"({"a":1.10,"b":2.20,"a":3.30})")), R"({"a":3.30,"b":2.20})");
}

TEST(JsonNumbers, NobodyCanWriteOneThatIsNone) {
  const std::string forged = R"({"a":{"bytes":[49,44,50],"subtype":null},"b":"1.10","c":1.10})";
  Json tree = parse_written(forged);
  EXPECT_EQ(json_text(tree), forged);
  EXPECT_TRUE(tree["a"].is_object());
  EXPECT_TRUE(tree["b"].is_string());
}

TEST(JsonNumbers, OfCallsAreKeptAndOthersRead) {
  const std::string text = R"({"t":0.70,"content":[{"type":"tool_use","input":{"x":1.10}},{"input":{"x":1.10}},)"
                           R"({"toolUse":{"input":{"x":2.20}}},{"functionCall":{"args":{"x":[1e400]}},"args":3.30},)"
                           R"({"functionResponse":{"response":{"x":20000000000000000000}}}]})";
  Json tree = parse_json(text);
  keep_call_numbers(text, tree);
  EXPECT_EQ(json_text(tree), R"({"t":0.7,"content":[{"type":"tool_use","input":{"x":1.10}},{"input":{"x":1.1}},)"
                             R"({"toolUse":{"input":{"x":2.20}}},{"functionCall":{"args":{"x":[1e400]}},"args":3.3},)"
                             R"({"functionResponse":{"response":{"x":20000000000000000000}}}]})");
  EXPECT_TRUE(tree["t"].is_number());
}

TEST(JsonNumbers, AReadersDepthStays) {
  const std::string text = R"({"input":{"x":[1.10,[2.20]]},"type":"tool_use"})";
  Json cut = parse_json(R"({"input":{"x":[1.10]},"type":"tool_use"})");
  keep_call_numbers(text, cut);  // of a reader that left out what was too deep
  EXPECT_EQ(json_text(cut), R"({"input":{"x":[1.1]},"type":"tool_use"})");
}

}  // namespace
}  // namespace weir::providers
