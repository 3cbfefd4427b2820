#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "gateway/api/errors.h"
#include "gateway/api/openai_chat.h"

namespace weir::gateway {
namespace {

using providers::ChatRequest;
using providers::Json;
using providers::Message;
using providers::Part;
using providers::Role;

constexpr size_t kStopStringsMax = 16;
constexpr size_t kStopBytesMax = 256;

/// Reads the body's fields one by one; the first mistake stays.
class Decoder {
 public:
  explicit Decoder(const Json& body) : body_(body) {}
  Result<ChatRequest> run();

 private:
  void fail(std::string param, std::string_view expected) {
    if (!error_) error_ = bad_request(param, param + ": must be " + std::string(expected));
  }
  const Json* find(const Json& object, const char* key) const {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }
  void number(const char* key, double least, double most, std::optional<double>& out);
  template <class Int>
  void integer(const char* key, int64_t least, int64_t most, std::optional<Int>& out);
  void boolean(const char* key, bool& out);
  std::string text(const Json& object, const char* key, const std::string& where);
  void messages();
  void message(const Json& in, const std::string& where);
  void content(const Json& in, const std::string& where, Message& out);
  void tool_calls(const Json& in, const std::string& where, Message& out);
  void stop();
  void logit_bias();

  const Json& body_;
  ChatRequest out_;
  std::optional<Error> error_;
};

void Decoder::number(const char* key, double least, double most, std::optional<double>& out) {
  const Json* value = find(body_, key);
  if (value == nullptr) return;
  if (!value->is_number()) return fail(key, "a number");
  const double number = value->get<double>();
  if (!(number >= least && number <= most))
    return fail(
        key, "between " + std::to_string(static_cast<int>(least)) + " and " + std::to_string(static_cast<int>(most)));
  out = number;
}

template <class Int>
void Decoder::integer(const char* key, int64_t least, int64_t most, std::optional<Int>& out) {
  const Json* value = find(body_, key);
  if (value == nullptr) return;
  if (!value->is_number_integer()) return fail(key, "an integer");
  const int64_t number = value->get<int64_t>();
  if (number < least || number > most)
    return fail(key, "between " + std::to_string(least) + " and " + std::to_string(most));
  out = static_cast<Int>(number);
}

void Decoder::boolean(const char* key, bool& out) {
  const Json* value = find(body_, key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return fail(key, "a boolean");
  out = value->get<bool>();
}

std::string Decoder::text(const Json& object, const char* key, const std::string& where) {
  const Json* value = find(object, key);
  if (value == nullptr) return {};
  if (!value->is_string()) {
    fail(where + "." + key, "a string");
    return {};
  }
  return value->get<std::string>();
}

void Decoder::content(const Json& in, const std::string& where, Message& out) {
  if (in.is_string()) {
    out.parts.push_back({Part::Kind::text, in.get<std::string>(), {}});
    return;
  }
  if (!in.is_array()) return fail(where, "a string or an array of parts");
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string at = where + "[" + std::to_string(i) + "]";
    if (!in[i].is_object()) return fail(at, "an object");
    const std::string type = text(in[i], "type", at);
    if (type == "text") {
      out.parts.push_back({Part::Kind::text, text(in[i], "text", at), {}});
    } else if (type == "refusal") {
      out.parts.push_back({Part::Kind::refusal, text(in[i], "refusal", at), {}});
    } else if (type == "image_url") {
      out.parts.push_back({Part::Kind::image, {}, in[i]});
    } else if (type == "input_audio") {
      out.parts.push_back({Part::Kind::audio, {}, in[i]});
    } else if (type == "file") {
      out.parts.push_back({Part::Kind::file, {}, in[i]});
    } else {
      return fail(at + ".type", "one of text, image_url, input_audio, file, refusal");
    }
  }
}

void Decoder::tool_calls(const Json& in, const std::string& where, Message& out) {
  if (!in.is_array()) return fail(where, "an array");
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string at = where + "[" + std::to_string(i) + "]";
    const Json* function = in[i].is_object() ? find(in[i], "function") : nullptr;
    if (function == nullptr || !function->is_object()) return fail(at + ".function", "an object");
    out.tool_calls.push_back({text(in[i], "id", at), text(*function, "name", at + ".function"),
                              text(*function, "arguments", at + ".function")});
  }
}

void Decoder::message(const Json& in, const std::string& where) {
  if (!in.is_object()) return fail(where, "an object");
  Message out;
  const std::string role = text(in, "role", where);
  if (role == "system")
    out.role = Role::system;
  else if (role == "developer")
    out.role = Role::developer;
  else if (role == "user")
    out.role = Role::user;
  else if (role == "assistant")
    out.role = Role::assistant;
  else if (role == "tool" || role == "function")
    out.role = Role::tool;
  else
    return fail(where + ".role", "one of system, developer, user, assistant, tool");
  if (const Json* value = find(in, "content"))
    content(*value, where + ".content", out);
  else if (out.role != Role::assistant)
    return fail(where + ".content", "given");
  out.name = text(in, "name", where);
  out.tool_call_id = text(in, "tool_call_id", where);
  out.reasoning = text(in, "reasoning_content", where);
  if (const Json* value = find(in, "tool_calls")) tool_calls(*value, where + ".tool_calls", out);
  out_.messages.push_back(std::move(out));
}

void Decoder::messages() {
  const Json* list = find(body_, "messages");
  if (list == nullptr || !list->is_array() || list->empty())
    return fail("messages", "an array of at least one message");
  for (size_t i = 0; i < list->size(); ++i) message((*list)[i], "messages[" + std::to_string(i) + "]");
}

void Decoder::stop() {
  const Json* value = find(body_, "stop");
  if (value == nullptr) return;
  const Json list = value->is_string() ? Json::array({*value}) : *value;
  if (!list.is_array() || list.size() > kStopStringsMax)
    return fail("stop", "a string or an array of at most 16 strings");
  for (const Json& one : list) {
    if (!one.is_string() || one.get_ref<const std::string&>().size() > kStopBytesMax)
      return fail("stop", "strings of at most 256 bytes");
    if (!one.get_ref<const std::string&>().empty()) out_.stop.push_back(one.get<std::string>());
  }
}

void Decoder::logit_bias() {
  const Json* value = find(body_, "logit_bias");
  if (value == nullptr) return;
  if (!value->is_object() || value->size() > 1024) return fail("logit_bias", "an object of at most 1024 tokens");
  for (const auto& [key, bias] : value->items()) {
    int32_t token = 0;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), token);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size() || token < 0 || !bias.is_number())
      return fail("logit_bias", "an object from token ids to numbers");
    out_.logit_bias.emplace_back(token, bias.get<double>());
  }
}

