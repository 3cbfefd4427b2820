// The wire protocols that clients speak to us and that upstreams understand. Where both sides speak the same one, bytes
// pass through; elsewhere they meet in the neutral language (chat.h). Pure values.
#pragma once

#include <cstdint>
#include <string_view>

namespace weir::providers {

enum class Protocol : uint8_t {
  openai_chat,            // POST /v1/chat/completions
  openai_completions,     // POST /v1/completions
  openai_responses,       // POST /v1/responses
  openai_embeddings,      // POST /v1/embeddings
  openai_images,          // POST /v1/images/generations
  openai_speech,          // POST /v1/audio/speech
  openai_transcriptions,  // POST /v1/audio/transcriptions, multipart/form-data
  openai_moderations,     // POST /v1/moderations
  anthropic_messages,     // POST /v1/messages
  anthropic_count,        // POST /v1/messages/count_tokens
  gemini_generate,        // POST /v1beta/models/{model}:generateContent and :streamGenerateContent
  rerank,                 // POST /v1/rerank, Cohere's shape
};

/// "openai_chat", …: for messages and tests.
std::string_view to_string(Protocol protocol);

/// Has an answer made of text, tool calls and reasoning, so that any of these can be translated into any other.
constexpr bool generates_chat(Protocol protocol) {
  return protocol == Protocol::openai_chat || protocol == Protocol::openai_completions ||
         protocol == Protocol::openai_responses || protocol == Protocol::anthropic_messages ||
         protocol == Protocol::gemini_generate;
}

}  // namespace weir::providers
