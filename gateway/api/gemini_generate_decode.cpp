#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "gateway/api/errors.h"
#include "gateway/api/gemini_generate.h"
#include "providers/base64.h"
#include "providers/gemini_schema.h"
#include "providers/media.h"

namespace weir::gateway {
namespace {

using namespace providers;

constexpr int32_t kChoicesMax = 8;  // candidateCount's
constexpr size_t kStopStringsMax = 16;
constexpr size_t kStopBytesMax = 256;
constexpr std::string_view kRedacted = "weir-redacted:";

/// "system_instruction" as "systemInstruction".
std::string camel(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '_' && i + 1 < name.size() && i > 0 && name[i + 1] >= 'a' && name[i + 1] <= 'z')
      out.push_back(static_cast<char>(name[++i] - 'a' + 'A'));
    else
      out.push_back(name[i]);
  }
  return out;
}

const Json* find(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  for (const auto& [key, value] : object.items())
    if (key == name || camel(key) == name) return value.is_null() ? nullptr : &value;
  return nullptr;
}

/// Google takes a lone object where a list of them is meant.
Json as_list(const Json& value) {
  return value.is_array() ? value : Json::array({value});
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

class Decoder {
 public:
  Result<ChatRequest> run(const Json& body);

 private:
  void fail(const std::string& param, std::string_view expected) {
    if (!error_) error_ = bad_request(param, param + ": must be " + std::string(expected));
  }
  std::string text(const Json& object, const char* key, const std::string& where);
  void number(const Json& value, const std::string& where, double least, double most, std::optional<double>& out);
  template <class Int>
  void integer(const Json& value, const std::string& where, int64_t least, int64_t most, std::optional<Int>& out);
  bool boolean(const Json& value, const std::string& where);
  void contents(const Json& list);
  void content(const Json& in, const std::string& where);
  void part(const Json& in, const std::string& where, Message& message);
  void media(const Json& blob, bool inline_data, const std::string& where, Message& message);
  void sign(const Json& in, Part& part);
  void call(const Json& in, const Json& whole, const std::string& where, Message& message);
  void result(const Json& in, const std::string& where);
  void system(const Json& in);
  void tools(const Json& list);
  void functions(const Json& list, const std::string& where);
  void tool_config(const Json& in);
  void config(const Json& in);
  bool sampling(const std::string& key, const Json& value, const std::string& where);
  bool format(const std::string& key, const Json& value, const std::string& where);
  void thinking(const Json& in);
  void stop(const Json& list);
  void field(const std::string& name, const std::string& key, const Json& value);

  ChatRequest out_;
  std::optional<Error> error_;
  std::vector<std::pair<std::string, std::string>> open_calls_;  // id, function: not yet answered
  int64_t calls_ = 0;
};

std::string Decoder::text(const Json& object, const char* key, const std::string& where) {
  const Json* value = find(object, key);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  fail(where + "." + key, "a string");
  return {};
}

void Decoder::number(const Json& value, const std::string& where, double least, double most,
                     std::optional<double>& out) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= least && number <= most))
    return fail(where, "a number between " + std::to_string(static_cast<int>(least)) + " and " +
                           std::to_string(static_cast<int>(most)));
  out = number;
}

/// Google's clients write some integers as floats (topK: 40.0).
template <class Int>
void Decoder::integer(const Json& value, const std::string& where, int64_t least, int64_t most,
                      std::optional<Int>& out) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most)) || number != std::floor(number))
    return fail(where, "an integer between " + std::to_string(least) + " and " + std::to_string(most));
  out = static_cast<Int>(value.is_number_integer() ? value.get<int64_t>() : static_cast<int64_t>(number));
}

bool Decoder::boolean(const Json& value, const std::string& where) {
  if (!value.is_boolean()) fail(where, "a boolean");
  return value.is_boolean() && value.get<bool>();
}

