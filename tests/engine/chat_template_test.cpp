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
  const ordered_json all = ordered_json::parse(read(kData / "expected.json"));
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

}  // namespace
}  // namespace weir::engine
