// The Gemini API as a codec, and the parts of it that Vertex AI shares: the body of generateContent out of the neutral
// language, its answers (whole, server-sent events, or one JSON array in pieces) into neutral events or passed through,
// embeddings and token counts in the client's own protocol. Pure. References:
// https://ai.google.dev/api/generate-content, …/api/embeddings, …/api/tokens, …/gemini-api/docs/thinking,
// …/gemini-api/docs/thought-signatures.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "providers/codec.h"
#include "providers/refusals.h"

namespace weir::providers {

inline constexpr std::string_view kGeminiUrl = "https://generativelanguage.googleapis.com";

/// The Gemini API. `base_path` without a version gets /v1beta.
std::unique_ptr<Codec> make_gemini_codec(const config::AccountConfig& account, const std::string& base_path);

/// What a model's name tells about what it can be told.
struct GeminiModel {
  enum class Thinking : uint8_t { none, budget, level };
  Thinking thinking = Thinking::budget;
  int version = 0;  // 25 for 2.5; 0: the name does not say
  bool pro = false;
  bool lite = false;
  bool gemma = false;   // takes no system instruction
  bool vertex = false;  // at Vertex AI
  /// Takes JSON Schema as it is; else OpenAPI's subset of it.
  bool json_schema() const { return !gemma && (version == 0 || version >= 25); }
};
GeminiModel gemini_model(std::string_view name, bool vertex);

/// The body of generateContent. What Gemini cannot be told goes to `refusals`. `cap` as Attempt's.
Json encode_gemini(const ChatRequest& request, const GeminiModel& model, std::optional<int64_t> cap,
                   Refusals& refusals);

/// A client's body of generateContent as it is, but for the allowance of output tokens.
void pass_gemini(const CallBody& body, std::optional<int64_t> cap, EncodedCall& out);

/// An answer of generateContent in neutral events. A prompt that was blocked becomes a content_policy error, since
/// nothing was generated: what OpenAI's and Azure's clients know as a status 400 with code content_filter. An answer
/// that was cut off by a filter ends with StopReason::content_filter.
std::unique_ptr<ReplyDecoder> make_gemini_decoder(const Attempt& attempt);
/// The same passed through.
std::unique_ptr<ReplyDecoder> make_gemini_native_decoder(const Attempt& attempt);

/// A call in OpenAI's embeddings protocol (https://platform.openai.com/docs/api-reference/embeddings/create).
enum class GeminiEmbedding : uint8_t {
  batch,     // Gemini API: batchEmbedContents
  content,   // Vertex AI: embedContent, one text a call
  instances  // Vertex AI: predict
};
Result<std::string> encode_gemini_embedding(const Attempt& attempt, GeminiEmbedding form, Refusals& refusals);
/// Its answer in OpenAI's shape; native.
std::unique_ptr<ReplyDecoder> make_gemini_embedding_decoder(const Attempt& attempt);
/// The answer of countTokens in the shape of Anthropic's count_tokens; native.
std::unique_ptr<ReplyDecoder> make_gemini_count_decoder(const Attempt& attempt);
/// The one of these that the client's protocol asks for.
std::unique_ptr<ReplyDecoder> make_gemini_reply_decoder(const Attempt& attempt);

/// Whether groundingMetadata says which stretch of the answer each of its pages supports, and has nothing but pages:
/// the decoder then gives each as a citation of its own, in OpenAI's words and places, before the whole.
bool gemini_supports(const Json& metadata);

/// "system_instruction" as "systemInstruction".
std::string camel(std::string_view name);

/// Google's error bodies, also as the one event of a stream.
Error classify_google(int status, const HeaderLookup& header, std::string_view body);

/// The model's name as a path segment or several ("tunedModels/x"), percent-encoded.
std::string model_path(std::string_view model);
/// Whether the path ends with a version of an API: "/v1", "/v1beta1".
bool has_api_version(std::string_view base_path);
/// Error with code unsupported_operation: this upstream has no such call.
Error unsupported_call(std::string_view upstream, Protocol protocol);

}  // namespace weir::providers
