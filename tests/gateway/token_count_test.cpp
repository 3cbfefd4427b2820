// What nobody else counted: samples of long texts, the text of answers in every protocol, and prompts as a template
// would string them together.
#include "gateway/accounting/token_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/text/chat_template.h"

namespace weir::gateway {
namespace {

namespace fs = std::filesystem;
using providers::Json;
using providers::Message;
using providers::Part;
using providers::Protocol;
using providers::Role;

const fs::path kRoot = WEIR_SOURCE_DIR;
const fs::path kModel = kRoot / "engine/builtin/weir-tiny";

const engine::Tokenizer& tokenizer() {
  static const auto loaded = engine::Tokenizer::load(kModel);
  return **loaded;
}

int64_t exactly(std::string_view text) {
  return static_cast<int64_t>(tokenizer().encode(text)->size());
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(TextSample, KeepsAShortTextWhole) {
  std::string text;
  TextSample sample;
  for (int i = 0; text.size() + 8 < kTextSampleBytes; ++i) {
    const std::string piece = std::to_string(i) + " ";
    text += piece;
    sample.add(piece);
  }
  EXPECT_EQ(sample.kept(), text);
  EXPECT_EQ(sample.bytes(), text.size());
  EXPECT_EQ(count_tokens(tokenizer(), sample), exactly(text));
}

TEST(TextSample, KeepsPiecesFromAllAlongALongText) {
  for (const size_t step : {1, 7, 1000, 5000, 1 << 20}) {
    TextSample sample;
    std::string text;
    for (int i = 0; i < 1024; ++i) text += std::string(1023, static_cast<char>('a' + i / 64)) + "|";
    for (size_t at = 0; at < text.size(); at += step) sample.add(std::string_view(text).substr(at, step));
    EXPECT_EQ(sample.bytes(), text.size());
    ASSERT_LE(sample.kept().size(), kTextSampleBytes);
    EXPECT_GE(sample.kept().size(), kTextSampleBytes / 2);
    for (char c = 'a'; c < 'a' + 16; ++c) EXPECT_NE(sample.kept().find(c), std::string::npos) << step << c;
    for (size_t at = 0; at + 1024 <= sample.kept().size(); at += 1024)
      EXPECT_EQ(sample.kept()[at + 1023], '|') << "pieces are whole";
  }
}

TEST(TextSample, OfALongTextSaysHowManyTokensItHas) {
  std::string text;
  for (const char* file : {"README.md", "docs/ARCHITECTURE.md", "docs/performance.md", "docs/translation.md",
                           "gateway/chat_run.cpp", "config/prices.yaml", "docs/benchmarks/README.md"})
    text += read(kRoot / file);
  ASSERT_GT(text.size(), 4 * kTextSampleBytes);
  TextSample sample;
  sample.add(text);
  const double ratio = static_cast<double>(count_tokens(tokenizer(), sample)) / static_cast<double>(exactly(text));
  EXPECT_NEAR(ratio, 1, 0.1);
}

std::string said(Protocol protocol, bool stream, std::string_view json) {
  TextSample sample;
  add_answer_text(protocol, stream, json, sample);
  return std::string(sample.kept());
}

TEST(AnswerText, OfStreams) {
  EXPECT_EQ(said(Protocol::openai_chat, true,
                 R"(data: {"choices":[{"delta":{"role":"assistant","content":"a \"b\" \u00e9"}}]}

data: {"choices":[{"delta":{"content":null,"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"x\":1}"}}]}}]}

)"),
            "a \"b\" é{\"x\":1}");
  EXPECT_EQ(said(Protocol::openai_chat, true, R"({"delta":{"reasoning":"hm","reasoning_content":"hm"}})"), "hm");
  EXPECT_EQ(said(Protocol::openai_chat, true, R"({"delta":{"reasoning":"hm","reasoning_details":[{"text":"hm"}]}})"),
            "hm");
  EXPECT_EQ(said(Protocol::openai_chat, true, R"({"delta":{"content":[{"type":"text","text":"a"}]}})"), "a");
  EXPECT_EQ(said(Protocol::openai_completions, true, R"({"choices":[{"text":"a"},{"text":"b"}]})"), "ab");
  EXPECT_EQ(said(Protocol::openai_responses, true,
                 R"(data: {"type":"response.output_text.delta","delta":"a"}

data: {"type":"response.completed","response":{"output":[{"content":[{"text":"a"}]}],"text":{"format":{}}}}

)"),
            "a");
  EXPECT_EQ(said(Protocol::anthropic_messages, true,
                 R"({"delta":{"type":"thinking_delta","thinking":"hm"}} {"delta":{"type":"text_delta","text":"a"}}
                    {"delta":{"type":"input_json_delta","partial_json":"{\"x\""}})"),
            "ahm{\"x\"");
  EXPECT_EQ(said(Protocol::gemini_generate, true,
                 R"({"parts":[{"text":"a"},{"functionCall":{"name":"f","args": {"x":"}\"","y":{}}}}]})"),
            "a{\"x\":\"}\\\"\",\"y\":{}}");
}

