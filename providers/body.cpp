#include "providers/body.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace weir::providers {
namespace {

namespace od = simdjson::ondemand;
using simdjson::SUCCESS;

constexpr int kDepthMax = 256;

Error bad(std::string param, std::string detail) {
  Error error{ErrorKind::bad_request, "request", Retry::no, 400, std::move(detail), "invalid_request_error"};
  error.param = std::move(param);
  return error;
}

std::string_view type_name(od::json_type type) {
  switch (type) {
    case od::json_type::array:
      return "an array";
    case od::json_type::object:
      return "an object";
    case od::json_type::number:
      return "a number";
    case od::json_type::string:
      return "a string";
    case od::json_type::boolean:
      return "a boolean";
    case od::json_type::null:
      return "null";
  }
  return "unknown";
}

/// Whether every escape of a JSON string's inside is one (RFC 8259 section 7), which simdjson tells only of strings
/// that are read. Lone surrogates are: JavaScript's clients send them. `text` may go on behind the closing quote.
bool escapes_fine(std::string_view text) {
  for (size_t at = text.find('\\'); at != std::string_view::npos; at = text.find('\\', at)) {
    if (at + 1 >= text.size() || std::string_view("\"\\/bfnrtu").find(text[at + 1]) == std::string_view::npos)
      return false;
    const bool code = text[at + 1] == 'u';
    at += 2;
    if (!code) continue;
    const auto hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
    if (text.size() - at < 4 || !std::all_of(text.begin() + at, text.begin() + at + 4, hex)) return false;
  }
  return true;
}

/// One pass over the body. simdjson's on-demand API checks what is visited, so everything is visited.
class Marker {
 public:
  Marker(Protocol protocol, std::string_view json) {
    body_.protocol = protocol;
    body_.json = json;
  }
  Result<CallBody> run();

 private:
  using Value = od::value;
  bool field(std::string_view key, Value value);
  bool once(std::string_view key);
  bool chat_field(std::string_view key, Value value);
  bool gemini_field(std::string_view key, Value value);
  bool generation_config(Value value);
  bool other_field(std::string_view key, Value value);
  bool choices(std::string_view key, Value value);
  bool output_limit(std::string_view key, Value value, ByteRange& range);
  bool prompts(Value value);
  bool responses_field(std::string_view key, Value value);
  bool spoken(Value value);
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
  bool wrong(std::string param, std::string_view expected, Value value);
  bool fail(Error error) {
    error_ = std::move(error);
    return false;
  }
  bool not_json() { return fail(bad("", "the request body is not valid JSON")); }
  uint32_t offset(const char* at) const { return static_cast<uint32_t>(at - start_); }
  ByteRange trimmed_range(std::string_view token) const {
    while (!token.empty() && std::string_view(" \t\r\n").find(token.back()) != std::string_view::npos)
      token.remove_suffix(1);
    return {offset(token.data()), offset(token.data() + token.size())};
  }
  ByteRange scalar_range(Value& value) const { return trimmed_range(value.raw_json_token()); }
  bool null(Value& value) const {
    bool is_null = false;
    return value.is_null().get(is_null) == SUCCESS && is_null;
  }

  CallBody body_;
  od::document document_;
  std::optional<Error> error_;
  const char* start_ = nullptr;
  int64_t prompts_ = 1;  // completions: how many
  uint32_t seen_ = 0;    // which of the fields that policy acts on, a bit each
  bool model_seen_ = false;
  bool messages_seen_ = false;  // or what the protocol has in their place
};

bool Marker::wrong(std::string param, std::string_view expected, Value value) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  std::string detail = param + ": must be " + std::string(expected) + ", is " + std::string(type_name(type));
  return fail(bad(std::move(param), std::move(detail)));
}

/// simdjson found the closing quote, so that the walk ends.
bool Marker::key_fine(const char* inside) {
  const char* end = inside;
  while (*end != '"') end += *end == '\\' ? 2 : 1;
  return escapes_fine({inside, static_cast<size_t>(end - inside)}) || not_json();
}

