#include "engine/grammar/formats.h"

#include <utility>
#include <vector>

namespace weir::engine::grammar {
namespace {

using std::string;

string group(const string& inside) {
  return "(?:" + inside + ")";
}

/// RFC 3339's full-date; February has 29 days in leap years alone. No year 0, which many readers do not know.
string date() {
  const string year = "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})";
  const string fours = "(?:0[48]|[2468][048]|[13579][26])";  // multiples of 4 below 100, but 0
  const string leap = "(?:[0-9]{2}" + fours + "|" + fours + "00)";
  return group(year + "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|" +
               "02-(?:0[1-9]|1[0-9]|2[0-8]))|" + leap + "-02-29");
}

/// RFC 3339's full-time without leap seconds.
string time() {
  return "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
}

/// ISO 8601, as RFC 3339 (appendix A) has it.
string duration() {
  const string n = "[0-9]{1,9}";
  const string seconds = n + "S";
  const string minutes = n + "M(?:" + seconds + ")?";
  const string hours = n + "H(?:" + minutes + ")?";
  const string clock = "T" + group(hours + "|" + minutes + "|" + seconds);
  const string days = n + "D";
  const string months = n + "M(?:" + days + ")?";
  const string years = n + "Y(?:" + months + ")?";
  const string calendar = group(days + "|" + months + "|" + years);
  return "P" + group(calendar + "(?:" + clock + ")?|" + clock + "|" + n + "W");
}

/// Short enough labels, and few enough, that no length needs to be counted.
string label() {
  return "[A-Za-z0-9](?:[A-Za-z0-9-]{0,28}[A-Za-z0-9])?";
}
string hostname() {
  return label() + group("\\." + label()) + "{0,7}";
}
string email() {
  const string atom = "[A-Za-z0-9!#$%&'*+/=?^_{|}~-]{1,30}";
  return atom + group("\\." + atom) + "{0,1}@" + label() + group("\\." + label()) + "{1,4}";
}

string ipv4() {
  const string byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  return byte + group("\\." + byte) + "{3}";
}

string ipv6() {
  const string h = "[0-9a-fA-F]{1,4}";
  string out = group(h + ":") + "{7}" + h + "|::|" + group(h + ":") + "{1,7}:|:" + group(":" + h) + "{1,7}";
  for (int after = 1; after <= 6; ++after) {
    out += "|" + group(h + ":") + "{1," + std::to_string(7 - after) + "}" + group(":" + h) + "{" +
           std::to_string(after) + "}";
  }
  return group(out);
}

string uuid() {
  return "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
}

/// With a host, as nearly all are.
string uri() {
  const string c = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})";
  return "[a-z][a-z0-9+.-]{0,15}://" + hostname() + "(?::[0-9]{1,4})?(?:/" + c + "*)*(?:\\?(?:" + c +
         "|[/?])*)?(?:#(?:" + c + "|[/?])*)?";
}

const std::vector<std::pair<string, string>>& table() {
  static const std::vector<std::pair<string, string>> formats = {{"date", date()},
                                                                 {"time", time()},
                                                                 {"date-time", date() + "T" + time()},
                                                                 {"duration", duration()},
                                                                 {"email", email()},
                                                                 {"hostname", hostname()},
                                                                 {"ipv4", ipv4()},
                                                                 {"ipv6", ipv6()},
                                                                 {"uuid", uuid()},
                                                                 {"uri", uri()}};
  return formats;
}

}  // namespace

std::optional<string> format_pattern(std::string_view format) {
  for (const auto& [name, pattern] : table()) {
    if (name == format) return "^" + group(pattern) + "$";
  }
  return std::nullopt;
}

string known_formats() {
  string out;
  for (const auto& [name, pattern] : table()) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace weir::engine::grammar
