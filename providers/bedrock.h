// Amazon Bedrock's runtime as a codec, in pieces that the codec puts together: Converse for every model and every
// client, InvokeModel with Claude's own body for clients that speak Anthropic's protocol, CountTokens, and InvokeModel
// for embeddings. References: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
// …/API_runtime_ConverseStream.html, …/API_runtime_InvokeModelWithResponseStream.html, …/API_runtime_CountTokens.html.
// Pure; used on the core of the request.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "config/config.h"
#include "providers/chat.h"
#include "providers/codec.h"
#include "providers/refusals.h"

namespace weir::providers {

/// Whose model answers, as far as its id tells: what stands in a request beside Converse's common fields hangs on it.
enum class BedrockFamily : uint8_t { claude, nova, gpt_oss, mistral, cohere, titan, other };

/// Of "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "arn:aws:bedrock:…:foundation-model/amazon.nova-pro-v1:0", …
BedrockFamily bedrock_family(std::string_view model);

/// The body of Converse and ConverseStream (they are the same). What Bedrock cannot be told goes to `refusals`; the
/// caller ends with refusals.finish("Bedrock", …). Without a limit of the client's, no maxTokens is sent: the model's
/// own maximum holds. Errors: what anthropic_body says about a Claude's settings.
Result<Json> converse_body(const ChatRequest& request, const Attempt& attempt, Refusals& refusals);

/// Messages and system texts of a Converse body.
struct ConverseMessages {
  Json system = Json::array();
  Json messages = Json::array();
  bool uses_tools = false;  // toolUse or toolResult blocks: Converse then wants a toolConfig
};
ConverseMessages converse_messages(const ChatRequest& request, BedrockFamily family, Refusals& refusals);

/// JSON of an upstream's, discarded where it is none. What is nested more than 128 deep is left out of it, so that no
/// answer can exhaust the stack of what goes through it.
Json bedrock_json(std::string_view text);

/// {"cachePoint": …} for a cache_control; null where there is none or the model knows no cache points.
Json converse_cache_point(const Json& cache, BedrockFamily family, Refusals& refusals);

/// Converse's answer, whole or as an event stream, as neutral events.
std::unique_ptr<ReplyDecoder> make_converse_decoder(const Attempt& attempt);

/// InvokeModel's answer of a Claude to a client that speaks Anthropic: whole bodies pass, and the events in the chunks
/// of the event stream become server-sent ones.
std::unique_ptr<ReplyDecoder> make_bedrock_claude_decoder(const Attempt& attempt);

/// CountTokens' {"inputTokens": n} as Anthropic's {"input_tokens": n}.
std::unique_ptr<ReplyDecoder> make_bedrock_count_decoder(const Attempt& attempt);

/// An exception in an event stream ("throttlingException"), or one message of it that is an error; `payload` is JSON
/// with a message.
Error bedrock_stream_error(std::string_view exception, std::string_view payload);

/// The body of InvokeModel for an embedding model of Amazon's or Cohere's that says what the OpenAI-style
/// `attempt.body` asks. Errors: unsupported_operation for other models, bad_request where the body makes no sense.
Result<std::string> bedrock_embedding_body(const Attempt& attempt, Refusals& refusals);

/// InvokeModel's answer of an embedding model in OpenAI's form.
std::unique_ptr<ReplyDecoder> make_bedrock_embedding_decoder(const Attempt& attempt);

/// The runtime's URL in a region: https://bedrock-runtime.us-east-1.amazonaws.com.
std::string bedrock_base_url(std::string_view region);

/// Options: region; secrets: secret_access_key with option access_key_id, and session_token. With an api_key (a Bedrock
/// API key, sent as a bearer token) nothing is signed. REQUIRES: account.base_url is set, since the signature covers
/// the host.
std::unique_ptr<Codec> make_bedrock_codec(const config::AccountConfig& account, const std::string& base_path);

}  // namespace weir::providers
