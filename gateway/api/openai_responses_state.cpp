#include "gateway/api/openai_responses_state.h"

#include <nlohmann/json.hpp>

#include "gateway/api/errors.h"
#include "gateway/api/openai_fields.h"
#include "gateway/api/openai_responses.h"
#include "providers/json_scan.h"

namespace weir::gateway {
namespace {

using providers::Json;
using simdjson::SUCCESS;

/// A member's value as it stands in a JSON text. Of a key that is there twice the last counts, as in JSON.parse.
struct Place {
  size_t begin = 0;
  size_t end = 0;
  bool found() const { return end > begin; }
  std::string_view in(std::string_view json) const { return json.substr(begin, end - begin); }
};

struct Places {
  Place input;
  Place previous;
  Place store;
  size_t open = 0;  // behind the object's brace
};

std::optional<Places> find_places(std::string_view body) {
  providers::PaddedJson& json = providers::padded_json();
  providers::od::object root;
  if (!json.parse(body) || json.document.get_object().get(root) != SUCCESS) return {};
  Places out;
  out.open = body.find('{') + 1;
  for (auto member : root) {
    std::string_view key;
    std::string_view raw;
    providers::od::value value;
    if (member.unescaped_key().get(key) != SUCCESS) return {};
    Place* place = key == "input"                  ? &out.input
                   : key == "previous_response_id" ? &out.previous
                   : key == "store"                ? &out.store
                                                   : nullptr;
    if (member.value().get(value) != SUCCESS) return {};
    if (place == nullptr) continue;
    if (simdjson::to_json_string(value).get(raw) != SUCCESS) return {};
    place->begin = static_cast<size_t>(raw.data() - json.text.data());
    place->end = place->begin + raw.size();
    while (place->found() && std::string_view(" \t\r\n").find(body[place->end - 1]) != std::string_view::npos)
      --place->end;
  }
  return out;
}

/// The string at a place; empty where it is no string.
std::string string_at(std::string_view body, const Place& place) {
  if (!place.found()) return {};
  const Json value = Json::parse(place.in(body), nullptr, false);
  return value.is_string() ? value.get<std::string>() : std::string();
}

/// An input as the text of its items, without brackets.
std::string items_of(std::string_view input) {
  if (input.empty() || input == "null") return {};
  if (input.front() == '"') return R"({"role":"user","content":)" + std::string(input) + "}";
  if (input.front() != '[') return std::string(input);  // no list: mark() will say so
  const size_t first = input.find_first_not_of(" \t\r\n", 1);
  if (first == std::string_view::npos || first >= input.size() - 1) return {};
  return std::string(input.substr(first, input.size() - 1 - first));
}

void append_items(std::string& list, std::string_view items) {
  if (items.empty()) return;
  if (!list.empty()) list += ",";
  list += items;
}

/// The whole Response object of an answer: the body itself, or the data of a stream's last event.
Json response_of(std::string_view answer) {
  constexpr std::string_view kData = "data: ";
  if (!answer.starts_with("{")) {
    // The last data line that tells of the end; an event's own name stands in the line before.
    size_t at = std::string_view::npos;
    for (const char* type : {"event: response.completed\n", "event: response.incomplete\n"})
      if (const size_t found = answer.rfind(type); found != std::string_view::npos) at = found;
    if (at == std::string_view::npos) return nullptr;
    at = answer.find(kData, at);
    if (at == std::string_view::npos) return nullptr;
    answer.remove_prefix(at + kData.size());
    answer = answer.substr(0, answer.find('\n'));
    Json event = Json::parse(answer, nullptr, false);
    return event.is_object() && event.contains("response") ? std::move(event["response"]) : Json(nullptr);
  }
  return Json::parse(answer, nullptr, false);
}

}  // namespace

bool is_own_response_id(std::string_view id) {
  return id.starts_with(kResponseIdPrefix);
}

Result<std::optional<ContinuedCall>> continue_call(ResponseStore* store, std::string_view key, std::string_view body,
                                                   WallTime now) {
  using Nothing = std::optional<ContinuedCall>;
  if (providers::find_key(body, "\"previous_response_id\"") == std::string_view::npos) return Nothing();
  const auto places = find_places(body);
  if (!places) return Nothing();
  ContinuedCall out;
  out.previous_id = string_at(body, places->previous);
  if (!is_own_response_id(out.previous_id)) return Nothing();
  if (store == nullptr) {
    Error error = bad_request("previous_response_id",
                              "Previous response with id '" + out.previous_id.substr(0, 128) + "' not found.");
    error.code = "previous_response_not_found";
    return error;
  }
  auto turns = store->conversation(out.previous_id, key, now);
  if (!turns) return std::move(turns).error();
  std::string items;
  for (const StoredResponse& turn : *turns) {
    append_items(items, items_of(turn.input));
    const Json response = Json::parse(turn.response, nullptr, false);
    if (!response.is_object()) continue;
    if (const auto output = response.find("output"); output != response.end())
      append_items(items, items_of(json_text(*output)));
  }
  append_items(items, items_of(places->input.in(body)));
  const std::string list = "[" + items + "]";
  // Two places change, in the order in which they stand.
  const bool input_first = places->input.found() && places->input.begin < places->previous.begin;
  out.body.reserve(body.size() + list.size() + 16);
  const Place& first = input_first ? places->input : places->previous;
  const Place& second = input_first ? places->previous : places->input;
  out.body.append(body.substr(0, first.begin)).append(input_first ? list : "null");
  if (second.found()) {
    out.body.append(body.substr(first.end, second.begin - first.end)).append(input_first ? "null" : list);
    out.body.append(body.substr(second.end));
  } else {
    out.body.append(body.substr(first.end));
    out.body.insert(places->open, "\"input\":" + list + ",");
  }
  return std::optional<ContinuedCall>(std::move(out));
}

std::optional<StoredResponse> stored_turn(std::string_view key, std::string_view body, std::string_view previous_id,
                                          std::string_view answer) {
  const auto places = find_places(body);
  if (!places || places->store.in(body) == "false") return {};
  const Json response = response_of(answer);
  if (!response.is_object()) return {};
  StoredResponse out;
  out.id = response.value("id", Json()).is_string() ? response["id"].get<std::string>() : std::string();
  if (!is_own_response_id(out.id)) return {};
  out.key = key;
  out.previous = previous_id;
  out.input = "[" + items_of(places->input.in(body)) + "]";
  out.response = json_text(response);
  return out;
}

}  // namespace weir::gateway
