// OAuth 2.0 access tokens, the part that Google and Microsoft share: what a token server is asked, what it answers, and
// when a token is asked for anew; and Microsoft Entra's client credentials. Pure: the time is an argument and nothing
// is sent (token_source.h does that). Sources: RFC 6749 sections 4.4, 5.1, 5.2; RFC 6750; "OAuth 2.0 client credentials
// flow on the Microsoft identity platform". Values: no thread owns them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/base/secret.h"
#include "providers/net/http_client.h"

namespace weir::providers {

inline constexpr uint64_t kTokenAnswerBytesMax = 64 * 1024;
inline constexpr std::chrono::minutes kTokenRefreshEarly{5};  // before expiry; less for short lives, see TokenState
inline constexpr std::chrono::seconds kTokenUseMargin{
    10};  // a token is not used in its last seconds; less for short lives
inline constexpr std::chrono::minutes kTokenLifeAssumed{5};     // where the server does not say
inline constexpr std::chrono::hours kTokenLifeMax{24 * 7};      // a longer one is asked for anew after this
inline constexpr std::chrono::seconds kTokenRetryFirst{1};      // after a failure, doubled by each further one …
inline constexpr std::chrono::seconds kTokenRetryMax{10};       // … up to this; the server's Retry-After …
inline constexpr std::chrono::seconds kTokenRetryAfterMax{60};  // … counts up to this

/// A POST of a form.
struct TokenRequest {
  Secret body;                  // application/x-www-form-urlencoded
  std::vector<Secret> secrets;  // what the body holds that no error message may repeat
};

/// A way to get tokens: a credential and where to show it. Immutable, so that cores may share it.
class TokenGrant {
 public:
  virtual ~TokenGrant() = default;
  virtual const Url& url() const = 0;  // base_path: the whole path of the token endpoint
  /// Errors: internal, where the credential cannot sign.
  virtual Result<TokenRequest> request(WallTime time) const = 0;
};

/// "name=value&…", percent-encoded.
class FormBody {
 public:
  FormBody& add(std::string_view name, std::string_view value);
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

struct AccessToken {
  Secret text;  // visible ASCII, so that it can stand in a header
  std::chrono::seconds expires_in{0};
  std::optional<std::chrono::seconds> refresh_in = {};  // Microsoft's advice, where it gives one
};

/// Reads a token server's answer. Errors say what the server said (`error`, `error_description`, or Google's
/// `error.message`), at most 400 bytes of it, without what `asked` holds: authentication (the credential is refused),
/// rate_limit, overloaded, upstream (an answer that makes no sense). `host` says who answered.
Result<AccessToken> parse_token_answer(std::string_view host, int status, std::string_view body,
                                       const TokenRequest& asked,
                                       std::optional<std::chrono::milliseconds> retry_after = {});

/// The token in hand and when the next one is due. A token is refreshed five minutes before its end, or a tenth of its
/// life if that is less, or when the server advised; it is used until ten seconds before its end, or a tenth of its
/// life.
class TokenState {
 public:
  void granted(AccessToken token, TimePoint now);
  void failed(Error error, TimePoint now);
  /// The service refused `token` (401): it is not used again. A token got less than 30 s ago stays, so that a service
  /// that refuses every token does not turn each call into two.
  void refused(std::string_view token, TimePoint now);

  bool usable(TimePoint now) const { return !token_.empty() && now < usable_until_; }
  /// Whether to ask now: due or not usable, and not held back by a failure just now.
  bool wants_token(TimePoint now) const { return (!usable(now) || now >= refresh_at_) && now >= retry_at_; }
  const std::string& token() const { return token_.reveal(); }  // REQUIRES: usable()
  /// Why there is no usable token. REQUIRES: failed() was called since the last granted().
  const Error& failure() const { return *failure_; }
  bool has_failed() const { return failure_.has_value(); }

 private:
  Secret token_;
  TimePoint granted_at_{};
  TimePoint refresh_at_{};
  TimePoint usable_until_{};
  TimePoint retry_at_ = TimePoint::min();
  std::chrono::seconds retry_delay_ = kTokenRetryFirst;
  std::optional<Error> failure_;
};

/// A confidential client of Microsoft Entra ID.
struct EntraClient {
  std::string authority = "https://login.microsoftonline.com";  // other clouds have others
  std::string tenant;                                           // id or domain
  std::string client_id;
  Secret client_secret;
  std::string scope = "https://cognitiveservices.azure.com/.default";  // Azure OpenAI's
};

/// Errors: config, where the authority is no URL or a field is empty.
Result<std::shared_ptr<const TokenGrant>> make_entra_grant(EntraClient client);

}  // namespace weir::providers
