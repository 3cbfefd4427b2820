#include "providers/anthropic.h"
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
  if (const auto file = account.secrets.find("credentials"); file != account.secrets.end()) {
    auto parsed = parse_google_credentials(file->second.reveal(), "accounts." + account.name + ".credentials");
    if (!parsed) return make_broken_provider(std::move(parsed).error());
    grant = std::move(parsed->grant);
  }
  return make_remote_provider(core, account, make_vertex_codec, vertex_url(account), std::move(grant));
}

std::vector<CatalogEntry> make_catalog() {
  std::vector<CatalogEntry> entries = {
      {"anthropic", kAnthropicUrl, true, make_anthropic}, {"gemini", kGeminiUrl, true, make_gemini},
      {"vertex", kVertexUrl, true, make_vertex},          {"echo", "", false, make_echo_provider},
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
