#include "providers/net/sigv4.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "config/base/openssl_free.h"
#include "providers/net/percent.h"

namespace weir::providers {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string hex(const Sha256& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

/// Of pieces that are never joined: a body may be large.
Sha256 sha256_of(std::span<const std::string_view> pieces) {
  if (pieces.empty()) return sha256({});
  if (pieces.size() == 1) return sha256(pieces.front());
  const std::unique_ptr<EVP_MD_CTX, FreeOpenSsl> context(EVP_MD_CTX_new());
  EVP_DigestInit_ex2(context.get(), EVP_sha256(), nullptr);
  for (const std::string_view piece : pieces) EVP_DigestUpdate(context.get(), piece.data(), piece.size());
  Sha256 digest{};
  EVP_DigestFinal_ex(context.get(), digest.data(), nullptr);
  return digest;
}

/// A context a thread with HMAC over SHA-256 looked up once: OpenSSL 3 spends more on the look-up than on the hash.
EVP_MAC_CTX* hmac_context() {
  thread_local const std::unique_ptr<EVP_MAC_CTX, FreeOpenSsl> context = [] {
    EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    std::unique_ptr<EVP_MAC_CTX, FreeOpenSsl> made(EVP_MAC_CTX_new(algorithm));
    EVP_MAC_free(algorithm);  // the context holds it
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC_CTX_set_params(made.get(), params);
    return made;
  }();
  return context.get();
}

Sha256 hmac_sha256(std::string_view key, std::string_view text) {
  EVP_MAC_CTX* const context = hmac_context();
  Sha256 code{};
  size_t size = 0;
  EVP_MAC_init(context, reinterpret_cast<const unsigned char*>(key.data()), key.size(), nullptr);
  EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  EVP_MAC_final(context, code.data(), &size, code.size());
  return code;
}

std::string_view view(const Sha256& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// "20150830T123600Z", UTC.
std::string amz_date(WallTime time) {
  const auto unix_time =
      static_cast<std::time_t>(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
  std::tm parts{};
  ::gmtime_r(&unix_time, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts)};
}

/// RFC 3986 section 5.2.4, and empty segments go too: "//a/./b/../" -> "/a/".
std::string without_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  bool ends_with_slash = true;
  for (size_t at = 0; at < path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, slash - at);
    at = slash + 1;
    ends_with_slash = slash < path.size() || segment == "." || segment == "..";
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!segment.empty() && segment != ".") {
      kept.push_back(segment);
    }
  }
  std::string result;
  for (const std::string_view segment : kept) result.append("/").append(segment);
  if (result.empty() || ends_with_slash) result.push_back('/');
  return result;
}

std::string canonical_path(std::string_view path, bool normalise) {
  if (path.empty()) return "/";
  return percent_encoded(normalise ? without_dot_segments(path) : std::string(path), "/");
}

/// Names and values encoded in one and the same way, whichever way the wire has them, sorted by name, then value.
std::string canonical_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> fields;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view field = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (field.empty()) continue;
    const size_t equals = std::min(field.find('='), field.size());
    const std::string_view value = field.substr(std::min(equals + 1, field.size()));
    fields.emplace_back(percent_encoded(percent_decoded(field.substr(0, equals))),
                        percent_encoded(percent_decoded(value)));
  }
  std::sort(fields.begin(), fields.end());
  std::string result;
  for (const auto& [name, value] : fields) {
    if (!result.empty()) result.push_back('&');
    result.append(name).append("=").append(value);
  }
  return result;
}

bool is_white(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/// Without white space at the ends, and one space for each run of it inside.
std::string trimmed(std::string_view value) {
  std::string result;
  for (const char c : value) {
    if (!is_white(c)) {
      result.push_back(c);
    } else if (!result.empty() && result.back() != ' ') {
      result.push_back(' ');
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

struct CanonicalHeaders {
  std::string lines;  // "name:value\n" …
  std::string names;  // "host;x-amz-date"
};

CanonicalHeaders canonical_headers(std::vector<std::pair<std::string, std::string>> fields) {
  // Stable: the values of one name keep the order that they have on the wire.
  std::stable_sort(fields.begin(), fields.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  CanonicalHeaders result;
  for (size_t i = 0; i < fields.size(); ++i) {
    const bool again = i > 0 && fields[i - 1].first == fields[i].first;
    if (again) {
      result.lines.back() = ',';
    } else {
      if (!result.names.empty()) result.names.push_back(';');
      result.names.append(fields[i].first);
      result.lines.append(fields[i].first).append(":");
    }
    result.lines.append(fields[i].second).append("\n");
  }
  return result;
}

std::string lower(std::string_view name) {
  std::string result(name);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

/// The key of one day, region and service, from the secret.
Sha256 signing_key(const Secret& secret, std::string_view day, std::string_view region, std::string_view service) {
  const Sha256 of_day = hmac_sha256("AWS4" + secret.reveal(), day);
  const Sha256 of_region = hmac_sha256(view(of_day), region);
  const Sha256 of_service = hmac_sha256(view(of_region), service);
  return hmac_sha256(view(of_service), "aws4_request");
}

}  // namespace

Sigv4Signature sign_v4(const Sigv4Request& request, const AwsCredentials& credentials, WallTime time) {
  const std::string date = amz_date(time);
  const std::string day = date.substr(0, 8);
  const std::string payload_hash = hex(sha256_of(request.body));
  const std::string& session_token = credentials.session_token.reveal();

  std::vector<std::pair<std::string, std::string>> fields;
  fields.reserve(request.headers.size() + 4);
  fields.emplace_back("host", trimmed(request.host));
  fields.emplace_back("x-amz-date", date);
  for (const SignedHeader& header : request.headers) fields.emplace_back(lower(header.name), trimmed(header.value));
  if (!session_token.empty() && request.sign_session_token) fields.emplace_back("x-amz-security-token", session_token);
  if (request.content_sha256_header) fields.emplace_back("x-amz-content-sha256", payload_hash);
  const CanonicalHeaders headers = canonical_headers(std::move(fields));

  const size_t question = std::min(request.target.find('?'), request.target.size());
  Sigv4Signature result;
  result.canonical_request.append(request.method)
      .append("\n")
      .append(canonical_path(request.target.substr(0, question), request.normalise_path))
      .append("\n")
      .append(canonical_query(request.target.substr(std::min(question + 1, request.target.size()))))
      .append("\n")
      .append(headers.lines)
      .append("\n")
      .append(headers.names)
      .append("\n")
      .append(payload_hash);

  std::string scope = day;
  scope.append("/").append(request.region).append("/").append(request.service).append("/aws4_request");
  result.string_to_sign.append(kAlgorithm).append("\n").append(date).append("\n").append(scope).append("\n");
  result.string_to_sign.append(hex(sha256(result.canonical_request)));
  const Sha256 key = signing_key(credentials.secret_access_key, day, request.region, request.service);
  const std::string signature = hex(hmac_sha256(view(key), result.string_to_sign));

  std::string& lines = result.header_lines;
  lines.append("X-Amz-Date: ").append(date).append("\r\n");
  if (!session_token.empty()) lines.append("X-Amz-Security-Token: ").append(session_token).append("\r\n");
  if (request.content_sha256_header) lines.append("x-amz-content-sha256: ").append(payload_hash).append("\r\n");
  lines.append("Authorization: ").append(kAlgorithm).append(" Credential=").append(credentials.access_key_id);
  lines.append("/").append(scope).append(", SignedHeaders=").append(headers.names);
  lines.append(", Signature=").append(signature).append("\r\n");
  return result;
}

}  // namespace weir::providers
