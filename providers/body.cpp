#include "providers/body.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "providers/body_marker.h"
#include "providers/json_numbers.h"
#include "providers/json_text.h"
#include "providers/net/http_parser.h"

namespace weir::providers {

using simdjson::SUCCESS;

namespace {

constexpr int kDepthMax = 256;
constexpr size_t kShownBytesMax = 32;          // of a number in a message
constexpr size_t kKeptBytesMax = 1024 * 1024;  // what a thread keeps for its next body

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

/// `inside` goes on at least to the closing quote.
bool is_key(const char* inside, std::string_view name) {
  size_t at = 0;
  while (at < name.size() && inside[at] == name[at]) ++at;
  return at == name.size() && inside[at] == '"';
}

}  // namespace

Error bad_body(std::string param, std::string detail) {
  Error error{ErrorKind::bad_request, "request", Retry::no, 400, std::move(detail), "invalid_request_error"};
  error.param = std::move(param);
  return error;
}

bool BodyMarker::wrong(std::string param, std::string_view expected, Value value) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  std::string_view is = type_name(type);
  if (expected.starts_with(is)) return not_json();  // of that type, and still it could not be read
  double number = 0;
  if (expected == "an integer" && type == od::json_type::number) {
    if (value.get_double().get(number) != SUCCESS) return not_json();
    const ByteRange range = scalar_range(value);
    is = body_.json.substr(range.begin, std::min<size_t>(range.end - range.begin, kShownBytesMax));
  }
  std::string detail = param + ": must be " + std::string(expected) + ", is " + std::string(is);
  return fail(bad_body(std::move(param), std::move(detail)));
}

bool BodyMarker::text(std::string_view where, std::string_view key, Value value, std::string& out) {
  od::raw_json_string raw;
  const std::string_view token = value.raw_json_token();
  if (value.get_raw_json_string().get(raw) != SUCCESS) return wrong(std::string(where).append(key), "a string", value);
  out.clear();
  const std::string_view quoted = trimmed(token);
  return (quoted.size() >= 2 && append_unescaped(quoted.substr(1, quoted.size() - 2), out)) || not_json();
}

/// simdjson found the closing quote, so that the walk ends.
bool BodyMarker::key_fine(const char* inside) {
  const char* end = inside;
  while (*end != '"') end += *end == '\\' ? 2 : 1;
  return escapes_fine({inside, static_cast<size_t>(end - inside)}) || not_json();
}

/// A key that is passed by.
bool BodyMarker::note_item(const char* key) {
  body_.items = body_.items || (*key == 'i' && is_key(key, "item")) || (*key == 'p' && is_key(key, "providerItem"));
  return key_fine(key);
}

