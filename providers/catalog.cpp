#include "providers/anthropic.h"
#include "providers/bedrock.h"
#include "providers/codec.h"
#include "providers/cohere.h"
#include "providers/gemini.h"
#include "providers/net/gcp_auth.h"
#include "providers/net/oauth.h"
#include "providers/openai.h"
#include "providers/provider.h"
#include "providers/vertex.h"

namespace weir::providers {

std::unique_ptr<Provider> make_echo_provider(Core& core, const config::AccountConfig& account);

namespace {

/// Azure takes a key or, where the account has a client secret instead, tokens of Microsoft Entra.
std::unique_ptr<Provider> make_azure(Core& core, const config::AccountConfig& account) {
  std::shared_ptr<const TokenGrant> grant;
  if (const auto secret = account.secrets.find("client_secret"); secret != account.secrets.end()) {
    EntraClient client;
    const auto option = [&](const char* key, std::string& out) {
      if (const auto found = account.options.find(key); found != account.options.end()) out = found->second;
    };
    option("tenant_id", client.tenant);
    option("client_id", client.client_id);
    option("authority", client.authority);
    client.client_secret = secret->second;
    auto made = make_entra_grant(std::move(client));
    if (!made) return make_broken_provider(std::move(made).error());
    grant = std::move(*made);
  }
  return make_remote_provider(core, account, make_openai_codec, "", std::move(grant));
}

std::unique_ptr<Provider> make_openai(Core& core, const config::AccountConfig& account) {
  return make_remote_provider(core, account, make_openai_codec, openai_dialect(account.provider).base_url);
}

constexpr std::string_view kAnthropicUrl = "https://api.anthropic.com";

std::unique_ptr<Provider> make_anthropic(Core& core, const config::AccountConfig& account) {
  return make_remote_provider(core, account, make_anthropic_codec, kAnthropicUrl);
}

std::unique_ptr<Provider> make_cohere(Core& core, const config::AccountConfig& account) {
  return make_remote_provider(core, account, make_cohere_codec, kCohereUrl);
}

std::unique_ptr<Provider> make_gemini(Core& core, const config::AccountConfig& account) {
  return make_remote_provider(core, account, make_gemini_codec, kGeminiUrl);
}

/// A service account's key file buys tokens; without one the account has a token or a key of its own.
std::unique_ptr<Provider> make_vertex(Core& core, const config::AccountConfig& account) {
  std::shared_ptr<const TokenGrant> grant;
  config::AccountConfig known = account;
  if (const auto file = account.secrets.find("credentials"); file != account.secrets.end()) {
    auto parsed = parse_google_credentials(file->second.reveal(), "accounts." + account.name + ".credentials");
    if (!parsed) return make_broken_provider(std::move(parsed).error());
    grant = std::move(parsed->grant);
    if (!parsed->quota_project.empty()) known.options.try_emplace("quota_project", parsed->quota_project);
  }
  return make_remote_provider(core, known, make_vertex_codec, vertex_url(account), std::move(grant));
}

/// Bedrock's URL hangs on the region, and the signature on the URL.
std::unique_ptr<Provider> make_bedrock(Core& core, const config::AccountConfig& account) {
  const auto broken = [&](const std::string& what) {
    return make_broken_provider(
        {ErrorKind::config, account.name, Retry::other_target, 502, "account " + account.name + ": " + what});
  };
  const auto region = account.options.find("region");
  const std::string name = region == account.options.end() ? "" : region->second;
  if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos)
    return broken("region must be one of AWS's, as us-east-1");
  const bool keys = account.options.contains("access_key_id") && account.secrets.contains("secret_access_key");
  if (account.api_key.empty() && !keys) return broken("needs api_key, or access_key_id and secret_access_key");
  config::AccountConfig whole = account;
  if (whole.base_url.empty()) whole.base_url = bedrock_base_url(name);
  return make_remote_provider(core, whole, make_bedrock_codec, "");
}

std::vector<CatalogEntry> make_catalog() {
  std::vector<CatalogEntry> entries = {
      {"anthropic", kAnthropicUrl, true, make_anthropic},
      {"gemini", kGeminiUrl, true, make_gemini},
      {"vertex", kVertexUrl, true, make_vertex},
      {"bedrock", "", true, make_bedrock},
      {"echo", "", false, make_echo_provider},
      {"cohere", kCohereUrl, true, make_cohere},
  };
  for (const OpenAiDialect& dialect : openai_dialects())
    entries.push_back({dialect.name, dialect.base_url, true, dialect.name == "azure" ? make_azure : make_openai});
  return entries;
}

}  // namespace

const std::vector<CatalogEntry>& catalog() {
  static const std::vector<CatalogEntry> entries = make_catalog();
  return entries;
}

const CatalogEntry* find_provider(std::string_view name) {
  for (const CatalogEntry& entry : catalog())
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace weir::providers
