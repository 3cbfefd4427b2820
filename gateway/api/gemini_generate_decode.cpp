#include <algorithm>
#include <unordered_map>

#include "gateway/api/errors.h"
#include "gateway/api/gemini_fields.h"
#include "gateway/api/gemini_generate.h"
#include "gateway/api/other_members.h"
#include "providers/base64.h"
#include "providers/json_numbers.h"
#include "providers/json_text.h"
#include "providers/media.h"
#include "providers/native_item.h"

namespace weir::gateway {
namespace {

using namespace providers;

constexpr std::string_view kRedacted = "weir-redacted:";

/// The calls that have no result yet, found by their id or their function: the first of several.
class OpenCalls {
 public:
  void add(const std::string& id, const std::string& function) {
    by_id_[id].places.push_back(ids_.size());
    by_function_[function].places.push_back(ids_.size());
    ids_.emplace_back(id);
  }
  std::optional<std::string> take_id(const std::string& id) { return take(by_id_, id); }
  std::optional<std::string> take_function(const std::string& function) { return take(by_function_, function); }

 private:
  struct Queue {
    std::vector<size_t> places;
    size_t begin = 0;
  };
  using Queues = std::unordered_map<std::string, Queue>;

  /// The id of the call that is no more open now.
  std::optional<std::string> take(Queues& queues, const std::string& key) {
    const auto found = queues.find(key);
    if (found == queues.end()) return {};
    Queue& queue = found->second;
    while (queue.begin < queue.places.size())
      if (auto& id = ids_[queue.places[queue.begin++]]) return std::exchange(id, std::nullopt);
    return {};
  }

  std::vector<std::optional<std::string>> ids_;  // in order; none: it has its result
  Queues by_id_;
  Queues by_function_;
};

class Decoder : GeminiFields {
 public:
  Result<ChatRequest> run(const Json& body);

 private:
  void contents(const Json& list);
  void content(const Json& in, const std::string& where);
  void part(const Json& in, const std::string& where, Message& message);
  bool item(const Json& in, const std::string& where, Message& message);
  void media(const Json& blob, bool inline_data, const std::string& where, Message& message);
  void sign(const Json& in, Part& part);
  void call(const Json& in, const Json& whole, const std::string& where, Message& message);
  void result(const Json& in, const std::string& where);
  void system(const Json& in);
  void field(const std::string& name, const std::string& key, const Json& value);
  void keep_others(const Json& in, const std::string& where, std::initializer_list<std::string_view> known);