bool BodyMarker::skip(Value value, int depth) {
  if (depth > kDepthMax)
    return fail(bad_body("", "the request body is nested deeper than " + std::to_string(kDepthMax)));
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  switch (type) {
    case od::json_type::object: {
      od::object object;
      if (value.get_object().get(object) != SUCCESS) return not_json();
      int members = 0;
      for (auto member : object) {
        if (!counted(members)) return false;
        od::raw_json_string key;
        Value inner;
        if (member.key().get(key) != SUCCESS || member.value().get(inner) != SUCCESS) return not_json();
        if (!note_item(key.raw()) || !skip(inner, depth + 1)) return false;
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
      const std::string_view token = value.raw_json_token();
      double ignored = 0;  // or it is larger than any double
      return value.get_double().get(ignored) == SUCCESS || is_json_number(trimmed(token)) || not_json();
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

bool BodyMarker::boolean(std::string_view key, Value value, bool& out) {
  if (null(value)) return true;
  if (value.get_bool().get(out) != SUCCESS) return wrong(std::string(key), "a boolean", value);
  return true;
}

bool BodyMarker::integer(std::string_view key, Value value, int64_t least, std::optional<int64_t>& out) {
  if (null(value)) return true;
  int64_t number = 0;
  if (value.get_int64().get(number) != SUCCESS) return wrong(std::string(key), "an integer", value);
  if (number < least)
    return fail(bad_body(std::string(key),
                         std::string(key) + ": must be ≥ " + std::to_string(least) + ", is " + std::to_string(number)));
  out = number;
  return true;
}

bool BodyMarker::number(std::string_view key, Value value, double least, double most) {
  if (null(value)) return true;
  double number = 0;
  if (value.get_double().get(number) != SUCCESS) return wrong(std::string(key), "a number", value);
  if (!(number >= least && number <= most))
    return fail(bad_body(std::string(key), std::string(key) + ": must be between " +
                                               std::to_string(static_cast<int>(least)) + " and " +
                                               std::to_string(static_cast<int>(most))));
  return true;
}

/// Counts an array's elements.
bool BodyMarker::list(std::string_view key, Value value, uint32_t& count) {
  od::array array;
  if (value.get_array().get(array) != SUCCESS) return wrong(std::string(key), "an array", value);
  for (auto element : array) {
    Value inner;
    if (element.get(inner) != SUCCESS) return not_json();
    ++count;
    if (!skip(inner, 2)) return false;
  }
  return count > 0 || fail(bad_body(std::string(key), std::string(key) + ": must hold at least one element"));
}

bool BodyMarker::choices(std::string_view key, Value value) {
  std::optional<int64_t> count;
  if (!integer(key, value, 1, count)) return false;
  body_.n = std::max(body_.n, count.value_or(1));
  return body_.n <= 128 ||
         fail(bad_body(std::string(key), std::string(key) + ": must be ≤ 128, is " + std::to_string(body_.n)));
}

bool BodyMarker::output_limit(std::string_view key, Value value, ByteRange& range) {
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

/// As Go folds letters beyond ASCII: the Kelvin sign is a k, the long s an s.
std::string go_folded(std::string_view key) {
  std::string out(key);
  for (const auto& [letter, plain] : {std::pair<std::string_view, char>{"\u212a", 'k'}, {"\u017f", 's'}})
    for (size_t at = out.find(letter); at != std::string::npos; at = out.find(letter, at))
      out.replace(at, letter.size(), 1, plain);
  return out;
}

/// Of two members with one name some parsers take the first and some the last, and Go's read "Model" as "model" too
/// (https://pkg.go.dev/encoding/json#Unmarshal): what policy was decided by must be what the upstream reads.
bool BodyMarker::once(std::string_view key) {
  const std::string folded = go_folded(key);
  constexpr auto kActedOn = std::to_array<std::string_view>(
      {"model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of",
       "messages", "generationConfig", "generation_config", "input", "previous_response_id", "store", "prompt",
       "service_tier", "serviceTier", "speed", "inference_geo"});
  const auto found =
      std::find_if(kActedOn.begin(), kActedOn.end(), [&](std::string_view name) { return iequals(name, folded); });
  if (found == kActedOn.end()) return true;
  if (*found != key)
    return fail(bad_body(std::string(key), std::string(key) + ": is " + std::string(*found) +
                                               " in other letters, which some servers read as that; write it so"));
  const uint32_t bit = 1U << static_cast<uint32_t>(found - kActedOn.begin());
  if ((seen_ & bit) != 0) return fail(bad_body(std::string(key), std::string(key) + ": is given twice"));
  seen_ |= bit;
  return true;
}

bool BodyMarker::stream(Value value) {
  bool asked = false;
  if (!boolean("stream", value, asked)) return false;
  body_.stream = body_.stream || asked;
  return true;
}

/// OpenAI's speech has no `stream`. https://platform.openai.com/docs/api-reference/audio/createSpeech
bool BodyMarker::stream_format(Value value) {
  std::string format;
  if (!null(value) && !text("", "stream_format", value, format)) return false;
  body_.stream = body_.stream || format == "sse";
  return true;
}

bool BodyMarker::field(std::string_view key, Value value) {
  if (!once(key)) return false;
  if (body_.protocol == Protocol::gemini_generate) return gemini_field(key, value);
  if (key == "model") return model(value);
  if (generates_chat(body_.protocol) && (key == "service_tier" || key == "speed" || key == "inference_geo"))
    return tier(key, value);
  // Of the others a stream is not to be had, whoever asks: what they get is whole.
  const bool streams = generates_chat(body_.protocol) || body_.protocol == Protocol::openai_images ||
                       body_.protocol == Protocol::openai_speech;
  if (key == "stream" && streams) return stream(value);
  if (key == "stream_format" && body_.protocol == Protocol::openai_speech) return stream_format(value);
  return body_.protocol == Protocol::openai_chat ? chat_field(key, value) : other_field(key, value);
}

/// The field without which the protocol makes no sense.
Result<void> BodyMarker::check_required() {
  const Protocol protocol = body_.protocol;
  if (!model_seen_ && protocol != Protocol::gemini_generate) {
    if (protocol != Protocol::openai_moderations) return bad_body("model", "model: is missing");
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
  return bad_body(std::string(needed), std::string(needed) + ": is missing");
}

Result<CallBody> BodyMarker::run() {
  if (body_.json.size() >= UINT32_MAX) return bad_body("", "the request body is over 4 GiB");
  // simdjson reads up to SIMDJSON_PADDING bytes past the end: the text is copied to where those bytes are ours.
  static thread_local std::string padded;
  static thread_local od::parser parser;
  padded.reserve(body_.json.size() + simdjson::SIMDJSON_PADDING);
  padded.assign(body_.json);
  od::document& document = document_;
  od::object object;
  if (parser.iterate(padded.data(), padded.size(), padded.capacity()).get(document) != SUCCESS)
    return bad_body("", "the request body is not valid JSON");
  start_ = padded.data();
  od::json_type type{};
  if (document.type().get(type) != SUCCESS) return bad_body("", "the request body is not valid JSON");
  if (type != od::json_type::object)
    return bad_body("", "the request body must be a JSON object, is " + std::string(type_name(type)));
  if (document.get_object().get(object) != SUCCESS) return bad_body("", "the request body is not valid JSON");
  body_.object_open = static_cast<uint32_t>(padded.find('{')) + 1;
  int members = 0;
  for (auto member : object) {
    if (!counted(members)) break;
    od::raw_json_string raw;
    std::string_view key;
    Value value;
    if (member.key().get(raw) != SUCCESS || member.unescaped_key().get(key) != SUCCESS ||
        member.value().get(value) != SUCCESS) {
      not_json();
      break;
    }
    key_ = raw.raw();
    if (!field(key, value)) break;
  }
  const bool whole = error_ || document.current_location().error() == simdjson::OUT_OF_BOUNDS;
  if (padded.capacity() > kKeptBytesMax) {  // one large body must not be kept for ever
    std::string().swap(padded);
    parser = simdjson::ondemand::parser();
  }
  if (error_) return std::move(*error_);
  if (!whole) return bad_body("", "the request body is not valid JSON: something follows the closing brace");
  if (auto whole_call = check_required(); !whole_call) return std::move(whole_call).error();
  body_.n *= prompts_;
  if (claude_tier_.told()) body_.tier = claude_tier_.terms();
  return std::move(body_);
}

Result<CallBody> mark_call(Protocol protocol, std::string_view json) {
  return BodyMarker(protocol, json).run();
}

}  // namespace weir::providers
