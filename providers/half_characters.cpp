#include "providers/half_characters.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

namespace weir::providers {
namespace {

constexpr size_t kEscapeBytes = 6;  // \ud83d

/// The escape of a surrogate that is half of a pair: its third digit says which half.
bool is_surrogate(std::string_view escape, std::string_view third_digits) {
  return escape.size() >= kEscapeBytes && escape.starts_with("\\u") && (escape[2] == 'd' || escape[2] == 'D') &&
         third_digits.find(escape[3]) != std::string_view::npos;
}

/// How many bytes at the end are a character that is not whole; 0: it ends with a whole one.
size_t half_at_end(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0U) == 0x80U) continue;
    const size_t size = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    if (size > back) return back;
    break;
  }
  if (text.size() < kEscapeBytes) return 0;
  const size_t at = text.size() - kEscapeBytes;
  if (!is_surrogate(text.substr(at), "89abAB")) return 0;
  size_t slashes = 0;  // before it: an odd one escapes its own
  while (slashes < at && text[at - slashes - 1] == '\\') ++slashes;
  return slashes % 2 == 0 ? kEscapeBytes : 0;
}

bool completes(std::string_view half, std::string_view text) {
  if (half.empty() || text.empty()) return false;
  if (half.front() == '\\') return is_surrogate(text, "cdefCDEF");
  return (static_cast<unsigned char>(text.front()) & 0xC0U) == 0x80U;
}

/// Where the string ends whose inside begins at `at`.
size_t end_of_string(std::string_view json, size_t at) {
  while (at < json.size() && json[at] != '"') at += json[at] == '\\' ? 2 : 1;
  return std::min(at, json.size());
}

bool may_have_halves(std::string_view json) {
  return json.find("\\ud") != std::string_view::npos || json.find("\\uD") != std::string_view::npos ||
         !simdjson::validate_utf8(json.data(), json.size());
}

}  // namespace

std::string_view HalfCharacters::inside(std::string_view piece) {
  if (piece.empty()) return piece;
  size_t half = half_at_end(piece);
  if (half_.empty() && half == 0) return piece;
  joined_.clear();
  if (!half_.empty()) joined_ = completes(half_, piece) ? half_ : "\xEF\xBF\xBD";
  joined_.append(piece);
  half = half_at_end(joined_);
  half_ = joined_.substr(joined_.size() - half);
  joined_.resize(joined_.size() - half);
  return joined_;
}

std::string_view HalfCharacters::data(std::string_view json) {
  if (half_.empty() && !may_have_halves(json)) return json;
  std::string waits;  // of this event, for the next
  joined_.clear();
  size_t copied = 0;
  for (size_t open = json.find('"'); open != std::string_view::npos;) {
    const size_t end = end_of_string(json, open + 1);
    std::string_view text = json.substr(open + 1, end - open - 1);
    const bool joins = completes(half_, text);
    if (joins) {
      joined_.append(json.substr(copied, open + 1 - copied)).append(half_);
      copied = open + 1;
    }
    std::string whole;  // the halves may make no whole character yet
    if (joins) text = whole = std::exchange(half_, {}) + std::string(text);
    const size_t half = waits.empty() ? half_at_end(text) : 0;
    if (half > 0) {
      if (!std::exchange(half_, {}).empty()) {  // the other half of the last one did not come
        joined_.append(json.substr(copied, open + 1 - copied)).append("\xEF\xBF\xBD");
        copied = open + 1;
      }
      waits = std::string(text.substr(text.size() - half));
      joined_.append(json.substr(copied, end - copied));
      joined_.resize(joined_.size() - half);
      copied = end;
    }
    if (end >= json.size()) break;
    open = json.find('"', end + 1);
  }
  if (!waits.empty()) half_ = std::move(waits);
  if (copied == 0) return json;
  joined_.append(json.substr(copied));
  return joined_;
}

}  // namespace weir::providers
