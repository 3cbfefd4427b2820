#include "engine/text/unicode.h"

#include <utf8proc.h>

#include <cstring>

namespace weir::engine::text {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

/// Eight bytes at once: the length of the ASCII prefix, rounded down to what is cheap to see.
size_t ascii_prefix(std::string_view text) {
  size_t at = 0;
  for (uint64_t word = 0; at + sizeof(word) <= text.size(); at += sizeof(word)) {
    std::memcpy(&word, text.data() + at, sizeof(word));
    if (word & 0x8080808080808080ULL) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

/// What a lead byte promises: how many bytes follow, and the range of the first of them. missing 0: not a lead byte.
struct Lead {
  uint8_t missing = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
};

Lead lead_of(unsigned char byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {1, 0x80, 0xBF};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};  // no surrogates
  if (byte >= 0xE1 && byte <= 0xEF) return {2, 0x80, 0xBF};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {3, 0x80, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {};
}

}  // namespace

void append_utf8(std::string& out, char32_t value) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (value < 0x80) {
    put(value);
  } else if (value < 0x800) {
    put(0xC0u | value >> 6);
    put(0x80u | (value & 0x3Fu));
  } else if (value < 0x10000) {
    put(0xE0u | value >> 12);
    put(0x80u | (value >> 6 & 0x3Fu));
    put(0x80u | (value & 0x3Fu));
  } else {
    put(0xF0u | value >> 18);
    put(0x80u | (value >> 12 & 0x3Fu));
    put(0x80u | (value >> 6 & 0x3Fu));
    put(0x80u | (value & 0x3Fu));
  }
}

bool is_valid_utf8(std::string_view text) {
  size_t at = 0;
  while (true) {
    at += ascii_prefix(text.substr(at));
    if (at == text.size()) return true;
    Lead lead = lead_of(static_cast<unsigned char>(text[at++]));
    if (lead.missing == 0 || text.size() - at < lead.missing) return false;
    for (; lead.missing > 0; --lead.missing, lead.low = 0x80, lead.high = 0xBF) {
      const auto next = static_cast<unsigned char>(text[at++]);
      if (next < lead.low || next > lead.high) return false;
    }
  }
}

std::string repair_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  Utf8Stream stream(Utf8Stream::Broken::one_each_sequence);
  stream.push(text, out);
  stream.flush(out);
  return out;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto cat = category(c);
  return cat >= UTF8PROC_CATEGORY_ND && cat <= UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
  const auto cat = category(c);
  return cat >= UTF8PROC_CATEGORY_PC && cat <= UTF8PROC_CATEGORY_PO;
}

bool is_mark(char32_t c) {
  const auto cat = category(c);
  return cat >= UTF8PROC_CATEGORY_MN && cat <= UTF8PROC_CATEGORY_ME;
}

bool is_nonspacing_mark(char32_t c) {
  return c >= 0x80 && category(c) == UTF8PROC_CATEGORY_MN;
}

bool is_control(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const auto cat = category(c);
  return cat == UTF8PROC_CATEGORY_CC || cat == UTF8PROC_CATEGORY_CF || cat == UTF8PROC_CATEGORY_CO;
}

bool is_ideograph(char32_t c) {
  const auto within = [c](char32_t first, char32_t last) { return c >= first && c <= last; };
  return within(0x3400, 0x4DBF) || within(0x4E00, 0x9FFF) || within(0xF900, 0xFAFF) || within(0x20000, 0x2A6DF) ||
         within(0x2A700, 0x2B81F) || within(0x2B920, 0x2CEAF) || within(0x2F800, 0x2FA1F);
}

bool is_word(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  const auto cat = category(c);
  if (cat >= UTF8PROC_CATEGORY_LU && cat <= UTF8PROC_CATEGORY_NL) return true;  // L*, M*, Nd, Nl in utf8proc's order
  // Connectors, joiners, and the circled and squared letters that are Alphabetic although their category is So.
  return cat == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
         (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

void Utf8Stream::push(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    if (missing_ == 0) {
      const size_t ascii = ascii_prefix(bytes);
      out.append(bytes.substr(0, ascii));
      bytes.remove_prefix(ascii);
      if (bytes.empty()) return;
    }
    push_byte(static_cast<unsigned char>(bytes.front()), out);
    bytes.remove_prefix(1);
  }
}

void Utf8Stream::push_byte(unsigned char byte, std::string& out) {
  if (missing_ > 0 && (byte < low_ || byte > high_)) flush(out);  // the held character is broken; this byte starts anew
  if (missing_ > 0) {
    held_[held_count_++] = static_cast<char>(byte);
    low_ = 0x80, high_ = 0xBF;
    if (--missing_ == 0) {
      out.append(held_, held_count_);
      held_count_ = 0;
    }
    return;
  }
  if (byte < 0x80) {
    out.push_back(static_cast<char>(byte));
    return;
  }
  const Lead lead = lead_of(byte);
  if (lead.missing == 0) {
    out.append(kReplacement);
    return;
  }
  held_[0] = static_cast<char>(byte);
  held_count_ = 1;
  missing_ = lead.missing, low_ = lead.low, high_ = lead.high;
}

void Utf8Stream::flush(std::string& out) {
  const size_t count = broken_ == Broken::one_each_byte ? held_count_ : (held_count_ > 0 ? 1 : 0);
  for (size_t i = 0; i < count; ++i) out.append(kReplacement);
  held_count_ = 0, missing_ = 0, low_ = 0x80, high_ = 0xBF;
}

}  // namespace weir::engine::text
