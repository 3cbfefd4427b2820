// The chat template renderer against thirty templates of real models, as Jinja2 renders them under Hugging Face's
// settings, and the loading of templates from a model's folder.
#include "engine/text/chat_template.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace weir::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

const fs::path kData = fs::path(WEIR_SOURCE_DIR) / ".." / "shared" / "data" / "templates";

// 2025-01-02 03:04:05, the time at which the expected texts were made.
constexpr std::chrono::system_clock::time_point kNow{std::chrono::seconds{1735787045}};

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::shared_ptr<const ChatTemplate> parse(const std::string& source) {
  auto parsed = ChatTemplate::parse(source, "test");
  EXPECT_TRUE(parsed.ok()) << parsed.error().detail;
  return parsed.ok() ? *parsed : nullptr;
}

/// The rendered text, or "error: " and the detail.
std::string outcome(const ChatTemplate& chat, const ChatTemplate::Context& context) {
  auto text = chat.render(context);
  return text.ok() ? *text : "error: " + text.error().detail;
}

class Folder {
 public:
  explicit Folder(const std::string& name) : path_(fs::path(testing::TempDir()) / name) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  void add(const std::string& file, const std::string& text) const {
    fs::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file, std::ios::binary) << text;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Whether a rendering is what Jinja2 gave: the same bytes, or, where that raised, the same exception and message.
bool as_expected(const Result<std::string>& got, const ordered_json& expected) {
  if (expected.is_string()) return got.ok() && *got == expected.get<std::string>();
  if (got.ok()) return false;
  const std::string message = expected["error"].get<std::string>();
  const std::string raised = "TemplateError: ";  // raise_exception: the message alone
  if (message.starts_with(raised)) return got.error().detail == message.substr(raised.size());
  return got.error().detail.ends_with(": " + message);
}

TEST(ChatTemplate, RendersRealTemplatesByteForByte) {
  if (!fs::exists(kData / "expected.json")) GTEST_SKIP() << "the shared templates are not here: " << kData;
  const ordered_json all = read_json<ordered_json>(read(kData / "expected.json"));
  int templates = 0;
  int renderings = 0;
  for (const auto& [name, cases] : all["expected"].items()) {
    auto parsed = ChatTemplate::parse(read(kData / name), name);
    ASSERT_TRUE(parsed.ok()) << parsed.error().detail;
    bool right = true;
    for (const auto& [key, expected] : cases.items()) {
      const bool prompt = key.ends_with("+gen");
      const ordered_json& input = all["contexts"][prompt ? key.substr(0, key.size() - 4) : key];
      const auto got = (*parsed)->render({.messages = input["messages"],
                                          .tools = input["tools"],
                                          .documents = input["documents"],
                                          .add_generation_prompt = prompt,
                                          .bos_token = "<s>",
                                          .eos_token = "</s>",
                                          .now = kNow});
      const bool matches = as_expected(got, expected);
      EXPECT_TRUE(matches) << name << " " << key << "\nexpected: " << expected.dump()
                           << "\ngot: " << (got.ok() ? ordered_json(*got).dump() : "error " + got.error().detail);
      right = right && matches;
      ++renderings;
    }
    templates += right;
  }
  std::printf("chat templates %d/%zu (%d renderings)\n", templates, all["expected"].size(), renderings);
  EXPECT_EQ(templates, 30);
  EXPECT_EQ(renderings, 300);
}

TEST(ChatTemplate, GivesTheTemplateItsVariables) {
  const auto chat = parse(
      "{{ bos_token }}{{ messages[0].role }}{{ tools is none }}{{ documents is none }}"
      "{{ add_generation_prompt }}{{ eos_token }}{{ think|default('unset') }}");
  ASSERT_TRUE(chat);
  const ordered_json messages = read_json<ordered_json>(R"([{"role":"user","content":"x"}])");
  EXPECT_EQ(outcome(*chat, {.messages = messages, .bos_token = "<s>", .eos_token = "</s>"}),
            "<s>userTrueTrueTrue</s>unset");
  // Further variables may replace the tokens, as in Hugging Face, but not the conversation.
  const ordered_json extra = {{"think", false}, {"bos_token", "B"}, {"messages", 5}, {"add_generation_prompt", 7}};
  EXPECT_EQ(outcome(*chat, {.messages = messages, .bos_token = "<s>", .eos_token = "</s>", .extra = extra}),
            "BuserTrueTrueTrue</s>False");
}

TEST(ChatTemplate, RefusesInputThatIsNotUtf8) {
  const auto chat = parse("{{ messages }}");
  ASSERT_TRUE(chat);
  const ordered_json messages = ordered_json::array({"\xff"});
  const auto text = chat->render({.messages = messages});
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().kind, ErrorKind::bad_request);
}