bool Marker::skip(Value value, int depth) {
  if (depth > kDepthMax) return fail(bad("", "the request body is nested deeper than " + std::to_string(kDepthMax)));
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  switch (type) {
    case od::json_type::object: {
      od::object object;
      if (value.get_object().get(object) != SUCCESS) return not_json();
      for (auto member : object) {
        od::raw_json_string key;
        Value inner;
        if (member.key().get(key) != SUCCESS || member.value().get(inner) != SUCCESS) return not_json();
        if (!key_fine(key.raw()) || !skip(inner, depth + 1)) return false;
      }
      return true;
    }
    case od::json_type::array: {
      od::array array;
      if (value.get_array().get(array) != SUCCESS) return not_json();
      for (auto element : array) {
        Value inner;
        if (element.get(inner) != SUCCESS) return not_json();
        if (!skip(inner, depth + 1)) return false;
      }
      return true;
    }
    case od::json_type::string: {
      const std::string_view token = value.raw_json_token();
      od::raw_json_string text;
      return (value.get_raw_json_string().get(text) == SUCCESS && escapes_fine(token)) || not_json();
    }
    case od::json_type::number: {
      double ignored = 0;
      return value.get_double().get(ignored) == SUCCESS || not_json();
    }
    case od::json_type::boolean: {
      bool ignored = false;
      return value.get_bool().get(ignored) == SUCCESS || not_json();
    }
    case od::json_type::null:
      return null(value) || not_json();
  }
  return not_json();
}

bool Marker::model(Value value) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type != od::json_type::string) return wrong("model", "a string", value);
  body_.model_value = scalar_range(value);
  std::string_view text;
  if (value.get_string().get(text) != SUCCESS) return not_json();
  if (text.empty()) return fail(bad("model", "model: must not be empty"));
  body_.model = std::string(text);
  model_seen_ = true;
  return true;
}

bool Marker::boolean(std::string_view key, Value value, bool& out) {
  if (null(value)) return true;
  if (value.get_bool().get(out) != SUCCESS) return wrong(std::string(key), "a boolean", value);
  return true;
}

bool Marker::integer(std::string_view key, Value value, int64_t least, std::optional<int64_t>& out) {
  if (null(value)) return true;
  int64_t number = 0;
  if (value.get_int64().get(number) != SUCCESS) return wrong(std::string(key), "an integer", value);
  if (number < least)
    return fail(bad(std::string(key),
                    std::string(key) + ": must be ≥ " + std::to_string(least) + ", is " + std::to_string(number)));
  out = number;
  return true;
}

bool Marker::number(std::string_view key, Value value, double least, double most) {
  if (null(value)) return true;
  double number = 0;
  if (value.get_double().get(number) != SUCCESS) return wrong(std::string(key), "a number", value);
  if (!(number >= least && number <= most))
    return fail(bad(std::string(key), std::string(key) + ": must be between " +
                                          std::to_string(static_cast<int>(least)) + " and " +
                                          std::to_string(static_cast<int>(most))));
  return true;
}

bool Marker::stream_options(Value value) {
  const ByteRange opening = scalar_range(value);
  if (null(value)) {
    body_.stream_options_value = opening;
    return true;
  }
  od::object object;
  if (value.get_object().get(object) != SUCCESS) return wrong("stream_options", "an object", value);
  for (auto member : object) {
    std::string_view key;
    Value inner;
    if (member.unescaped_key().get(key) != SUCCESS || member.value().get(inner) != SUCCESS) return not_json();
    if (key == "include_usage") {
      if (!boolean("stream_options.include_usage", inner, body_.include_usage)) return false;
    } else if (!skip(inner, 2)) {
      return false;
    }
  }
  std::string_view raw;
  if (object.reset().error() != SUCCESS || object.raw_json().get(raw) != SUCCESS) return not_json();
  body_.stream_options_value = trimmed_range(raw);
  return true;
}

bool Marker::content(Value value, const std::string& where) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type == od::json_type::string || type == od::json_type::null) return skip(value, 3);
  if (type != od::json_type::array) return wrong(where, "a string or an array of parts", value);
  od::array array;
  if (value.get_array().get(array) != SUCCESS) return not_json();
  size_t index = 0;
  for (auto element : array) {
    const std::string part = where + "[" + std::to_string(index++) + "]";
    Value inner;
    if (element.get(inner) != SUCCESS || inner.type().get(type) != SUCCESS) return not_json();
    if (type != od::json_type::object) return wrong(part, "an object", inner);
    od::object object;
    if (inner.get_object().get(object) != SUCCESS) return not_json();
    for (auto member : object) {
      std::string_view key;
      Value field_value;
      if (member.unescaped_key().get(key) != SUCCESS || member.value().get(field_value) != SUCCESS) return not_json();
      if (!skip(field_value, 5)) return false;
    }
  }
  return true;
}

