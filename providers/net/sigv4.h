// AWS Signature Version 4 in request headers: what Bedrock wants of every call. Pure: the time is an argument, nothing
// is sent. Source: AWS Identity and Access Management User Guide, "Create a signed AWS API request" and "Elements of an
// AWS API request signature". Functions without state: any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "config/base/clock.h"
#include "config/base/secret.h"

namespace weir::providers {

struct AwsCredentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;  // of temporary credentials; empty: long-term ones
};

/// A header of the request that the signature covers, as it will be sent.
struct SignedHeader {
  std::string_view name;  // any case
  std::string_view value;
};

/// The request as it will stand on the wire, and where it goes.
struct Sigv4Request {
  std::string_view method = "POST";
  std::string_view host;                   // the Host header's value, with its port where it has one
  std::string_view target;                 // path and query as on the wire: percent-encoded once
  std::span<const SignedHeader> headers;   // besides Host, X-Amz-Date and X-Amz-Security-Token, which are always signed
  std::span<const std::string_view> body;  // in order; hashed, not kept
  std::string_view region;                 // "us-east-1"
  std::string_view service;                // "bedrock"
  /// The path without empty and dot segments, as every service but S3 wants it.
  bool normalise_path = true;
  /// Adds x-amz-content-sha256 (and signs it), which S3 wants and others accept.
  bool content_sha256_header = false;
  /// Whether X-Amz-Security-Token is signed or only sent; few services want the latter.
  bool sign_session_token = true;
};

/// What the signature is made of: the steps of the specification, for tests and for reading beside a
/// SignatureDoesNotMatch answer, which prints the service's own. `header_lines` and nothing else goes to the wire, and
/// none of the three may reach a log: they hold the session token.
struct Sigv4Signature {
  std::string canonical_request;
  std::string string_to_sign;
  std::string header_lines;  // "X-Amz-Date: …\r\n" …, Authorization last
};

/// Signs the request as of `time`, which may be off the service's clock by at most five minutes. Cannot fail; wrong
/// credentials are the service's to refuse. A path is percent-encoded once more in the canonical request, as services
/// except S3 have it ("%3A" on the wire is signed as "%253A"); a query is not.
Sigv4Signature sign_v4(const Sigv4Request& request, const AwsCredentials& credentials, WallTime time);

}  // namespace weir::providers
