#include "gateway/access/keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "config/base/siphash.h"
#include "gateway/access/budgets.h"
#include "gateway/access/limits.h"

namespace weir::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;

config::KeyConfig key(std::string name, std::string_view text, std::vector<std::string> models = {"*"}) {
  config::KeyConfig k;
  k.name = std::move(name);
  k.key_sha256 = sha256(text);
  k.models = std::move(models);
  return k;
}

TEST(SipHash, IsOpenSslsForEveryTailLength) {
  if constexpr (std::endian::native != std::endian::little) GTEST_SKIP() << "the two read words in different order";
  std::array<unsigned char, 16> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * 37 + 1);
  SipKey sip_key;
  std::memcpy(&sip_key, bytes.data(), bytes.size());
  EVP_MAC* algorithm = EVP_MAC_fetch(nullptr, "SIPHASH", nullptr);
  ASSERT_NE(algorithm, nullptr);
  EVP_MAC_CTX* oracle = EVP_MAC_CTX_new(algorithm);
  size_t result_bytes = 16;
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t("size", &result_bytes), OSSL_PARAM_construct_end()};
  std::string text;
  for (int length = 0; length < 300; ++length) {
    ASSERT_EQ(EVP_MAC_init(oracle, bytes.data(), bytes.size(), params), 1);
    ASSERT_EQ(EVP_MAC_update(oracle, reinterpret_cast<const unsigned char*>(text.data()), text.size()), 1);
    SipHash128 expected{};
    ASSERT_EQ(EVP_MAC_final(oracle, reinterpret_cast<unsigned char*>(&expected), nullptr, sizeof expected), 1);
    EXPECT_EQ(siphash128(sip_key, text), expected) << length;
    text += static_cast<char>(length * 11);
  }
  EVP_MAC_CTX_free(oracle);
  EVP_MAC_free(algorithm);
}

TEST(Matches, Patterns) {
  const struct {
    const char* pattern;
    const char* text;
    bool matches;
  } cases[] = {
      {"*", "", true},
      {"*", "gpt-4o", true},
      {"gpt-4o", "gpt-4o", true},
      {"gpt-4o", "gpt-4o-mini", false},
      {"gpt-*", "gpt-4o", true},
      {"gpt-*", "claude", false},
      {"*-mini", "gpt-4o-mini", true},
      {"g*4*i", "gpt-4o-mini", true},
      {"g*4*x", "gpt-4o-mini", false},
      {"", "", true},
      {"", "a", false},
      {"**", "ab", true},
      {"a*b*c", "abbbcbc", true},
      {"a*b*c", "abbbcb", false},
      {"*a", "aaaaab", false},
      {"GPT-*", "gpt-4o", false},
  };
  for (const auto& c : cases) EXPECT_EQ(matches(c.pattern, c.text), c.matches) << c.pattern << " on " << c.text;
}

TEST(Matches, ManyStarsStayCheap) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "a*";
  EXPECT_FALSE(matches(pattern + "b", std::string(5000, 'a')));
}

class KeyTableTest : public testing::Test {
 protected:
  KeyTable table() {
    EXPECT_TRUE(budgets_.configure(config_, nullptr, [] { return WallTime{}; }).ok());
    return {std::make_shared<config::Config>(config_), limits_, budgets_};
  }
  Limits limits_;
  Budgets budgets_;
  config::Config config_;
};

TEST_F(KeyTableTest, FindsEveryKeyAmongMany) {
  for (int i = 0; i < 1000; ++i) config_.keys.push_back(key("k" + std::to_string(i), "sk-" + std::to_string(i)));
  const KeyTable keys = table();
  for (int i = 0; i < 1000; ++i) {
    auto found = keys.authenticate("sk-" + std::to_string(i), WallTime{});
    ASSERT_TRUE(found.ok());
    EXPECT_EQ((*found)->config->name, "k" + std::to_string(i));
    EXPECT_EQ((*found)->limiter, limits_.key("k" + std::to_string(i)));
    EXPECT_EQ((*found)->budget, nullptr);
  }
  EXPECT_FALSE(keys.authenticate("sk-1000", WallTime{}).ok());
}

