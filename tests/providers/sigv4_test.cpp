// AWS's own test suite for Signature Version 4, each step of it, and what the suite leaves out: the second encoding of
// a path, bodies in pieces, signing keys of different days.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include "config/base/json.h"

#include "providers/net/percent.h"
#include "providers/net/sigv4.h"

namespace weir::providers {
namespace {

namespace fs = std::filesystem;
const fs::path kSuite = fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire/fixtures/sigv4/v4";
const WallTime kSuiteTime{std::chrono::seconds(1440938160)};  // 2015-08-30T12:36:00Z, in every case of the suite

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A request.txt taken apart: a request line, header lines with continuations, an empty line, a body.
struct SuiteRequest {
  std::string method, target, host, body;
  std::vector<std::pair<std::string, std::string>> headers;

  explicit SuiteRequest(const std::string& text) {
    const size_t line_end = text.find('\n');
    const std::string line = text.substr(0, line_end);
    const size_t space = line.find(' ');
    method = line.substr(0, space);
    target = line.substr(space + 1, line.rfind(" HTTP/1.1") - space - 1);
    for (size_t at = line_end + 1; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string header = text.substr(at, end - at);
      at = end + 1;
      if (header.empty()) {
        body = at < text.size() ? text.substr(at) : "";
        break;
      }
      if (header[0] == ' ') {
        headers.back().second += "\n" + header;
        continue;
      }
      const size_t colon = header.find(':');
      headers.emplace_back(header.substr(0, colon), header.substr(colon + 1));
    }
    for (auto it = headers.begin(); it != headers.end(); ++it) {
      if (it->first != "Host") continue;
      host = it->second;
      headers.erase(it);
      break;
    }
  }
};

std::string authorization_of(const std::string& signed_request) {
  const size_t at = signed_request.find("Authorization:") + 14;
  return signed_request.substr(at, signed_request.find('\n', at) - at);
}

TEST(Sigv4, TheOfficialSuite) {
  if (!fs::exists(kSuite)) GTEST_SKIP() << "no shared/data/wire/fixtures/sigv4 beside the repository";
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(kSuite)) {
    SCOPED_TRACE(entry.path().filename().string());
    const auto context = read_json<nlohmann::json>(read(entry.path() / "context.json"));
    ASSERT_EQ(context["timestamp"], "2015-08-30T12:36:00Z");
    const auto& keys = context["credentials"];
    const AwsCredentials credentials{keys["access_key_id"].get<std::string>(),
                                     Secret(keys["secret_access_key"].get<std::string>()),
                                     Secret(keys.value("token", ""))};
    const SuiteRequest suite(read(entry.path() / "request.txt"));
    std::vector<SignedHeader> headers;
    for (const auto& [name, value] : suite.headers) headers.push_back({name, value});
    const std::string region = context["region"];
    const std::string service = context["service"];
    const std::string_view body[] = {suite.body};
    const Sigv4Request request{.method = suite.method,
                               .host = suite.host,
                               .target = suite.target,
                               .headers = headers,
                               .body = body,
                               .region = region,
                               .service = service,
                               .normalise_path = context["normalize"].get<bool>(),
                               .content_sha256_header = context["sign_body"].get<bool>(),
                               .sign_session_token = !context.value("omit_session_token", false)};
    const Sigv4Signature made = sign_v4(request, credentials, kSuiteTime);
    EXPECT_EQ(made.canonical_request, read(entry.path() / "header-canonical-request.txt"));
    EXPECT_EQ(made.string_to_sign, read(entry.path() / "header-string-to-sign.txt"));
    const std::string want = authorization_of(read(entry.path() / "header-signed-request.txt"));
    EXPECT_TRUE(made.header_lines.ends_with("\r\nAuthorization: " + want + "\r\n")) << made.header_lines << want;
    EXPECT_TRUE(made.header_lines.starts_with("X-Amz-Date: 20150830T123600Z\r\n"));
    const bool token_sent = made.header_lines.find("\r\nX-Amz-Security-Token: ") != std::string::npos;
    EXPECT_EQ(token_sent, keys.contains("token"));
    const bool hash_sent = made.header_lines.find("\r\nx-amz-content-sha256: ") != std::string::npos;
    EXPECT_EQ(hash_sent, request.content_sha256_header);
    ++cases;
  }
  EXPECT_GE(cases, 38);
}

const AwsCredentials kExample{"AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), Secret()};

Sigv4Signature signature_of(std::string_view target, std::span<const std::string_view> body = {},
                            WallTime time = kSuiteTime) {
  return sign_v4({.host = "bedrock-runtime.us-east-1.amazonaws.com",
                  .target = target,
                  .body = body,
                  .region = "us-east-1",
                  .service = "bedrock"},
                 kExample, time);
}

std::string line_of(const std::string& text, int number) {
  size_t at = 0;
  while (number-- > 0) at = text.find('\n', at) + 1;
  return text.substr(at, text.find('\n', at) - at);
}

TEST(Sigv4, APathIsEncodedOnceMoreAndAQueryIsNot) {
  const auto made = signature_of("/model/anthropic.claude-v2%3A1/converse?b=%2f&a=1%202&a=%zz&&flag&c=x=y");
  EXPECT_EQ(line_of(made.canonical_request, 1), "/model/anthropic.claude-v2%253A1/converse");
  EXPECT_EQ(line_of(made.canonical_request, 2), "a=%25zz&a=1%202&b=%2F&c=x%3Dy&flag=");
}

TEST(Sigv4, PathsAreNormalised) {
  for (const auto& [path, want] : std::vector<std::pair<std::string, std::string>>{{"", "/"},
                                                                                   {"/", "/"},
                                                                                   {"/a", "/a"},
                                                                                   {"/a/", "/a/"},
                                                                                   {"/a/.", "/a/"},
                                                                                   {"/a/b/..", "/a/"},
                                                                                   {"/../../a", "/a"},
                                                                                   {"/..", "/"},
                                                                                   {"///", "/"},
                                                                                   {"/a//b", "/a/b"},
                                                                                   {"/...", "/..."},
                                                                                   {"/a?", "/a"}}) {
    EXPECT_EQ(line_of(signature_of(path).canonical_request, 1), want) << path;
  }
}

TEST(Sigv4, ABodyInPiecesIsTheSameBody) {
  const std::string_view whole[] = {"{\"messages\":[]}"};
  const std::string_view pieces[] = {"{\"mess", "", "ages\":[]}"};
  EXPECT_EQ(signature_of("/", whole).header_lines, signature_of("/", pieces).header_lines);
  const std::string_view other[] = {"{\"messages\":[1]}"};
  EXPECT_NE(signature_of("/", whole).header_lines, signature_of("/", other).header_lines);
}

TEST(Sigv4, TheDayIsUtc) {
  const WallTime last{std::chrono::seconds(1440979199) + std::chrono::milliseconds(999)};
  EXPECT_EQ(line_of(signature_of("/", {}, last).string_to_sign, 1), "20150830T235959Z");
  const WallTime next = last + std::chrono::milliseconds(1);
  EXPECT_EQ(line_of(signature_of("/", {}, next).string_to_sign, 2), "20150831/us-east-1/bedrock/aws4_request");
}

TEST(Sigv4, ASignatureHoldsNoSecret) {
  const auto made = signature_of("/");
  for (const std::string* text : {&made.canonical_request, &made.string_to_sign, &made.header_lines}) {
    EXPECT_EQ(text->find(kExample.secret_access_key.reveal()), std::string::npos);
  }
}

TEST(Percent, EncodesAndDecodes) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  EXPECT_EQ(percent_decoded(percent_encoded(all)), all);
  EXPECT_EQ(percent_encoded("a b/c+\xc3\xa9"), "a%20b%2Fc%2B%C3%A9");
  EXPECT_EQ(percent_encoded("a/b:c", "/:"), "a/b:c");
  EXPECT_EQ(percent_decoded("%4a%4A%4%g0%"), "JJ%4%g0%");
}

}  // namespace
}  // namespace weir::providers
