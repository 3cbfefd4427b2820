#include "providers/made.h"

#include <algorithm>

#include "providers/json_scan.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

/// English is spoken at about 15 characters a second, and $0.015 a minute, as OpenAI has it of gpt-4o-mini-tts, is 21
/// tokens a second; other scripts are slower to the character.
constexpr int64_t kTokensACharacter = 2;

/// Of one image, by its size and quality; what is not said, or left to the model, is the dearest.
/// https://platform.openai.com/docs/guides/image-generation#cost-and-latency
int64_t tokens_of_image(std::string_view size, std::string_view quality) {
  constexpr struct {
    std::string_view size;
    int64_t low, medium, high;
  } kSizes[] = {{"1024x1024", 272, 1056, 4160}, {"1536x1024", 400, 1568, 6208}, {"1024x1536", 408, 1584, 6240}};
  const auto* found = std::find_if(std::begin(kSizes), std::end(kSizes), [&](const auto& s) { return s.size == size; });
  if (found == std::end(kSizes)) --found;
  return quality == "low" ? found->low : quality == "medium" ? found->medium : found->high;
}

int64_t tokens_of_images(const CallBody& call) {
  constexpr int64_t kTokensAPartialImage = 100;
  PaddedJson& json = padded_json();
  od::object root;
  std::string_view text;
  std::string size;
  std::string quality;
  int64_t partial = 0;
  if (json.parse(call.json) && json.document.get_object().get(root) == SUCCESS) {
    if (root.find_field_unordered("size").get_string().get(text) == SUCCESS) size = text;
    if (root.find_field_unordered("quality").get_string().get(text) == SUCCESS) quality = text;
    if (root.find_field_unordered("partial_images").get_int64().get(partial) != SUCCESS) partial = 0;
  }
  return tokens_of_image(size, quality) + std::clamp<int64_t>(partial, 0, 3) * kTokensAPartialImage;
}

}  // namespace

Usage usage_of_made(const CallBody& call, const std::optional<config::TokenCounts>& told,
                    std::optional<int64_t> images) {
  Usage out;
  Made& made = out.made.emplace();
  if (call.protocol == Protocol::openai_speech) {
    made.units = static_cast<int64_t>(call.units);
    made.tokens = {.input = made.units / 4 + 1, .output = made.units * kTokensACharacter};
  } else {
    made.units = images.value_or(call.n);
    made.tokens = {.input = static_cast<int64_t>(call.json.size() / 4) + 1,
                   .output = made.units * tokens_of_images(call)};
  }
  made.in_tokens = told && (told->input > 0 || told->output > 0);
  out.counts = made.in_tokens ? *told : config::TokenCounts{.input = made.units};
  out.reported = made.in_tokens || call.protocol == Protocol::openai_speech || images;
  out.told = {.input = made.in_tokens, .output = made.in_tokens};
  return out;
}

}  // namespace weir::providers
