#include "providers/json_numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "providers/json_fields.h"
#include "providers/json_text.h"

namespace weir::providers {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kDigits = "0123456789";
constexpr size_t kDigitsHeld = 18;  // any integer of these fits in 64 bits
constexpr int kCallDepthMax = 8;    // Gemini's calls are the deepest: [0].candidates[0].content.parts[0].functionCall
constexpr double kLargest = 1.7976931348623157e308;

bool is_whole(std::string_view number) {
  return number.find_first_of(".eE") == std::string_view::npos;
}

template <class Int>
bool fits(std::string_view number) {
  Int ignored{};
  return std::from_chars(number.data(), number.data() + number.size(), ignored).ec == std::errc();
}

/// What all readers take in a number's place; empty: they take it.
std::string rounded(std::string_view number) {
  const bool whole = is_whole(number);
  if ((whole && number.size() <= kDigitsHeld) || !is_json_number(number)) return {};
  const double value = std::strtod(std::string(number).c_str(), nullptr);
  if (std::isinf(value)) return Json(std::copysign(kLargest, value)).dump();
  const bool held = !whole || (number.front() == '-' ? fits<int64_t>(number) : fits<uint64_t>(number));
  return held ? std::string() : Json(value).dump();
}

/// Is `object`'s member `key` what a tool is given or gives? `name` is that of the member which the object is.
bool is_of_call(std::string_view name, const Json& object, std::string_view key) {
  if (key == "args") return name == "functionCall" || name == "function_call";
  if (key == "response") return name == "functionResponse" || name == "function_response";
  return key == "input" && (name == "toolUse" || text_of(object, "type").ends_with("tool_use"));
}

void find_calls(Json& within, std::string_view name, int depth,  // NOLINT(misc-no-recursion)
                std::vector<Json*>& out) {
  if (depth > kCallDepthMax) return;
  if (within.is_array())
    for (Json& one : within) find_calls(one, name, depth + 1, out);
  if (!within.is_object()) return;
  for (auto& [key, value] : within.get_ref<Json::object_t&>())
    if (is_of_call(name, within, key))
      out.push_back(&value);
    else
      find_calls(value, key, depth + 1, out);
}

std::vector<Json*> calls_in(Json& tree) {
  std::vector<Json*> out;
  find_calls(tree, {}, 0, out);
  return out;
}

bool holds_real(const Json& tree) {  // NOLINT(misc-no-recursion)
  if (tree.is_structured()) return std::any_of(tree.begin(), tree.end(), holds_real);
  return tree.is_number_float();
}

/// Of two trees of one text, of which `to` may lack what a reader left out.
void take_numbers(Json& to, const Json& written) {  // NOLINT(misc-no-recursion)
  if (to.is_number() && written.is_binary()) to = written;
  if (!to.is_structured() || to.type() != written.type() || to.size() != written.size()) return;
  for (auto [into, from] = std::pair(to.begin(), written.begin()); into != to.end(); ++into, ++from)
    take_numbers(*into, *from);
}

}  // namespace

std::string_view NumberTexts::next() {
  while (at_ < json_.size()) {
    const char c = json_[at_];
    const size_t from = at_;
    if (c == '"') {
      at_ = skip_string(json_, at_);
    } else if (c == '-' || kDigits.find(c) != std::string_view::npos) {
      at_ = std::min(json_.find_first_not_of("0123456789.eE+-", at_), json_.size());
      return json_.substr(from, at_ - from);
    } else {
      ++at_;
    }
  }
  return {};
}

bool is_json_number(std::string_view text) {
  const auto take = [&](std::string_view any) {
    const bool there = !text.empty() && any.find(text.front()) != std::string_view::npos;
    if (there) text.remove_prefix(1);
    return there;
  };
  const auto digits = [&] {
    const size_t count = std::min(text.find_first_not_of(kDigits), text.size());
    text.remove_prefix(count);
    return count > 0;
  };
  take("-");
  if (!take("0") && !digits()) return false;
  if (take(".") && !digits()) return false;
  if (take("eE")) {
    take("+-");
    if (!digits()) return false;
  }
  return text.empty();
}

bool has_real(std::string_view json) {
  NumberTexts numbers(json);
  for (std::string_view number = numbers.next(); !number.empty(); number = numbers.next())
    if (!is_whole(number)) return true;
  return false;
}

void round_numbers(std::string& json) {
  std::string out;
  size_t copied = 0;
  NumberTexts numbers(json);
  for (std::string_view number = numbers.next(); !number.empty(); number = numbers.next()) {
    const std::string instead = rounded(number);
    if (instead.empty()) continue;
    const auto at = static_cast<size_t>(number.data() - json.data());
    out.append(json, copied, at - copied).append(instead);
    copied = at + number.size();
  }
  if (copied > 0) json = out.append(json, copied);
}

Json number_as_written(Json read, std::string_view text) {
  if (text.empty() || json_text(read) == text) return read;
  return Json::binary(std::vector<uint8_t>(text.begin(), text.end()));
}

void keep_call_numbers(std::string_view text, Json& tree) {
  const std::vector<Json*> calls = calls_in(tree);
  if (std::none_of(calls.begin(), calls.end(), [](const Json* call) { return holds_real(*call); })) return;
  Json written = parse_written(text);
  const std::vector<Json*> same = calls_in(written);
  for (size_t i = 0; i < std::min(calls.size(), same.size()); ++i) take_numbers(*calls[i], *same[i]);
}

}  // namespace weir::providers
