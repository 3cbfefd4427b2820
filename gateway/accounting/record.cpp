#include "gateway/accounting/record.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace weir::gateway {
namespace {

constexpr size_t kTexts = 8;  // the lengths of the first seven are in RecordFixed
constexpr size_t kTextsFixed = 7;
/// More than this is an upstream that makes no sense; sums over 9 million such rows still fit in an int64.
constexpr int64_t kRowTokensMax = 1'000'000'000'000;

int64_t tokens(int64_t count) {
  return std::clamp<int64_t>(count, 0, kRowTokensMax);
}

/// A 64-bit check of whole words: two lanes of xor, odd multiply, rotate, mixed at the end. It finds torn and stale
/// records; it does not defend against someone who can write the file.
uint64_t check_of(const std::byte* bytes, size_t size, uint64_t seed) {
  constexpr uint64_t kA = 0x9E3779B97F4A7C15ULL;
  constexpr uint64_t kB = 0xC2B2AE3D27D4EB4FULL;
  uint64_t a = seed ^ kA;
  uint64_t b = seed * kB + size;
  const auto word = [&](size_t at) {
    uint64_t w = 0;
    std::memcpy(&w, bytes + at, 8);
    return w;
  };
  size_t at = 0;
  for (; at + 16 <= size; at += 16) {
    a = std::rotl((a ^ word(at)) * kA, 29);
    b = std::rotl((b ^ word(at + 8)) * kB, 31);
  }
  if (at + 8 <= size) a = std::rotl((a ^ word(at)) * kA, 29);
  uint64_t h = a ^ std::rotl(b, 17);
  h = (h ^ (h >> 32)) * kA;
  return h ^ (h >> 29);
}

uint64_t seed_of(RecordPlace place, uint32_t size, uint32_t kind) {
  return place.generation ^ std::rotl(place.position, 20) ^ (uint64_t{size} << 32) ^ kind;
}

uint32_t round_up(uint32_t bytes) {
  return (bytes + 7) & ~7u;
}

/// Shortens the longest texts until all fit in `room` bytes; never inside a UTF-8 character.
void fit(std::array<std::string_view, kTexts>& texts, uint32_t room) {
  for (;;) {
    size_t total = 0;
    for (const auto text : texts) total += text.size();
    if (total <= room) return;
    auto& longest = *std::max_element(texts.begin(), texts.end(), [](auto a, auto b) { return a.size() < b.size(); });
    size_t keep = longest.size() - std::min(longest.size(), std::max<size_t>(1, std::min(total - room, size_t{64})));
    while (keep > 0 && (static_cast<unsigned char>(longest[keep]) & 0xC0) == 0x80) --keep;
    longest = longest.substr(0, keep);
  }
}

}  // namespace

uint32_t encode(std::byte* out, uint32_t bytes_max, const LedgerRow& row, RecordPlace place) {
  std::array<std::string_view, kTexts> texts{row.request_id.substr(0, kRequestIdBytesMax),
                                             row.key,
                                             row.team,
                                             row.model,
                                             row.target,
                                             row.upstream_model,
                                             row.error_code.substr(0, kErrorCodeBytesMax),
                                             row.tier.substr(0, kTierBytesMax)};
  fit(texts, std::min(bytes_max, kRecordBytesMax) / 8 * 8 - kRecordFixedBytes);
  RecordFixed fixed;
  fixed.settled_us = unix_us(row.settled);
  fixed.charge_nanos = row.charge.nanos;
  fixed.total_us = row.total_us;
  fixed.first_token_us = row.first_token_us;
  fixed.input = tokens(row.tokens.input);
  fixed.cached_input = tokens(row.tokens.cached_input);
  fixed.output = tokens(row.tokens.output);
  fixed.reasoning = tokens(row.tokens.reasoning);
  fixed.status = row.status;
  fixed.attempts = row.attempts;
  fixed.flags = flags_of(row);
  RecordParts parts;
  parts.cache_write_5m = tokens(row.tokens.cache_write_5m);
  parts.cache_write_1h = tokens(row.tokens.cache_write_1h);
  parts.audio_input = tokens(row.tokens.audio_input);
  parts.audio_output = tokens(row.tokens.audio_output);
  RecordService service;
  service.web_searches = tokens(row.tokens.web_searches);
  std::byte* end = out + kRecordFixedBytes;
  for (size_t i = 0; i < kTexts; ++i) {
    (i < kTextsFixed ? fixed.text_bytes[i] : service.tier_bytes) = static_cast<uint16_t>(texts[i].size());
    if (!texts[i].empty()) std::memcpy(end, texts[i].data(), texts[i].size());
    end += texts[i].size();
  }
  const uint32_t size = round_up(static_cast<uint32_t>(end - out));
  std::memset(end, 0, static_cast<size_t>(out + size - end));
  std::memcpy(out + sizeof(RecordHeader), &fixed, sizeof fixed);
  std::memcpy(out + sizeof(RecordHeader) + sizeof fixed, &parts, sizeof parts);
  std::memcpy(out + sizeof(RecordHeader) + sizeof fixed + sizeof parts, &service, sizeof service);
  RecordHeader header;
  header.size = size;
  header.check = check_of(out + sizeof header, size - sizeof header, seed_of(place, size, header.kind));
  std::memcpy(out, &header, sizeof header);
  return size;
}

