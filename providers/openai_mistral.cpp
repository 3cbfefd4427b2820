// What Mistral's API words otherwise than OpenAI's, for calls that would else pass as they are: random_seed, one name
// for the output limit, and ids of calls of nine letters and digits. https://docs.mistral.ai/api
#include <algorithm>

#include "config/base/siphash.h"
#include "providers/json_fields.h"
#include "providers/json_text.h"
#include "providers/openai.h"

namespace weir::providers {
namespace {

constexpr std::string_view kLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr size_t kCallIdLength = 9;

/// `object`'s text member `key` as a call's id. False: it is one already.
bool shorten(Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_string()) return false;
  const std::string& given = object[key].get_ref<const std::string&>();
  std::string id = mistral_call_id(given);
  if (id == given) return false;
  object[key] = std::move(id);
  return true;
}

/// Gives a member another name, in its place; the new name's own member, where there is one, goes first.
bool rename(Json& body, const std::string& from, const std::string& to) {
  if (!body.contains(from)) return false;
  Json out = Json::object();
  for (auto& [key, value] : body.items()) {
    if (key != from)
      out[key] = std::move(value);
    else if (!body.contains(to))
      out[to] = std::move(value);
  }
  body = std::move(out);
  return true;
}

}  // namespace

std::string mistral_call_id(std::string_view id) {
  const auto fits = [](char letter) { return kLetters.find(letter) != std::string_view::npos; };
  if (id.size() == kCallIdLength && std::all_of(id.begin(), id.end(), fits)) return std::string(id);
  uint64_t rest = siphash128({}, id)[0];
  std::string out;
  for (size_t i = 0; i < kCallIdLength; ++i, rest /= kLetters.size()) out += kLetters[rest % kLetters.size()];
  return out;
}

std::optional<std::string> in_mistrals_words(std::string_view json) {
  const auto holds = [&](std::string_view key) { return json.find(key) != std::string_view::npos; };
  if (!holds("\"tool_call") && !holds("\"seed\"") && !holds("\"max_completion_tokens\"")) return {};
  Json body = parse_written(json);
  if (!body.is_object()) return {};
  bool changed = rename(body, "seed", "random_seed");
  changed = rename(body, "max_completion_tokens", "max_tokens") || changed;
  if (body.contains("messages") && body["messages"].is_array())
    for (Json& message : body["messages"]) {
      changed = shorten(message, "tool_call_id") || changed;
      if (array_of(message, "tool_calls") == nullptr) continue;
      for (Json& call : message["tool_calls"]) changed = shorten(call, "id") || changed;
    }
  if (!changed) return {};
  return json_text(body);
}

}  // namespace weir::providers
