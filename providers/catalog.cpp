#include "providers/codec.h"
#include "providers/cohere.h"
#include "providers/provider.h"

namespace weir::providers {

std::unique_ptr<Provider> make_echo_provider(Core& core, const config::AccountConfig& account);

namespace {

constexpr std::string_view kOpenAiUrl = "https://api.openai.com/v1";

std::unique_ptr<Provider> make_openai(Core& core, const config::AccountConfig& account) {
  return make_remote_provider(core, account, make_openai_codec, kOpenAiUrl);
}

std::unique_ptr<Provider> make_cohere(Core& core, const config::AccountConfig& account) {
  return make_remote_provider(core, account, make_cohere_codec, kCohereUrl);
}

}  // namespace

const std::vector<CatalogEntry>& catalog() {
  static const std::vector<CatalogEntry> entries = {
      {"openai", kOpenAiUrl, true, make_openai},
      {"cohere", kCohereUrl, true, make_cohere},
      {"echo", "", false, make_echo_provider},
  };
  return entries;
}

const CatalogEntry* find_provider(std::string_view name) {
  for (const CatalogEntry& entry : catalog())
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace weir::providers
