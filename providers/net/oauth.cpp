#include "providers/net/oauth.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include "config/base/json.h"

#include "providers/net/percent.h"

namespace weir::providers {
namespace {

using Json = nlohmann::json;
using std::chrono::seconds;

constexpr size_t kSaidBytesMax = 400;
constexpr size_t kTokenBytesMax = 16 * 1024;
constexpr seconds kRefusedAgeMin{30};

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

/// A number of seconds, which some servers send as text.
std::optional<seconds> seconds_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return {};
  int64_t value = 0;
  if (found->is_number_integer()) {
    value = found->get<int64_t>();
  } else if (found->is_number_float()) {
    const double number = found->get<double>();
    if (!(number >= 0 && number < 1e9)) return {};
    value = static_cast<int64_t>(number);
  } else if (found->is_string()) {
    const auto& text = found->get_ref<const std::string&>();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return {};
  } else {
    return {};
  }
  if (value < 0) return {};
  return seconds(std::min<int64_t>(value, seconds(kTokenLifeMax).count()));
}

void replace_all(std::string& text, const std::string& what, std::string_view with) {
  constexpr size_t kSecretBytesMin = 4;  // shorter ones occur in any text
  if (what.size() < kSecretBytesMin) return;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
}

/// What the server said, fit for a log: no secret, no control characters, not long.
std::string cleaned(std::string text, const TokenRequest& asked) {
  for (const Secret& secret : asked.secrets) {
    replace_all(text, secret.reveal(), "[redacted]");
    replace_all(text, percent_encoded(secret.reveal()), "[redacted]");
  }
  std::string result;
  for (const char c : text) {
    const bool blank = static_cast<unsigned char>(c) <= ' ' || c == 127;
    if (!blank)
      result.push_back(c);
    else if (!result.empty() && result.back() != ' ')
      result.push_back(' ');
  }
  if (result.size() > kSaidBytesMax) {
    size_t end = kSaidBytesMax;
    while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xc0) == 0x80) --end;  // not inside a character
    result.resize(end);
    result += " …";
  }
  while (result.ends_with(' ')) result.pop_back();
  return result;
}

/// RFC 6749 section 5.2, or the error object of Google's other APIs.
struct Said {
  std::string code;
  std::string text;
};

Said said_in(const Json& answer) {
  if (!answer.is_object()) return {};
  const auto error = answer.find("error");
  if (error == answer.end()) return {};
  if (error->is_object()) return {text_of(*error, "status"), text_of(*error, "message")};
  return {text_of(answer, "error"), text_of(answer, "error_description")};
}

ErrorKind kind_of(int status, const std::string& code) {
  if (status == 429 || code == "slow_down") return ErrorKind::rate_limit;
  if (status == 503 || code == "temporarily_unavailable") return ErrorKind::overloaded;
  if (status >= 400 && status < 500 && code != "server_error") return ErrorKind::authentication;
  return ErrorKind::upstream;
}

/// What those who run the gateway can do about a refusal, by RFC 6749's and Google's codes.
std::string_view remedy_of(const std::string& code) {
  if (code == "invalid_grant") return "the key may be revoked or its account gone, or this machine's clock wrong";
  if (code == "invalid_client" || code == "unauthorized_client")
    return "check the client's id and secret, which may have expired, and its rights";
  if (code == "invalid_scope" || code == "invalid_resource") return "the account has no right to the API";
  return {};
}

Error token_error(ErrorKind kind, std::string_view host, std::string what) {
  return {kind,
          std::string(host),
          Retry::other_target,
          502,
          "no access token from " + std::string(host) + ": " + std::move(what),
          "upstream_error"};
}

bool visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

class EntraGrant final : public TokenGrant {
 public:
  EntraGrant(EntraClient client, Url url) : client_(std::move(client)), url_(std::move(url)) {}

  const Url& url() const override { return url_; }
  Result<TokenRequest> request(WallTime) const override {
    FormBody form;
    form.add("grant_type", "client_credentials").add("client_id", client_.client_id);
    form.add("client_secret", client_.client_secret.reveal()).add("scope", client_.scope);
    TokenRequest request;
    request.body = Secret(form.take());
    request.secrets.push_back(client_.client_secret);
    return request;
  }

 private:
  EntraClient client_;
  Url url_;
};

}  // namespace

