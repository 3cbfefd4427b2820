// How mark_call() reads a body: one pass of simdjson over all of it, the fields of each protocol in body_protocols.cpp,
// what they share in body.cpp. Internal to providers/body*.cpp; one object a call.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "providers/body.h"
#include "providers/service_tier.h"

namespace weir::providers {

namespace od = simdjson::ondemand;

/// bad_request, 400, invalid_request_error.
Error bad_body(std::string param, std::string detail);

/// One pass over the body. simdjson's on-demand API checks what is visited, so everything is visited.
class BodyMarker {
 public:
  BodyMarker(Protocol protocol, std::string_view json) {
    body_.protocol = protocol;
    body_.json = json;
  }
  Result<CallBody> run();

 private:
  using Value = od::value;
  static constexpr int kMembersMax = 4096;

  bool field(std::string_view key, Value value);
  bool once(std::string_view key);
  bool chat_field(std::string_view key, Value value);
  bool gemini_field(std::string_view key, Value value);
  bool generation_config(Value value);
  bool other_field(std::string_view key, Value value);
  bool choices(std::string_view key, Value value);
  bool unknown(std::string_view key, Value value);
  bool messages_field(std::string_view key, Value value);
  bool tools(Value value, const std::string& where = "tools");
  bool tool(Value value, const std::string& where);
  bool plugins(Value value);
  bool plugin(Value value, const std::string& where);
  /// Every object of a list as `use(value, where)`; what else stands in it, or is no list, is the upstream's to refuse.
  template <class Use>
  bool each_object(Value value, const std::string& where, const Use& use) {
    od::json_type type{};
    if (value.type().get(type) != simdjson::SUCCESS) return not_json();
    if (type != od::json_type::array) return skip(value, 2);
    od::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) return not_json();
    size_t index = 0;
    for (auto element : array) {
      Value inner;
      if (element.get(inner) != simdjson::SUCCESS || inner.type().get(type) != simdjson::SUCCESS) return not_json();
      const std::string place = where + "[" + std::to_string(index++) + "]";
      if (!(type == od::json_type::object ? use(inner, place) : skip(inner, 3))) return false;
    }
    return true;
  }
  bool refused(std::string_view key, Value value, std::string_view why);
  bool output_limit(std::string_view key, Value value, ByteRange& range);
  bool prompts(Value value);
  bool responses_field(std::string_view key, Value value);
  bool input_items(Value value);
  bool input_item(Value value);
  bool note_item(const char* key);
  bool spoken(Value value);
  bool stream(Value value);
  bool stream_format(Value value);
  bool tier(std::string_view key, Value value);
  bool list(std::string_view key, Value value, uint32_t& count);
  Result<void> check_required();
  bool model(Value value);
  bool boolean(std::string_view key, Value value, bool& out);
  bool integer(std::string_view key, Value value, int64_t least, std::optional<int64_t>& out);
  bool number(std::string_view key, Value value, double least, double most);
  bool stream_options(Value value);
  bool messages(Value value);
  bool message(Value value, const std::string& where);
  bool content(Value value, const std::string& where);
  bool skip(Value value, int depth);
  bool key_fine(const char* inside);
  /// A string's value; lone surrogates become U+FFFD. A mistake names `where` and `key` together.
  bool text(std::string_view where, std::string_view key, Value value, std::string& out);
  bool text_once(const std::string& where, std::string_view key, Value value, std::string& out);
  bool wrong(std::string param, std::string_view expected, Value value);
  bool fail(Error error) {
    error_ = std::move(error);
    return false;
  }
  /// One member more of an object that has `members`: what is copied one by one, or written anew, must stay small.
  bool counted(int& members) {
    if (++members <= kMembersMax) return true;
    return fail(
        bad_body("", "an object of the request body has more than " + std::to_string(kMembersMax) + " members"));
  }
  /// Every member of an object as `use(key, value, type)`, which reads the value and says whether all is well.
  template <class Use>
  bool each_member(Value value, const Use& use) {
    od::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) return not_json();
    int members = 0;
    for (auto member : object) {
      if (!counted(members)) return false;
      std::string_view key;
      Value inner;
      od::json_type type{};
      if (member.unescaped_key().get(key) != simdjson::SUCCESS || member.value().get(inner) != simdjson::SUCCESS ||
          inner.type().get(type) != simdjson::SUCCESS)
        return not_json();
      if (!use(key, inner, type)) return false;
    }
    return true;
  }
  bool not_json() { return fail(bad_body("", "the request body is not valid JSON")); }
  uint32_t offset(const char* at) const { return static_cast<uint32_t>(at - start_); }
  static std::string_view trimmed(std::string_view token) {
    while (!token.empty() && std::string_view(" \t\r\n").find(token.back()) != std::string_view::npos)
      token.remove_suffix(1);
    return token;
  }
  ByteRange trimmed_range(std::string_view token) const {
    token = trimmed(token);
    return {offset(token.data()), offset(token.data() + token.size())};
  }
  /// With its quotes. REQUIRES: a name without quotes of its own.
  ByteRange key_range() const {
    return {offset(key_) - 1, offset(key_) + static_cast<uint32_t>(std::string_view(key_).find('"')) + 1};
  }
  ByteRange scalar_range(Value& value) const { return trimmed_range(value.raw_json_token()); }
  bool null(Value& value) const {
    bool is_null = false;
    return value.is_null().get(is_null) == simdjson::SUCCESS && is_null;
  }

  CallBody body_;
  od::document document_;
  std::optional<Error> error_;
  const char* start_ = nullptr;
  const char* key_ = nullptr;  // of the member that is being read, behind its quote
  int64_t prompts_ = 1;        // completions: how many
  ClaudeTier claude_tier_;
  uint32_t seen_ = 0;  // which of the fields that policy acts on, a bit each
  bool model_seen_ = false;
  bool messages_seen_ = false;  // or what the protocol has in their place
};

}  // namespace weir::providers