/// A signature that was made for this protocol by gemini_signature() is told by what it says when decoded.
void Decoder::sign(const Json& in, Part& part) {
  std::string signature = text(in, "thoughtSignature", "parts");
  if (signature.empty()) return;
  std::string standard = signature;
  std::replace(standard.begin(), standard.end(), '-', '+');
  std::replace(standard.begin(), standard.end(), '_', '/');
  part.signer = Signer::gemini;
  std::string plain;
  if (decode_base64(standard, plain) && plain.starts_with("weir")) {
    const bool redacted = plain.starts_with(kRedacted);
    signature = unwrap_signature(redacted ? std::string_view(plain).substr(kRedacted.size()) : plain, Signer::gemini,
                                 part.signer);
    if (redacted) {
      part.kind = Part::Kind::reasoning;
      part.redacted = std::move(signature);
      return;
    }
  }
  part.signature = std::move(signature);
}

void Decoder::media(const Json& blob, bool inline_data, const std::string& where, Message& message) {
  Part part;
  part.media.mime = text(blob, "mimeType", where);
  part.media.name = text(blob, "displayName", where);
  const std::string_view mime = part.media.mime;
  part.kind = mime.starts_with("image/")   ? Part::Kind::image
              : mime.starts_with("audio/") ? Part::Kind::audio
                                           : Part::Kind::file;
  if (inline_data) {
    part.media.data = text(blob, "data", where);
    if (part.media.data.empty()) fail(where + ".data", "given");
  } else {
    std::string uri = text(blob, "fileUri", where);
    if (uri.empty()) fail(where + ".fileUri", "given");
    const bool googles = uri.starts_with("gs://") || uri.starts_with("https://generativelanguage.googleapis.com/");
    (googles ? part.media.file_id : part.media.url) = std::move(uri);
  }
  message.parts.push_back(std::move(part));
}

/// Calls need ids wherever else they go: those without get one by their place in the conversation.
void Decoder::call(const Json& in, const Json& whole, const std::string& where, Message& message) {
  ToolCall call;
  call.name = text(in, "name", where);
  if (call.name.empty()) fail(where + ".name", "given");
  call.id = text(in, "id", where);
  if (call.id.empty()) call.id = "call_" + std::to_string(calls_);
  ++calls_;
  const Json* arguments = find(in, "args");
  if (arguments != nullptr && !arguments->is_object()) fail(where + ".args", "an object");
  call.arguments = arguments == nullptr ? "{}" : arguments->dump(-1, ' ', false, Json::error_handler_t::replace);
  open_calls_.emplace_back(call.id, call.name);
  Part part = Part::of_call(std::move(call));
  sign(whole, part);
  message.parts.push_back(std::move(part));
}