bool Marker::message(Value value, const std::string& where) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type != od::json_type::object) return wrong(where, "an object", value);
  od::object object;
  if (value.get_object().get(object) != SUCCESS) return not_json();
  bool role = false;
  for (auto member : object) {
    std::string_view key;
    Value inner;
    if (member.unescaped_key().get(key) != SUCCESS || member.value().get(inner) != SUCCESS) return not_json();
    if (key == "role") {
      std::string_view text;
      if (inner.get_string().get(text) != SUCCESS) return wrong(where + ".role", "a string", inner);
      if (text != "system" && text != "developer" && text != "user" && text != "assistant" && text != "tool" &&
          text != "function")
        return fail(bad(where + ".role", where + ".role: must be one of system, developer, user, assistant, tool"));
      role = true;
    } else if (key == "content") {
      if (!content(inner, where + ".content")) return false;
    } else if (!skip(inner, 3)) {
      return false;
    }
  }
  return role || fail(bad(where + ".role", where + ".role: is missing"));
}

bool Marker::messages(Value value) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type != od::json_type::array) return wrong("messages", "an array", value);
  od::array array;
  if (value.get_array().get(array) != SUCCESS) return not_json();
  for (auto element : array) {
    Value inner;
    if (element.get(inner) != SUCCESS) return not_json();
    if (!message(inner, "messages[" + std::to_string(body_.message_count++) + "]")) return false;
  }
  messages_seen_ = true;
  return body_.message_count > 0 || fail(bad("messages", "messages: must hold at least one message"));
}

bool Marker::choices(std::string_view key, Value value) {
  std::optional<int64_t> count;
  if (!integer(key, value, 1, count)) return false;
  body_.n = std::max(body_.n, count.value_or(1));
  return body_.n <= 128 ||
         fail(bad(std::string(key), std::string(key) + ": must be ≤ 128, is " + std::to_string(body_.n)));
}

bool Marker::output_limit(std::string_view key, Value value, ByteRange& range) {
  range = scalar_range(value);
  std::optional<int64_t> limit;
  // Anthropic's 0 writes the prompt to the cache and says nothing.
  const bool zero = body_.protocol == Protocol::openai_completions || body_.protocol == Protocol::anthropic_messages;
  const int64_t least = zero ? 0 : 1;
  if (!integer(key, value, least, limit)) return false;
  // Where several are given the upstream may go by any of them: the largest is what can be asked of us.
  if (limit) body_.output_tokens_max = std::max(*limit, body_.output_tokens_max.value_or(0));
  return true;
}

bool Marker::chat_field(std::string_view key, Value value) {
  std::optional<int64_t> ignored_number;
  bool ignored = false;
  if (key == "messages") return messages(value);
  if (key == "stream_options") return stream_options(value);
  if (key == "max_tokens") return output_limit(key, value, body_.max_tokens_value);
  if (key == "max_completion_tokens") return output_limit(key, value, body_.max_completion_tokens_value);
  if (key == "n") return choices(key, value);
  if (key == "temperature") return number(key, value, 0, 2);
  if (key == "top_p") return number(key, value, 0, 1);
  if (key == "presence_penalty" || key == "frequency_penalty") return number(key, value, -2, 2);
  if (key == "top_logprobs") return integer(key, value, 0, ignored_number);
  if (key == "logprobs") return boolean(key, value, ignored);
  return skip(value, 1);
}

bool Marker::generation_config(Value value) {
  od::object object;
  if (value.get_object().get(object) != SUCCESS) return wrong("generationConfig", "an object", value);
  for (auto member : object) {
    std::string_view key;
    Value inner;
    if (member.unescaped_key().get(key) != SUCCESS || member.value().get(inner) != SUCCESS) return not_json();
    bool fine = true;
    if (key == "maxOutputTokens" || key == "max_output_tokens")
      fine = output_limit("generationConfig.maxOutputTokens", inner, body_.max_tokens_value);
    else if (key == "candidateCount" || key == "candidate_count")
      fine = choices("generationConfig.candidateCount", inner);
    else
      fine = skip(inner, 2);
    if (!fine) return false;
  }
  return true;
}

