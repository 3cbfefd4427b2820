#include "gateway/api/gemini_fields.h"

#include <cmath>

#include "gateway/api/errors.h"
#include "gateway/api/other_members.h"
#include "providers/gemini_schema.h"

namespace weir::gateway {

using namespace providers;

/// "system_instruction" as "systemInstruction".
const Json* find_field(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  for (const auto& [key, value] : object.items())
    if (key == name || camel(key) == name) return value.is_null() ? nullptr : &value;
  return nullptr;
}

/// Google takes a lone object where a list of them is meant.
Json as_list(const Json& value) {
  return value.is_array() ? value : Json::array({value});
}

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

void GeminiFields::fail(const std::string& param, std::string_view expected) {
  if (!error) error = bad_request(param, param + ": must be " + std::string(expected));
}

std::string GeminiFields::text(const Json& object, const char* key, const std::string& where) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  if (!error) error = wrong_type(where + "." + key, "a string", *value);
  return {};
}

bool GeminiFields::boolean(const Json& value, const std::string& where) {
  if (!value.is_boolean() && !error) error = wrong_type(where, "a boolean", value);
  return value.is_boolean() && value.get<bool>();
}

namespace {

constexpr int32_t kChoicesMax = 8;  // candidateCount's
constexpr size_t kStopStringsMax = 16;
constexpr size_t kStopBytesMax = 256;

class ConfigReader {
 public:
  ConfigReader(ChatRequest& out, GeminiFields& fields) : out_(out), fields_(fields) {}
  void tools(const Json& list);
  void tool_config(const Json& in);
  void config(const Json& in);

 private:
  void fail(const std::string& param, std::string_view expected) { fields_.fail(param, expected); }
  std::string text(const Json& object, const char* key, const std::string& where) {
    return fields_.text(object, key, where);
  }
  bool boolean(const Json& value, const std::string& where) { return fields_.boolean(value, where); }
  void number(const Json& value, const std::string& where, double least, double most, std::optional<double>& out);
  template <class Int>
  void integer(const Json& value, const std::string& where, int64_t least, int64_t most, std::optional<Int>& out);
  void functions(const Json& list, const std::string& where);
  bool sampling(const std::string& key, const Json& value, const std::string& where);
  bool format(const std::string& key, const Json& value, const std::string& where);
  void thinking(const Json& in);
  void stop(const Json& list);

  ChatRequest& out_;
  GeminiFields& fields_;
};

void ConfigReader::number(const Json& value, const std::string& where, double least, double most,
                          std::optional<double>& out) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= least && number <= most))
    return fail(where, "a number between " + std::to_string(static_cast<int>(least)) + " and " +
                           std::to_string(static_cast<int>(most)));
  out = number;
}

/// Google's clients write some integers as floats (topK: 40.0).
template <class Int>
void ConfigReader::integer(const Json& value, const std::string& where, int64_t least, int64_t most,
                           std::optional<Int>& out) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most)) || number != std::floor(number))
    return fail(where, "an integer between " + std::to_string(least) + " and " + std::to_string(most));
  out = static_cast<Int>(value.is_number_integer() ? value.get<int64_t>() : static_cast<int64_t>(number));
}

void ConfigReader::functions(const Json& list, const std::string& where) {
  size_t index = 0;
  for (const Json& one : as_list(list)) {
    const std::string at = where + "[" + std::to_string(index++) + "]";
    Tool tool;
    tool.name = text(one, "name", at);
    if (tool.name.empty()) return fail(at + ".name", "given");
    tool.description = text(one, "description", at);
    if (const Json* schema = find_field(one, "parametersJsonSchema"))
      tool.parameters = *schema;
    else if (const Json* openapi = find_field(one, "parameters"))
      tool.parameters = json_schema_of_gemini(*openapi);
    for (const char* beside : {"response", "responseJsonSchema", "behavior"})
      if (const Json* value = find_field(one, beside)) keep_unmodelled(at + "." + beside, *value, out_);
    out_.tools.push_back(std::move(tool));
  }
}

void ConfigReader::tools(const Json& list) {
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

void ConfigReader::tool_config(const Json& in) {
  if (!in.is_object()) return fail("toolConfig", "an object");
  for (const auto& [key, value] : in.items())
    if (camel(key) != "functionCallingConfig" && !value.is_null())
      keep_unmodelled("toolConfig." + camel(key), value, out_);
  const Json* calling = find_field(in, "functionCallingConfig");
  if (calling == nullptr) return;
  const std::string where = "toolConfig.functionCallingConfig";
  const std::string mode = text(*calling, "mode", where);
  const Json* allowed = find_field(*calling, "allowedFunctionNames");
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

void ConfigReader::stop(const Json& value) {
  const Json list = as_list(value);
  if (list.size() > kStopStringsMax) return fail("generationConfig.stopSequences", "an array of at most 16 strings");
  for (const Json& one : list) {
    if (!one.is_string() || one.get_ref<const std::string&>().size() > kStopBytesMax)
      return fail("generationConfig.stopSequences", "strings of at most 256 bytes");
    if (!one.get_ref<const std::string&>().empty()) out_.stop.push_back(one.get<std::string>());
  }
}

void ConfigReader::thinking(const Json& in) {
  const std::string where = "generationConfig.thinkingConfig";
  if (!in.is_object()) return fail(where, "an object");
  if (const Json* show = find_field(in, "includeThoughts"))
    out_.reasoning.show = boolean(*show, where + ".includeThoughts");
  if (const Json* budget = find_field(in, "thinkingBudget")) {
    integer(*budget, where + ".thinkingBudget", -1, 1'000'000, out_.reasoning.budget_tokens);
    out_.reasoning.enabled = out_.reasoning.budget_tokens != 0;
  }
  const std::string level = lower_case(text(in, "thinkingLevel", where));
  if (!level.empty() && !level.ends_with("unspecified")) out_.reasoning.effort = level;
}

bool ConfigReader::sampling(const std::string& key, const Json& value, const std::string& where) {
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

bool ConfigReader::format(const std::string& key, const Json& value, const std::string& where) {
  ResponseFormat& format = out_.response_format;
  if (key == "responseMimeType") {
    const std::string mime = value.is_string() ? value.get<std::string>() : std::string();
    if (mime == "application/json" && format.kind == ResponseFormat::Kind::text)
      format.kind = ResponseFormat::Kind::json_object;
    else if (mime != "application/json" && mime != "text/plain")
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

void ConfigReader::config(const Json& in) {
  if (!in.is_object()) return fail("generationConfig", "an object");
  for (const auto& [name, value] : in.items()) {
    if (value.is_null()) continue;
    const std::string key = camel(name);
    const std::string where = "generationConfig." + key;
    if (sampling(key, value, where) || format(key, value, where)) continue;
    if (key == "thinkingConfig")
      thinking(value);
    else if (key != "responseModalities" || as_list(value) != Json::array({"TEXT"}))
      keep_unmodelled(where, value, out_);
  }
}

}  // namespace

void decode_gemini_tools(const Json& list, ChatRequest& out, GeminiFields& fields) {
  ConfigReader(out, fields).tools(list);
}

void decode_gemini_tool_choice(const Json& in, ChatRequest& out, GeminiFields& fields) {
  ConfigReader(out, fields).tool_config(in);
}

void decode_gemini_config(const Json& in, ChatRequest& out, GeminiFields& fields) {
  ConfigReader(out, fields).config(in);
}

}  // namespace weir::gateway
