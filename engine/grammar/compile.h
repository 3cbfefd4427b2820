// From what a client asks for to a grammar: a JSON object, a JSON Schema, a regular expression, one of some texts; or
// calls of tools in the form that the model's chat template taught it; or an answer or calls. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/base/json.h"
#include "config/base/result.h"
#include "engine/grammar/grammar.h"
#include "engine/text/tool_parse.h"

namespace weir::engine::grammar {

/// A tool that may be called.
struct ToolShape {
  std::string name;
  nlohmann::ordered_json parameters;  // JSON Schema of the arguments; null: there are none
  std::string place;                  // of the schema in the request, for errors
};

struct Source {
  enum class Answer : uint8_t { none, json_object, json_schema, regex, choice };
  Answer answer = Answer::none;
  nlohmann::ordered_json schema;     // json_schema
  std::string regex;                 // the whole answer
  std::vector<std::string> choices;  // the answer is one of them
  std::string place;                 // of schema, regex or choices in the request, for errors
  bool continues_text = false;       // as GenerateRequest's: a blank at the beginning shows

  std::vector<ToolShape> tools;  // not empty: the answer may be calls; without an `answer` it is
  ToolCallStyle style = ToolCallStyle::none;
  int32_t calls_max = 1;

  /// An Error where a schema is nested too deep to be walked. REQUIRED of all else that is done with it.
  Result<void> check() const;
  /// The same sources give the same text.
  std::string key() const;
};

/// The Error for what is asked at `path` of the request.
Error refused(const std::string& path, const std::string& what);

/// Calls of one answer, at most.
inline constexpr int32_t kCallsMax = 16;

/// Errors: bad_request; `param` and the detail name the place.
Result<std::shared_ptr<const Grammar>> compile(std::shared_ptr<const Vocabulary> vocabulary, const Source& source);

}  // namespace weir::engine::grammar
