// The YAML beneath: syntax, places, references to the environment, aliases, and limits on all of them.
#include "config/load/document.h"

#include "config/load/environment.h"
#include "tests/config/support.h"

namespace weir::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::vector<std::string> mistakes_of(const std::string& yaml) {
  Report report("f");
  parse_document(yaml, report);
  return texts(report.take_mistakes());
}

TEST(Document, SyntaxMistakesHaveTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"a: [1, 2\nb: 3\n", "f:2:"},
      {"a: 'open\n", "f:"},
      {"a: 1\n  b: 2\n", "f:2:4: not valid YAML"},
      {"a: *nowhere\n", "f:1:4: not valid YAML"},
      {"a:\n\t- 1\n", "f:2:2: not valid YAML"},
      {"a: \"\\q\"\n", "f:1:"},
      {"a: 1\n---\nb: 2\n", "f:1:1: the file holds several YAML documents; keep one"}};
  for (const auto& [yaml, start] : cases) {
    const auto mistakes = mistakes_of(yaml);
    ASSERT_THAT(mistakes, SizeIs(1)) << yaml;
    EXPECT_THAT(mistakes[0], StartsWith(start)) << yaml;
    EXPECT_THAT(mistakes[0], HasSubstr("; ")) << "a remedy, for " << yaml;
  }
}

