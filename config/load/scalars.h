// The small languages inside a value: durations, sizes, numbers, addresses, URLs, dates. Text in, value or nothing out;
// the caller knows where the text stood and says what was wanted. Pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace weir::config {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;
inline constexpr uint64_t kTiB = 1024 * kGiB;

/// "250ms", "10s", "2m", "1h30m", "1d", "1w": whole numbers with units, largest first. At most 100 years.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
/// The shortest such text: 90000 ms -> "1m30s", 0 -> "0s".
std::string to_text(std::chrono::milliseconds duration);

/// "512", "32KiB", "2GiB" (powers of 1024), "10MB" (powers of 1000), in bytes.
std::optional<uint64_t> parse_size(std::string_view text);
/// The largest binary unit that is exact: 33554432 -> "32MiB".
std::string size_to_text(uint64_t bytes);

/// Decimal digits with an optional sign; exact, in the range of int64_t.
std::optional<int64_t> parse_integer(std::string_view text);

/// true, false, yes, no, on, off in lower, upper or title case, as YAML 1.1 has them.
std::optional<bool> parse_boolean(std::string_view text);

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};
/// "127.0.0.1:4000", "[::1]:4000", "localhost:0". The error's detail says what is wrong.
Result<HostPort> parse_host_port(std::string_view text);

/// An http or https URL without user, query and fragment; returned without trailing slashes.
Result<std::string> parse_base_url(std::string_view text);

/// RFC 3339: "2026-12-31" (midnight UTC, its beginning) or "2026-12-31T18:00:00Z", "…+02:00". Seconds of the Unix
/// epoch.
std::optional<int64_t> parse_rfc3339(std::string_view text);
/// "2026-12-31T18:00:00Z".
std::string rfc3339_to_text(int64_t unix_s);

}  // namespace weir::config
