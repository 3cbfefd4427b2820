// Folders that `weir quantize` writes: what they hold is what `quantization:` makes at load, to the bit; smoothing
// changes no model in exact arithmetic and makes one with outliers easier to quantize.
#include "engine/model/quantize_save.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "config/base/rng.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/cli.h"
#include "engine/eval/calibrate.h"
#include "engine/quantize_cli.h"
#include "tests/engine/int4_rig.h"
#include "tests/engine/model_harness.h"
#include "tests/engine/temporary_folder.h"

namespace weir::engine {
namespace {

using testing::HasSubstr;

Result<SaveReport> save(const std::string& from, const std::string& to, const SaveOptions& options) {
  const auto files = folder_files(from);
  if (!files.ok()) return files.error();
  auto folder = NewFolder::create(to, false);
  if (!folder.ok()) return folder.error();
  auto report = save_quantized(**files, *folder, options);
  if (!report.ok()) return report;
  if (auto committed = folder->commit(); !committed.ok()) return committed.error();
  return report;
}

std::vector<std::vector<float>> logits_of(const std::shared_ptr<const Model>& model,
                                          const std::vector<TokenId>& prompt) {
  std::vector<int32_t> blocks((prompt.size() + 3) / 4);
  std::iota(blocks.begin(), blocks.end(), 0);
  ModelHarness harness(model, static_cast<int32_t>(blocks.size()), 4, 2);
  return harness.run({{prompt, 0, blocks}});
}

std::vector<TokenId> prompt_of(const std::string& folder) {
  return json_file(kReferenceFolder + folder + "/reference.json")["prompt"].get<std::vector<TokenId>>();
}

/// Magnitudes of activations that differ by up to `spread` from input to input.
std::vector<LayerInputs> uneven(const ModelSpec& spec, float spread) {
  Rng rng(17);
  const auto some = [&](int64_t size) {
    std::vector<float> values(static_cast<size_t>(size));
    for (float& value : values) value = std::pow(spread, static_cast<float>(rng.below(1000)) / 1000.0F);
    return values;
  };
  std::vector<LayerInputs> layers;
  for (int64_t i = 0; i < spec.layers; ++i) {
    layers.push_back({some(spec.hidden), some(spec.q_width()), some(spec.hidden), some(spec.intermediate)});
  }
  return layers;
}

class Saved : public testing::TestWithParam<const char*> {
 protected:
  TemporaryFolder here_;
};

TEST_P(Saved, IsTheModelThatLoadingQuantizesToTheBit) {
  const std::string from = kReferenceFolder + GetParam();
  const auto prompt = prompt_of(GetParam());
  for (const auto& [as, quantization] :
       {std::pair{SaveAs::int8, Quantization::int8}, {SaveAs::fp8, Quantization::fp8}}) {
    const std::string to = here_ / quantization_name(quantization);
    const auto report = save(from, to, {.as = as, .largest = {}, .shard_bytes_max = 20'000});
    ASSERT_TRUE(report.ok()) << report.error().detail;
    const auto at_load = load_folder(from, quantization);
    const auto saved = load_folder(to);
    ASSERT_TRUE(at_load != nullptr && saved != nullptr);
    EXPECT_EQ(saved->weights.layers[0].o.dtype, at_load->weights.layers[0].o.dtype);
    EXPECT_EQ(saved->weights.embedding.dtype, at_load->weights.embedding.dtype);
    EXPECT_EQ(logits_of(saved, prompt), logits_of(at_load, prompt));
    EXPECT_LT(report->bytes_after, report->bytes_before);
  }
  EXPECT_THAT(save(here_ / "int8", here_ / "again", {}).error().detail,
              HasSubstr("config.json: quantization_config: the model is in int8 already"));
}

TEST_P(Saved, SmoothingChangesNothingInExactArithmetic) {
  const std::string from = kReferenceFolder + GetParam();
  const auto prompt = prompt_of(GetParam());
  const auto before = load_folder(from);
  ASSERT_NE(before, nullptr);
  const auto expected = logits_of(before, prompt);
  const double max_abs = json_file(from + "/reference.json")["max_abs"].get<double>();
  int number = 0;
  for (const double a : {0.0, 0.5, 1.0}) {
    const std::string to = here_ / std::to_string(number++);
    const auto report = save(from, to, {.as = SaveAs::f32, .largest = uneven(before->spec, 100.0F), .smooth = a});
    ASSERT_TRUE(report.ok()) << report.error().detail;
    const auto smoothed = load_folder(to);
    ASSERT_NE(smoothed, nullptr);
    EXPECT_NE(smoothed->weights.layers[0].input_norm[0], before->weights.layers[0].input_norm[0]);
    const auto got = logits_of(smoothed, prompt);
    double worst = 0;
    for (size_t t = 0; t < got.size(); ++t) {
      for (size_t v = 0; v < got[t].size(); ++v) {
        worst = std::max(worst, std::fabs(static_cast<double>(got[t][v]) - static_cast<double>(expected[t][v])));
      }
    }
    EXPECT_LE(worst / max_abs, 1e-4) << "a = " << a;
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, Saved,
                         testing::Values("llama-gqa", "llama-tied-rope3", "llama-bf16", "qwen2-tied",
                                         "qwen2-gqa-sharded", "qwen2-f16"),
                         name_of_folder);

/// The inputs of some of their matrices no group of INT4 divides: those are left in floats, and INT8 at load.
class SavedInFourBits : public Saved {};

TEST_P(SavedInFourBits, IsTheModelThatLoadingQuantizesToTheBit) {
  const std::string from = kReferenceFolder + GetParam();
  const auto prompt = prompt_of(GetParam());
  const auto report = save(from, here_ / "int4", {.as = SaveAs::int4, .largest = {}, .shard_bytes_max = 20'000});
  ASSERT_TRUE(report.ok()) << report.error().detail;
  EXPECT_EQ(report->group, 64);
  EXPECT_FALSE(report->in_floats.empty());
  const auto at_load = load_folder(from, Quantization::int4);
  const auto saved = load_folder(here_ / "int4");
  ASSERT_TRUE(at_load != nullptr && saved != nullptr);
  const auto& at = at_load->weights.layers[0];
  const auto& got = saved->weights.layers[0];
  EXPECT_EQ(got.o.dtype, at.o.dtype);
  EXPECT_EQ(got.down.dtype, at.down.dtype);
  EXPECT_TRUE(got.o.dtype == DType::i4 || got.down.dtype == DType::i4);
  EXPECT_TRUE(got.o.dtype == DType::i8 || got.down.dtype == DType::i8);
  EXPECT_EQ(logits_of(saved, prompt), logits_of(at_load, prompt));
  const auto ignored = json_file(here_ / "int4/config.json")["quantization_config"]["ignore"];
  ASSERT_EQ(ignored.size(), report->in_floats.size() + 1);
  EXPECT_EQ(ignored[1].get<std::string>() + ".weight", report->in_floats[0]);
}

INSTANTIATE_TEST_SUITE_P(Reference, SavedInFourBits, testing::Values("llama-gqa", "qwen2-tied", "qwen2-gqa-sharded"),
                         name_of_folder);

TEST(SavingInFourBits, EveryMatrixIsPackedInGroupsOfOneSize) {
  TemporaryFolder here;
  Int4Checkpoint floats({"float", 32, false, false});
  auto folder = NewFolder::create(here / "int4", false);
  ASSERT_TRUE(folder.ok()) << folder.error().detail;
  const auto report = save_quantized(*floats.files(), *folder, {.as = SaveAs::int4, .largest = {}});
  ASSERT_TRUE(report.ok() && folder->commit().ok());
  EXPECT_EQ(report->projections, 14U);
  EXPECT_EQ(report->group, 128);
  EXPECT_THAT(report->in_floats, testing::IsEmpty());
  const auto at_load = floats.load(Quantization::int4);
  const auto saved = load_folder(here / "int4");
  ASSERT_TRUE(at_load.ok() && saved != nullptr);
  EXPECT_EQ(saved->weights.layers[1].down.dtype, DType::i4);
  std::vector<TokenId> prompt;
  for (TokenId i = 0; i < 20; ++i) prompt.push_back(i * 31 % 97);
  EXPECT_EQ(logits_of(saved, prompt), logits_of(at_load->front(), prompt));
}

TEST(Smoothing, FactorsAreEquationFour) {
  const auto model = load_folder(kReferenceFolder + "llama-gqa");
  ASSERT_NE(model, nullptr);
  auto largest = uneven(model->spec, 10.0F);
  largest[1].mlp[3] = 0.0F;
  const auto factors = smoothing_factors(model->spec, model->weights, largest, 0.7);
  const DecoderLayer& l = model->weights.layers[1];
  for (size_t j = 0; j < largest[1].mlp.size(); ++j) {
    float w = 0;
    for (const Tensor* t : {&l.gate, &l.up}) {
      for (int64_t r = 0; r < t->rows; ++r) {
        w = std::max(w, std::fabs(static_cast<const float*>(t->data)[r * t->cols + static_cast<int64_t>(j)]));
      }
    }
    const float expected = j == 3 ? 1.0F : std::pow(largest[1].mlp[j], 0.7F) / std::pow(w, 0.3F);
    EXPECT_NEAR(factors[1].mlp[j], expected, 1e-5F * expected);
  }
}

/// Activations of a few channels fifty times as large as the rest, which weights make up for: a model as hard to
/// quantize as large ones are. It is made by smoothing the wrong way round.
TEST(Smoothing, MakesAModelWithOutliersEasyToQuantize) {
  TemporaryFolder here;
  const std::string from = kReferenceFolder + "llama-gqa";
  const auto prompt = prompt_of("llama-gqa");
  const auto plain = load_folder(from);
  ASSERT_NE(plain, nullptr);
  auto outliers = uneven(plain->spec, 1.0F);
  for (LayerInputs& layer : outliers) {
    for (auto* inputs : {&layer.attention, &layer.output, &layer.mlp, &layer.down}) (*inputs)[5] = 0.02F;
  }
  ASSERT_TRUE(save(from, here / "hard", {.as = SaveAs::f32, .largest = outliers, .smooth = 1.0}).ok());
  LoadedModel hard{
      .source = {}, .model = load_folder(here / "hard"), .tokenizer = {}, .chat_template = {}, .eos_ids = {}};
  ASSERT_NE(hard.model, nullptr);
  const auto expected = logits_of(hard.model, prompt);
  EXPECT_LE(distance(expected, logits_of(plain, prompt)), 1e-4);
  const auto largest = largest_inputs(hard, {{.line = 1, .prompt = prompt, .completion = {}, .expected = {}}});
  ASSERT_TRUE(largest.ok()) << largest.error().detail;
  ASSERT_TRUE(save(here / "hard", here / "int8", {.as = SaveAs::int8, .largest = {}}).ok());
  ASSERT_TRUE(save(here / "hard", here / "smooth", {.as = SaveAs::int8, .largest = *largest}).ok());
  const double rough = distance(logits_of(load_folder(here / "int8"), prompt), expected);
  const double smooth = distance(logits_of(load_folder(here / "smooth"), prompt), expected);
  std::printf("logits moved by %.4f in int8, by %.4f smoothed\n", rough, smooth);
  EXPECT_LE(smooth, rough / 3);
  EXPECT_LE(smooth, 0.08);
}

TEST(Calibrating, SeesWhatTheFirstLayerReads) {
  const auto model = load_folder(kReferenceFolder + "llama-gqa");
  ASSERT_NE(model, nullptr);
  const auto prompt = prompt_of("llama-gqa");
  std::vector<uint64_t> told;
  const LoadedModel loaded{.source = {}, .model = model, .tokenizer = {}, .chat_template = {}, .eos_ids = {}};
  const auto largest = largest_inputs(loaded, {{.line = 1, .prompt = prompt, .completion = {}, .expected = {}}},
                                      [&](uint64_t done, uint64_t) { told.push_back(done); });
  ASSERT_TRUE(largest.ok()) << largest.error().detail;
  EXPECT_EQ(told, std::vector<uint64_t>{prompt.size()});
  const int64_t hidden = model->spec.hidden;
  std::vector<float> expected(static_cast<size_t>(hidden), 0.0F);
  for (const TokenId token : prompt) {
    const float* x = static_cast<const float*>(model->weights.embedding.data) + token * hidden;
    double squares = 0;
    for (int64_t c = 0; c < hidden; ++c) squares += static_cast<double>(x[c]) * static_cast<double>(x[c]);
    const auto scale = static_cast<float>(
        1.0 / std::sqrt(squares / static_cast<double>(hidden) + static_cast<double>(model->spec.rms_epsilon)));
    for (int64_t c = 0; c < hidden; ++c) {
      float& most = expected[static_cast<size_t>(c)];
      most = std::max(most, std::fabs(x[c] * scale * model->weights.layers[0].input_norm[c]));
    }
  }
  for (size_t c = 0; c < expected.size(); ++c)
    EXPECT_NEAR((*largest)[0].attention[c], expected[c], 1e-5F * expected[c]);
  for (const LayerInputs& layer : *largest) {
    for (const auto* inputs : {&layer.attention, &layer.output, &layer.mlp, &layer.down}) {
      EXPECT_THAT(*inputs, testing::Each(testing::Gt(0.0F)));
    }
  }
}

TEST(Saving, AWeightThatIsNoNumberIsNamedWithItsFile) {
  TemporaryFolder here;
  const std::string from = kReferenceFolder + "llama-gqa";
  std::filesystem::copy(from, here / "bad");
  std::string bytes = read_text(here / "bad/model.safetensors");
  const auto length = static_cast<size_t>(static_cast<uint8_t>(bytes[0])) | static_cast<uint8_t>(bytes[1]) << 8U;
  const auto header = read_json<nlohmann::json>(bytes.substr(8, length));
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  const auto end = header[name]["data_offsets"][1].get<size_t>();
  bytes.replace(8 + length + end - 4, 4, std::string("\x00\x00\x80\x7f", 4));
  write_text(here / "bad/model.safetensors", bytes);
  EXPECT_THAT(save(here / "bad", here / "out", {}).error().detail,
              HasSubstr("bad/model.safetensors: " + name + ": holds a weight that is not a finite number"));
  EXPECT_FALSE(std::filesystem::exists(here / "out"));
}

struct Ran {
  int status = 0;
  std::string out;
  std::string err;
};

Ran quantize(const std::vector<std::string>& args) {
  std::ostringstream out, err;
  const int status = quantize_command(args, out, err);
  return {status, out.str(), err.str()};
}

std::string greedy(const std::vector<std::string>& model) {
  std::vector<std::string> args = model;
  args.insert(args.end(), {"--prompt", "What is the capital of France?", "--temperature", "0", "--max-tokens", "40"});
  std::ostringstream out, err;
  EXPECT_EQ(generate_command(args, out, err), 0) << err.str();
  return out.str();
}

TEST(QuantizeCommand, MakesAFolderThatAnswersAsTheModelQuantizedAtLoad) {
  TemporaryFolder here;
  write_text(here / "chats.jsonl",
             "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}],\"expected\":\"Hello!\"}\n"
             "\n{\"text\":\"What is the capital of France?\"}\n");
  const std::string model = "builtin:weir-tiny";
  Ran run = quantize({"--model", model, "--to", "int8", "--out", here / "int8"});
  ASSERT_EQ(run.status, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("28 matrices in 8 bits"));
  EXPECT_EQ(greedy({"--model", here / "int8"}), greedy({"--model", model, "--quantization", "int8"}));
  EXPECT_EQ(quantize({"--model", model, "--to", "int8", "--out", here / "int8"}).status, 1);
  run = quantize({"--model", model, "--to", "int8", "--out", here / "int8", "--calibrate", here / "chats.jsonl",
                  "--smooth", "0.6", "--force"});
  ASSERT_EQ(run.status, 0) << run.err;
  EXPECT_THAT(greedy({"--model", here / "int8"}), HasSubstr("Paris"));
  ASSERT_EQ(quantize({"--model", model, "--to", "bf16", "--out", here / "bf16"}).status, 0);
  EXPECT_THAT(greedy({"--model", here / "bf16"}), HasSubstr("Paris"));
}

TEST(QuantizeCommand, SaysWhatIsWrong) {
  TemporaryFolder here;
  write_text(here / "bad.jsonl", "{\"text\":\"fine\"}\n[1]\n");
  write_text(here / "empty.txt", "\n\n");
  const std::string model = "builtin:weir-tiny";
  const std::vector<std::pair<std::vector<std::string>, std::string>> usage = {
      {{}, "--model is missing"},
      {{"--model", "x"}, "--to is missing"},
      {{"--model", "x", "--to", "int2"}, "--to must be int8, fp8, int4 or bf16, is 'int2'"},
      {{"--model", "x", "--to", "int8"}, "--out is missing"},
      {{"--model", "x", "--to", "int8", "--out", "y", "--smooth", "2"}, "--smooth must be a number between 0 and 1"},
      {{"--model", "x", "--to", "int8", "--out", "y", "--smooth", "0.3"},
       "--smooth is for --calibrate, which is missing"},
      {{"--model", "x", "--to", "int8", "--out", "y", "--samples", "3"},
       "--samples is for --calibrate, which is missing"},
      {{"--model", here.path(), "--to", "int8", "--out", here.path()}, "--out is the model's own folder"},
  };
  for (const auto& [args, message] : usage) {
    const Ran run = quantize(args);
    EXPECT_EQ(run.status, 2);
    EXPECT_THAT(run.err, HasSubstr(message));
  }
  const std::vector<std::pair<std::vector<std::string>, std::string>> failing = {
      {{"--model", here / "none"}, "none: no such model folder"},
      {{"--model", model, "--calibrate", here / "none.txt"}, "none.txt: cannot be read: No such file"},
      {{"--model", model, "--calibrate", here / "bad.jsonl"}, "bad.jsonl:2: is not a JSON object"},
      {{"--model", model, "--calibrate", here / "empty.txt"}, "empty.txt:2: holds no text"},
  };
  for (auto [args, message] : failing) {
    args.insert(args.end(), {"--to", "int8", "--out", here / "out"});
    const Ran run = quantize(args);
    EXPECT_EQ(run.status, 1);
    EXPECT_THAT(run.err, HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(here / "out"));
  }
  EXPECT_EQ(quantize({"--help"}).status, 0);
}

}  // namespace
}  // namespace weir::engine
