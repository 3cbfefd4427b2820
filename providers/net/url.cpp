#include <charconv>

#include "providers/net/http_client.h"

namespace weir::providers {
namespace {

Error bad_url(std::string_view text, const char* what) {
  return {ErrorKind::config, "config", Retry::no, 500, "\"" + std::string(text) + "\" is not a usable URL: " + what};
}

bool plain(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 127) return false;
  }
  return true;
}

}  // namespace

std::string Url::host_header() const {
  const bool own_port = port == (tls ? 443 : 80);
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return own_port ? name : name + ":" + std::to_string(port);
}

Result<Url> parse_url(std::string_view text) {
  Url url;
  std::string_view rest = text;
  if (rest.starts_with("https://"))
    url.tls = true;
  else if (!rest.starts_with("http://"))
    return bad_url(text, "it must begin with http:// or https://");
  rest.remove_prefix(url.tls ? 8 : 7);
  url.port = url.tls ? 443 : 80;
  if (!plain(rest)) return bad_url(text, "it holds spaces or control characters");

  const size_t slash = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, slash);
  std::string_view path = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash);
  if (path.find_first_of("?#") != std::string_view::npos) return bad_url(text, "a query or fragment has no place here");
  if (authority.find('@') != std::string_view::npos) return bad_url(text, "credentials do not belong in a URL");

  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return bad_url(text, "the bracket of the IPv6 address is not closed");
    url.host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
  } else {
    const size_t colon = authority.find(':');
    url.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon);
  }
  if (url.host.empty()) return bad_url(text, "the host is missing");
  if (!port.empty()) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), number);
    if (port[0] != ':' || error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535) {
      return bad_url(text, "the port must be a number from 1 to 65535");
    }
    url.port = static_cast<uint16_t>(number);
  }
  while (path.ends_with('/')) path.remove_suffix(1);
  url.base_path = path;
  return url;
}

}  // namespace weir::providers
