#include "providers/secret_mask.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include "config/base/json.h"

#include "providers/json_fields.h"

namespace weir::providers {
namespace {

constexpr size_t kAnywhereBytes = 8;  // from this length on a credential is found inside words
constexpr size_t kSecretBytesMin = 3;
constexpr std::string_view kMask = "***";

/// `text` with percent-encoding and JSON's escapes undone, and where in `text` each byte begins; one more for the end.
struct Plain {
  std::string text;
  std::vector<size_t> begins;
};

/// A byte written as `digits` hexadecimal digits at `at`.
std::optional<char> hex_byte(std::string_view text, size_t at, size_t digits) {
  if (at + digits > text.size()) return {};
  unsigned value = 0;
  const char* begin = text.data() + at;
  const auto parsed = std::from_chars(begin, begin + digits, value, 16);
  if (parsed.ec != std::errc() || parsed.ptr != begin + digits || value > 0x7F) return {};
  return static_cast<char>(value);
}

Plain plain_of(std::string_view text) {
  Plain out;
  for (size_t at = 0; at < text.size();) {
    out.begins.push_back(at);
    const bool escape = text[at] == '\\' && at + 1 < text.size();
    if (const auto byte = text[at] == '%' ? hex_byte(text, at + 1, 2) : std::nullopt) {
      out.text.push_back(*byte);
      at += 3;
    } else if (const auto code = escape && text[at + 1] == 'u' ? hex_byte(text, at + 2, 4) : std::nullopt) {
      out.text.push_back(*code);
      at += 6;
    } else if (escape && (text[at + 1] == '/' || text[at + 1] == '"' || text[at + 1] == '\\')) {
      out.text.push_back(text[at + 1]);
      at += 2;
    } else {
      out.text.push_back(text[at++]);
    }
  }
  out.begins.push_back(text.size());
  return out;
}

bool word_byte(const std::string& text, size_t at) {
  return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
}

/// Where `secret` stands in `text` from `from` on, and how long it is there; npos: nowhere.
size_t find_secret(const std::string& text, std::string_view secret, size_t from, size_t& size) {
  for (size_t at = text.find(secret, from); at != std::string::npos; at = text.find(secret, at + 1)) {
    size = secret.size();
    const bool inside_a_word = (at > 0 && word_byte(text, at - 1)) || word_byte(text, at + secret.size());
    if (secret.size() >= kAnywhereBytes || !inside_a_word) return at;
  }
  for (size = std::min(secret.size(), text.size() - from); size > kAnywhereBytes; --size)
    if (text.ends_with(secret.substr(0, size))) return text.size() - size;
  return std::string::npos;
}

bool hide_one(std::string& text, std::string_view secret) {
  if (secret.size() < kSecretBytesMin || text.empty()) return false;
  const Plain plain = plain_of(text);
  std::string out;
  size_t copied = 0;  // of `text`
  size_t size = 0;
  for (size_t at = find_secret(plain.text, secret, 0, size); at != std::string::npos;
       at = find_secret(plain.text, secret, at + size, size)) {
    out.append(text, copied, plain.begins[at] - copied).append(kMask);
    copied = plain.begins[at + size];
  }
  if (copied == 0) return false;
  text = out.append(text, copied);
  return true;
}

}  // namespace

SecretMask::SecretMask(const config::AccountConfig& account) {
  const auto add = [&](const std::string& text) {
    if (text.size() >= kSecretBytesMin) secrets_.emplace_back(text);
  };
  add(account.api_key.reveal());
  if (const auto id = account.options.find("access_key_id"); id != account.options.end()) add(id->second);
  for (const auto& [name, secret] : account.secrets) {
    add(secret.reveal());
    const auto file = read_json<nlohmann::json>(secret.reveal());
    for (const char* key : {"private_key", "client_secret", "refresh_token"}) add(text_of(file, key));
  }
}

bool SecretMask::hide(std::string& text, std::string_view token) const {
  bool hidden = hide_one(text, token);
  for (const Secret& secret : secrets_) hidden = hide_one(text, secret.reveal()) || hidden;
  return hidden;
}

void SecretMask::hide(Error& error, std::string_view token) const {
  for (std::string* text : {&error.detail, &error.code, &error.param}) hide(*text, token);
}

void SecretMask::hide(ReplyBatch& batch, std::string_view token, std::string& storage) const {
  if (batch.error) hide(*batch.error, token);
  for (Segment& segment : batch.segments) {
    if (segment.kind != Segment::Kind::error) continue;
    std::string text(segment.bytes);
    if (!hide(text, token)) continue;
    storage = std::move(text);
    segment.bytes = storage;
  }
}

}  // namespace weir::providers