/// A result belongs to the call with its id, else to the first of its function that has no result yet.
void Decoder::result(const Json& in, const std::string& where) {
  Message message;
  message.role = Role::tool;
  message.name = text(in, "name", where);
  message.tool_call_id = text(in, "id", where);
  const auto match = std::find_if(open_calls_.begin(), open_calls_.end(), [&](const auto& open) {
    return message.tool_call_id.empty() ? open.second == message.name : open.first == message.tool_call_id;
  });
  if (match == open_calls_.end() && message.tool_call_id.empty())
    return fail(where, "the result of an earlier functionCall");
  if (match != open_calls_.end()) {
    message.tool_call_id = match->first;
    open_calls_.erase(match);
  }
  const Json* response = find(in, "response");
  if (response != nullptr && !response->is_object()) return fail(where + ".response", "an object");
  std::string words = "{}";
  if (response != nullptr) {
    // {"result": "…"} and {"error": "…"} are the forms that Google names for what is only text.
    const Json* only = response->size() == 1 ? &response->begin().value() : nullptr;
    const std::string key = only == nullptr ? std::string() : response->begin().key();
    message.tool_failed = key == "error";
    const bool wrapped = only != nullptr && only->is_string() && (key == "result" || key == "output" || key == "error");
    words = wrapped ? only->get<std::string>() : response->dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  message.parts.push_back(Part::of_text(std::move(words)));
  if (const Json* parts = find(in, "parts"))
    for (const Json& one : as_list(*parts)) {
      if (const Json* blob = find(one, "inlineData")) media(*blob, true, where + ".parts.inlineData", message);
      if (const Json* blob = find(one, "fileData")) media(*blob, false, where + ".parts.fileData", message);
    }
  out_.messages.push_back(std::move(message));
}

void Decoder::part(const Json& in, const std::string& where, Message& message) {
  if (!in.is_object()) return fail(where, "an object");
  if (const Json* words = find(in, "text")) {
    if (!words->is_string()) return fail(where + ".text", "a string");
    Part part = Part::of_text(words->get<std::string>());
    const Json* thought = find(in, "thought");
    if (thought != nullptr && boolean(*thought, where + ".thought")) part.kind = Part::Kind::reasoning;
    sign(in, part);
    message.parts.push_back(std::move(part));
  } else if (const Json* blob = find(in, "inlineData")) {
    media(*blob, true, where + ".inlineData", message);
  } else if (const Json* file = find(in, "fileData")) {
    media(*file, false, where + ".fileData", message);
  } else if (const Json* function = find(in, "functionCall")) {
    call(*function, in, where + ".functionCall", message);
  } else if (const Json* code = find(in, "executableCode")) {
    message.parts.push_back(Part::of_text("```python\n" + text(*code, "code", where) + "\n```\n"));
  } else if (const Json* output = find(in, "codeExecutionResult")) {
    message.parts.push_back(Part::of_text("```output\n" + text(*output, "output", where) + "\n```\n"));
  }
  for (const char* beside : {"videoMetadata", "mediaResolution"})
    if (const Json* value = find(in, beside)) out_.unmodelled[where + "." + beside] = *value;
}

void Decoder::content(const Json& in, const std::string& where) {
  if (!in.is_object()) return fail(where, "an object");
  const std::string role = text(in, "role", where);
  Message message;
  message.role = role == "model" ? Role::assistant : Role::user;
  if (!role.empty() && role != "user" && role != "model" && role != "function" && role != "tool" && role != "system")
    return fail(where + ".role", "user or model");
  if (role == "system") message.role = Role::system;
  const Json* parts = find(in, "parts");
  if (parts == nullptr) return;
  size_t index = 0;
  for (const Json& one : as_list(*parts)) {
    const std::string at = where + ".parts[" + std::to_string(index++) + "]";
    const Json* response = find(one, "functionResponse");
    if (response == nullptr) {
      part(one, at, message);
      continue;
    }
    if (!message.parts.empty()) {
      out_.messages.push_back(message);
      message.parts.clear();
    }
    result(*response, at + ".functionResponse");
  }
  if (!message.parts.empty()) out_.messages.push_back(std::move(message));
}

void Decoder::contents(const Json& value) {
  if (value.is_string()) {
    Message message;
    message.parts.push_back(Part::of_text(value.get<std::string>()));
    out_.messages.push_back(std::move(message));
    return;
  }
  const Json list = as_list(value);
  if (list.empty()) return fail("contents", "an array of at least one content");
  for (size_t i = 0; i < list.size() && !error_; ++i) content(list[i], "contents[" + std::to_string(i) + "]");
}

void Decoder::system(const Json& in) {
  Message message;
  message.role = Role::system;
  if (in.is_string()) {
    message.parts.push_back(Part::of_text(in.get<std::string>()));
  } else {
    const Json* parts = find(in, "parts");
    if (parts == nullptr) return fail("systemInstruction", "a content with parts");
    size_t index = 0;
    for (const Json& one : as_list(*parts))
      part(one, "systemInstruction.parts[" + std::to_string(index++) + "]", message);
  }
  // First, whatever the order of the fields.
  if (!message.parts.empty()) out_.messages.insert(out_.messages.begin(), std::move(message));
}

void Decoder::functions(const Json& list, const std::string& where) {
  size_t index = 0;
  for (const Json& one : as_list(list)) {
    const std::string at = where + "[" + std::to_string(index++) + "]";
    Tool tool;
    tool.name = text(one, "name", at);
    if (tool.name.empty()) return fail(at + ".name", "given");
    tool.description = text(one, "description", at);
    if (const Json* schema = find(one, "parametersJsonSchema"))
      tool.parameters = *schema;
    else if (const Json* openapi = find(one, "parameters"))
      tool.parameters = json_schema_of_gemini(*openapi);
    for (const char* beside : {"response", "responseJsonSchema", "behavior"})
      if (const Json* value = find(one, beside)) out_.unmodelled[at + "." + beside] = *value;
    out_.tools.push_back(std::move(tool));
  }
}

void Decoder::tools(const Json& list) {
  size_t index = 0;
  for (const Json& one : as_list(list)) {
    const std::string at = "tools[" + std::to_string(index++) + "]";
    if (!one.is_object()) return fail(at, "an object");
    for (const auto& [key, value] : one.items()) {
      if (value.is_null()) continue;
      if (camel(key) == "functionDeclarations") {
        functions(value, at + ".functionDeclarations");
        continue;
      }
      Tool tool;
      tool.native = Json::object();
      tool.native[camel(key)] = value;
      tool.native_of = Protocol::gemini_generate;
      out_.tools.push_back(std::move(tool));
    }
  }
}

void Decoder::tool_config(const Json& in) {
  if (!in.is_object()) return fail("toolConfig", "an object");
  for (const auto& [key, value] : in.items())
    if (camel(key) != "functionCallingConfig" && !value.is_null()) out_.unmodelled["toolConfig." + camel(key)] = value;
  const Json* calling = find(in, "functionCallingConfig");
  if (calling == nullptr) return;
  const std::string where = "toolConfig.functionCallingConfig";
  const std::string mode = text(*calling, "mode", where);
  const Json* allowed = find(*calling, "allowedFunctionNames");
  const Json names = allowed == nullptr ? Json::array() : as_list(*allowed);
  if (mode == "AUTO") {
    out_.tool_choice.kind = ToolChoice::Kind::automatic;
  } else if (mode == "VALIDATED") {
    out_.tool_choice.kind = ToolChoice::Kind::automatic;
    for (Tool& tool : out_.tools)
      if (tool.native.is_null()) tool.strict = true;
  } else if (mode == "NONE") {
    out_.tool_choice.kind = ToolChoice::Kind::none;
  } else if (mode == "ANY") {
    const bool one = names.size() == 1 && names[0].is_string();
    out_.tool_choice.kind = one ? ToolChoice::Kind::named : ToolChoice::Kind::required;
    if (one) out_.tool_choice.name = names[0].get<std::string>();
  } else if (!mode.empty() && mode != "MODE_UNSPECIFIED") {
    return fail(where + ".mode", "AUTO, ANY, NONE or VALIDATED");
  }
  if (names.size() > 1 || (names.size() == 1 && mode != "ANY"))
    out_.unmodelled[where + ".allowedFunctionNames"] = names;
}

void Decoder::stop(const Json& value) {
  const Json list = as_list(value);
  if (list.size() > kStopStringsMax) return fail("generationConfig.stopSequences", "an array of at most 16 strings");
  for (const Json& one : list) {
    if (!one.is_string() || one.get_ref<const std::string&>().size() > kStopBytesMax)
      return fail("generationConfig.stopSequences", "strings of at most 256 bytes");
    if (!one.get_ref<const std::string&>().empty()) out_.stop.push_back(one.get<std::string>());
  }
}

void Decoder::thinking(const Json& in) {
  const std::string where = "generationConfig.thinkingConfig";
  if (!in.is_object()) return fail(where, "an object");
  if (const Json* show = find(in, "includeThoughts")) out_.reasoning.show = boolean(*show, where + ".includeThoughts");
  if (const Json* budget = find(in, "thinkingBudget")) {
    integer(*budget, where + ".thinkingBudget", -1, 1'000'000, out_.reasoning.budget_tokens);
    out_.reasoning.enabled = out_.reasoning.budget_tokens != 0;
  }
  const std::string level = lower(text(in, "thinkingLevel", where));
  if (!level.empty() && !level.ends_with("unspecified")) out_.reasoning.effort = level;
}

bool Decoder::sampling(const std::string& key, const Json& value, const std::string& where) {
  if (key == "temperature") return number(value, where, 0, 2, out_.temperature), true;
  if (key == "topP") return number(value, where, 0, 1, out_.top_p), true;
  if (key == "topK") return integer(value, where, 0, INT32_MAX, out_.top_k), true;
  if (key == "presencePenalty") return number(value, where, -2, 2, out_.presence_penalty), true;
  if (key == "frequencyPenalty") return number(value, where, -2, 2, out_.frequency_penalty), true;
  if (key == "maxOutputTokens") return integer(value, where, 1, INT32_MAX, out_.output_tokens_max), true;
  if (key == "seed") return integer(value, where, INT32_MIN, INT32_MAX, out_.seed), true;
  if (key == "stopSequences") return stop(value), true;
  if (key == "responseLogprobs") return out_.logprobs = boolean(value, where), true;
  std::optional<int32_t> count;
  if (key == "candidateCount") {
    integer(value, where, 1, kChoicesMax, count);
    out_.n = count.value_or(1);
    return true;
  }
  if (key != "logprobs") return false;
  integer(value, where, 0, 20, count);
  out_.top_logprobs = count.value_or(0);
  return true;
}

bool Decoder::format(const std::string& key, const Json& value, const std::string& where) {
  ResponseFormat& format = out_.response_format;
  if (key == "responseMimeType") {
    if (value == "application/json" && format.kind == ResponseFormat::Kind::text)
      format.kind = ResponseFormat::Kind::json_object;
    else if (value != "text/plain" && value != "application/json")
      out_.unmodelled[where] = value;
    return true;
  }
  if (key != "responseSchema" && key != "responseJsonSchema") return false;
  if (!value.is_object()) return fail(where, "an object"), true;
  format.kind = ResponseFormat::Kind::json_schema;
  format.name = "response";
  format.schema = key == "responseSchema" ? json_schema_of_gemini(value) : value;
  return true;
}

void Decoder::config(const Json& in) {
  if (!in.is_object()) return fail("generationConfig", "an object");
  for (const auto& [name, value] : in.items()) {
    if (value.is_null()) continue;
    const std::string key = camel(name);
    const std::string where = "generationConfig." + key;
    if (sampling(key, value, where) || format(key, value, where)) continue;
    if (key == "thinkingConfig")
      thinking(value);
    else if (key != "responseModalities" || as_list(value) != Json::array({"TEXT"}))
      out_.unmodelled[where] = value;
  }
}

void Decoder::field(const std::string& name, const std::string& key, const Json& value) {
  if (name == "contents" || name == "systemInstruction" || name == "toolConfig" || name == "model") return;
  if (name == "tools") return tools(value);
  if (name == "generationConfig") return config(value);
  if (name == "labels") {
    out_.metadata = value;
  } else if (name == "serviceTier") {
    if (value.is_string() && value != "unspecified") out_.service_tier = lower(value.get<std::string>());
  } else if (name == "safetySettings" || name == "cachedContent" || name == "modelArmorConfig" || name == "store") {
    out_.unmodelled[name] = value;
  } else {
    out_.extensions[key] = value;
  }
}

Result<ChatRequest> Decoder::run(const Json& body) {
  out_.protocol = Protocol::gemini_generate;
  const Json* list = find(body, "contents");
  if (list == nullptr) return bad_request("contents", "contents: is missing");
  contents(*list);
  for (const auto& [key, value] : body.items())
    if (!value.is_null()) field(camel(key), key, value);
  if (const Json* instruction = find(body, "systemInstruction")) system(*instruction);
  if (const Json* choice = find(body, "toolConfig")) tool_config(*choice);
  if (out_.messages.empty()) fail("contents", "an array of at least one content with parts");
  if (error_) return std::move(*error_);
  return std::move(out_);
}

}  // namespace

std::string gemini_signature(const ChatEvent& event) {
  if (!event.redacted.empty())
    return encode_base64(std::string(kRedacted) + wrap_signature(event.redacted, event.signer, Signer::gemini));
  if (event.signer == Signer::gemini) return event.signature;
  return encode_base64(wrap_signature(event.signature, event.signer, Signer::gemini));
}

Result<ChatRequest> decode_gemini(std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return bad_request("", "the request body is not a JSON object");
  return Decoder().run(json);
}

}  // namespace weir::gateway