TEST_F(KeyTableTest, RefusesWithTheContractsCodes) {
  config_.keys = {key("good", "sk-good"), key("shut", "sk-shut"), key("old", "sk-old")};
  config_.keys[1].blocked = true;
  config_.keys[2].expires_unix_s = 1000;
  const KeyTable keys = table();
  const WallTime before(std::chrono::nanoseconds(999'999'999'999));
  const WallTime at(std::chrono::seconds(1000));
  const struct {
    const char* presented;
    WallTime now;
    const char* code;
  } cases[] = {
      {"", at, "invalid_api_key"},
      {"sk-nobody", at, "invalid_api_key"},
      {"sk-shut", at, "key_blocked"},
      {"sk-old", at, "key_expired"},
      {"sk-old", before, ""},
      {"sk-good", at, ""},
      {"sk-good ", at, "invalid_api_key"},
  };
  for (const auto& c : cases) {
    auto result = keys.authenticate(c.presented, c.now);
    if (*c.code == '\0') {
      EXPECT_TRUE(result.ok()) << c.presented;
      continue;
    }
    ASSERT_FALSE(result.ok()) << c.presented;
    EXPECT_EQ(result.error().code, c.code);
    EXPECT_EQ(result.error().http_status, 401);
    EXPECT_EQ(result.error().kind, ErrorKind::authentication);
    if (*c.presented != '\0') {
      EXPECT_THAT(result.error().detail, Not(HasSubstr(c.presented)));
    }
  }
}

// A key's digest is remembered, but nothing about the key itself.
TEST_F(KeyTableTest, AKnownKeyIsStillAskedForEachTime) {
  config_.keys = {key("a", "sk-a"), key("b", "sk-b")};
  for (int i = 0; i < 3; ++i) {
    const auto table_now = table();
    ASSERT_TRUE(table_now.authenticate("sk-a", WallTime{}));
    EXPECT_EQ((*table_now.authenticate("sk-a", WallTime{}))->config->name, "a");
    EXPECT_EQ((*table_now.authenticate("sk-b", WallTime{}))->config->name, "b");
    EXPECT_FALSE(table_now.authenticate("sk-c", WallTime{}));
  }
  config_.keys[0].blocked = true;
  config_.keys[1].expires_unix_s = 100;
  const auto stricter = table();
  EXPECT_EQ(stricter.authenticate("sk-a", WallTime{}).error().code, "key_blocked");
  EXPECT_TRUE(stricter.authenticate("sk-b", WallTime{std::chrono::seconds(99)}));
  EXPECT_EQ(stricter.authenticate("sk-b", WallTime{std::chrono::seconds(100)}).error().code, "key_expired");
  config_.keys.erase(config_.keys.begin());
  EXPECT_EQ(table().authenticate("sk-a", WallTime{}).error().code, "invalid_api_key");
}

TEST_F(KeyTableTest, ModelsOfAKey) {
  config_.keys = {key("k", "sk", {"gpt-*", "tiny"}), key("none", "sk2", {})};
  const KeyTable keys = table();
  const Key& k = **keys.authenticate("sk", WallTime{});
  EXPECT_TRUE(KeyTable::authorize(k, "gpt-4o").ok());
  EXPECT_TRUE(KeyTable::authorize(k, "tiny").ok());
  auto refused = KeyTable::authorize(k, "claude");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "model_not_allowed");
  EXPECT_EQ(refused.error().http_status, 403);
  EXPECT_THAT(refused.error().detail, HasSubstr("\"gpt-*\", \"tiny\""));
  EXPECT_FALSE(KeyTable::authorize(*keys.find_by_name("none"), "gpt-4o").ok());
  EXPECT_EQ(keys.find_by_name("nobody"), nullptr);
}

TEST_F(KeyTableTest, ATenantHasItsOwnCacheSalt) {
  config_.keys = {key("a1", "1"), key("a2", "2"), key("b", "3"), key("alone", "4"), key("team a", "5")};
  config_.keys[0].team = config_.keys[1].team = "a";
  config_.keys[2].team = "b";
  const KeyTable keys = table();
  const auto salt = [&](const char* name) { return keys.find_by_name(name)->cache_salt; };
  EXPECT_EQ(salt("a1"), salt("a2"));
  const std::set<uint64_t> tenants{salt("a1"), salt("b"), salt("alone"), salt("team a")};
  EXPECT_EQ(tenants.size(), 4U);
  EXPECT_EQ(table().find_by_name("b")->cache_salt, salt("b")) << "a reload forgets no prefix";
}

TEST_F(KeyTableTest, Admin) {
  EXPECT_FALSE(table().is_admin(""));
  config_.admin_key = Secret("root");
  const KeyTable keys = table();
  EXPECT_TRUE(keys.is_admin("root"));
  EXPECT_FALSE(keys.is_admin("root2"));
  EXPECT_FALSE(keys.is_admin(""));
}

TEST_F(KeyTableTest, StateOutlivesTheTable) {
  config_.keys = {key("k", "sk")};
  config_.keys[0].budget = config::BudgetConfig{{100}, std::chrono::seconds(0)};
  const Key first = table().all()[0];
  config_.keys[0].key_sha256 = sha256("another");
  const Key second = table().all()[0];
  EXPECT_EQ(first.limiter, second.limiter);
  EXPECT_EQ(first.budget, second.budget);
  ASSERT_NE(first.budget, nullptr);
}

}  // namespace
}  // namespace weir::gateway