FormBody& FormBody::add(std::string_view name, std::string_view value) {
  if (!text_.empty()) text_.push_back('&');
  text_.append(percent_encoded(name)).append("=").append(percent_encoded(value));
  return *this;
}

Result<AccessToken> parse_token_answer(std::string_view host, int status, std::string_view body,
                                       const TokenRequest& asked,
                                       std::optional<std::chrono::milliseconds> retry_after) {
  const Json answer = read_json<Json>(body);
  const Said said = said_in(answer);
  const std::string with_status = "status " + std::to_string(status);
  if (status / 100 != 2 || !said.code.empty()) {
    std::string what = cleaned(said.code, asked);
    const std::string text = cleaned(said.text, asked);
    if (!what.empty() && !text.empty()) what += ": ";
    what += text;
    if (what.empty()) what = "no reason given";
    if (const std::string_view remedy = remedy_of(said.code); !remedy.empty()) what.append(" (").append(remedy) += ")";
    Error error = token_error(kind_of(status, said.code), host, with_status + ", " + what);
    // As where an upstream refuses a credential: what is told to clients says no more than that.
    if (error.kind == ErrorKind::authentication) {
      error.source = "upstream";
      error.http_status = status;
    }
    error.retry_after = retry_after;
    return error;
  }
  if (!answer.is_object()) return token_error(ErrorKind::upstream, host, with_status + ", but no JSON object");
  AccessToken token;
  token.text = Secret(text_of(answer, "access_token"));
  if (token.text.empty()) return token_error(ErrorKind::upstream, host, with_status + ", but no access_token");
  if (token.text.reveal().size() > kTokenBytesMax || !visible(token.text.reveal())) {
    return token_error(ErrorKind::upstream, host, "the access_token cannot stand in a header");
  }
  std::string type = text_of(answer, "token_type");
  for (char& c : type) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (!type.empty() && type != "bearer") {
    return token_error(ErrorKind::upstream, host, "the token_type is " + cleaned(type, asked) + ", not Bearer");
  }
  token.expires_in = kTokenLifeAssumed;
  if (answer.contains("expires_in")) {
    const auto life = seconds_of(answer, "expires_in");
    if (!life || *life == seconds(0)) {
      return token_error(ErrorKind::upstream, host, "the expires_in of the token makes no sense");
    }
    token.expires_in = *life;
  }
  token.refresh_in = seconds_of(answer, "refresh_in");
  return token;
}

void TokenState::granted(AccessToken token, TimePoint now) {
  const Duration life = token.expires_in;
  granted_at_ = now;
  usable_until_ = now + life - std::min<Duration>(kTokenUseMargin, life / 10);
  refresh_at_ = now + life - std::min<Duration>(kTokenRefreshEarly, life / 10);
  if (token.refresh_in && *token.refresh_in > seconds(0)) refresh_at_ = std::min(refresh_at_, now + *token.refresh_in);
  token_ = std::move(token.text);
  retry_at_ = TimePoint::min();
  retry_delay_ = kTokenRetryFirst;
  failure_.reset();
}

void TokenState::failed(Error error, TimePoint now) {
  Duration delay = retry_delay_;
  if (error.retry_after) {
    delay = std::max(delay, std::min<Duration>(*error.retry_after, kTokenRetryAfterMax));
  }
  retry_at_ = now + delay;
  retry_delay_ = std::min(retry_delay_ * 2, kTokenRetryMax);
  failure_ = std::move(error);
}

void TokenState::refused(std::string_view token, TimePoint now) {
  if (token == token_.reveal() && now >= granted_at_ + kRefusedAgeMin) token_ = Secret();
}

Result<std::shared_ptr<const TokenGrant>> make_entra_grant(EntraClient client) {
  const auto missing = [](const char* name) {
    return Error{ErrorKind::config, "config", Retry::no, 500, std::string("Entra credentials: ") + name + " is empty"};
  };
  if (client.tenant.empty()) return missing("the tenant");
  if (client.client_id.empty()) return missing("the client id");
  if (client.client_secret.empty()) return missing("the client secret");
  auto url = parse_url(client.authority);
  if (!url) return std::move(url).error();
  url->base_path += "/" + percent_encoded(client.tenant) + "/oauth2/v2.0/token";
  return std::shared_ptr<const TokenGrant>(std::make_shared<EntraGrant>(std::move(client), std::move(*url)));
}

}  // namespace weir::providers
