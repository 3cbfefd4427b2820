// Reading a few places of a JSON text without decoding the rest: what streams are made of by the thousand. Stateless
// but for one parser a thread.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "providers/json_text.h"

namespace weir::providers {

namespace od = simdjson::ondemand;

/// A copy of JSON text with the padding that simdjson needs, and its parser; one a thread, reused.
struct PaddedJson {
  std::string text;
  od::parser parser;
  od::document document;

  /// The root is read from `document`. False: not JSON.
  bool parse(std::string_view json);
};
PaddedJson& padded_json();

/// All of a JSON text, checked, as `parser` keeps it until its next call. What only simdjson refuses is read as
/// mended_json() has it. False: not JSON.
bool parse_dom(simdjson::dom::parser& parser, std::string_view json, simdjson::dom::element& root);

/// Position behind `"key":` at any depth of the text, or npos. A match inside a JSON string is preceded by a backslash.
size_t find_key(std::string_view text, std::string_view quoted_key);

/// The inside of the JSON string that follows `"key":`, as written; empty if there is none.
std::string_view string_after(std::string_view text, std::string_view quoted_key);

}  // namespace weir::providers
