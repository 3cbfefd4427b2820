// Claude's Messages API as a codec, and its parts for the other places where Claude is served: Vertex AI (rawPredict,
// streamRawPredict) and Bedrock (InvokeModel) take the same body with small differences and answer with the same
// events. References: https://docs.anthropic.com/en/api/messages, …/messages-streaming, …/messages-count-tokens,
// …/claude-on-vertex-ai, …/claude-on-amazon-bedrock. Pure; used on the core of the request.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "config/config.h"
#include "providers/chat.h"
#include "providers/codec.h"
#include "providers/refusals.h"

namespace weir::providers {

/// Who serves Claude. Vertex and Bedrock have the model in the URL and the version in the body; Bedrock has the choice
/// to stream in the URL and the betas in the body too.
enum class AnthropicHost : uint8_t { api, vertex, bedrock };

/// A Messages body for `host` out of the neutral request, and the features it needs switched on: the value of the
/// `anthropic-beta` header (the client's own joined in; of Bedrock in the body already), empty for none.
struct AnthropicBody {
  std::string json;
  std::string beta;
};

/// What Claude cannot be told goes to `refusals`; the caller ends with refusals.finish("Anthropic", …). `max_tokens`,
/// which the API requires: what the client set, else 4096 (Claude 3), 8192 (3.5, and models that are no Claude) or
/// 32000, never over attempt.output_tokens_cap. A thinking budget is kept under it, or it is raised over an explicit
/// budget. Errors: bad_request with Retry::other_target where the request has no form here at all.
Result<AnthropicBody> anthropic_body(const ChatRequest& request, const Attempt& attempt, AnthropicHost host,
                                     Refusals& refusals);

/// The client's own body for `host`, byte for byte but for the model, max_tokens under a cap, what the host has in its
/// URL, and thinking that another family signed (which Claude would refuse). Returns the anthropic-beta header value.
/// REQUIRES: attempt.body.protocol is anthropic_messages or anthropic_count.
std::string anthropic_pass(const Attempt& attempt, AnthropicHost host, EncodedCall& out);

/// True: pass; false: translate.
inline bool speaks_anthropic(Protocol protocol) {
  return protocol == Protocol::anthropic_messages || protocol == Protocol::anthropic_count;
}

/// Native where the client speaks Anthropic, neutral events else.
class AnthropicDecoder : public ReplyDecoder {
 public:
  /// One event as bare JSON, where a host frames them in its own way (Bedrock's {"bytes": base64}). In a native answer
  /// it becomes a server-sent event; those bytes stay valid while `batch` has segments.
  virtual void event(std::string_view json, ReplyBatch& batch) = 0;
};
std::unique_ptr<AnthropicDecoder> make_anthropic_decoder(const Attempt& attempt);

/// Options: auth_token (a bearer token in place of x-api-key). A base_path may end in /v1 or not.
std::unique_ptr<Codec> make_anthropic_codec(const config::AccountConfig& account, const std::string& base_path);

/// A Claude's generation as major · 100 + minor (claude-opus-4-6: 406, claude-3-5-haiku: 305), however a host spells
/// the name; 0: no Claude, or none that says. Previews without a number count as 500.
int claude_generation(std::string_view model);

}  // namespace weir::providers
