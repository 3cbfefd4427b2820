// Schemas of tools and of structured output, between JSON Schema (draft 2020-12) and the subset of OpenAPI 3.0 that
// Gemini's `Schema` is (https://ai.google.dev/api/caching#Schema). Pure.
#pragma once

#include <string>
#include <vector>

#include "providers/chat.h"

namespace weir::providers {

/// As Gemini's Schema: types in capitals, null as `nullable`, `const` as an enum of one, oneOf as anyOf, references
/// replaced by what they name. What only annotates is left out; `lost` names the keywords whose meaning it cannot hold
/// ("not", "$ref" that names itself). Nesting beyond 32 levels is lost too.
Json gemini_schema(const Json& json_schema, std::vector<std::string>& lost);

/// The opposite: types in small letters, `nullable` as a type of its own. Every Schema can be said.
Json json_schema_of_gemini(const Json& schema);

}  // namespace weir::providers
