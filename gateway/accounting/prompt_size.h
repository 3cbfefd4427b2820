// How long a prompt is before anybody has counted it: its text by bytes, its images by the rules of the model that will
// see them (providers/image_tokens.h). Pure values; one request's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "providers/body.h"
#include "providers/image_tokens.h"

namespace weir::gateway {

/// Tokens that a base64 blob which is no image (audio, a document) counts for: its bytes say nothing about them.
inline constexpr int64_t kBlobTokens = 2'000;
/// What is only named (named_context.h) counts as a blob. It may have as much more, each and all together: a hold
/// covers that as far as the money reaches.
inline constexpr int64_t kNamedTokens = 200'000;
inline constexpr int64_t kNamedTokensMax = 1'000'000;

class PromptSize {
 public:
  struct Image {
    std::optional<providers::ImageSize> size;  // nothing: by its address, or of no format that we read
    std::string detail;
  };

  PromptSize() = default;
  /// Of a body in JSON.
  explicit PromptSize(std::string_view json);

  /// Rather too many than too few, for limits and holds: a token for three ASCII bytes and one for two others, over the
  /// whole body with its quotes and names, and 8 more. English and code are 3.5 to 4.5 bytes a token, CJK 2 to 4,
  /// digits and base64 text 2 to 3; the JSON around each message (≥ 30 bytes) pays for the template's 3 to 8 tokens.
  /// Checked against recorded usage in tests/gateway. `model`: the upstream's name.
  int64_t most(std::string_view model) const;
  /// What a call is charged where nobody says what it used: four bytes of text a token.
  int64_t likely(std::string_view model) const;
  /// What of that is images and other media.
  int64_t media(std::string_view model) const;
  /// What the prompt may have beyond most().
  int64_t named() const { return std::min(files_, kNamedTokensMax / kNamedTokens) * kNamedTokens; }
  /// The call goes on from so many tokens that an upstream account holds; 0: nobody said how many.
  void add_held(int64_t tokens);
  bool has_images() const { return !images_.empty(); }
  const std::vector<Image>& images() const { return images_; }

 private:
  friend PromptSize measure_prompt(const providers::CallBody& body);
  void add_text(std::string_view text);
  bool add_blob(std::string_view body, size_t begin, size_t end);
  void add_addresses(std::string_view text);
  void add_image(std::optional<providers::ImageSize> size, std::string_view detail);

  int64_t ascii_bytes_ = 0;
  int64_t other_bytes_ = 0;
  int64_t blobs_ = 0;  // base64 that is no image
  int64_t files_ = 0;  // only named
  int64_t held_ = 0;   // tokens
  std::vector<Image> images_;
  int64_t more_images_ = 0;  // beyond those that are kept
  std::string detail_;       // of all images that say none: Gemini's mediaResolution
  int64_t units_ = -1;       // what is not priced by tokens; -1: it is
};

/// Of a call of any protocol, in what its model's price list counts: characters of speech, searches of a rerank (one
/// for up to 100 documents), else tokens. Audio to be transcribed is taken for as many seconds as its bytes give at 2
/// KB/s, or as it says itself where that is more, and for 10 tokens a second (transcription.h).
PromptSize measure_prompt(const providers::CallBody& body);

}  // namespace weir::gateway
