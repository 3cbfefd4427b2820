// Folders that appear whole or not at all, and safetensors files that our own strict reader takes.
#include "engine/model/safetensors_write.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <map>

#include "config/base/rng.h"
#include "engine/model/safetensors.h"
#include "engine/model/weight_store.h"
#include "tests/engine/temporary_folder.h"

namespace weir::engine {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

class Writing : public testing::Test {
 protected:
  /// Writes tensors of random bytes to `folder`, each in pieces, in an order of their own.
  Result<void> write(const std::string& folder, uint64_t shard_bytes_max) {
    auto made = NewFolder::create(folder, false);
    if (!made.ok()) return made.error();
    auto writer = SafetensorsWriter::create(*made, headers_, shard_bytes_max);
    if (!writer.ok()) return writer.error();
    Rng rng(3);
    for (auto header = headers_.rbegin(); header != headers_.rend(); ++header) {
      uint64_t size = stored_element_bytes(header->dtype);
      for (const int64_t d : header->shape) size *= static_cast<uint64_t>(d);
      std::string& bytes = bytes_[header->name];
      bytes.clear();
      while (bytes.size() < size) bytes.push_back(static_cast<char>(rng.next()));
      const std::string_view all = bytes;
      for (size_t at = 0; at < all.size(); at += 50) {
        if (auto written = writer->write(header->name, all.substr(at, 50)); !written.ok()) return written;
      }
    }
    if (auto finished = writer->finish(); !finished.ok()) return finished;
    return made->commit();
  }

  TemporaryFolder here_;
  const std::vector<TensorHeader> headers_ = {{"a.weight", "I8", {7, 5}},      {"a.weight_scale", "F32", {7, 1}},
                                              {"b.weight", "BF16", {3, 11}},   {"b.bias", "F16", {3}},
                                              {"c.weight", "F8_E4M3", {9, 9}}, {"scalar", "F32", {}},
                                              {"nothing", "F32", {0, 4}}};
  std::map<std::string, std::string> bytes_;
};

TEST_F(Writing, WhatIsWrittenIsReadBackAndAligned) {
  ASSERT_TRUE(write(here_ / "one", 1 << 20).ok());
  EXPECT_EQ(names_in(here_ / "one"), std::vector<std::string>{"model.safetensors"});
  const auto files = folder_files(here_ / "one");
  const auto file = read_safetensors(*(*files)->open("model.safetensors", 1 << 20));
  ASSERT_TRUE(file.ok()) << file.error().detail;
  ASSERT_EQ(file->tensors.size(), headers_.size());
  for (const TensorHeader& header : headers_) {
    const StoredTensor& stored = file->tensors.at(header.name);
    EXPECT_EQ(stored.dtype, header.dtype);
    EXPECT_EQ(stored.shape, header.shape);
    EXPECT_EQ(stored.bytes, bytes_[header.name]) << header.name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(stored.bytes.data()) % stored_element_bytes(stored.dtype), 0U);
  }
}

TEST_F(Writing, ShardsHaveAnIndexThatNamesThem) {
  ASSERT_TRUE(write(here_ / "many", 80).ok());
  const auto files = folder_files(here_ / "many");
  const auto store = WeightStore::open(**files);
  ASSERT_TRUE(store.ok()) << store.error().detail;
  ASSERT_EQ(store->stored().size(), headers_.size());
  for (const auto& [name, located] : store->stored()) EXPECT_EQ(located.tensor.bytes, bytes_[name]) << name;
  // 35 + 28, 66 + 6, 81 alone though it is more than a shard, 4 + 0 bytes.
  EXPECT_THAT(names_in(here_ / "many"),
              testing::ElementsAre("model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                                   "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
                                   "model.safetensors.index.json"));
}

