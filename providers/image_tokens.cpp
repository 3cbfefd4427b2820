#include "providers/image_tokens.h"

#include <algorithm>
#include <cmath>

namespace weir::providers {
namespace {

// What is taken for the size where it is not known: a screen's, which every rule makes smaller or counts as several
// tiles.
constexpr ImageSize kLarge{2048, 1152};

int64_t ceil_div(int64_t value, int64_t by) {
  return (value + by - 1) / by;
}

/// One row of OpenAI's tables, by the start of the model's name; the first that fits counts.
struct OpenAiRow {
  std::string_view prefix;
  ImageRule rule;
  int64_t base;  // tiles: of the whole image, all there is at low detail
  int64_t each;  // tiles: a tile; patches: hundredths a patch
};
constexpr OpenAiRow kOpenAi[] = {{"gpt-4o-mini", ImageRule::openai_tiles, 2833, 5667},
                                 {"gpt-4.1-mini", ImageRule::openai_patches, 0, 162},
                                 {"gpt-4.1-nano", ImageRule::openai_patches, 0, 246},
                                 {"gpt-5-mini", ImageRule::openai_patches, 0, 162},
                                 {"gpt-5-nano", ImageRule::openai_patches, 0, 246},
                                 {"o4-mini", ImageRule::openai_patches, 0, 172},
                                 {"computer-use", ImageRule::openai_tiles, 65, 129},
                                 {"gpt-5", ImageRule::openai_tiles, 70, 140},
                                 {"o1", ImageRule::openai_tiles, 75, 150},
                                 {"o3", ImageRule::openai_tiles, 75, 150},
                                 {"gpt-", ImageRule::openai_tiles, 85, 170},
                                 {"chatgpt-", ImageRule::openai_tiles, 85, 170}};

/// Behind the last '/', so that "openai/gpt-4o" and "models/gemini-2.5-pro" are found.
std::string_view bare(std::string_view model) {
  const size_t slash = model.rfind('/');
  return slash == std::string_view::npos ? model : model.substr(slash + 1);
}

const OpenAiRow* openai_row(std::string_view model) {
  const auto* const found = std::find_if(std::begin(kOpenAi), std::end(kOpenAi),
                                         [&](const OpenAiRow& row) { return bare(model).starts_with(row.prefix); });
  return found == std::end(kOpenAi) ? nullptr : found;
}

int64_t openai_tiles(const OpenAiRow& row, ImageSize size, bool low) {
  constexpr double kBox = 2048;
  constexpr double kShortSide = 768;
  constexpr int64_t kTile = 512;
  if (low) return row.base;
  double width = size.width;
  double height = size.height;
  double scale = std::min(1.0, kBox / std::max(width, height));
  scale = std::min(scale, kShortSide / std::min(width, height));
  width *= scale;
  height *= scale;
  const auto tiles = [](double side) { return ceil_div(std::max<int64_t>(std::llround(side), 1), kTile); };
  return row.base + row.each * tiles(width) * tiles(height);
}

int64_t openai_patches(const OpenAiRow& row, ImageSize size) {
  constexpr double kPatch = 32;
  constexpr int64_t kPatchesMax = 1536;
  const int64_t patches = ceil_div(size.width, 32) * ceil_div(size.height, 32);
  int64_t counted = patches;
  if (patches > kPatchesMax) {
    // Shrunk until it fits, then once more so that whole patches fill the narrower side.
    const double width = size.width;
    const double height = size.height;
    const double shrink = std::sqrt(kPatch * kPatch * kPatchesMax / (width * height));
    const double wide = width * shrink / kPatch;
    const double high = height * shrink / kPatch;
    const double fit =
        shrink * std::min(std::max(std::floor(wide), 1.0) / wide, std::max(std::floor(high), 1.0) / high);
    counted = static_cast<int64_t>(std::ceil(width * fit / kPatch - 1e-9) * std::ceil(height * fit / kPatch - 1e-9));
    counted = std::clamp<int64_t>(counted, 1, kPatchesMax);
  }
  return ceil_div(counted * row.each, 100);
}

/// Models from Opus 4.7 on see images of up to 2576 pixels a side.
bool sees_fine(std::string_view model) {
  constexpr std::string_view kOpus = "opus-4-";
  const size_t at = model.find(kOpus);
  if (at == std::string_view::npos) return model.find("opus-5") != std::string_view::npos;
  const std::string_view minor = model.substr(at + kOpus.size());
  const bool one_digit = !minor.empty() && (minor.size() == 1 || minor[1] < '0' || minor[1] > '9');
  return one_digit && minor[0] >= '7' && minor[0] <= '9';
}

int64_t claude(std::string_view model, ImageSize size) {
  constexpr double kPixelsAToken = 750;
  const double side_max = sees_fine(model) ? 2576 : 1568;
  const double tokens_max = sees_fine(model) ? 5000 : 1600;
  const double width = size.width;
  const double height = size.height;
  const double scale = std::min(1.0, side_max / std::max(width, height));
  return static_cast<int64_t>(std::ceil(std::min(width * scale * height * scale / kPixelsAToken, tokens_max)));
}

int64_t gemini_tiles(ImageSize size) {
  constexpr int64_t kTile = 258;
  constexpr uint32_t kSmall = 384;  // up to this in both directions an image is one tile
  if (size.width <= kSmall && size.height <= kSmall) return kTile;
  constexpr double kSideScaledMax = 3072;  // larger ones are scaled down to it
  const double scale = std::min(1.0, kSideScaledMax / std::max(size.width, size.height));
  const auto width = std::max<int64_t>(std::llround(size.width * scale), 1);
  const auto height = std::max<int64_t>(std::llround(size.height * scale), 1);
  const int64_t unit = std::clamp<int64_t>(std::min(width, height) * 2 / 3, 256, 768);
  return kTile * ceil_div(width, unit) * ceil_div(height, unit);
}

int64_t gemini_levels(std::string_view detail) {
  if (detail.ends_with("ULTRA_HIGH")) return 2240;
  if (detail.ends_with("LOW")) return 280;
  if (detail.ends_with("MEDIUM")) return 560;
  return 1120;
}

int64_t unknown(std::optional<ImageSize> size) {
  constexpr int64_t kLeast = 258;
  if (!size) return kUnknownImageTokens;
  return std::clamp<int64_t>(int64_t{size->width} * size->height / 750, kLeast, kUnknownImageTokens);
}

}  // namespace

ImageRule image_rule(std::string_view model) {
  if (model.find("claude") != std::string_view::npos) return ImageRule::claude;
  const std::string_view name = bare(model);
  if (name.starts_with("gemini-1") || name.starts_with("gemini-2")) return ImageRule::gemini_tiles;
  if (name.starts_with("gemini")) return ImageRule::gemini_levels;
  const OpenAiRow* row = openai_row(model);
  return row == nullptr ? ImageRule::unknown : row->rule;
}

int64_t image_tokens(std::string_view model, std::optional<ImageSize> size, std::string_view detail) {
  const ImageSize taken = size.value_or(kLarge);
  int64_t tokens = 0;
  switch (image_rule(model)) {
    case ImageRule::openai_tiles:
      tokens = openai_tiles(*openai_row(model), taken, detail == "low");
      break;
    case ImageRule::openai_patches:
      tokens = openai_patches(*openai_row(model), taken);
      break;
    case ImageRule::claude:
      tokens = claude(model, taken);
      break;
    case ImageRule::gemini_tiles:
      tokens = gemini_tiles(taken);
      if (detail.ends_with("LOW")) tokens = 64;
      if (detail.ends_with("MEDIUM")) tokens = 258;
      break;
    case ImageRule::gemini_levels:
      tokens = gemini_levels(detail);
      break;
    case ImageRule::unknown:
      tokens = unknown(size);
      break;
  }
  return std::max<int64_t>(tokens, 1);
}

}  // namespace weir::providers
