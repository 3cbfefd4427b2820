#include "engine/quantize_cli.h"

#include <cstdio>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string_view>
#include <system_error>
#include <utility>

#include "engine/eval/calibrate.h"
#include "engine/load.h"
#include "engine/model/quantize_save.h"
#include "engine/options.h"

namespace weir::engine {
namespace {

constexpr std::string_view kHelp =
    "usage: weir quantize --model DIR --to int8|fp8|int4|bf16 --out DIR [options]\n"
    "Writes a model's folder with its weights in 8 or 4 bits, in the layout of compressed-tensors. The new folder is\n"
    "served by `model: DIR` alone, starts without quantizing anew, and is read by vLLM and transformers too.\n"
    "  --model DIR          a Hugging Face folder in F32, F16 or BF16, or builtin:weir-tiny\n"
    "  --to T               int8 (8-bit weights and activations), fp8 (8-bit weights), int4 (4-bit weights in groups "
    "of at\n"
    "                       most 128), or bf16\n"
    "  --out DIR            the folder to make; it appears whole, or not at all\n"
    "  --calibrate FILE     SmoothQuant: ease activations by what they reach on these texts, one a line; FILE.jsonl:\n"
    "                       {\"messages\": [...], \"expected\": \"...\"}, {\"text\": \"...\"} or {\"prompt\", "
    "\"expected\"}\n"
    "  --smooth A           how much of the difficulty the weights take over, 0 to 1 (default 0.5; with --calibrate)\n"
    "  --samples N          at most N of the texts (default 512)\n"
    "  --force              replace the model's folder that is at --out\n";

constexpr double kSmooth = 0.5;
constexpr int64_t kSamples = 512;

struct Options {
  std::string model;
  std::string to;
  std::string out;
  std::string calibrate;
  std::optional<double> smooth;
  std::optional<int64_t> samples;
  bool force = false;
  bool help = false;
};

std::vector<Option> table_of(Options& o) {
  const auto smooth = [&o](const std::string& value) { return take_number(o.smooth.emplace(), 0.0, 1.0)(value); };
  const auto samples = [&o](const std::string& value) { return take_integer(o.samples.emplace(), 1)(value); };
  return {{"--model", nullptr, take_text(o.model), "a folder"},
          {"--to", nullptr, take_one_of(o.to, {"int8", "fp8", "int4", "bf16"}), "int8, fp8, int4 or bf16"},
          {"--out", nullptr, take_text(o.out), "a folder"},
          {"--calibrate", nullptr, take_text(o.calibrate), "a file"},
          {"--smooth", nullptr, smooth, "a number between 0 and 1"},
          {"--samples", nullptr, samples, between(1, INT32_MAX)},
          {"--force", &o.force, {}, {}},
          {"--help", &o.help, {}, {}},
          {"-h", &o.help, {}, {}}};
}

/// What is wrong with the arguments; nullopt if nothing.
std::optional<std::string> parse(const std::vector<std::string>& args, Options& options) {
  if (auto problem = parse_options(args, table_of(options))) return problem;
  if (options.help) return std::nullopt;
  if (options.model.empty()) return "--model is missing";
  if (options.to.empty()) return "--to is missing";
  if (options.out.empty()) return "--out is missing";
  if (options.calibrate.empty() && options.smooth) return "--smooth is for --calibrate, which is missing";
  if (options.calibrate.empty() && options.samples) return "--samples is for --calibrate, which is missing";
  std::error_code code;
  if (std::filesystem::equivalent(options.model, options.out, code)) return "--out is the model's own folder";
  return std::nullopt;
}

int fail(const Error& error, std::ostream& err) {
  err << "weir quantize: " << error.detail << "\n";
  return kFailed;
}

Result<std::vector<LayerInputs>> calibrate(const Options& options, std::ostream& err) {
  const auto model = load_model(options.model);
  if (!model.ok()) return model.error();
  const auto samples = read_samples(options.calibrate, *model, static_cast<size_t>(options.samples.value_or(kSamples)));
  if (!samples.ok()) return samples.error();
  return largest_inputs(*model, *samples, progress_to(err, "weir quantize: calibrating"));
}

Result<void> copy_templates(const std::string& model, NewFolder& folder) {
  namespace fs = std::filesystem;
  std::error_code code;
  const std::string from = model + "/" + std::string(kTemplatesFolder);
  if (!fs::is_directory(from, code)) return {};
  const auto files = folder_files(from);
  if (!files.ok()) return files.error();
  fs::create_directory(folder.file(kTemplatesFolder), code);
  for (const std::string& name : (*files)->names()) {
    const auto file = (*files)->open(name, kModelTextBytesMax);
    if (!file.ok()) return file.error();
    auto written = folder.write_file(std::string(kTemplatesFolder) + "/" + name, file->bytes);
    if (!written.ok()) return written;
  }
  return {};
}

SaveAs save_as(const std::string& to) {
  return to == "int8" ? SaveAs::int8 : to == "fp8" ? SaveAs::fp8 : to == "int4" ? SaveAs::int4 : SaveAs::bf16;
}

int run(const Options& options, std::ostream& out, std::ostream& err) {
  const auto files = open_model_files(options.model);
  if (!files.ok()) return fail(files.error(), err);
  SaveOptions save{.as = save_as(options.to), .largest = {}, .smooth = options.smooth.value_or(kSmooth)};
  // What stands in the way of the new folder is said before hours of calibration.
  auto folder = NewFolder::create(options.out, options.force);
  if (!folder.ok()) return fail(folder.error(), err);
  if (!options.calibrate.empty()) {
    auto largest = calibrate(options, err);
    if (!largest.ok()) return fail(largest.error(), err);
    save.largest = *std::move(largest);
  }
  const auto saved = save_quantized(**files, *folder, save, progress_to(err, "weir quantize: quantizing"));
  if (!saved.ok()) return fail(saved.error(), err);
  if (auto copied = copy_templates(options.model, *folder); !copied.ok()) return fail(copied.error(), err);
  if (auto committed = folder->commit(); !committed.ok()) return fail(committed.error(), err);
  char line[100];
  const auto megabytes = [](uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  std::snprintf(line, sizeof line, ": %.1f MB of weights, from %.1f MB", megabytes(saved->bytes_after),
                megabytes(saved->bytes_before));
  out << options.out << line;
  if (saved->projections > 0) {
    out << "; " << saved->projections << " matrices in " << (save.as == SaveAs::int4 ? 4 : 8) << " bits";
  }
  out << "\n" << std::flush;
  return out.good() ? 0 : kFailed;
}

}  // namespace

int quantize_command(std::vector<std::string> args, std::ostream& out, std::ostream& err) {
  return run_command<Options>("weir quantize", kHelp, args, out, err, parse, run);
}

}  // namespace weir::engine
