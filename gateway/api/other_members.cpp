#include "gateway/api/other_members.h"

#include <algorithm>
#include <array>

#include "config/base/json.h"
#include "gateway/api/errors.h"
#include "providers/refusals.h"

namespace weir::gateway {
namespace {

using providers::Json;

// More is no use to anybody, and each is looked for among those before it.
constexpr size_t kKeptMax = 1024;
constexpr size_t kHintsMax = 512;  // they leave room for what must be refused
constexpr size_t kFieldsMax = 1024;
constexpr size_t kOfModelsMax = 64;  // what models said is left out, and each name told once

/// Ids, states, and what is empty or false.
bool says_nothing(std::string_view name, const Json& value) {
  constexpr auto kBeside = std::to_array<std::string_view>({"id", "index", "status", "type", "logprobs", "created_by"});
  if (std::find(kBeside.begin(), kBeside.end(), name) != kBeside.end() || value.is_null() || value == false)
    return true;
  // {"type":"direct"}: the model called the tool itself, as everywhere else.
  if (name == "caller" && value.is_object() && value.value("type", Json()) == "direct") return true;
  return (value.is_string() && value.get_ref<const std::string&>().empty()) ||
         ((value.is_array() || value.is_object()) && value.empty());
}

}  // namespace

std::optional<Error> no_request(const Json& body) {
  if (!body.is_object()) return bad_request("", "the request body is not a JSON object");
  if (body.size() > kFieldsMax) return bad_request("", "the request body has more than 1024 fields");
  return {};
}

void keep_unmodelled(const std::string& name, const Json& value, providers::ChatRequest& out) {
  if (out.unmodelled.size() < (providers::is_hint(name) ? kHintsMax : kKeptMax)) out.unmodelled[name] = value;
}

void keep_others(const Json& in, Author author, const std::string& where, std::initializer_list<std::string_view> known,
                 providers::ChatRequest& out) {
  if (!in.is_object()) return;
  for (const auto& [name, value] : in.items()) {
    if (std::find(known.begin(), known.end(), name) != known.end() || says_nothing(name, value)) continue;
    if (out.unmodelled.size() >= kKeptMax) return;
    if (author == Author::client)
      keep_unmodelled(std::string(where).append(".").append(name), value, out);
    else if (out.unmodelled.size() < kOfModelsMax)
      out.unmodelled[where.substr(0, where.find('[')).append(".").append(name)] = true;
  }
}

void keep_prewarm(const Json& body, providers::ChatRequest& out) {
  const auto options = body.find("prompt_cache_options");
  if (options != body.end() && options->is_object() && options->value("prewarm", Json()) == true)
    out.unmodelled["prompt_cache_options.prewarm"] = true;
}

Json cache_of_breakpoint(const Json& part) {
  const auto mark = part.find("prompt_cache_breakpoint");
  if (mark == part.end() || mark->is_null()) return nullptr;
  Json out = {{"type", "ephemeral"}};
  // At least half an hour, or twelve: an hour is the longest that there is.
  if (mark->is_object() && mark->contains("ttl")) out["ttl"] = "1h";
  return out;
}

}  // namespace weir::gateway
