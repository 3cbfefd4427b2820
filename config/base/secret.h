// Credentials. A Secret has no printer and no stream operator, so that none can reach a log by accident; a client key
// is kept only as its SHA-256, and compared in constant time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace weir {

/// Text that must not be printed. `reveal()` is for the one place that writes it to the wire.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  const std::string& reveal() const { return text_; }
  bool empty() const { return text_.empty(); }
  friend bool operator==(const Secret&, const Secret&) = default;  // for config diffs; not for authentication

 private:
  std::string text_;
};

using Sha256 = std::array<uint8_t, 32>;

/// FIPS 180-4 SHA-256 of the text.
Sha256 sha256(std::string_view text);

/// Equal or not, in time that depends on nothing but the length.
bool constant_time_equal(const Sha256& a, const Sha256& b);

}  // namespace weir