TEST_F(Writing, AFolderOfOtherThingsBesidesIsNotAModels) {
  const auto replaced = [&](const std::string& name) { return NewFolder::create(here_ / name, true).ok(); };
  const auto fill = [&](const std::string& name, const std::string& config, const std::string& weights) {
    fs::create_directory(here_ / name);
    if (!config.empty()) write_text(here_ / (name + "/config.json"), config);
    write_text(here_ / (name + "/" + weights), "");
  };
  fill("whole", R"({"architectures":["LlamaForCausalLM"]})", "model-00001-of-00001.safetensors");
  fs::create_directory(here_ / "whole/additional_chat_templates");
  EXPECT_TRUE(replaced("whole"));
  fs::create_directory(here_ / "whole/photographs");
  EXPECT_FALSE(replaced("whole"));
  fill("other", R"({"port":8080})", "model.safetensors");
  EXPECT_FALSE(replaced("other"));
  fill("unweighted", R"({"model_type":"llama"})", "notes.txt");
  EXPECT_FALSE(replaced("unweighted"));
  fill("unnamed", "", "model.safetensors");
  EXPECT_FALSE(replaced("unnamed"));
  fs::create_directory(here_ / "empty");
  EXPECT_TRUE(replaced("empty"));
}

TEST_F(Writing, WhatIsThereIsReplacedOnlyWhereAskedAndOnlyAModel) {
  fs::create_directory(here_ / "model");
  write_text(here_ / "model/config.json", "{\"model_type\":\"llama\"}");
  write_text(here_ / "model/model.safetensors", "");
  EXPECT_THAT(NewFolder::create(here_ / "model", false).error().detail,
              HasSubstr("model: is there already; give --force to replace it"));
  fs::create_directory(here_ / "home");
  write_text(here_ / "home/letter.txt", "Dear");
  EXPECT_THAT(NewFolder::create(here_ / "home", true).error().detail, HasSubstr("is not a model's folder"));
  write_text(here_ / "file", "x");
  EXPECT_THAT(NewFolder::create(here_ / "file", true).error().detail, HasSubstr("is not a model's folder"));
  EXPECT_THAT(NewFolder::create(here_ / "no/such/place", true).error().detail,
              HasSubstr("cannot make a folder in " + (here_ / "no/such") + ": No such file or directory"));
  {
    auto folder = NewFolder::create(here_ / "model/", true);
    ASSERT_TRUE(folder.ok()) << folder.error().detail;
    ASSERT_TRUE(folder->write_file("config.json", "{\"new\":1}").ok());
    EXPECT_EQ(read_text(here_ / "model/config.json"), "{\"model_type\":\"llama\"}") << "before the folder is whole";
    ASSERT_TRUE(folder->commit().ok());
  }
  EXPECT_EQ(read_text(here_ / "model/config.json"), "{\"new\":1}");
  EXPECT_EQ(names_in(here_.path()), (std::vector<std::string>{"file", "home", "model"}));
}

TEST_F(Writing, AnotherThatTookTheNameMeanwhileKeepsIt) {
  auto folder = NewFolder::create(here_ / "model", false);
  ASSERT_TRUE(folder.ok());
  fs::create_directory(here_ / "model");
  EXPECT_THAT(folder->commit().error().detail, HasSubstr("is there already"));
}

/// A limit on the size of files stands for a disk that is full: the call fails alike.
TEST_F(Writing, ADiskThatIsFullIsSaidAndLeavesNothing) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t bytes : {0, 200, 700}) {
    const rlimit limit{bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    const auto written = write(here_ / "full", 1 << 20);
    setrlimit(RLIMIT_FSIZE, &before);
    ASSERT_FALSE(written.ok());
    EXPECT_THAT(written.error().detail, HasSubstr("model.safetensors: cannot reserve"));
    EXPECT_THAT(written.error().detail, HasSubstr("File too large"));
    EXPECT_TRUE(names_in(here_.path()).empty());
  }
  std::signal(SIGXFSZ, handler);
  ASSERT_TRUE(write(here_ / "full", 1 << 20).ok());
}

}  // namespace
}  // namespace weir::engine
