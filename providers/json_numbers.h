// Numbers of JSON texts that neither 64 bits nor a double keep as they are written: 20000000000000000000, which is 20
// ETH in wei and a tool's argument like any other, 1.10, 1e400. RFC 8259 section 6 sets no bounds to them; readers do.
// Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace weir::providers {

/// Numbers as they are written, in the order of the text. Of no text: none.
class NumberTexts {
 public:
  /// REQUIRES: `json` outlives this.
  explicit NumberTexts(std::string_view json) : json_(json) {}
  /// Empty: none is left.
  std::string_view next();
  bool none() const { return at_ >= json_.size(); }

 private:
  std::string_view json_;
  size_t at_ = 0;
};

/// By the grammar of RFC 8259 section 6.
bool is_json_number(std::string_view text);

/// Has the text a number that readers take for a double?
bool has_real(std::string_view json);

/// Puts the double that is nearest in the place of each number that readers refuse: an integer of more than 64 bits,
/// and what is larger than any double. There are as many numbers as before, in the same order.
void round_numbers(std::string& json);

/// The number `read`, where `text` is what json_text() makes of it; else a value that json_text() writes as `text`.
/// That is of the type `binary`, which no JSON text has: nobody can send one, and it reads as no number.
nlohmann::ordered_json number_as_written(nlohmann::ordered_json read, std::string_view text);

/// Puts into `tree`, which was read from `text`, the numbers as written of what tools are given and give: the `input`
/// of a tool_use (Claude) and of a toolUse (Bedrock), the `args` and `response` of Gemini's functions. What stands
/// elsewhere is read as a number by somebody.
void keep_call_numbers(std::string_view text, nlohmann::ordered_json& tree);

}  // namespace weir::providers
