// Google credentials: a service account's key file, from which a signed assertion (JWT) is made that buys an access
// token, or the refresh token of a user that `gcloud auth application-default login` leaves behind. Pure;
// token_source.h does the asking. Sources: "Using OAuth 2.0 for Server to Server Applications" (Google Identity), RFC
// 7515 (JWS), RFC 7518 section 3.3 (RS256), RFC 7519 (JWT), RFC 7523 (JWT bearer grant), RFC 6749 section 6. Immutable
// once made.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "providers/net/oauth.h"

namespace weir::providers {

inline constexpr std::string_view kGoogleTokenUrl = "https://oauth2.googleapis.com/token";
inline constexpr std::string_view kGoogleCloudScope = "https://www.googleapis.com/auth/cloud-platform";
inline constexpr size_t kGoogleCredentialsBytesMax = 64 * 1024;
inline constexpr std::chrono::seconds kAssertionLife{3600};     // the longest that Google takes
inline constexpr std::chrono::seconds kAssertionBackdated{10};  // so that a clock that is a little fast does no harm

struct GoogleCredentials {
  std::shared_ptr<const TokenGrant> grant;
  std::string principal;      // the service account's e-mail, or the user's client id: for messages
  std::string project_id;     // of the key file, or empty
  std::string quota_project;  // whom a user's calls are billed to (X-Goog-User-Project), or empty
};

/// Reads the text of a credentials file; `where` names it in errors, which hold nothing of its secrets. Errors: config.
Result<GoogleCredentials> parse_google_credentials(std::string_view text, std::string_view where,
                                                   std::string_view scope = kGoogleCloudScope);

}  // namespace weir::providers
