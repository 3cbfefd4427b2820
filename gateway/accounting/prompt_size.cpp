#include "gateway/accounting/prompt_size.h"

#include <algorithm>
#include <cstring>

#include "gateway/accounting/named_context.h"
#include "providers/json_scan.h"

namespace weir::gateway {
namespace {

constexpr size_t kBlobBytesMin = 1024;  // shorter base64 counts as text, but for images
constexpr size_t kImageBytesMin = 32;
constexpr size_t kImagesMax = 1024;   // of one call, kept one by one
constexpr size_t kAroundBytes = 512;  // on either side of an image, where its type and detail stand
constexpr size_t kDetailBytesMax = 32;

bool is_base64(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
         c == '=' || c == '-' || c == '_' || c == '\\';  // JSON may write '/' as "\/"
}

/// Bytes above 127. The compiler turns it into vector code.
int64_t count_non_ascii(std::string_view text) {
  int64_t count = 0;
  for (const char c : text) count += static_cast<unsigned char>(c) >> 7;
  return count;
}

/// memmem is quicker than string_view::find, whose first byte is everywhere in JSON.
size_t find(std::string_view text, std::string_view what) {
  const void* at = ::memmem(text.data(), text.size(), what.data(), what.size());
  return at == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

/// Where base64 may begin, one place after the other: behind ";base64," of a data: URL, or in a member "data"
/// (Anthropic, Gemini, OpenAI's audio). Each mark is searched for once.
class BlobFinder {
 public:
  explicit BlobFinder(std::string_view body) : body_(body) {}

  /// The next one at or behind `from`; npos: none. REQUIRES: `from` never falls.
  size_t next(size_t from) {
    url_.seek(body_, from);
    name_.seek(body_, from);
    if (url_.at <= name_.at) return url_.at == std::string_view::npos ? url_.at : url_.at + url_.text.size();
    size_t begin = name_.at + name_.text.size();
    while (begin < body_.size() && (body_[begin] == ' ' || body_[begin] == ':' || body_[begin] == '"')) ++begin;
    return begin;
  }

 private:
  struct Mark {
    std::string_view text;
    size_t at = 0;
    bool sought = false;
    void seek(std::string_view body, size_t from) {
      if (at == std::string_view::npos || (sought && at >= from)) return;
      sought = true;
      const size_t found = find(body.substr(from), text);
      at = found == std::string_view::npos ? found : from + found;
    }
  };
  std::string_view body_;
  Mark url_{";base64,"};
  Mark name_{"\"data\""};
};

/// The object around [begin, end), as far as it is near: what stands before, and what behind.
struct Around {
  std::string_view before;
  std::string_view behind;
  bool says(std::string_view what) const {
    return before.find(what) != std::string_view::npos || behind.find(what) != std::string_view::npos;
  }
  std::string_view detail() const {
    const std::string_view found = providers::string_after(behind, "\"detail\"");
    return found.empty() ? providers::string_after(before, "\"detail\"") : found;
  }
};

Around around(std::string_view body, size_t begin, size_t end) {
  std::string_view before = body.substr(0, begin);
  before.remove_prefix(before.size() - std::min(before.size(), kAroundBytes));
  if (const size_t brace = before.rfind('{'); brace != std::string_view::npos) before.remove_prefix(brace);
  std::string_view behind = body.substr(end, kAroundBytes);
  return {before, behind.substr(0, behind.find('}'))};
}

}  // namespace

PromptSize::PromptSize(std::string_view json) {
  if (const std::string_view level = providers::string_after(json, "\"mediaResolution\""); !level.empty())
    detail_ = level.substr(0, kDetailBytesMax);
  BlobFinder blobs(json);
  size_t counted = 0;
  for (size_t begin = blobs.next(0); begin < json.size();) {
    size_t end = begin;
    while (end < json.size() && is_base64(json[end])) ++end;
    if (add_blob(json, begin, end)) {
      add_text(json.substr(counted, begin - counted));
      counted = end;
    }
    begin = blobs.next(end);
  }
  add_text(json.substr(counted));
  const NamedContext named = named_context(json);
  files_ = named.files;
  for (int64_t i = 0; i < named.images; ++i) add_image({}, {});
}

void PromptSize::add_held(int64_t tokens) {
  held_ += tokens;
  files_ += tokens == 0 ? 1 : 0;
}

/// False: it is text.
bool PromptSize::add_blob(std::string_view body, size_t begin, size_t end) {
  if (end - begin < kImageBytesMin) return false;
  const auto size = providers::image_size_of_base64(body.substr(begin, end - begin));
  if (!size && end - begin < kBlobBytesMin) return false;
  const Around object = around(body, begin, end);
  if (size || object.says("image/"))
    add_image(size, object.detail());
  else
    ++blobs_;
  return true;
}

void PromptSize::add_image(std::optional<providers::ImageSize> size, std::string_view detail) {
  if (images_.size() < kImagesMax)
    images_.push_back({size, std::string(detail.substr(0, kDetailBytesMax))});
  else
    ++more_images_;
}

void PromptSize::add_text(std::string_view text) {
  const int64_t other = count_non_ascii(text);
  other_bytes_ += other;
  ascii_bytes_ += static_cast<int64_t>(text.size()) - other;
  add_addresses(text);
}

/// Images that are only named: an image by its address costs as much as one that is sent along. OpenAI's image_url,
/// Anthropic's source of type url, Gemini's fileUri.
void PromptSize::add_addresses(std::string_view text) {
  constexpr std::string_view kSchemes[] = {"http", "gs://"};
  const auto has_address = [&](std::string_view in) {
    return std::any_of(std::begin(kSchemes), std::end(kSchemes),
                       [&](std::string_view scheme) { return find(in, scheme) != std::string_view::npos; });
  };
  if (!has_address(text)) return;
  for (const std::string_view name : {"\"image_url\"", "\"source\"", "\"fileUri\"", "\"file_uri\""}) {
    for (size_t from = 0; from < text.size();) {
      const size_t found = providers::find_key(text.substr(from), name);
      if (found == std::string_view::npos) break;
      from += found;
      const Around object = around(text, from, from);
      const bool image = name == "\"image_url\"" || object.says("\"image\"") || object.says("image/");
      if (image && has_address(object.behind)) add_image({}, object.detail());
    }
  }
}

int64_t PromptSize::media(std::string_view model) const {
  int64_t tokens = held_ + (blobs_ + files_) * kBlobTokens + more_images_ * providers::kUnknownImageTokens;
  for (const Image& image : images_)
    tokens += providers::image_tokens(model, image.size, image.detail.empty() ? detail_ : image.detail);
  return tokens;
}

int64_t PromptSize::most(std::string_view model) const {
  constexpr int64_t kEnvelopeTokens = 8;
  if (units_ >= 0) return units_;
  return kEnvelopeTokens + (ascii_bytes_ + 2) / 3 + (other_bytes_ + 1) / 2 + media(model);
}

int64_t PromptSize::likely(std::string_view model) const {
  if (units_ >= 0) return units_;
  return (ascii_bytes_ + other_bytes_) / 4 + 1 + media(model);
}

PromptSize measure_prompt(const providers::CallBody& body) {
  constexpr uint64_t kAudioBytesASecond = 2'000;
  constexpr uint64_t kDocumentsASearch = 100;
  PromptSize size;
  switch (body.protocol) {
    case providers::Protocol::openai_speech:
      size.units_ = static_cast<int64_t>(body.units);
      break;
    case providers::Protocol::rerank:
      size.units_ = static_cast<int64_t>((body.units + kDocumentsASearch - 1) / kDocumentsASearch);
      break;
    case providers::Protocol::openai_transcriptions:
      size.units_ = static_cast<int64_t>(std::max<uint64_t>(body.json.size() / kAudioBytesASecond, body.units) * 10);
      break;
    default:
      size = PromptSize(body.json);
  }
  return size;
}

}  // namespace weir::gateway