TEST(AnswerText, OfWholeBodies) {
  EXPECT_EQ(said(Protocol::openai_responses, false,
                 R"({"output":[{"content":[{"text":"a"}]},{"arguments":"{}"}],"text":{"format":{"type":"text"}}})"),
            "a{}");
  EXPECT_EQ(said(Protocol::anthropic_messages, false,
                 R"({"content":[{"text":"a"},{"type":"tool_use","input":{"x":1}}],"usage":{"input_tokens":1}})"),
            "a{\"x\":1}");
  for (const char* broken :
       {R"({"text":)", R"({"text":"a)", R"({"text":"a\)", R"({"input":{"a)", R"("text":"\ud8)", ""})
    for (const Protocol protocol : {Protocol::openai_chat, Protocol::anthropic_messages, Protocol::gemini_generate})
      said(protocol, false, broken);
}

TEST(PromptTokens, AreNearWhatATemplateMakes) {
  providers::ChatRequest request;
  Json messages = Json::array();
  const auto say = [&](Role role, const char* name, const std::string& text) {
    request.messages.push_back(Message{.role = role, .parts = {Part::of_text(text)}});
    messages.push_back({{"role", name}, {"content", text}});
  };
  say(Role::system, "system", "You are a helpful assistant. Answer in one sentence.");
  for (int i = 0; i < 10; ++i) {
    say(Role::user, "user", "What is the capital of country number " + std::to_string(i) + "?");
    say(Role::assistant, "assistant", "I do not know it, because countries have no numbers.");
  }
  say(Role::user, "user", "Then write a line about a weir.");
  const auto chat_template = engine::load_chat_template(kModel);
  ASSERT_TRUE(chat_template) << chat_template.error().detail;
  const auto text = (*chat_template)->render({.messages = messages});
  ASSERT_TRUE(text) << text.error().detail;
  const auto exact = static_cast<double>(tokenizer().encode(*text)->size());
  EXPECT_NEAR(static_cast<double>(count_prompt_tokens(tokenizer(), request)) / exact, 1, 0.15);
}

TEST(PromptTokens, CountCallsToolsAndPrompts) {
  providers::ChatRequest request;
  const auto count = [&] { return count_prompt_tokens(tokenizer(), request); };
  request.messages.push_back(Message{.role = Role::user, .parts = {Part::of_text("hello")}});
  const int64_t plain = count();
  EXPECT_GE(plain, exactly("hello") + 4);
  request.messages.push_back(
      Message{.role = Role::assistant, .parts = {Part::of_call({"id", "weather", "{\"city\":\"Paris\"}"})}});
  const int64_t with_call = count();
  EXPECT_GE(with_call, plain + exactly("weather") + exactly("{\"city\":\"Paris\"}"));
  request.tools.push_back({.name = "weather", .description = "Tells it.", .parameters = {{"type", "object"}}});
  EXPECT_GE(count(), with_call + exactly("Tells it.") + exactly("{\"type\":\"object\"}"));
  request = {};
  request.prompts = {"hello", "you"};
  request.token_prompts = {{1, 2, 3}, {4}};
  EXPECT_EQ(count(), exactly("helloyou") + 4);
}

TEST(LoadTokenizers, FoldersAndFilesOrTheMistakesPlace) {
  config::Config config;
  config::ModelConfig model;
  model.name = "m";
  model.tokenizer = kModel.string();
  model.targets.push_back({.account = "a", .tokenizer = (kModel / "tokenizer.json").string()});
  config.models.push_back(model);
  const auto loaded = load_tokenizers(config);
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->size(), 2U);
  for (const auto& [place, one] : *loaded) EXPECT_EQ(one->vocab_size(), tokenizer().vocab_size()) << place;
  config.models[0].targets[0].tokenizer = (kRoot / "docs").string();
  const auto refused = load_tokenizers(config);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().detail, testing::StartsWith("models.m.targets[0].tokenizer: "));
}

}  // namespace
}  // namespace weir::gateway
