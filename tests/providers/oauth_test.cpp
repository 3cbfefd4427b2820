// Tokens: what servers answer, when the next one is due, what Google's credentials files hold, and the assertion that
// is made of them, verified with the public key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <map>
#include <memory>
#include "config/base/json.h"

#include "providers/net/gcp_auth.h"
#include "providers/net/oauth.h"
#include "providers/net/percent.h"

namespace weir::providers {
namespace {

using Json = nlohmann::json;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

const TokenRequest kAsked{Secret("client_secret=s3cr%26t"), {Secret("s3cr&t")}};

Result<AccessToken> answer(int status, std::string_view body) {
  return parse_token_answer("login.example.com", status, body, kAsked);
}

TEST(TokenAnswer, AToken) {
  const auto token = answer(200, R"({"access_token":"ya29.abc","expires_in":3599,"token_type":"Bearer"})");
  ASSERT_TRUE(token.ok());
  EXPECT_EQ(token->text.reveal(), "ya29.abc");
  EXPECT_EQ(token->expires_in, seconds(3599));
  EXPECT_FALSE(token->refresh_in);
  EXPECT_EQ(answer(200, R"({"access_token":"t","expires_in":"3599"})")->expires_in, seconds(3599));
  EXPECT_EQ(answer(200, R"({"access_token":"t","expires_in":59.5})")->expires_in, seconds(59));
  EXPECT_EQ(answer(200, R"({"access_token":"t"})")->expires_in, seconds(300));
  EXPECT_EQ(answer(200, R"({"access_token":"t","expires_in":9223372036854775807})")->expires_in, seconds(604'800));
  EXPECT_EQ(answer(200, R"({"access_token":"t","refresh_in":43200})")->refresh_in, seconds(43'200));
}

TEST(TokenAnswer, WhatIsNoToken) {
  const std::string begin = "no access token from login.example.com: ";
  for (const auto& [body, why] : std::vector<std::pair<std::string, std::string>>{
           {"", "status 200, but no JSON object"},
           {"[]", "status 200, but no JSON object"},
           {std::string(60'000, '['), "status 200, but no JSON object"},
           {"{}", "status 200, but no access_token"},
           {R"({"access_token":7})", "status 200, but no access_token"},
           {R"({"access_token":""})", "status 200, but no access_token"},
           {R"({"id_token":"eyJ"})", "status 200, but no access_token"},
           {R"({"access_token":"a\r\nX-Evil: 1"})", "the access_token cannot stand in a header"},
           {R"({"access_token":")" + std::string(20'000, 'a') + "\"}", "the access_token cannot stand in a header"},
           {R"({"access_token":"a","token_type":"mac"})", "the token_type is mac, not Bearer"},
           {R"({"access_token":"a","expires_in":0})", "the expires_in of the token makes no sense"},
           {R"({"access_token":"a","expires_in":-5})", "the expires_in of the token makes no sense"},
           {R"({"access_token":"a","expires_in":"soon"})", "the expires_in of the token makes no sense"},
           {R"({"access_token":"a","expires_in":1e300})", "the expires_in of the token makes no sense"}}) {
    const auto token = answer(200, body);
    ASSERT_FALSE(token.ok()) << body;
    EXPECT_EQ(token.error().detail, begin + why);
    EXPECT_EQ(token.error().kind, ErrorKind::upstream);
    EXPECT_EQ(token.error().http_status, 502);
  }
}

TEST(TokenAnswer, ErrorsOfTokenServers) {
  const auto google = answer(400, R"({"error":"invalid_grant","error_description":"Invalid JWT Signature."})");
  EXPECT_EQ(google.error().kind, ErrorKind::authentication);
  EXPECT_EQ(google.error().retry, Retry::other_target);
  EXPECT_EQ(google.error().detail,
            "no access token from login.example.com: status 400, invalid_grant: Invalid JWT Signature. (the key may be "
            "revoked or its account gone, or this machine's clock wrong)");
  EXPECT_EQ(google.error().source, "upstream") << "its text is for those who run the gateway";
  EXPECT_EQ(google.error().http_status, 400);
  const auto entra =
      answer(401, R"({"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret )"
                  R"(provided.\r\nTrace ID: 1","error_codes":[7000215],"trace_id":"1"})");
  EXPECT_EQ(entra.error().detail,
            "no access token from login.example.com: status 401, invalid_client: AADSTS7000215: Invalid client secret "
            "provided. Trace ID: 1 (check the client's id and secret, which may have expired, and its rights)");
  const auto object = answer(403, R"({"error":{"code":403,"message":"Blocked.","status":"PERMISSION_DENIED"}})");
  EXPECT_THAT(object.error().detail, HasSubstr("status 403, PERMISSION_DENIED: Blocked."));
  EXPECT_THAT(answer(502, "<html>").error().detail, HasSubstr("status 502, no reason given"));
  EXPECT_EQ(answer(502, "<html>").error().kind, ErrorKind::upstream);
  EXPECT_EQ(answer(429, "{}").error().kind, ErrorKind::rate_limit);
  EXPECT_EQ(answer(503, "{}").error().kind, ErrorKind::overloaded);
  EXPECT_EQ(answer(400, R"({"error":"temporarily_unavailable"})").error().kind, ErrorKind::overloaded);
  EXPECT_EQ(answer(200, R"({"error":"invalid_scope"})").error().kind, ErrorKind::upstream);
  const auto wait = parse_token_answer("h", 429, "{}", kAsked, seconds(7));
  EXPECT_EQ(wait.error().retry_after, seconds(7));
}

TEST(TokenAnswer, ErrorsRepeatNoSecret) {
  const auto echo = answer(400, R"({"error":"invalid_request","error_description":"bad secret s3cr&t in )"
                                R"(client_secret=s3cr%26t, s3cr&ts3cr&t"})");
  EXPECT_THAT(echo.error().detail,
              HasSubstr("bad secret [redacted] in client_secret=[redacted], [redacted][redacted]"));
  const auto lengthy = answer(400, R"({"error":"e","error_description":")" + std::string(100'000, 'x') + "\"}");
  EXPECT_LT(lengthy.error().detail.size(), 500u);
  std::string many;
  for (int i = 0; i < 300; ++i) many += "é";
  const std::string cut = answer(400, R"({"error":"ee","error_description":"x)" + many + "\"}").error().detail;
  EXPECT_TRUE(Json::accept(Json(cut).dump()));  // dump() would throw on half a character
}

const TimePoint kStart = TimePoint{} + std::chrono::hours(1000);

AccessToken token_of(seconds life) {
  return {Secret("token"), life};
}

TEST(TokenState, RefreshesEarlyAndUsesUpToTheEnd) {
  TokenState state;
  EXPECT_FALSE(state.usable(kStart));
  EXPECT_TRUE(state.wants_token(kStart));
  state.granted(token_of(seconds(3600)), kStart);
  EXPECT_TRUE(state.usable(kStart));
  EXPECT_FALSE(state.wants_token(kStart + seconds(3299)));
  EXPECT_TRUE(state.wants_token(kStart + seconds(3300)));
  EXPECT_TRUE(state.usable(kStart + seconds(3589)));
  EXPECT_FALSE(state.usable(kStart + seconds(3590)));
  state.granted(token_of(seconds(60)), kStart);  // a tenth of a short life
  EXPECT_FALSE(state.wants_token(kStart + seconds(53)));
  EXPECT_TRUE(state.wants_token(kStart + seconds(54)));
  EXPECT_FALSE(state.usable(kStart + seconds(54)));
}

TEST(TokenState, TheServersAdviceCounts) {
  TokenState state;
  AccessToken token = token_of(seconds(86'400));
  token.refresh_in = seconds(43'200);
  state.granted(token, kStart);
  EXPECT_FALSE(state.wants_token(kStart + seconds(43'199)));
  EXPECT_TRUE(state.wants_token(kStart + seconds(43'200)));
  token.refresh_in = seconds(999'999);
  state.granted(token, kStart);
  EXPECT_TRUE(state.wants_token(kStart + seconds(86'100)));
  token.refresh_in = seconds(0);
  state.granted(token, kStart);
  EXPECT_FALSE(state.wants_token(kStart + seconds(1)));
}

TEST(TokenState, FailuresHoldBackMoreAndMore) {
  TokenState state;
  TimePoint at = kStart;
  for (const int64_t delay : {1, 2, 4, 8, 10, 10}) {
    EXPECT_TRUE(state.wants_token(at));
    state.failed(Error{.detail = "no"}, at);
    EXPECT_FALSE(state.wants_token(at + seconds(delay) - std::chrono::milliseconds(1)));
    at += seconds(delay);
  }
  EXPECT_EQ(state.failure().detail, "no");
  Error wait{.detail = "wait"};
  wait.retry_after = seconds(30);
  state.failed(wait, at);
  EXPECT_FALSE(state.wants_token(at + seconds(29)));
  EXPECT_TRUE(state.wants_token(at + seconds(30)));
  wait.retry_after = std::chrono::hours(10);
  state.failed(wait, at);
  EXPECT_TRUE(state.wants_token(at + seconds(60)));
  state.granted(token_of(seconds(100)), at);
  EXPECT_FALSE(state.has_failed());
  state.failed(wait, at + seconds(90));
  EXPECT_TRUE(state.usable(at + seconds(89)));  // a failed refresh leaves the token
}

TEST(TokenState, ARefusedTokenIsNotUsedAgain) {
  TokenState state;
  state.granted(token_of(seconds(3600)), kStart);
  state.refused("token", kStart + seconds(29));
  EXPECT_TRUE(state.usable(kStart + seconds(29)));
  state.refused("an older one", kStart + seconds(31));
  EXPECT_TRUE(state.usable(kStart + seconds(31)));
  state.refused("token", kStart + seconds(31));
  EXPECT_FALSE(state.usable(kStart + seconds(31)));
  EXPECT_TRUE(state.wants_token(kStart + seconds(31)));
}

std::map<std::string, std::string> form_of(const TokenRequest& request) {
  std::map<std::string, std::string> fields;
  std::string_view rest = request.body.reveal();
  while (!rest.empty()) {
    const std::string_view field = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(field.size() + 1, rest.size()));
    const size_t equals = field.find('=');
    fields[percent_decoded(field.substr(0, equals))] = percent_decoded(field.substr(equals + 1));
  }
  return fields;
}

TEST(Entra, AsksForClientCredentials) {
  const auto grant = make_entra_grant({.authority = "http://127.0.0.1:8080/x/",
                                       .tenant = "contoso/../evil",
                                       .client_id = "id",
                                       .client_secret = Secret("a&b=c d+e~")});
  ASSERT_TRUE(grant.ok());
  EXPECT_EQ((*grant)->url().base_path, "/x/contoso%2F..%2Fevil/oauth2/v2.0/token");
  const auto request = (*grant)->request(WallTime{});
  EXPECT_EQ(request->body.reveal(),
            "grant_type=client_credentials&client_id=id&client_secret=a%26b%3Dc%20d%2Be~&scope=https%3A%2F%2F"
            "cognitiveservices.azure.com%2F.default");
  EXPECT_EQ(request->secrets, std::vector<Secret>{Secret("a&b=c d+e~")});
  const auto usual = make_entra_grant({.tenant = "t", .client_id = "i", .client_secret = Secret("s")});
  EXPECT_EQ((*usual)->url().host, "login.microsoftonline.com");
  EXPECT_TRUE((*usual)->url().tls);
  EXPECT_EQ(make_entra_grant({.client_id = "i", .client_secret = Secret("s")}).error().detail,
            "Entra credentials: the tenant is empty");
  EXPECT_FALSE(make_entra_grant({.tenant = "t", .client_secret = Secret("s")}).ok());
  EXPECT_FALSE(make_entra_grant({.tenant = "t", .client_id = "i"}).ok());
  EXPECT_FALSE(
      make_entra_grant({.authority = "x", .tenant = "t", .client_id = "i", .client_secret = Secret("s")}).ok());
}

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Key rsa_key(unsigned bits) {
  return {EVP_RSA_gen(bits), &EVP_PKEY_free};
}

std::string pem_of(EVP_PKEY* key, const char* password = nullptr) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
  const auto* secret = reinterpret_cast<const unsigned char*>(password);
  const int secret_bytes = password == nullptr ? 0 : static_cast<int>(std::strlen(password));
  const EVP_CIPHER* cipher = password == nullptr ? nullptr : EVP_aes_128_cbc();
  PEM_write_bio_PrivateKey(bio.get(), key, cipher, secret, secret_bytes, nullptr, nullptr);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(size)};
}

std::string from_base64url(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_").find(c);
    EXPECT_NE(digit, std::string_view::npos) << c;
    bits = bits << 6 | static_cast<uint32_t>(digit & 63);
    count += 6;
    if (count >= 8) bytes.push_back(static_cast<char>(bits >> (count -= 8) & 255));
  }
  return bytes;
}

Json service_account(const std::string& pem) {
  Json file;
  file["type"] = "service_account";
  file["project_id"] = "my-project";
  file["private_key_id"] = "key-1";
  file["private_key"] = pem;
  file["client_email"] = "weir@my-project.iam.gserviceaccount.com";
  file["token_uri"] = "https://oauth2.googleapis.com/token";
  return file;
}

TEST(ServiceAccount, SignsAnAssertion) {
  const Key key = rsa_key(2048);
  const auto credentials = parse_google_credentials(service_account(pem_of(key.get())).dump(), "gcp.json");
  ASSERT_TRUE(credentials.ok()) << credentials.error().detail;
  EXPECT_EQ(credentials->project_id, "my-project");
  EXPECT_EQ(credentials->principal, "weir@my-project.iam.gserviceaccount.com");
  EXPECT_EQ(credentials->grant->url().host, "oauth2.googleapis.com");
  EXPECT_EQ(credentials->grant->url().base_path, "/token");
  const auto request = credentials->grant->request(WallTime{std::chrono::milliseconds(1'700'000'000'999)});
  ASSERT_TRUE(request.ok());
  auto form = form_of(*request);
  EXPECT_EQ(form.size(), 2u);
  EXPECT_EQ(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
  const std::string assertion = form["assertion"];
  EXPECT_EQ(request->secrets, std::vector<Secret>{Secret(assertion)});

  const size_t first = assertion.find('.');
  const size_t second = assertion.find('.', first + 1);
  const auto header = read_json<Json>(from_base64url(assertion.substr(0, first)));
  EXPECT_EQ(header, read_json<Json>(R"({"alg":"RS256","typ":"JWT","kid":"key-1"})"));
  const auto claims = read_json<Json>(from_base64url(assertion.substr(first + 1, second - first - 1)));
  EXPECT_EQ(claims, read_json<Json>(R"({"iss":"weir@my-project.iam.gserviceaccount.com",
      "scope":"https://www.googleapis.com/auth/cloud-platform","aud":"https://oauth2.googleapis.com/token",
      "iat":1699999990,"exp":1700003590})"));

  const std::string signature = from_base64url(assertion.substr(second + 1));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  ASSERT_EQ(EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()), 1);
  EXPECT_EQ(EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                             reinterpret_cast<const unsigned char*>(assertion.data()), second),
            1);
}

std::string mistake(const std::string& text) {
  const auto credentials = parse_google_credentials(text, "gcp.json");
  if (credentials) return "none";
  EXPECT_EQ(credentials.error().kind, ErrorKind::config);
  return credentials.error().detail;
}

TEST(ServiceAccount, MistakesAreNamed) {
  const Key key = rsa_key(2048);
  const Json good = service_account(pem_of(key.get()));
  EXPECT_EQ(mistake(good.dump()), "none");
  const auto with = [&](const char* field, const Json& value) {
    Json file = good;
    file[field] = value;
    return mistake(file.dump());
  };
  for (const char* field : {"client_email", "private_key"}) {
    Json file = good;
    file.erase(field);
    EXPECT_EQ(mistake(file.dump()), std::string("gcp.json: \"") + field + "\" is missing or no text");
    EXPECT_EQ(with(field, 7), std::string("gcp.json: \"") + field + "\" is missing or no text");
  }
  const std::string no_key = "gcp.json: \"private_key\" is not an unencrypted private key in PEM form";
  EXPECT_EQ(with("private_key", "secret words"), no_key);
  EXPECT_EQ(with("private_key", pem_of(key.get(), "password")), no_key);
  const std::string weak = "gcp.json: \"private_key\" must be an RSA key of at least 2048 bits";
  EXPECT_EQ(with("private_key", pem_of(rsa_key(1024).get())), weak);
  EXPECT_EQ(with("private_key", pem_of(Key(EVP_EC_gen("P-256"), &EVP_PKEY_free).get())), weak);
  EXPECT_THAT(with("token_uri", "ftp://x"), HasSubstr("gcp.json: \"token_uri\": \"ftp://x\" is not a usable URL"));
  EXPECT_EQ(with("type", "external_account"),
            "gcp.json: \"type\" is \"external_account\"; service_account and authorized_user are understood");
  EXPECT_THAT(with("type", Json()), HasSubstr("\"type\" is missing"));
  EXPECT_THAT(mistake("secret, not JSON"), Not(HasSubstr("secret")));
  EXPECT_THAT(mistake("[1]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(mistake(std::string(70'000, ' ')), HasSubstr("more than 64 KiB"));
}

TEST(AuthorizedUser, AsksWithItsRefreshToken) {
  Json file;
  file["type"] = "authorized_user";
  file["client_id"] = "id.apps.googleusercontent.com";
  file["client_secret"] = "d-secret";
  file["refresh_token"] = "1//refresh";
  file["quota_project_id"] = "payer";
  const auto credentials = parse_google_credentials(file.dump(), "adc.json");
  ASSERT_TRUE(credentials.ok()) << credentials.error().detail;
  EXPECT_EQ(credentials->quota_project, "payer");
  EXPECT_EQ(credentials->grant->url().host, "oauth2.googleapis.com");
  const auto request = credentials->grant->request(WallTime{});
  EXPECT_EQ(request->body.reveal(),
            "grant_type=refresh_token&client_id=id.apps.googleusercontent.com&client_secret=d-secret&refresh_token="
            "1%2F%2Frefresh");
  EXPECT_EQ(request->secrets.size(), 2u);
  file.erase("refresh_token");
  EXPECT_EQ(mistake(file.dump()), "gcp.json: \"refresh_token\" is missing or no text");
}

}  // namespace
}  // namespace weir::providers
