// How long a prompt is taken to be: text by bytes, images by the rules of the model that sees them.
#include "gateway/accounting/prompt_size.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "providers/base64.h"

namespace weir::gateway {
namespace {

int64_t most(std::string_view body, std::string_view model = "") {
  return PromptSize(body).most(model);
}

namespace fs = std::filesystem;

TEST(PromptSize, CountsBytesByKind) {
  EXPECT_EQ(most(""), 8);
  EXPECT_EQ(most(std::string(300, 'a')), 108);
  EXPECT_EQ(most("日本語"), 8 + 5);  // nine bytes, three characters
  std::string image = R"({"url":"data:image/png;base64,)" + std::string(100'000, 'A') + "\"}";
  EXPECT_LT(most(image), kBlobTokens + 30);
  EXPECT_GE(most(image), kBlobTokens);
  EXPECT_GE(most(image + image), 2 * kBlobTokens);
  EXPECT_LT(most("data:text/plain;base64," + std::string(2000, ' ')), 800);
  const std::string by_address = R"({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})";
  EXPECT_GE(most(by_address), kBlobTokens);
  EXPECT_LT(most(by_address), 2 * kBlobTokens);
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The largest `"prompt_tokens": N` in a recorded answer.
int64_t prompt_tokens_in(const std::string& answer) {
  int64_t most = 0;
  constexpr std::string_view kName = "\"prompt_tokens\"";
  for (size_t at = answer.find(kName); at != std::string::npos; at = answer.find(kName, at + 1)) {
    size_t digit = at + kName.size();
    while (digit < answer.size() && (answer[digit] == ' ' || answer[digit] == ':')) ++digit;
    most = std::max<int64_t>(most, std::atoll(answer.c_str() + digit));
  }
  return most;
}

TEST(PromptSize, IsNotBelowRecordedUsage) {
  const fs::path folder = WEIR_SOURCE_DIR "/../shared/data/wire/best";
  if (!fs::exists(folder)) GTEST_SKIP() << "no recorded traffic at " << folder;
  int compared = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().string();
    constexpr std::string_view kSuffix = ".request.json";
    if (!name.ends_with(kSuffix)) continue;
    const std::string base = name.substr(0, name.size() - kSuffix.size());
    int64_t actual = 0;
    for (const char* kind : {".response.json", ".response.sse"})
      actual = std::max(actual, prompt_tokens_in(read(base + kind)));
    if (actual == 0) continue;
    ++compared;
    EXPECT_GE(most(read(entry.path())), actual) << name;
  }
  EXPECT_GT(compared, 20);
}

/// The first bytes of a PNG of that size, and some more, in base64.
std::string png(uint32_t width, uint32_t height, size_t bytes = 100) {
  std::string file("\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16);
  for (const uint32_t side : {width, height})
    for (int shift = 24; shift >= 0; shift -= 8) file.push_back(static_cast<char>(side >> shift & 0xFF));
  file.resize(std::max(file.size(), bytes), 'x');
  return providers::encode_base64(file);
}

std::string image_url(const std::string& url, const std::string& more = "") {
  return R"({"type":"image_url","image_url":{"url":")" + url + "\"" + more + "}}";
}

TEST(PromptSize, ImagesCountByTheRuleOfTheModel) {
  const std::string sent = image_url("data:image/png;base64," + png(1024, 1024, 50'000));
  const PromptSize size(sent);
  ASSERT_EQ(size.images().size(), 1U);
  EXPECT_EQ(size.images()[0].size, (providers::ImageSize{1024, 1024}));
  const int64_t text = PromptSize(image_url("data:image/png;base64,")).most("");
  EXPECT_EQ(size.most("gpt-4o") - text, 765);
  EXPECT_EQ(size.most("claude-sonnet-4-5") - text, 1399);
  EXPECT_EQ(size.most("gemini-2.5-flash") - text, 4 * 258);
  EXPECT_LT(size.likely("gpt-4o"), size.most("gpt-4o"));
  const std::string low = image_url("data:image/png;base64," + png(1024, 1024), R"(,"detail":"low")");
  EXPECT_EQ(PromptSize(low).images()[0].detail, "low");
  EXPECT_LT(most(low, "gpt-4o"), 85 + 50);
}

TEST(PromptSize, EveryProtocolsImagesAreFound) {
  const std::string data = png(800, 600);
  const auto images = [](const std::string& body) {
    return PromptSize(R"({"model":"m","messages":[{"role":"user","content":[)" + body + "]}]}").images().size();
  };
  EXPECT_EQ(images(image_url("data:image/png;base64," + data)), 1U);
  EXPECT_EQ(images(image_url("https://example.com/a.png") + "," + image_url("https://example.com/b.png")), 2U);
  EXPECT_EQ(images(R"({"type":"input_image","image_url":"https://example.com/a.png","detail":"low"})"), 1U);
  EXPECT_EQ(images(R"({"type":"image","source":{"type":"base64","media_type":"image/png","data":")" + data + "\"}}"),
            1U);
  EXPECT_EQ(images(R"({"type":"image","source":{"type":"url","url":"https://example.com/a.png"}})"), 1U);
  EXPECT_EQ(images(R"({"inlineData":{"mimeType":"image/png","data":")" + data + "\"}}"), 1U);
  EXPECT_EQ(images(R"({"fileData":{"mimeType":"image/png","fileUri":"gs://bucket/a.png"}})"), 1U);
  EXPECT_EQ(images(R"({"type":"document","source":{"type":"url","url":"https://example.com/a.pdf"}})"), 0U);
  EXPECT_EQ(images(R"({"type":"input_audio","input_audio":{"data":")" + std::string(5000, 'A') + "\"}}"), 0U);
  EXPECT_EQ(images(R"({"type":"text","text":"\"image_url\": \"https://example.com\""})"), 0U) << "only talked about";
}

TEST(PromptSize, GeminisResolutionGoesForAllImages) {
  const std::string body = R"({"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":")" +
                           png(2000, 2000) + R"("}}]}],"generationConfig":{"mediaResolution":"MEDIA_RESOLUTION_LOW"}})";
  const int64_t without = most(body, "gemini-3-pro") - 280;
  EXPECT_EQ(most(body, "gemini-2.5-pro") - without, 64);
}

