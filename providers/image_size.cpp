// The headers of image files, read through their base64: PNG (RFC 2083 section 4.1.1), GIF89a section 18, JPEG
// (ITU-T T.81 annex B), WebP (RFC 9649).
#include <algorithm>
#include <string>

#include "providers/image_tokens.h"

namespace weir::providers {
namespace {

constexpr uint32_t kSideMax = 1'000'000;
constexpr size_t kEscapedBytesMax = 1024 * 1024;  // of base64 with escapes in it, which is copied
constexpr int kSegmentsMax = 1024;                // of a JPEG, before the frame's

int value_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

/// Bytes of a file at any place, decoded when they are asked for. What is not there reads as −1.
class Bytes {
 public:
  explicit Bytes(std::string_view base64) : text_(base64) {
    if (text_.find('\\') == std::string_view::npos) return;
    plain_ = text_.substr(0, kEscapedBytesMax);
    std::erase(plain_, '\\');
    text_ = plain_;
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  int at(size_t index) const {
    const size_t group = index / 3 * 4;
    const size_t within = index % 3;
    if (group + within + 1 >= text_.size()) return -1;
    const int first = value_of(text_[group + within]);
    const int second = value_of(text_[group + within + 1]);
    if (first < 0 || second < 0) return -1;
    const auto shift = static_cast<int>(2 * within);
    return (first << (2 + shift) | second >> (4 - shift)) & 0xFF;
  }
  bool says(size_t index, std::string_view bytes) const {
    for (size_t i = 0; i < bytes.size(); ++i)
      if (at(index + i) != static_cast<unsigned char>(bytes[i])) return false;
    return true;
  }
  /// `count` bytes as a number; 0 where one of them is not there.
  uint32_t big_endian(size_t index, size_t count) const {
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      if (at(index + i) < 0) return 0;
      value = value << 8 | static_cast<uint32_t>(at(index + i));
    }
    return value;
  }
  uint32_t little_endian(size_t index, size_t count) const {
    uint32_t value = 0;
    for (size_t i = count; i-- > 0;) {
      if (at(index + i) < 0) return 0;
      value = value << 8 | static_cast<uint32_t>(at(index + i));
    }
    return value;
  }

 private:
  std::string_view text_;
  std::string plain_;
};

ImageSize jpeg(const Bytes& file) {
  size_t at = 2;
  for (int i = 0; i < kSegmentsMax; ++i) {
    if (file.at(at) != 0xFF) return {};
    while (file.at(at + 1) == 0xFF) ++at;  // fill bytes
    const int marker = file.at(at + 1);
    if (marker < 0) return {};
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame) return {file.big_endian(at + 7, 2), file.big_endian(at + 5, 2)};
    const bool bare = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8);
    at += 2 + (bare ? 0 : std::max<uint32_t>(file.big_endian(at + 2, 2), 2));
  }
  return {};
}

ImageSize webp(const Bytes& file) {
  if (file.says(12, "VP8X")) return {file.little_endian(24, 3) + 1, file.little_endian(27, 3) + 1};
  if (file.says(12, "VP8L") && file.at(20) == 0x2F) {
    const uint32_t bits = file.little_endian(21, 4);
    return {(bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1};
  }
  if (file.says(12, "VP8 ") && file.says(23, "\x9D\x01\x2A"))
    return {file.little_endian(26, 2) & 0x3FFF, file.little_endian(28, 2) & 0x3FFF};
  return {};
}

}  // namespace

std::optional<ImageSize> image_size_of_base64(std::string_view base64) {
  const Bytes file(base64);
  ImageSize size;
  if (file.says(0, "\x89PNG\r\n\x1A\n") && file.says(12, "IHDR"))
    size = {file.big_endian(16, 4), file.big_endian(20, 4)};
  else if (file.says(0, "GIF87a") || file.says(0, "GIF89a"))
    size = {file.little_endian(6, 2), file.little_endian(8, 2)};
  else if (file.says(0, "\xFF\xD8\xFF"))
    size = jpeg(file);
  else if (file.says(0, "RIFF") && file.says(8, "WEBP"))
    size = webp(file);
  if (size.width == 0 || size.height == 0 || size.width > kSideMax || size.height > kSideMax) return {};
  return size;
}

}  // namespace weir::providers
