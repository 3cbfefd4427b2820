#include "config/load/scalars.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include "config/load/text.h"

namespace weir::config {
namespace {

using std::chrono::milliseconds;

struct Unit {
  std::string_view name;
  int64_t factor;
};

constexpr std::array<Unit, 6> kDurations = {
    {{"w", 604'800'000}, {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr int64_t kDurationMsMax = 100LL * 366 * 86'400'000;

constexpr std::array<Unit, 10> kSizes = {{{"B", 1},
                                          {"KiB", 1LL << 10},
                                          {"MiB", 1LL << 20},
                                          {"GiB", 1LL << 30},
                                          {"TiB", 1LL << 40},
                                          {"kB", 1'000},
                                          {"KB", 1'000},
                                          {"MB", 1'000'000},
                                          {"GB", 1'000'000'000},
                                          {"TB", 1'000'000'000'000}}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Takes the leading digits off `text`.
std::optional<int64_t> take_number(std::string_view& text) {
  int64_t value = 0;
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

/// Takes exactly `count` digits off `text`.
std::optional<int> take_digits(std::string_view& text, size_t count) {
  if (text.size() < count || !std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(count), is_digit))
    return std::nullopt;
  int value = 0;
  std::from_chars(text.data(), text.data() + count, value);
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

Error wrong(std::string detail) {
  return {ErrorKind::config, "config", Retry::no, 400, std::move(detail)};
}

bool good_host_name(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
  });
}

bool good_ipv6(std::string_view host) {
  return host.size() >= 2 && host.size() <= 45 && host.find(':') != std::string_view::npos &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
         });
}

/// Splits "host", "host:port" or "[v6]:port". False if the host is none, or something else follows it.
bool split_host_port(std::string_view text, std::string_view& host, std::optional<std::string_view>& port) {
  if (take(text, '[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    host = text.substr(0, close);
    text.remove_prefix(close + 1);
    if (!good_ipv6(host)) return false;
  } else {
    const size_t colon = std::min(text.find(':'), text.size());
    host = text.substr(0, colon);
    text.remove_prefix(colon);
    if (!good_host_name(host)) return false;
  }
  port.reset();
  if (text.empty()) return true;
  if (!take(text, ':')) return false;
  port = text;
  return true;
}

}  // namespace

std::optional<milliseconds> parse_duration(std::string_view text) {
  int64_t total = 0;
  int64_t factor_before = INT64_MAX;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const auto value = take_number(text);
    if (!value) return std::nullopt;
    const size_t letters = static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_letter) - text.begin());
    const auto unit = std::find_if(kDurations.begin(), kDurations.end(),
                                   [&](const Unit& u) { return u.name == text.substr(0, letters); });
    if (unit == kDurations.end() || unit->factor >= factor_before) return std::nullopt;
    if (*value > kDurationMsMax / unit->factor) return std::nullopt;
    total += *value * unit->factor;
    if (total > kDurationMsMax) return std::nullopt;
    factor_before = unit->factor;
    text.remove_prefix(letters);
  }
  return milliseconds(total);
}

std::string to_text(milliseconds duration) {
  int64_t left = duration.count();
  std::string text;
  for (const auto& [name, factor] : kDurations) {
    if (name == "w" || left < factor) continue;
    text += std::to_string(left / factor) + std::string(name);
    left %= factor;
  }
  return text.empty() ? "0s" : text;
}

std::optional<uint64_t> parse_size(std::string_view text) {
  const auto value = take_number(text);
  if (!value) return std::nullopt;
  if (text.empty()) return static_cast<uint64_t>(*value);
  for (const auto& [name, factor] : kSizes)
    if (text == name && *value <= INT64_MAX / factor) return static_cast<uint64_t>(*value * factor);
  return std::nullopt;
}

std::string size_to_text(uint64_t bytes) {
  for (const std::string_view name : {"TiB", "GiB", "MiB", "KiB"}) {
    const auto unit = std::find_if(kSizes.begin(), kSizes.end(), [&](const Unit& u) { return u.name == name; });
    const auto factor = static_cast<uint64_t>(unit->factor);
    if (bytes != 0 && bytes % factor == 0) return std::to_string(bytes / factor) + std::string(name);
  }
  return std::to_string(bytes) + "B";
}

std::optional<int64_t> parse_integer(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);  // which from_chars does not know
    if (text.empty() || !is_digit(text.front())) return std::nullopt;
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> parse_boolean(std::string_view text) {
  for (const std::string_view yes : {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
    if (text == yes) return true;
  for (const std::string_view no : {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
    if (text == no) return false;
  return std::nullopt;
}

Result<HostPort> parse_host_port(std::string_view text) {
  std::string_view host;
  std::optional<std::string_view> port;
  const std::string wanted = "must be host:port such as 127.0.0.1:4000 or [::1]:4000, is " + in_quotes(text);
  if (text.starts_with(':') && !text.starts_with("::"))
    return wrong(wanted + "; write 0.0.0.0" + std::string(text.substr(0, 8)) + " for every interface");
  if (!split_host_port(text, host, port) || !port || port->empty()) return wrong(wanted);
  const auto number = parse_integer(*port);
  if (!number || *number < 0 || *number > 65535) return wrong("the port must be 0 to 65535, in " + in_quotes(text));
  return HostPort{std::string(host), static_cast<uint16_t>(*number)};
}

Result<std::string> parse_base_url(std::string_view text) {
  if (text.empty())
    return wrong("must be a URL such as https://api.openai.com/v1; leave the key out for the provider's own");
  // Never shown: a URL with a user part may hold a password.
  if (text.find('@') != std::string_view::npos)
    return wrong("must not hold a user or password; put the credential into api_key");
  if (text.size() > 2048 || has_space_or_control(text))
    return wrong("must be a URL without spaces, at most 2048 bytes");
  std::string_view rest = text;
  if (rest.starts_with("https://"))
    rest.remove_prefix(8);
  else if (rest.starts_with("http://"))
    rest.remove_prefix(7);
  else
    return wrong("must begin with https:// or http://, is " + in_quotes(text));
  if (rest.find_first_of("?#") != std::string_view::npos)
    return wrong("must end with the path, without ? and #, is " + in_quotes(text));
  std::string_view host;
  std::optional<std::string_view> port;
  if (!split_host_port(rest.substr(0, rest.find('/')), host, port))
    return wrong("has no good host name: " + in_quotes(text));
  if (port) {
    const auto number = parse_integer(*port);
    if (!number || *number < 1 || *number > 65535) return wrong("the port must be 1 to 65535, in " + in_quotes(text));
  }
  while (text.ends_with('/')) text.remove_suffix(1);
  return std::string(text);
}

std::optional<int64_t> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  const auto y = take_digits(text, 4);
  if (!y || !take(text, '-')) return std::nullopt;
  const auto m = take_digits(text, 2);
  if (!m || !take(text, '-')) return std::nullopt;
  const auto d = take_digits(text, 2);
  if (!d) return std::nullopt;
  const year_month_day date{year(*y), month(static_cast<unsigned>(*m)), day(static_cast<unsigned>(*d))};
  if (!date.ok()) return std::nullopt;
  int64_t seconds_total = sys_days(date).time_since_epoch().count() * int64_t{86'400};
  if (text.empty()) return seconds_total;
  if (!take(text, 'T') && !take(text, 't') && !take(text, ' ')) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59 || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second || *second > 60) return std::nullopt;
  seconds_total += *hour * 3600 + *minute * 60 + *second;
  if (take(text, '.')) {
    if (text.empty() || !is_digit(text.front())) return std::nullopt;
    while (!text.empty() && is_digit(text.front())) text.remove_prefix(1);  // whole seconds are kept
  }
  if (text == "Z" || text == "z") return seconds_total;
  const int sign = take(text, '+') ? 1 : take(text, '-') ? -1 : 0;
  const auto offset_hour = take_digits(text, 2);
  if (sign == 0 || !offset_hour || *offset_hour > 23 || !take(text, ':')) return std::nullopt;
  const auto offset_minute = take_digits(text, 2);
  if (!offset_minute || *offset_minute > 59 || !text.empty()) return std::nullopt;
  return seconds_total - sign * (*offset_hour * 3600 + *offset_minute * 60);
}

std::string rfc3339_to_text(int64_t unix_s) {
  using namespace std::chrono;
  const sys_seconds at{seconds(unix_s)};
  const auto date_start = floor<days>(at);
  const year_month_day date{date_start};
  const hh_mm_ss time{at - date_start};
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  return text;
}

}  // namespace weir::config
