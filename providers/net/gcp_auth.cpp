#include "providers/net/gcp_auth.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <utility>
#include <vector>

#include "config/base/json.h"
#include "config/base/openssl_free.h"

namespace weir::providers {
namespace {

using Json = nlohmann::json;

constexpr int kRsaBitsMin = 2048;  // RFC 7518 section 3.3

using PrivateKey = std::unique_ptr<EVP_PKEY, FreeOpenSsl>;

Error bad_file(std::string_view where, std::string what) {
  return {ErrorKind::config, "config", Retry::no, 500, std::string(where) + ": " + std::move(what)};
}

/// RFC 4648 section 5, without padding.
std::string base64url(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  text.reserve(bytes.size() * 4 / 3 + 3);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) text.push_back(kDigits[bits >> (count - 6) & 63]);
  }
  if (count > 0) text.push_back(kDigits[bits << (6 - count) & 63]);
  return text;
}

/// An encrypted key gets no password: OpenSSL would otherwise ask the terminal for it.
int no_password(char*, int, int, void*) {
  return -1;
}

PrivateKey read_key(const Secret& pem) {
  const std::string& text = pem.reveal();
  const std::unique_ptr<BIO, FreeOpenSsl> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  return PrivateKey(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
}

/// RSASSA-PKCS1-v1_5 with SHA-256; empty where OpenSSL refuses.
std::string rs256(EVP_PKEY* key, std::string_view text) {
  const std::unique_ptr<EVP_MD_CTX, FreeOpenSsl> context(EVP_MD_CTX_new());
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) != 1) return {};
  if (EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size()) != 1) return {};
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes, text.size()) != 1)
    return {};
  signature.resize(size);
  return signature;
}

class ServiceAccount final : public TokenGrant {
 public:
  ServiceAccount(std::string email, std::string key_id, PrivateKey key, std::string audience, Url url,
                 std::string scope)
      : email_(std::move(email)),
        key_id_(std::move(key_id)),
        key_(std::move(key)),
        audience_(std::move(audience)),
        url_(std::move(url)),
        scope_(std::move(scope)) {}

  const Url& url() const override { return url_; }

  Result<TokenRequest> request(WallTime time) const override {
    const auto at = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch() - kAssertionBackdated;
    Json header;
    header["alg"] = "RS256";
    header["typ"] = "JWT";
    if (!key_id_.empty()) header["kid"] = key_id_;
    Json claims;
    claims["iss"] = email_;
    claims["scope"] = scope_;
    claims["aud"] = audience_;
    claims["iat"] = at.count();
    claims["exp"] = (at + kAssertionLife).count();
    std::string assertion = base64url(header.dump()) + "." + base64url(claims.dump());
    const std::string signature = rs256(key_.get(), assertion);
    if (signature.empty()) {
      return Error{ErrorKind::internal, email_, Retry::other_target, 500, "the service account's key does not sign"};
    }
    assertion.append(".").append(base64url(signature));
    FormBody form;
    form.add("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer").add("assertion", assertion);
    TokenRequest request;
    request.body = Secret(form.take());
    request.secrets.emplace_back(std::move(assertion));
    return request;
  }

 private:
  std::string email_;
  std::string key_id_;
  PrivateKey key_;
  std::string audience_;
  Url url_;
  std::string scope_;
};

class AuthorizedUser final : public TokenGrant {
 public:
  AuthorizedUser(std::string client_id, Secret client_secret, Secret refresh_token, Url url)
      : client_id_(std::move(client_id)),
        client_secret_(std::move(client_secret)),
        refresh_token_(std::move(refresh_token)),
        url_(std::move(url)) {}

  const Url& url() const override { return url_; }

  Result<TokenRequest> request(WallTime) const override {
    FormBody form;
    form.add("grant_type", "refresh_token").add("client_id", client_id_);
    form.add("client_secret", client_secret_.reveal()).add("refresh_token", refresh_token_.reveal());
    TokenRequest request;
    request.body = Secret(form.take());
    request.secrets = {client_secret_, refresh_token_};
    return request;
  }

 private:
  std::string client_id_;
  Secret client_secret_;
  Secret refresh_token_;
  Url url_;
};

/// The fields of a credentials file, and the first that was missing.
class Fields {
 public:
  explicit Fields(const Json& file) : file_(file) {}
  std::string optional(const char* name) const {
    const auto found = file_.find(name);
    return found != file_.end() && found->is_string() ? found->get<std::string>() : std::string{};
  }
  std::string required(const char* name) {
    std::string value = optional(name);
    if (value.empty() && missing_.empty()) missing_ = name;
    return value;
  }
  const std::string& missing() const { return missing_; }

 private:
  const Json& file_;
  std::string missing_;
};

Result<GoogleCredentials> service_account(Fields fields, std::string_view where, std::string token_url, Url url,
                                          std::string_view scope) {
  GoogleCredentials result;
  result.principal = fields.required("client_email");
  result.project_id = fields.optional("project_id");
  const Secret pem(fields.required("private_key"));
  if (!fields.missing().empty()) return bad_file(where, "\"" + fields.missing() + "\" is missing or no text");
  PrivateKey key = read_key(pem);
  if (key == nullptr) return bad_file(where, "\"private_key\" is not an unencrypted private key in PEM form");
  if (EVP_PKEY_is_a(key.get(), "RSA") != 1 || EVP_PKEY_get_bits(key.get()) < kRsaBitsMin) {
    return bad_file(where, "\"private_key\" must be an RSA key of at least 2048 bits");
  }
  result.grant = std::make_shared<ServiceAccount>(result.principal, fields.optional("private_key_id"), std::move(key),
                                                  std::move(token_url), std::move(url), std::string(scope));
  return result;
}

Result<GoogleCredentials> authorized_user(Fields fields, std::string_view where, Url url) {
  GoogleCredentials result;
  result.principal = fields.required("client_id");
  result.project_id = fields.optional("project_id");
  result.quota_project = fields.optional("quota_project_id");
  Secret client_secret(fields.required("client_secret"));
  Secret refresh_token(fields.required("refresh_token"));
  if (!fields.missing().empty()) return bad_file(where, "\"" + fields.missing() + "\" is missing or no text");
  result.grant = std::make_shared<AuthorizedUser>(result.principal, std::move(client_secret), std::move(refresh_token),
                                                  std::move(url));
  return result;
}

}  // namespace

Result<GoogleCredentials> parse_google_credentials(std::string_view text, std::string_view where,
                                                   std::string_view scope) {
  if (text.size() > kGoogleCredentialsBytesMax) return bad_file(where, "more than 64 KiB: no credentials file");
  const Json file = read_json<Json>(text);
  if (!file.is_object()) return bad_file(where, "not a JSON object; Google's credentials files are");
  const Fields fields(file);
  const std::string type = fields.optional("type");
  std::string token_url = fields.optional("token_uri");
  if (token_url.empty()) token_url = kGoogleTokenUrl;
  auto url = parse_url(token_url);
  if (!url) return bad_file(where, "\"token_uri\": " + url.error().detail);
  if (type == "service_account") return service_account(fields, where, std::move(token_url), std::move(*url), scope);
  if (type == "authorized_user") return authorized_user(fields, where, std::move(*url));
  if (type.empty()) return bad_file(where, "\"type\" is missing; service_account and authorized_user are understood");
  return bad_file(where,
                  "\"type\" is \"" + type.substr(0, 64) + "\"; service_account and authorized_user are understood");
}

}  // namespace weir::providers