uint32_t decode(const std::byte* in, uint64_t bytes, RecordPlace place, LedgerRow& row) {
  RecordHeader header;
  if (bytes < sizeof header) return 0;
  std::memcpy(&header, in, sizeof header);
  if (header.kind < kRecordKindWithoutParts || header.kind > kRecordKind) return 0;
  const bool has_parts = header.kind > kRecordKindWithoutParts;
  const bool has_service = header.kind > kRecordKindWithoutService;
  const uint32_t fixed_bytes = sizeof(RecordHeader) + sizeof(RecordFixed) + (has_parts ? sizeof(RecordParts) : 0) +
                               (has_service ? sizeof(RecordService) : 0);
  if (header.size < fixed_bytes || header.size > kRecordBytesMax || header.size > bytes || header.size % 8 != 0)
    return 0;
  if (check_of(in + sizeof header, header.size - sizeof header, seed_of(place, header.size, header.kind)) !=
      header.check)
    return 0;
  RecordFixed fixed;
  std::memcpy(&fixed, in + sizeof header, sizeof fixed);
  RecordParts parts;
  if (has_parts) std::memcpy(&parts, in + sizeof header + sizeof fixed, sizeof parts);
  RecordService service;
  if (has_service) std::memcpy(&service, in + sizeof header + sizeof fixed + sizeof parts, sizeof service);
  const char* at = reinterpret_cast<const char*>(in + fixed_bytes);
  const char* end = reinterpret_cast<const char*>(in + header.size);
  std::string_view* const texts[kTexts] = {&row.request_id,     &row.key,        &row.team, &row.model, &row.target,
                                           &row.upstream_model, &row.error_code, &row.tier};
  for (size_t i = 0; i < kTexts; ++i) {
    const uint16_t length = i < kTextsFixed ? fixed.text_bytes[i] : service.tier_bytes;
    if (length > end - at) return 0;
    *texts[i] = {at, length};
    at += length;
  }
  row.settled = WallTime(std::chrono::microseconds(fixed.settled_us));
  row.charge = {fixed.charge_nanos};
  row.total_us = fixed.total_us;
  row.first_token_us = fixed.first_token_us;
  row.tokens = {fixed.input,          fixed.cached_input, fixed.output,       fixed.reasoning,     parts.cache_write_5m,
                parts.cache_write_1h, parts.audio_input,  parts.audio_output, service.web_searches};
  row.status = fixed.status;
  row.attempts = fixed.attempts;
  row.estimated = (fixed.flags & kFlagEstimated) != 0;
  row.stream = (fixed.flags & kFlagStream) != 0;
  row.cancelled = (fixed.flags & kFlagCancelled) != 0;
  row.fallback = (fixed.flags & kFlagFallback) != 0;
  row.unpriced = (fixed.flags & kFlagUnpriced) != 0;
  return header.size;
}

}  // namespace weir::gateway
