// Credentials in what an upstream says: every way of writing them, at any place, and nothing else.
#include <gtest/gtest.h>

#include "providers/secret_mask.h"

namespace weir::providers {
namespace {

std::string hidden(std::string text, const std::string& key, std::string_view token = {}) {
  config::AccountConfig account;
  account.api_key = Secret(key);
  SecretMask(account).hide(text, token);
  return text;
}

TEST(SecretMask, EveryWayOfWriting) {
  const std::string key = "ab/cd+ef=gh";
  for (const char* written : {"ab/cd+ef=gh", "ab%2Fcd%2Bef%3Dgh", "ab%2fcd%2bef%3dgh", "ab%2Fcd+ef=gh",
                              R"(ab\/cd+ef=gh)", R"(ab\/cd\u002bef\u003Dgh)", "%61b/cd+ef=gh"})
    EXPECT_EQ(hidden("x " + std::string(written) + "y " + written, key), "x ***y ***") << written;
  EXPECT_EQ(hidden("GET /v1?key=ab%2Fcd%2Bef%3Dgh&x=%41", key), "GET /v1?key=***&x=%41");
}

TEST(SecretMask, ShortKeysAreWords) {
  EXPECT_EQ(hidden("key none; nonesuch; none", "none"), "key ***; nonesuch; ***");
  EXPECT_EQ(hidden("an x", "x"), "an x");
  EXPECT_EQ(hidden("anything", ""), "anything");
}

TEST(SecretMask, CutOffByTheEnd) {
  EXPECT_EQ(hidden("begins 0123456789", "0123456789abcdef"), "begins ***");
  EXPECT_EQ(hidden("begins 01234567", "0123456789abcdef"), "begins 01234567");
  EXPECT_EQ(hidden("0123456789abcdef and 0123456789a", "0123456789abcdef"), "*** and ***");
}

TEST(SecretMask, SecretsOfAnAccountAndATokenOfTheMoment) {
  config::AccountConfig account;
  account.options["access_key_id"] = "AKIDEXAMPLE0";
  account.secrets["secret_access_key"] = Secret("wJalrXUtnFEMI/K7");
  account.secrets["credentials"] =
      Secret(R"({"private_key":"-----BEGIN-----\nabcdefgh","client_email":"a@example.com"})");
  const SecretMask mask(account);
  Error error{.detail = "AKIDEXAMPLE0 wJalrXUtnFEMI/K7 a@example.com", .code = "wJalrXUtnFEMI/K7"};
  mask.hide(error, "ya29.token-of-now");
  EXPECT_EQ(error.detail, "*** *** a@example.com");
  EXPECT_EQ(error.code, "***");
  std::string text = "-----BEGIN-----\nabcdefgh Bearer ya29.token-of-now";
  EXPECT_TRUE(mask.hide(text, "ya29.token-of-now"));
  EXPECT_EQ(text, "*** Bearer ***");
  EXPECT_FALSE(mask.hide(text));
}

}  // namespace
}  // namespace weir::providers