  ChatRequest out_;
  OpenCalls open_calls_;
  int64_t calls_ = 0;
};

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
  keep_others(in, where, {"name", "id", "args"});
  const Json* arguments = find_field(in, "args");
  if (arguments != nullptr && !arguments->is_object()) fail(where + ".args", "an object");
  call.arguments = arguments == nullptr ? "{}" : json_text(*arguments);
  open_calls_.add(call.id, call.name);
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
  const bool has_id = !message.tool_call_id.empty();
  auto id = has_id ? open_calls_.take_id(message.tool_call_id) : open_calls_.take_function(message.name);
  if (!id && !has_id) return fail(where, "the result of an earlier functionCall");
  if (id) message.tool_call_id = std::move(*id);
  keep_others(in, where, {"name", "id", "response", "parts"});
  const Json* response = find_field(in, "response");
  if (response != nullptr && !response->is_object()) return fail(where + ".response", "an object");
  std::string words = "{}";
  if (response != nullptr) {
    // {"result": "…"} and {"error": "…"} are the forms that Google names for what is only text.
    const Json* only = response->size() == 1 ? &response->begin().value() : nullptr;
    const std::string key = only == nullptr ? std::string() : response->begin().key();
    message.tool_failed = key == "error";
    const bool wrapped = only != nullptr && only->is_string() && (key == "result" || key == "output" || key == "error");
    words = wrapped ? only->get<std::string>() : json_text(*response);
  }
  message.parts.push_back(Part::of_text(std::move(words)));
  if (const Json* parts = find_field(in, "parts"))
    for (const Json& one : as_list(*parts)) {
      if (!one.is_object()) return fail(where + ".parts", "a list of objects");
      if (const Json* blob = find_field(one, "inlineData")) media(*blob, true, where + ".parts.inlineData", message);
      if (const Json* blob = find_field(one, "fileData")) media(*blob, false, where + ".parts.fileData", message);
      keep_others(one, where + ".parts", {"inlineData", "fileData"});
    }
  out_.messages.push_back(std::move(message));
}

/// What a provider's own tool said. False: the part is something else.
bool Decoder::item(const Json& in, const std::string& where, Message& message) {
  const Json* given = find_field(in, "providerItem");
  if (given != nullptr && !is_native_item(*given))
    return fail(where + ".providerItem", R"(an object with type "FAMILY:TYPE" and item)"), true;
  const Json* signature = find_field(in, "thoughtSignature");
  const bool text = given == nullptr && signature != nullptr && signature->is_string();
  const Json item = given != nullptr ? *given : text ? item_of_signature(signature->get<std::string>()) : Json();
  if (item.is_null()) return false;
  message.parts.push_back(native_part(item));
  return true;
}

void Decoder::part(const Json& in, const std::string& where, Message& message) {
  if (!in.is_object()) return fail(where, "an object");
  if (item(in, where, message)) return;
  if (const Json* words = find_field(in, "text")) {
    if (!words->is_string()) return fail(where + ".text", "a string");
    Part part = Part::of_text(words->get<std::string>());
    const Json* thought = find_field(in, "thought");
    if (thought != nullptr && boolean(*thought, where + ".thought")) part.kind = Part::Kind::reasoning;
    sign(in, part);
    // A streamed thought comes back in the pieces it was sent in, and the last of them holds the signature of all.
    const bool goes_on = part.kind == Part::Kind::reasoning && part.redacted.empty() && !message.parts.empty() &&
                         message.parts.back().kind == Part::Kind::reasoning && message.parts.back().signature.empty() &&
                         message.parts.back().redacted.empty();
    if (goes_on) {
      part.text = std::move(message.parts.back().text) + part.text;
      message.parts.back() = std::move(part);
    } else {
      message.parts.push_back(std::move(part));
    }
  } else if (const Json* blob = find_field(in, "inlineData")) {
    media(*blob, true, where + ".inlineData", message);
  } else if (const Json* file = find_field(in, "fileData")) {
    media(*file, false, where + ".fileData", message);
  } else if (const Json* function = find_field(in, "functionCall")) {
    call(*function, in, where + ".functionCall", message);
  } else if (const Json* code = find_field(in, "executableCode")) {
    message.parts.push_back(Part::of_text("```python\n" + text(*code, "code", where) + "\n```\n"));
  } else if (const Json* output = find_field(in, "codeExecutionResult")) {
    message.parts.push_back(Part::of_text("```output\n" + text(*output, "output", where) + "\n```\n"));
  }
  keep_others(in, where,
              {"text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", "executableCode",
               "codeExecutionResult", "functionResponse"});
}

/// What an object has beside the members that are `known` here.
void Decoder::keep_others(const Json& in, const std::string& where, std::initializer_list<std::string_view> known) {
  if (!in.is_object()) return;
  for (const auto& [key, value] : in.items())
    if (!value.is_null() && std::find(known.begin(), known.end(), camel(key)) == known.end())
      keep_unmodelled(where + "." + camel(key), value, out_);
}

void Decoder::content(const Json& in, const std::string& where) {
  if (!in.is_object()) return fail(where, "an object");
  const std::string role = text(in, "role", where);
  Message message;
  message.role = role == "model" ? Role::assistant : Role::user;
  if (!role.empty() && role != "user" && role != "model" && role != "function" && role != "tool" && role != "system")
    return fail(where + ".role", "user or model");
  if (role == "system") message.role = Role::system;
  keep_others(in, where, {"role", "parts"});
  const Json* parts = find_field(in, "parts");
  if (parts == nullptr) return;
  size_t index = 0;
  for (const Json& one : as_list(*parts)) {
    const std::string at = where + ".parts[" + std::to_string(index++) + "]";
    const Json* response = find_field(one, "functionResponse");
    if (response == nullptr) {
      part(one, at, message);
      continue;
    }
    result(*response, at + ".functionResponse");
    keep_others(one, at, {"functionResponse", "thought", "thoughtSignature"});
  }
  // Behind the results, wherever it stood between them: elsewhere nothing may come between a call and its result.
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
  for (size_t i = 0; i < list.size() && !error; ++i) content(list[i], "contents[" + std::to_string(i) + "]");
}

void Decoder::system(const Json& in) {
  Message message;
  message.role = Role::system;
  if (in.is_string()) {
    message.parts.push_back(Part::of_text(in.get<std::string>()));
  } else {
    const Json* parts = find_field(in, "parts");
    if (parts == nullptr) return fail("systemInstruction", "a content with parts");
    size_t index = 0;
    for (const Json& one : as_list(*parts))
      part(one, "systemInstruction.parts[" + std::to_string(index++) + "]", message);
  }
  // First, whatever the order of the fields.
  if (!message.parts.empty()) out_.messages.insert(out_.messages.begin(), std::move(message));
}

void Decoder::field(const std::string& name, const std::string& key, const Json& value) {
  if (name == "contents" || name == "systemInstruction" || name == "toolConfig" || name == "model") return;
  if (name == "tools") return decode_gemini_tools(value, out_, *this);
  if (name == "generationConfig") return decode_gemini_config(value, out_, *this);
  if (name == "labels") {
    out_.metadata = value;
  } else if (name == "serviceTier") {
    if (value.is_string() && value != "unspecified") out_.service_tier = lower_case(value.get<std::string>());
  } else if (name == "safetySettings" || name == "cachedContent" || name == "modelArmorConfig" || name == "store") {
    out_.unmodelled[name] = value;
  } else {
    out_.extensions[key] = value;
  }
}

Result<ChatRequest> Decoder::run(const Json& body) {
  out_.protocol = Protocol::gemini_generate;
  const Json* list = find_field(body, "contents");
  if (list == nullptr) return bad_request("contents", "contents: is missing");
  contents(*list);
  for (const auto& [key, value] : body.items())
    if (!value.is_null()) field(camel(key), key, value);
  if (const Json* instruction = find_field(body, "systemInstruction")) system(*instruction);
  if (const Json* choice = find_field(body, "toolConfig")) decode_gemini_tool_choice(*choice, out_, *this);
  if (out_.messages.empty()) fail("contents", "an array of at least one content with parts");
  if (error) return std::move(*error);
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
  Json json = providers::parse_json(body);
  providers::keep_call_numbers(body, json);
  if (auto mistake = no_request(json)) return std::move(*mistake);
  return Decoder().run(json);
}

}  // namespace weir::gateway
