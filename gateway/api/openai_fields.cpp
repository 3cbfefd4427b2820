#include "gateway/api/openai_fields.h"

#include <algorithm>
#include <charconv>

#include "gateway/api/errors.h"

namespace weir::gateway {
namespace {

using providers::ChatRequest;
using providers::Json;

constexpr size_t kStopStringsMax = 16;
constexpr size_t kStopBytesMax = 256;
constexpr size_t kLogitBiasMax = 1024;

constexpr std::string_view kSamplingFields[] = {"temperature",        "top_p",      "presence_penalty",
                                                "frequency_penalty",  "seed",       "stop",
                                                "logit_bias",         "top_k",      "min_p",
                                                "repetition_penalty", "ignore_eos", "chat_template_kwargs"};

std::string bound(double value) {
  return std::to_string(static_cast<int64_t>(value));
}

void read_stop(FieldReader& reader, ChatRequest& out) {
  const Json* value = reader.find("stop");
  if (value == nullptr) return;
  Json list = Json::array();
  if (value->is_string())
    list.push_back(*value);
  else
    list = *value;
  if (!list.is_array() || list.size() > kStopStringsMax)
    return reader.fail("stop", "a string or an array of at most 16 strings");
  for (const Json& one : list) {
    if (!one.is_string() || one.get_ref<const std::string&>().size() > kStopBytesMax)
      return reader.fail("stop", "strings of at most 256 bytes");
    if (!one.get_ref<const std::string&>().empty()) out.stop.push_back(one.get<std::string>());
  }
}

void read_logit_bias(FieldReader& reader, ChatRequest& out) {
  const Json* value = reader.find("logit_bias");
  if (value == nullptr) return;
  if (!value->is_object() || value->size() > kLogitBiasMax)
    return reader.fail("logit_bias", "an object of at most 1024 tokens");
  for (const auto& [key, bias] : value->items()) {
    int32_t token = 0;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), token);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size() || token < 0 || !bias.is_number())
      return reader.fail("logit_bias", "an object from token ids to numbers");
    out.logit_bias.emplace_back(token, bias.get<double>());
  }
}

}  // namespace

void FieldReader::fail(const std::string& param, std::string_view expected) {
  if (!error_) error_ = bad_request(param, param + ": must be " + std::string(expected));
}

void FieldReader::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

const Json* FieldReader::find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string FieldReader::text(const Json& object, const char* key, const std::string& where) {
  const Json* value = find(object, key);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  fail(wrong_type(where.empty() ? std::string(key) : where + "." + key, "a string", *value));
  return {};
}

void FieldReader::number(const char* key, double least, double most, std::optional<double>& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_number()) return fail(wrong_type(key, "a number", *value));
  const double number = value->get<double>();
  if (!(number >= least && number <= most)) return fail(key, "between " + bound(least) + " and " + bound(most));
  out = number;
}

void FieldReader::integer(const char* key, int64_t least, int64_t most, std::optional<int64_t>& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_number_integer()) return fail(wrong_type(key, "an integer", *value));
  const bool beyond = value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = beyond ? 0 : value->get<int64_t>();
  if (beyond || number < least || number > most)
    return fail(key, "between " + std::to_string(least) + " and " + std::to_string(most));
  out = number;
}

void FieldReader::boolean(const char* key, bool& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return fail(wrong_type(key, "a boolean", *value));
  out = value->get<bool>();
}

void read_sampling(FieldReader& reader, ChatRequest& out) {
  reader.number("temperature", 0, 2, out.temperature);
  reader.number("top_p", 0, 1, out.top_p);
  reader.number("min_p", 0, 1, out.min_p);
  reader.number("presence_penalty", -2, 2, out.presence_penalty);
  reader.number("frequency_penalty", -2, 2, out.frequency_penalty);
  reader.number("repetition_penalty", 0, 10, out.repetition_penalty);
  reader.integer("seed", INT64_MIN, INT64_MAX, out.seed);
  std::optional<int64_t> top_k;
  reader.integer("top_k", -1, INT32_MAX, top_k);
  if (top_k) out.top_k = static_cast<int32_t>(std::max<int64_t>(*top_k, 0));  // −1 is vLLM's "off"
  reader.boolean("ignore_eos", out.ignore_eos);
  read_stop(reader, out);
  read_logit_bias(reader, out);
  if (const Json* arguments = reader.find("chat_template_kwargs")) {
    if (!arguments->is_object()) return reader.fail("chat_template_kwargs", "an object");
    out.template_arguments = *arguments;
  }
}

void keep_extensions(const FieldReader& reader, std::span<const std::string_view> known, ChatRequest& out) {
  for (const auto& [name, value] : reader.body().items()) {
    if (value.is_null() || std::find(known.begin(), known.end(), name) != known.end()) continue;
    if (std::find(std::begin(kSamplingFields), std::end(kSamplingFields), name) != std::end(kSamplingFields)) continue;
    out.extensions[name] = value;
  }
}

Json bytes_json(const std::string& bytes) {
  Json array = Json::array();
  for (const char c : bytes) array.push_back(static_cast<unsigned char>(c));
  return array;
}

std::string with_cost(std::string object, NanoUsd cost) {
  if (!object.empty()) object.pop_back();
  return object.append(R"(,"cost_usd":)").append(to_decimal_usd(cost)).append("}");
}

int64_t code_points(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string_view id_tail(std::string_view request_id) {
  const size_t at = request_id.find_first_of("-_");
  return at == std::string_view::npos ? request_id : request_id.substr(at + 1);
}

}  // namespace weir::gateway
