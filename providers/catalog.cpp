#include "providers/codec.h"
#include "providers/gemini.h"
#include "providers/openai.h"
#include "providers/provider.h"
#include "providers/vertex.h"

namespace weir::providers {

std::unique_ptr<Provider> make_echo_provider(Core& core, const config::AccountConfig& account);

namespace {

std::unique_ptr<Provider> make_openai(Core& core, const config::AccountConfig& account) {
  return make_remote_provider(core, account, make_openai_codec, openai_dialect(account.provider).base_url);
}

std::unique_ptr<Provider> make_gemini(Core& core, const config::AccountConfig& account) {
  return make_remote_provider(core, account, make_gemini_codec, kGeminiUrl);
}

std::unique_ptr<Provider> make_vertex(Core& core, const config::AccountConfig& account) {
  return make_remote_provider(core, account, make_vertex_codec, vertex_url(account));
}

std::vector<CatalogEntry> make_catalog() {
  std::vector<CatalogEntry> entries = {
      {"gemini", kGeminiUrl, true, make_gemini},
      {"vertex", kVertexUrl, true, make_vertex},
      {"echo", "", false, make_echo_provider},
  };
  for (const OpenAiDialect& dialect : openai_dialects())
    entries.push_back({dialect.name, dialect.base_url, true, make_openai});
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