TEST(Document, TextMustBePlainUtf8) {
  EXPECT_THAT(mistakes_of("a: 1\nb: \x01\n"),
              ElementsAre("f:2:4: a control character; save the file as plain UTF-8 text"));
  EXPECT_THAT(mistakes_of("a: \xff\n"), ElementsAre("f:1:4: not UTF-8; save the file as UTF-8"));
  EXPECT_THAT(mistakes_of("a: ä\xc3"), ElementsAre("f:1:5: not UTF-8; save the file as UTF-8"));
  for (const char* bad : {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xf0\x80\x80\x80", "\x80"})
    EXPECT_THAT(mistakes_of(std::string("a: ") + bad), SizeIs(1));
  EXPECT_THAT(mistakes_of(std::string("a: \0b", 5)), SizeIs(1));
  EXPECT_THAT(mistakes_of("\xef\xbb\xbf"
                          "a: 1\r\nb: \t2\r\n"),
              IsEmpty());
}

TEST(Document, ColumnsCountCodePoints) {
  Report report("f");
  const auto document = parse_document("größe: {über: 1, x: 2}\n", report);
  ASSERT_TRUE(document);
  EXPECT_EQ(document->keys[0].mark.column, 1);
  EXPECT_EQ(document->values[0].mark.column, 8);
  EXPECT_EQ(document->values[0].keys[1].mark.column, 18);
}

TEST(Document, AliasesAndMergeKeys) {
  Report report("f");
  const auto document = parse_document("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: *x\nd: {<<: [*x, {r: 4}]}\n", report);
  ASSERT_TRUE(document && report.clean());
  const Node& b = document->values[1];
  ASSERT_EQ(b.keys.size(), 2u);
  EXPECT_EQ(b.keys[0].text, "q");
  EXPECT_EQ(b.values[0].text, "3");
  EXPECT_EQ(b.keys[1].text, "p");
  EXPECT_EQ(document->values[2].values[1].text, "2");
  EXPECT_EQ(document->values[2].mark.line, 3);
  EXPECT_EQ(document->values[3].keys.size(), 3u);
  EXPECT_THAT(mistakes_of("a: {<<: 1}\n"), ElementsAre(HasSubstr("<< takes a map")));
  EXPECT_THAT(mistakes_of("a: {<<: [1]}\n"), ElementsAre(HasSubstr("<< takes maps")));
  EXPECT_THAT(mistakes_of("a: &x [*x]\n"), ElementsAre(StartsWith("f:1:8: a[0]: an alias inside the value")));
}

TEST(Document, BombsAreRefused) {
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int n = 0; n < 9; ++n) laughs += ", " + last;
    laughs += "]\n";
  }
  EXPECT_THAT(mistakes_of(laughs), ElementsAre(HasSubstr("too large")));

  std::string quoted_text = "a: &a \"" + std::string(500'000, 'x') + "\"\nb: [";
  for (int i = 0; i < 1000; ++i) quoted_text += "*a, ";
  EXPECT_THAT(mistakes_of(quoted_text + "1]\n"), ElementsAre(HasSubstr("too large")));

  std::string chain = "a0: &a0 [x]\n";
  for (int i = 1; i < 100; ++i)
    chain += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  EXPECT_THAT(mistakes_of(chain), ElementsAre(HasSubstr("nested deeper")));

  for (const char* opening : {"[", "{a: ", "- ", "? "}) {
    std::string deep;
    for (int i = 0; i < 20'000; ++i) deep += opening;
    EXPECT_THAT(mistakes_of(deep), SizeIs(1)) << opening;
  }
  EXPECT_THAT(mistakes_of(std::string(1024 * 1024 + 1, ' ')), ElementsAre("f:1:1: the file is larger than 1 MiB"));
  std::string wide = "a: [";
  for (int i = 0; i < 150'000; ++i) wide += "1,";
  EXPECT_THAT(mistakes_of(wide + "1]"), ElementsAre(HasSubstr("too large")));
  EXPECT_THAT(mistakes_of("a: !secret x\n"), ElementsAre("f:1:4: a: tag \"!secret\" means nothing here; remove it"));
  EXPECT_THAT(mistakes_of("a: !!str 5\n"), IsEmpty());
}

std::string expanded(const std::string& yaml, Variables variables = {}) {
  Report report("f");
  auto document = parse_document(yaml, report);
  if (!document) return report.take_mistakes()[0].text();
  expand_references(*document, environment_of(std::move(variables)), report);
  if (!report.clean()) return report.take_mistakes()[0].text();
  const Node* node = &*document;
  while (node->kind == Node::Kind::map || node->kind == Node::Kind::sequence) node = &node->values.at(0);
  return node->text;
}

TEST(Environment, ReferencesWorkInEveryKindOfScalar) {
  const Variables variables = {{"A", "one"}, {"EMPTY", ""}, {"YAML", "{x: [1], y: *z} # & \"q\""}, {"NESTED", "${A}"}};
  const std::pair<const char*, const char*> cases[] = {
      {"a: ${A}", "one"},
      {"a: ${A}", "one"},
      {"{a: ${A}}", "one"},
      {"{a: {b: ${A}, c: 1}}", "one"},
      {"[${A}, ${A}]", "one"},
      {"a: \"${A}\"", "one"},
      {"a: '${A}'", "one"},
      {"a: |\n  ${A}", "one"},
      {"{a: http://${A}:80/${A}, b: 1}", "http://one:80/one"},
      {"{a: ${NO:-x, y: [z] # w}}", "x, y: [z] # w"},
      {"{a: ${NO:-http://h:1/v}}", "http://h:1/v"},
      {"a: ${NO:-\"quoted\"}", "\"quoted\""},
      {"a: ${EMPTY:-default}", "default"},
      {"a: ${NO:-}", ""},
      {"a: x${EMPTY}y", "xy"},
      {"{a: $${A}}", "${A}"},
      {"a: $$${A}", "$${A}"},
      {"a: $A $ $1", "$A $ $1"},
      {"{a: ${YAML}}", "{x: [1], y: *z} # & \"q\""},
      {"a: ${NESTED}", "${A}"},
      {"a: ${A}${A} # ${NO", "oneone"},
  };
  for (const auto& [yaml, value] : cases) EXPECT_EQ(expanded(yaml, variables), value) << yaml;
}

TEST(Environment, MaskingLosesNothing) {
  for (const std::string text :
       {"${A:-x, y: [z] # w}", "a ${B} ${ ${C:-{} $${D} ${E:-'q'}", "${", "${A", "", "${A:-\n}"}) {
    std::string copy = text;
    mask_references(copy);
    EXPECT_EQ(copy.size(), text.size());
    unmask_references(copy);
    EXPECT_EQ(copy, text);
  }
}

TEST(Environment, LargeVariablesAreRefused) {
  EXPECT_THAT(expanded("a: ${A}", {{"A", std::string(70'000, 'x')}}), HasSubstr("A is longer than a value may be"));
  std::string many = "a:\n";
  for (int i = 0; i < 1000; ++i) many += "  - ${A}\n";
  EXPECT_THAT(expanded(many, {{"A", std::string(60'000, 'x')}}), HasSubstr("longer than a value may be"));
}

}  // namespace
}  // namespace weir::config