bool Marker::gemini_field(std::string_view key, Value value) {
  if (key == "contents") {
    messages_seen_ = true;
    return list(key, value, body_.message_count);
  }
  if (key == "generationConfig" || key == "generation_config") return generation_config(value);
  return skip(value, 1);
}

/// Counts an array's elements.
bool Marker::list(std::string_view key, Value value, uint32_t& count) {
  od::array array;
  if (value.get_array().get(array) != SUCCESS) return wrong(std::string(key), "an array", value);
  for (auto element : array) {
    Value inner;
    if (element.get(inner) != SUCCESS) return not_json();
    ++count;
    if (!skip(inner, 2)) return false;
  }
  return count > 0 || fail(bad(std::string(key), std::string(key) + ": must hold at least one element"));
}

/// A text, several texts, one prompt of token ids, or several: each is answered `n` times.
bool Marker::prompts(Value value) {
  messages_seen_ = true;
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type != od::json_type::array) return skip(value, 1);
  od::array array;
  if (value.get_array().get(array) != SUCCESS) return not_json();
  int64_t count = 0;
  for (auto element : array) {
    Value inner;
    if (element.get(inner) != SUCCESS || inner.type().get(type) != SUCCESS) return not_json();
    if (type != od::json_type::number) ++count;
    if (!skip(inner, 2)) return false;
  }
  prompts_ = std::max<int64_t>(count, 1);
  return true;
}

/// Speech is priced by the character.
bool Marker::spoken(Value value) {
  std::string_view text;
  if (value.get_string().get(text) != SUCCESS) return wrong("input", "a string", value);
  for (const char c : text) body_.units += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
  return true;
}

/// What an upstream would keep or do behind our back, where neither keys nor budgets reach, is refused.
bool Marker::responses_field(std::string_view key, Value value) {
  if (key == "max_output_tokens") return output_limit(key, value, body_.max_tokens_value);
  if (key == "store") return boolean(key, value, body_.store);
  if (key == "background") {
    bool background = false;
    if (!boolean(key, value, background)) return false;
    return !background || fail(bad("background",
                                   "background: true is not supported: what it costs could not be charged; leave it "
                                   "out, and stream"));
  }
  if (key == "conversation")
    return null(value) || fail(bad("conversation",
                                   "conversation: is not supported: conversations belong to an upstream account and "
                                   "not to a key; use previous_response_id"));
  if (key == "previous_response_id") {
    body_.previous_response_value = scalar_range(value);
    if (null(value)) return true;
    std::string_view id;
    if (value.get_string().get(id) != SUCCESS) return wrong(std::string(key), "a string", value);
    body_.previous_response_id = std::string(id);
    return true;
  }
  if (key != "input") return skip(value, 1);
  const uint32_t begin = scalar_range(value).begin;
  messages_seen_ = true;
  if (!skip(value, 1)) return false;
  // simdjson stands behind the value now, at the comma or brace that follows it.
  const char* next = nullptr;
  if (document_.current_location().get(next) != SUCCESS) return not_json();
  body_.input_value = trimmed_range({start_ + begin, static_cast<size_t>(next - start_) - begin});
  return true;
}

/// The protocols that are forwarded or decoded elsewhere: only what policy acts on is looked at.
bool Marker::other_field(std::string_view key, Value value) {
  const Protocol protocol = body_.protocol;
  if (key == "max_tokens" && protocol == Protocol::openai_completions)
    return output_limit(key, value, body_.max_tokens_value);
  if (key == "max_tokens" && protocol == Protocol::anthropic_messages)
    return output_limit(key, value, body_.max_tokens_value);
  if (protocol == Protocol::openai_responses) return responses_field(key, value);
  if (key == "stream_options" && protocol == Protocol::openai_completions) return stream_options(value);
  if ((key == "n" && (protocol == Protocol::openai_completions || protocol == Protocol::openai_images)) ||
      (key == "best_of" && protocol == Protocol::openai_completions))
    return choices(key, value);
  if (key == "messages") {
    messages_seen_ = true;
    return list(key, value, body_.message_count);
  }
  if (key == "documents" && protocol == Protocol::rerank) {
    uint32_t documents = 0;
    messages_seen_ = true;
    if (!list(key, value, documents)) return false;
    body_.units = documents;
    return true;
  }
  if (key == "prompt" && protocol == Protocol::openai_completions) return prompts(value);
  if (key == "input" || key == "prompt") {
    messages_seen_ = true;
    return protocol == Protocol::openai_speech ? spoken(value) : skip(value, 1);
  }
  return skip(value, 1);
}