TEST(ChatTemplate, RendersOnManyThreadsAtOnce) {
  const auto chat = parse("{% for m in messages %}{{ m.role ~ ':' ~ m.content|upper }}{% endfor %}{{ 'é'|upper }}");
  ASSERT_TRUE(chat);
  const ordered_json messages =
      read_json<ordered_json>(R"([{"role":"user","content":"hi"},{"role":"a","content":"yo"}])");
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) text = outcome(*chat, {.messages = messages});
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, "user:HIa:YOÉ");
}

TEST(LoadChatTemplate, PrefersTheJinjaFile) {
  const Folder folder("weir_chat_jinja");
  folder.add("chat_template.jinja", "file");
  folder.add("additional_chat_templates/tool_use.jinja", "file with tools");
  folder.add("tokenizer_config.json", R"({"chat_template": "config"})");
  const auto chat = load_chat_template(folder.path());
  ASSERT_TRUE(chat.ok()) << chat.error().detail;
  const ordered_json none;
  const ordered_json tools = ordered_json::array({1});
  EXPECT_EQ(outcome(**chat, {.messages = none}), "file");
  EXPECT_EQ(outcome(**chat, {.messages = none, .tools = tools}), "file with tools");
}

TEST(LoadChatTemplate, ReadsTheTokenizersConfiguration) {
  const ordered_json none;
  const ordered_json tools = ordered_json::array({1});
  const Folder one("weir_chat_one");
  one.add("tokenizer_config.json", R"({"chat_template": "one {{ tools }}"})");
  const auto single = load_chat_template(one.path());
  ASSERT_TRUE(single.ok()) << single.error().detail;
  EXPECT_EQ(outcome(**single, {.messages = none, .tools = tools}), "one [1]");

  const Folder many("weir_chat_many");
  many.add("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "plain"},
      {"name": "rag", "template": "{{ broken"}, {"name": "tool_use", "template": "tools"}]})");
  const auto list = load_chat_template(many.path());
  ASSERT_TRUE(list.ok()) << list.error().detail;
  EXPECT_EQ(outcome(**list, {.messages = none}), "plain");
  EXPECT_EQ(outcome(**list, {.messages = none, .tools = tools}), "tools");

  const Folder other("weir_chat_other");
  other.add("tokenizer_config.json", R"({"bos_token": "<s>"})");
  other.add("chat_template.json", R"({"chat_template": "third"})");
  const auto third = load_chat_template(other.path());
  ASSERT_TRUE(third.ok()) << third.error().detail;
  EXPECT_EQ(outcome(**third, {.messages = none}), "third");
}

TEST(LoadChatTemplate, TellsWhatIsWrong) {
  const Folder folder("weir_chat_bad");
  EXPECT_EQ(load_chat_template(folder.path()).error().kind, ErrorKind::not_found);
  for (const char* config : {"{", "[]", R"({"chat_template": 5})", R"({"chat_template": [{"name": "default"}]})",
                             R"({"chat_template": [{"name": "rag", "template": ""}]})", R"({"chat_template": "{{"})"}) {
    folder.add("tokenizer_config.json", config);
    const auto chat = load_chat_template(folder.path());
    ASSERT_FALSE(chat.ok()) << config;
    EXPECT_EQ(chat.error().kind, ErrorKind::config) << config;
    EXPECT_NE(chat.error().detail.find("tokenizer_config.json"), std::string::npos) << chat.error().detail;
  }
}

}  // namespace
}  // namespace weir::engine