TEST(PromptSize, AudioAndDocumentsAreFlat) {
  const std::string audio = R"({"input_audio":{"format":"wav","data":")" + std::string(100'000, 'A') + "\"}}";
  EXPECT_GE(most(audio), kBlobTokens);
  EXPECT_LT(most(audio), kBlobTokens + 40);
}

TEST(PromptSize, WhatIsOnlyNamedMayBeLong) {
  const auto size = [](const std::string& part) {
    return PromptSize(R"({"model":"m","messages":[{"role":"user","content":[)" + part + "]}]}");
  };
  for (const char* part : {
           R"({"type":"input_file","file_id":"file-abc"})",
           R"({"type":"input_file","file\u005fid":"file-abc"})",
           R"({"type":"input_file","file_url":"https://example.com/a.pdf"})",
           R"({"type":"file","file":{"file_id":"file-abc"}})",
           R"({"type":"file","file":{"filename":"a.pdf","file_data":"https://example.com/a.pdf"}})",
           R"({"type":"document","source":{"type":"file","file_id":"file_abc"}})",
           R"({"type":"document","source":{"type":"url","url":"https://example.com/a.pdf"}})",
           R"({"type":"tool_result","content":[{"type":"document","source":{"type":"file","file_id":"file_abc"}}]})",
           R"({"fileData":{"mimeType":"application/pdf","fileUri":"gs://bucket/a.pdf"}})",
           R"({"file_data":{"file_uri":"https://www.youtube.com/watch?v=x"}})",
           R"({"type":"document_url","document_url":"https://example.com/a.pdf"})",
           R"({"type":"video_url","video_url":{"url":"https://example.com/a.mp4"}})",
       }) {
    EXPECT_EQ(size(part).named(), kNamedTokens) << part;
    EXPECT_GE(size(part).likely(""), kBlobTokens) << part;
  }
  for (const char* part : {
           R"({"type":"text","text":"{\"type\":\"input_file\",\"file_id\":\"file-abc\"}"})",
           R"({"type":"tool_use","name":"read","input":{"source":{"file_id":"x"},"type":"input_file","file_id":"x"}})",
           R"({"functionCall":{"name":"read","args":{"type":"input_file","file_id":"x"}}})",
           R"({"functionResponse":{"name":"read","response":{"file":{"file_id":"x"}}}})",
           R"({"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"}})",
           R"({"type":"document","source":{"type":"text","data":"plain"}})",
           R"({"type":"image","source":{"type":"url","url":"https://example.com/a.png"}})",
           R"({"fileData":{"mimeType":"image/png","fileUri":"gs://bucket/a.png"}})",
           R"({"type":"container_upload","file_id":"file_abc"})",
       }) {
    EXPECT_EQ(size(part).named(), 0) << part;
    EXPECT_LT(size(part).likely(""), 1'500 + providers::kUnknownImageTokens) << part;
  }
  EXPECT_EQ(size(R"({"type":"input_image","file_id":"file-abc"})").images().size(), 1U);
  EXPECT_EQ(size(R"({"type":"image","source":{"type":"file","file_id":"file_abc"}})").images().size(), 1U);
  EXPECT_EQ(PromptSize(R"({"contents":[],"cachedContent":"cachedContents/abc"})").named(), kNamedTokens);
  EXPECT_EQ(PromptSize(R"({"prompt":{"id":"pmpt_1","variables":{"x":{"type":"input_file","file_id":"f"}}}})").named(),
            2 * kNamedTokens);
  EXPECT_EQ(PromptSize(R"({"prompt":"file_id"})").named(), 0);
  std::string many;
  for (int i = 0; i < 100; ++i) many += R"({"type":"input_file","file_id":"file-abc"},)";
  many.pop_back();
  EXPECT_EQ(size(many).named(), kNamedTokensMax);
}