/// Of two members with one name some parsers take the first and some the last: what policy was decided by must be what
/// the upstream reads.
bool Marker::once(std::string_view key) {
  constexpr auto kActedOn = std::to_array<std::string_view>(
      {"model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of",
       "messages", "generationConfig", "generation_config", "input", "previous_response_id", "store"});
  const auto found = std::find(kActedOn.begin(), kActedOn.end(), key);
  if (found == kActedOn.end()) return true;
  const uint32_t bit = 1U << static_cast<uint32_t>(found - kActedOn.begin());
  if ((seen_ & bit) != 0) return fail(bad(std::string(key), std::string(key) + ": is given twice"));
  seen_ |= bit;
  return true;
}

bool Marker::field(std::string_view key, Value value) {
  if (!once(key)) return false;
  if (body_.protocol == Protocol::gemini_generate) return gemini_field(key, value);
  if (key == "model") return model(value);
  if (key == "stream") return boolean(key, value, body_.stream);
  return body_.protocol == Protocol::openai_chat ? chat_field(key, value) : other_field(key, value);
}

/// The field without which the protocol makes no sense.
Result<void> Marker::check_required() {
  const Protocol protocol = body_.protocol;
  if (!model_seen_ && protocol != Protocol::gemini_generate) {
    if (protocol != Protocol::openai_moderations) return bad("model", "model: is missing");
    body_.model = "omni-moderation-latest";  // what OpenAI takes where none is named
  }
  if (messages_seen_ || protocol == Protocol::openai_responses) return {};
  std::string_view needed = "input";
  if (protocol == Protocol::openai_chat || protocol == Protocol::anthropic_messages ||
      protocol == Protocol::anthropic_count)
    needed = "messages";
  if (protocol == Protocol::openai_completions || protocol == Protocol::openai_images) needed = "prompt";
  if (protocol == Protocol::gemini_generate) needed = "contents";
  if (protocol == Protocol::rerank) needed = "documents";
  return bad(std::string(needed), std::string(needed) + ": is missing");
}

Result<CallBody> Marker::run() {
  if (body_.json.size() >= UINT32_MAX) return bad("", "the request body is over 4 GiB");
  // simdjson reads up to SIMDJSON_PADDING bytes past the end: the text is copied to where those bytes are ours.
  static thread_local std::string padded;
  static thread_local od::parser parser;
  padded.reserve(body_.json.size() + simdjson::SIMDJSON_PADDING);
  padded.assign(body_.json);
  od::document& document = document_;
  od::object object;
  if (parser.iterate(padded.data(), padded.size(), padded.capacity()).get(document) != SUCCESS)
    return bad("", "the request body is not valid JSON");
  start_ = padded.data();
  od::json_type type{};
  if (document.type().get(type) != SUCCESS) return bad("", "the request body is not valid JSON");
  if (type != od::json_type::object)
    return bad("", "the request body must be a JSON object, is " + std::string(type_name(type)));
  if (document.get_object().get(object) != SUCCESS) return bad("", "the request body is not valid JSON");
  body_.object_open = static_cast<uint32_t>(padded.find('{')) + 1;
  for (auto member : object) {
    std::string_view key;
    Value value;
    if (member.unescaped_key().get(key) != SUCCESS || member.value().get(value) != SUCCESS) {
      not_json();
      break;
    }
    if (!field(key, value)) break;
  }
  const bool whole = error_ || document.current_location().error() == simdjson::OUT_OF_BOUNDS;
  if (padded.capacity() > 1024 * 1024) std::string().swap(padded);  // one large body must not be kept for ever
  if (error_) return std::move(*error_);
  if (!whole) return bad("", "the request body is not valid JSON: something follows the closing brace");
  if (auto whole_call = check_required(); !whole_call) return std::move(whole_call).error();
  body_.n *= prompts_;
  return std::move(body_);
}

}  // namespace

Result<CallBody> mark_call(Protocol protocol, std::string_view json) {
  return Marker(protocol, json).run();
}

}  // namespace weir::providers
