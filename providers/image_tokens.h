// How many tokens an image counts as, before anybody has said: its size from the first bytes of its file, and each
// provider's published rule. Pure. Estimates: of an image that is only named by its address nothing is known but the
// detail.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::providers {

struct ImageSize {
  uint32_t width = 0;  // pixels
  uint32_t height = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

/// The size of a PNG, JPEG, GIF or WebP in base64 (either alphabet, '/' perhaps escaped as JSON may), from its header
/// alone: a few bytes are looked at, wherever they stand. Nothing: another format, cut off, or no sensible size.
std::optional<ImageSize> image_size_of_base64(std::string_view base64);

/// Whose rule goes for a model, by its upstream's name ("claude-…", "us.anthropic.claude-…", "openai/gpt-4o", …).
enum class ImageRule : uint8_t {
  unknown,
  openai_tiles,    // 512-pixel tiles after two resizes; a base and a price a tile by model
  openai_patches,  // 32-pixel patches, at most 1536, times a factor by model
  claude,          // width × height / 750 after a resize
  gemini_tiles,    // 258 a tile
  gemini_levels,   // Gemini 3: by media_resolution
};
ImageRule image_rule(std::string_view model);

/// Tokens of one image for `model`. `size`: nothing where it is not known, which counts as a large image does.
/// `detail`: OpenAI's "low", "high", "auto", or Gemini's media_resolution ("MEDIA_RESOLUTION_LOW"); empty: the default.
/// At least 1.
///
/// Sources (as of 2026-11): https://platform.openai.com/docs/guides/images-vision#calculating-costs,
/// https://platform.claude.com/docs/en/build-with-claude/vision#evaluate-image-size,
/// https://ai.google.dev/gemini-api/docs/image-understanding#token-calculation,
/// https://ai.google.dev/gemini-api/docs/media-resolution.
int64_t image_tokens(std::string_view model, std::optional<ImageSize> size, std::string_view detail);

/// What an image counts as of which neither size nor rule is known.
inline constexpr int64_t kUnknownImageTokens = 2'000;

}  // namespace weir::providers
