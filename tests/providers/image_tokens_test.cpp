// Sizes out of image files' headers, and the providers' rules of how many tokens they are.
#include "providers/image_tokens.h"

#include <gtest/gtest.h>

#include <string>

#include "config/base/rng.h"
#include "providers/base64.h"

namespace weir::providers {
namespace {

using namespace std::string_literals;

std::string big(uint32_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xFF));
  return out;
}
std::string little(uint32_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  return out;
}

std::string png(uint32_t width, uint32_t height) {
  return "\x89PNG\r\n\x1A\n\0\0\0\rIHDR"s + big(width, 4) + big(height, 4) + "\x08\x06"s;
}
std::string gif(uint32_t width, uint32_t height) {
  return "GIF89a" + little(width, 2) + little(height, 2) + "\x80";
}
/// With metadata of that many bytes before the frame's header.
std::string jpeg(uint32_t width, uint32_t height, size_t metadata) {
  std::string out = "\xFF\xD8"s;
  while (metadata > 0) {
    const size_t part = std::min<size_t>(metadata, 60'000);
    out += "\xFF\xE1"s + big(static_cast<uint32_t>(part) + 2, 2) + std::string(part, '\xFF');
    metadata -= part;
  }
  out += "\xFF\xC4"s + big(4, 2) + "ab" + "\xFF\xFF\xC2"s;  // a table, and a progressive frame behind a fill byte
  return out + big(17, 2) + "\x08" + big(height, 2) + big(width, 2) + "\x03";
}
std::string webp(const std::string& chunk) {
  return "RIFF" + little(100, 4) + "WEBP" + chunk;
}

std::optional<ImageSize> size_of(const std::string& file) {
  return image_size_of_base64(encode_base64(file));
}

TEST(ImageSize, OfEachFormat) {
  const ImageSize size{1234, 567};
  EXPECT_EQ(size_of(png(1234, 567)), size);
  EXPECT_EQ(size_of(gif(1234, 567)), size);
  for (const size_t metadata : {0, 10, 59'999, 200'000})
    EXPECT_EQ(size_of(jpeg(1234, 567, metadata)), size) << metadata;
  EXPECT_EQ(
      size_of(webp("VP8 " + little(50, 4) + "\x10\x20\x30\x9D\x01\x2A"s + little(1234, 2) + little(567, 2) + "x")),
      size);
  EXPECT_EQ(size_of(webp("VP8L" + little(50, 4) + "\x2F" + little(1233 | 566 << 14, 4) + "x")), size);
  EXPECT_EQ(size_of(webp("VP8X" + little(10, 4) + "\0\0\0\0"s + little(1233, 3) + little(566, 3) + "x")), size);
}

TEST(ImageSize, WhateverTheAlphabetAndTheEscapes) {
  std::string text = encode_base64(png(1023, 1023) + "\xFF\xFE\xFD\xFB\xFF\xFF"s);
  std::string url = text;
  std::string escaped;
  for (char& c : url) c = c == '+' ? '-' : c == '/' ? '_' : c;
  for (const char c : text) escaped += c == '/' ? "\\/"s : std::string(1, c);
  EXPECT_EQ(image_size_of_base64(url), (ImageSize{1023, 1023}));
  EXPECT_EQ(image_size_of_base64(escaped), (ImageSize{1023, 1023}));
}

TEST(ImageSize, OfNothingSensibleIsNothing) {
  EXPECT_FALSE(size_of(""));
  EXPECT_FALSE(size_of(png(0, 10)));
  EXPECT_FALSE(size_of(png(4'000'000'000U, 10)));
  EXPECT_FALSE(size_of("BM" + std::string(100, 'x')));
  EXPECT_FALSE(image_size_of_base64("not base64 at all ####"));
  for (const std::string& file : {png(10, 20), gif(10, 20), jpeg(10, 20, 9)}) {
    const std::string text = encode_base64(file);
    for (size_t length = 0; length < text.size(); ++length) image_size_of_base64(text.substr(0, length));
    EXPECT_FALSE(image_size_of_base64(text.substr(0, text.size() / 3)));
  }
}

TEST(ImageSize, DamagedFilesDoNoHarm) {
  Rng rng(7);
  const std::string good = encode_base64(jpeg(640, 480, 300));
  for (int i = 0; i < 20'000; ++i) {
    std::string bad = good;
    for (int n = 0; n < 4; ++n) bad[rng.next() % bad.size()] = static_cast<char>('A' + rng.next() % 58);
    image_size_of_base64(bad);
  }
}

struct Case {
  const char* model;
  ImageSize size;
  const char* detail;
  int64_t tokens;
};

// The examples of the providers' own pages, and what follows from their tables.
TEST(ImageTokens, AsPublished) {
  const Case cases[] = {{"gpt-4o", {1024, 1024}, "high", 765},
                        {"gpt-4o", {2048, 4096}, "high", 1105},
                        {"gpt-4o", {4096, 8192}, "low", 85},
                        {"gpt-4o", {512, 512}, "", 255},
                        {"gpt-4o", {100, 100}, "auto", 255},
                        {"gpt-4o-mini-2024-07-18", {1024, 1024}, "high", 2833 + 4 * 5667},
                        {"openai/o1", {1024, 1024}, "", 75 + 4 * 150},
                        {"gpt-5", {1024, 1024}, "", 70 + 4 * 140},
                        {"gpt-4.1-mini", {1024, 1024}, "", 1659},  // 1024 patches × 1.62, rounded up
                        {"o4-mini", {1800, 2400}, "", 2498},       // 1452 patches × 1.72, rounded up
                        {"claude-sonnet-4-5", {200, 200}, "", 54},
                        {"claude-sonnet-4-5", {1000, 1000}, "", 1334},
                        {"us.anthropic.claude-sonnet-4-5-v1:0", {1092, 1092}, "", 1590},
                        {"claude-haiku-4-5", {4000, 3000}, "", 1600},
                        {"claude-opus-4-6", {2000, 1500}, "", 1600},
                        {"claude-opus-4-7", {2000, 1500}, "", 4000},
                        {"gemini-2.5-pro", {384, 384}, "", 258},
                        {"gemini-2.0-flash", {960, 540}, "", 6 * 258},
                        {"models/gemini-2.5-flash", {960, 540}, "MEDIA_RESOLUTION_LOW", 64},
                        {"gemini-3-pro-preview", {960, 540}, "", 1120},
                        {"gemini-3-pro-preview", {960, 540}, "MEDIA_RESOLUTION_LOW", 280}};
  for (const Case& one : cases)
    EXPECT_EQ(image_tokens(one.model, one.size, one.detail), one.tokens)
        << one.model << ' ' << one.size.width << 'x' << one.size.height << ' ' << one.detail;
}

TEST(ImageTokens, OfAnUnknownSizeOrModel) {
  EXPECT_EQ(image_tokens("gpt-4o", {}, "low"), 85);
  EXPECT_EQ(image_tokens("gpt-4o", {}, ""), 85 + 6 * 170);
  EXPECT_EQ(image_tokens("claude-sonnet-4-5", {}, ""), 1600);
  EXPECT_EQ(image_tokens("some-model", {}, ""), kUnknownImageTokens);
  EXPECT_EQ(image_tokens("some-model", ImageSize{8000, 8000}, ""), kUnknownImageTokens);
}

TEST(ImageTokens, AreBoundedForEverySize) {
  for (const char* model : {"gpt-4o", "gpt-5-mini", "claude-opus-4-7", "gemini-2.5-pro", "gemini-3-pro", "other"})
    for (const ImageSize size : {ImageSize{1, 1}, ImageSize{1, 1'000'000}, ImageSize{1'000'000, 1'000'000}}) {
      const int64_t tokens = image_tokens(model, size, "");
      EXPECT_GE(tokens, 1) << model;
      EXPECT_LE(tokens, 100'000) << model;
    }
}

}  // namespace
}  // namespace weir::providers
