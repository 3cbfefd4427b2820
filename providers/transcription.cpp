#include "providers/transcription.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "providers/json_scan.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

constexpr double kSecondsMax = 1e9;

/// "01:02:03,456" or "02:03.456" as seconds; nothing where it is neither.
std::optional<double> timestamp(std::string_view text) {
  double seconds = 0;
  for (int i = 0; i < 3; ++i) {
    int64_t part = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), part);
    if (parsed.ec != std::errc() || part < 0 || part > 1'000'000) return {};
    seconds = seconds * 60 + static_cast<double>(part);
    text.remove_prefix(static_cast<size_t>(parsed.ptr - text.data()));
    if (text.empty() || text.front() != ':') break;
    text.remove_prefix(1);
  }
  int64_t thousandths = 0;
  if (text.size() >= 4 && (text.front() == ',' || text.front() == '.'))
    std::from_chars(text.data() + 1, text.data() + 4, thousandths);
  return seconds + static_cast<double>(std::max<int64_t>(thousandths, 0)) / 1000;
}

/// SubRip and WebVTT: "BEGIN --> END"; the last end is how long the audio was, silence at its end left out.
int64_t subtitle_seconds(std::string_view body) {
  const size_t arrow = body.rfind("--> ");
  if (arrow == std::string_view::npos) return 0;
  return whole_seconds(timestamp(body.substr(arrow + 4, 32)).value_or(0));
}

int64_t duration_of(std::string_view body) {
  PaddedJson& json = padded_json();
  od::object root;
  double value = 0;
  if (!json.parse(body) || json.document.get_object().get(root) != SUCCESS ||
      root.find_field_unordered("duration").get_double().get(value) != SUCCESS)
    return 0;
  return whole_seconds(value);
}

}  // namespace

int64_t whole_seconds(double seconds) {
  return seconds > 0 && seconds < kSecondsMax ? static_cast<int64_t>(std::ceil(seconds)) : 0;
}

Usage usage_of_transcription(const CallBody& call, const TranscriptionTold& told) {
  Usage out;
  Heard& heard = out.heard.emplace();
  heard.seconds = told.seconds.value_or(static_cast<int64_t>(call.units));
  heard.told = told.seconds.has_value();
  heard.in_tokens = told.tokens.has_value();
  heard.text_tokens = static_cast<int64_t>((told.text_bytes + 3) / 4);
  if (told.tokens)
    out.counts = *told.tokens;
  else
    out.counts.input = heard.seconds;
  out.reported = heard.told || heard.in_tokens;
  out.told = {.input = out.reported, .output = out.reported};
  return out;
}

std::optional<int64_t> transcription_seconds(bool json, std::string_view body) {
  const int64_t seconds = json ? duration_of(body) : subtitle_seconds(body);
  return seconds > 0 ? std::optional(seconds) : std::nullopt;
}

}  // namespace weir::providers