Result<ChatRequest> Decoder::run() {
  out_.model = text(body_, "model", "body");
  messages();
  number("temperature", 0, 2, out_.temperature);
  number("top_p", 0, 1, out_.top_p);
  number("min_p", 0, 1, out_.min_p);
  number("presence_penalty", -2, 2, out_.presence_penalty);
  number("frequency_penalty", -2, 2, out_.frequency_penalty);
  number("repetition_penalty", 0, 10, out_.repetition_penalty);
  integer("top_k", -1, INT32_MAX, out_.top_k);
  if (out_.top_k == -1) out_.top_k = 0;  // vLLM's "off"
  integer("seed", INT64_MIN, INT64_MAX, out_.seed);
  std::optional<int64_t> max_completion;
  integer("max_tokens", 1, INT64_MAX, out_.output_tokens_max);
  integer("max_completion_tokens", 1, INT64_MAX, max_completion);
  if (max_completion) out_.output_tokens_max = std::min(*max_completion, out_.output_tokens_max.value_or(INT64_MAX));
  std::optional<int32_t> count;
  integer("n", 1, 128, count);
  out_.n = count.value_or(1);
  boolean("logprobs", out_.logprobs);
  std::optional<int32_t> top;
  integer("top_logprobs", 0, 20, top);
  out_.top_logprobs = top.value_or(0);
  if (top.value_or(0) > 0 && !out_.logprobs) fail("top_logprobs", "given together with logprobs: true");
  boolean("stream", out_.stream);
  boolean("ignore_eos", out_.ignore_eos);
  if (const Json* options = find(body_, "stream_options"); options != nullptr && options->is_object())
    out_.include_usage = options->value("include_usage", Json(false)) == Json(true);
  stop();
  logit_bias();
  if (const Json* tools = find(body_, "tools"))
    tools->is_array() ? void(out_.tools = *tools) : fail("tools", "an array");
  if (const Json* choice = find(body_, "tool_choice")) out_.tool_choice = *choice;
  if (const Json* format = find(body_, "response_format"))
    format->is_object() ? void(out_.response_format = *format) : fail("response_format", "an object");
  if (const Json* arguments = find(body_, "chat_template_kwargs"))
    arguments->is_object() ? void(out_.template_arguments = *arguments) : fail("chat_template_kwargs", "an object");
  out_.user = text(body_, "user", "body");
  if (error_) return std::move(*error_);
  return std::move(out_);
}

}  // namespace

Result<ChatRequest> decode_chat(std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return bad_request("", "the request body is not a JSON object");
  return Decoder(json).run();
}

}  // namespace weir::gateway
