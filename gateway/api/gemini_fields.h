// Reading Gemini's JSON, where names come in camelCase or snake_case and a lone object may stand for a list. Internal
// to the Gemini client protocol; lives as long as one call's decoding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "providers/chat.h"
#include "providers/gemini.h"

namespace weir::gateway {

using providers::camel;
/// The member in either spelling; nullptr: absent, null, or `object` is none.
const providers::Json* find_field(const providers::Json& object, std::string_view name);
/// Google takes a lone object where a list of them is meant.
providers::Json as_list(const providers::Json& value);
std::string lower_case(std::string text);

/// The first mistake stays.
struct GeminiFields {
  std::optional<Error> error;

  void fail(const std::string& param, std::string_view expected);
  std::string text(const providers::Json& object, const char* key, const std::string& where);
  bool boolean(const providers::Json& value, const std::string& where);
};

void decode_gemini_tools(const providers::Json& list, providers::ChatRequest& out, GeminiFields& fields);
/// toolConfig. REQUIRES: the tools are decoded.
void decode_gemini_tool_choice(const providers::Json& in, providers::ChatRequest& out, GeminiFields& fields);
/// generationConfig.
void decode_gemini_config(const providers::Json& in, providers::ChatRequest& out, GeminiFields& fields);

}  // namespace weir::gateway