TEST(PromptSize, WhatAnAccountHoldsIsAsLongAsItSaid) {
  PromptSize size(R"({"input":"go on"})");
  const int64_t alone = size.most("");
  size.add_held(5'000);
  EXPECT_EQ(size.most(""), alone + 5'000);
  EXPECT_EQ(size.named(), 0);
  size.add_held(0);
  EXPECT_EQ(size.named(), kNamedTokens) << "nobody said it";
}

TEST(PromptSize, ManyMarksCostOnePass) {
  std::string body;
  for (int i = 0; i < 300'000; ++i) body += R"("data":1,)";
  EXPECT_EQ(PromptSize(body).images().size(), 0U);  // a search of the rest for each of them would take minutes
  std::string images;
  for (int i = 0; i < 3000; ++i) images += image_url("data:image/gif;base64,R0lGODdhAQABAIAAAAAAAP///ywAAAAAAQABAAAC");
  const PromptSize many(images);
  EXPECT_LE(many.images().size(), 1024U);
  EXPECT_GE(many.most("gpt-4o"), 3000 * 255);
}

TEST(PromptSize, OtherProtocolsHaveOtherUnits) {
  providers::CallBody call;
  call.protocol = providers::Protocol::openai_speech;
  call.units = 42;
  EXPECT_EQ(measure_prompt(call).most("tts-1"), 42);
  call.protocol = providers::Protocol::openai_transcriptions;
  EXPECT_EQ(measure_prompt(call).most("whisper-1"), 420);
  call.protocol = providers::Protocol::rerank;
  call.units = 101;
  EXPECT_EQ(measure_prompt(call).likely("rerank-v3.5"), 2);
}

}  // namespace
}  // namespace weir::gateway
