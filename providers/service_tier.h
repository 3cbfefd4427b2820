// The tier of service that a call asks for and an answer was served at, in the terms that price lists name tiers by
// (config/prices.h): "flex", "priority", "fast+us"; empty: the standard one. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::providers {

/// A term out of a provider's own word: OpenAI's and Groq's service_tier, Gemini's serviceTier, Bedrock's type, Vertex'
/// trafficType. Lower case; OpenAI's "fast" is its "priority". A word that means no tier ("default", "auto",
/// "ON_DEMAND") is empty.
/// https://platform.openai.com/docs/api-reference/chat/create#chat-create-service_tier,
/// https://ai.google.dev/gemini-api/docs/priority-inference,
/// https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse#TrafficType,
/// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html
std::string service_tier(std::string_view word);

/// What Claude says in three members, service_tier, speed and inference_geo, each priced by itself.
/// https://docs.anthropic.com/en/api/service-tiers, …/build-with-claude/fast-mode, …/manage-claude/data-residency
struct ClaudeTier {
  std::optional<std::string> service;
  std::optional<std::string> speed;
  std::optional<std::string> geo;

  bool told() const { return service || speed || geo; }
  std::string terms() const;
};

/// Appends a term behind a '+'; an empty one changes nothing.
void add_term(std::string& tier, std::string_view term);

/// The member `key` of a JSON object, where it is a text; no deeper, where clients' own words may be repeated.
std::optional<std::string> top_text(std::string_view json, std::string_view key);

}  // namespace weir::providers
