#include "gateway/api/openai_responses_state.h"

#include <map>
#include <set>
#include "config/base/json.h"

#include "gateway/api/errors.h"
#include "gateway/api/openai_fields.h"
#include "gateway/api/openai_responses.h"
#include "providers/json_fields.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"
#include "providers/openai_unary.h"

namespace weir::gateway {
namespace {

using providers::Json;
using providers::json_text;
using simdjson::SUCCESS;

std::string_view text_in(std::string_view json, const providers::ByteRange& range) {
  return json.substr(range.begin, range.end - range.begin);
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

/// The JSON text of an answer: the body itself, or the data of a stream's last event.
std::string_view answer_json(std::string_view answer) {
  if (answer.starts_with("{")) return answer;
  constexpr std::string_view kData = "data:";
  const size_t line = answer.rfind("\ndata:");
  if (line == std::string_view::npos && !answer.starts_with(kData)) return {};
  answer.remove_prefix(line == std::string_view::npos ? kData.size() : line + 1 + kData.size());
  return answer.substr(0, answer.find_first_of("\r\n"));
}

/// Id and text of the Response object in an answer; empty: there is none.
struct Answered {
  std::string id;
  std::string response;
  std::vector<std::string> items;  // ids of its output
};

std::vector<std::string> item_ids(providers::od::object& response) {
  std::vector<std::string> out;
  providers::od::array output;
  if (response.reset().error() != SUCCESS || response.find_field_unordered("output").get_array().get(output) != SUCCESS)
    return out;
  for (auto element : output) {
    providers::od::object item;
    std::string_view id;
    if (element.get_object().get(item) == SUCCESS && item.find_field_unordered("id").get_string().get(id) == SUCCESS &&
        !id.empty())
      out.emplace_back(id);
  }
  return out;
}

Answered read_answer(std::string_view answer) {
  providers::PaddedJson& json = providers::padded_json();
  providers::od::object root;
  std::string_view id;
  std::string_view raw;
  if (!json.parse(answer_json(answer)) || json.document.get_object().get(root) != SUCCESS) return {};
  if (!answer.starts_with("{")) {
    std::string_view type;
    providers::od::object response;
    if (root.find_field_unordered("type").get_string().get(type) != SUCCESS ||
        (type != "response.completed" && type != "response.incomplete") ||
        root.find_field_unordered("response").get_object().get(response) != SUCCESS)
      return {};
    root = response;
  }
  if (root.find_field_unordered("id").get_string().get(id) != SUCCESS) return {};
  Answered out{std::string(id), {}, {}};
  if (root.reset().error() != SUCCESS || root.raw_json().get(raw) != SUCCESS) return {};
  out.response = std::string(raw);
  out.items = item_ids(root);
  return out;
}

bool is_reference(const Json& item) {
  const std::string type = providers::text_of(item, "type");
  return type == "item_reference" || (type.empty() && item.is_object() && !item.contains("role"));
}

/// All that was said up to this answer, by the usage in it.
int64_t tokens_of(const StoredResponse& turn) {
  const auto told = providers::find_openai_usage(turn.response);
  return told ? told->counts.input + told->counts.output : 0;
}

constexpr uint64_t kReferredBytesMax = 64 * 1024 * 1024;  // of the answers that hold them

Error too_much() {
  return {ErrorKind::too_large,
          "gateway",
          Retry::no,
          413,
          "the answers that hold the items which input names are over " + std::to_string(kReferredBytesMax >> 20) +
              " MiB; send the items themselves",
          "request_too_large"};
}

Error no_previous(std::string_view id) {
  Error error = bad_request("previous_response_id",
                            "Previous response with id '" + std::string(id.substr(0, 128)) + "' not found.");
  error.code = "previous_response_not_found";
  return error;
}

/// The conversation and the call's own input as one JSON array.
std::string whole_input(const std::vector<StoredResponse>& turns, std::string_view input) {
  std::string items;
  for (const StoredResponse& turn : turns) {
    append_items(items, items_of(turn.input));
    const Json response = providers::parse_written(turn.response);
    if (!response.is_object()) continue;
    if (const auto output = response.find("output"); output != response.end())
      append_items(items, items_of(json_text(*output)));
  }
  append_items(items, items_of(input));
  return "[" + items + "]";
}

/// The call's bytes with `list` as its input and no previous_response_id: two places change, in the order in which they
/// stand.
std::string with_input(const providers::CallBody& call, const std::string& list) {
  const std::string_view json = call.json;
  const providers::ByteRange& input = call.input_value;
  const providers::ByteRange& previous = call.previous_response_value;
  std::string out;
  out.reserve(json.size() + list.size() + 16);
  if (input.empty()) {
    out.append(json.substr(0, call.object_open)).append("\"input\":").append(list).append(",");
    out.append(json.substr(call.object_open, previous.begin - call.object_open)).append("null");
    return out.append(json.substr(previous.end));
  }
  const bool input_first = input.begin < previous.begin;
  const providers::ByteRange& first = input_first ? input : previous;
  const providers::ByteRange& second = input_first ? previous : input;
  out.append(json.substr(0, first.begin)).append(input_first ? list : "null");
  out.append(json.substr(first.end, second.begin - first.end)).append(input_first ? "null" : list);
  return out.append(json.substr(second.end));
}

}  // namespace

Result<ReferredItems> refer_to_items(ResponseStore* store, std::string_view key, const providers::CallBody& call,
                                     WallTime now) {
  ReferredItems out;
  const std::set<std::string> wanted(call.item_references.begin(), call.item_references.end());
  if (wanted.size() != call.item_references.size())
    return bad_request("input", "input: names an item twice; name each once");
  std::map<std::string, Json> ours;
  std::set<std::string> read;  // all that are named of an answer come with the first of them
  uint64_t bytes = 0;
  for (const std::string& id : wanted) {
    if (read.contains(id)) continue;
    if (store == nullptr) return no_item(id);
    auto turn = store->with_item(id, key, now);
    if (!turn) return std::move(turn).error();
    bytes += turn->response.size();
    if (bytes > kReferredBytesMax) return too_much();
    const Json response = providers::parse_written(turn->response);
    if (const Json* output = providers::array_of(response, "output"))
      for (const Json& item : *output)
        if (std::string name = providers::text_of(item, "id"); wanted.contains(name) && read.insert(name).second)
          if (turn->account.empty()) ours[std::move(name)] = item;
    if (!read.contains(id)) return no_item(id);
    if (turn->account.empty()) continue;
    out.held_tokens += tokens_of(*turn);
    if (out.account.empty())
      out.account = turn->account;
    else if (out.account != turn->account)
      return bad_request("input", "input: the items it names are held by different accounts; send one as it is");
  }
  if (ours.empty()) return out;
  Json items = providers::parse_written(text_in(call.json, call.input_value));
  for (Json& item : items)
    if (const auto found = ours.find(providers::text_of(item, "id")); is_reference(item) && found != ours.end())
      item = found->second;
  out.body = std::string(call.json.substr(0, call.input_value.begin)) + json_text(items) +
             std::string(call.json.substr(call.input_value.end));
  return out;
}

Result<std::optional<ContinuedCall>> continue_call(ResponseStore* store, std::string_view key,
                                                   const providers::CallBody& call, WallTime now) {
  if (call.previous_response_id.empty()) return std::optional<ContinuedCall>();
  if (store == nullptr) return no_previous(call.previous_response_id);
  auto turns = store->conversation(call.previous_response_id, key, now);
  if (!turns) return std::move(turns).error();
  ContinuedCall out{
      .call = call, .previous_id = call.previous_response_id, .body = {}, .account = turns->back().account};
  if (!out.account.empty()) out.held_tokens = tokens_of(turns->back());
  if (out.account.empty()) out.body = with_input(call, whole_input(*turns, text_in(call.json, call.input_value)));
  return std::optional<ContinuedCall>(std::move(out));
}

std::optional<StoredResponse> stored_turn(std::string_view key, const providers::CallBody& call,
                                          std::string_view previous_id, std::string_view account,
                                          std::string_view answer) {
  if (!call.store) return {};
  Answered read = read_answer(answer);
  if (read.id.empty()) return {};
  StoredResponse out;
  out.id = std::move(read.id);
  out.key = key;
  out.response = std::move(read.response);
  out.account = account;
  out.items = std::move(read.items);
  if (!account.empty()) return out;  // it holds what was said before
  out.previous = previous_id;
  out.input = "[" + items_of(text_in(call.json, call.input_value)) + "]";
  return out;
}

}  // namespace weir::gateway
