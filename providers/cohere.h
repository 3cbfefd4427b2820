// The cohere codec: chat v2 out of the neutral language, embed v2 for OpenAI's embeddings, and rerank v2, whose calls
// and answers pass through byte for byte. References: https://docs.cohere.com/reference/chat, …/chat-stream, …/embed,
// …/rerank.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "providers/codec.h"
#include "providers/refusals.h"

namespace weir::providers {

inline constexpr std::string_view kCohereUrl = "https://api.cohere.com/v2";

std::unique_ptr<Codec> make_cohere_codec(const config::AccountConfig& account, const std::string& base_path);

/// The JSON of a chat call. Errors as Codec::encode's.
Result<std::string> encode_cohere_chat(const config::AccountConfig& account, const Attempt& attempt,
                                       const ChatRequest& request, EncodedCall& out);
/// OpenAI's embeddings call as an embed call. `input_type` is Cohere's own field; without it texts are taken as
/// documents. What embed has no word for goes to `refusals`.
Result<std::string> encode_cohere_embed(std::string_view body, std::string_view model, Refusals& refusals);

/// Answers of chat, whole or streamed, as neutral events.
std::unique_ptr<ReplyDecoder> make_cohere_chat_decoder(const CallBody& call, int64_t prompt_tokens = 0);
/// Answers of embed in OpenAI's shape. `call` outlives it.
std::unique_ptr<ReplyDecoder> make_cohere_embed_decoder(const CallBody& call);

}  // namespace weir::providers
