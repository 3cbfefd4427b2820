#include "gateway/api/client_api.h"

#include <cassert>

#include "gateway/api/anthropic_messages.h"
#include "gateway/api/gemini_generate.h"
#include "gateway/api/openai_chat.h"
#include "gateway/api/openai_completions.h"
#include "gateway/api/openai_responses.h"
#include "gateway/api/unary.h"

namespace weir::gateway {

const ClientApi& client_api(providers::Protocol protocol) {
  using providers::Protocol;
  switch (protocol) {
    case Protocol::openai_chat:
      return openai_chat_api();
    case Protocol::anthropic_messages:
      return anthropic_messages_api();
    case Protocol::anthropic_count:
      return anthropic_count_api();
    case Protocol::openai_completions:
      return openai_completions_api();
    case Protocol::openai_responses:
      return openai_responses_api();
    case Protocol::openai_embeddings:
      return openai_embeddings_api();
    case Protocol::openai_images:
      return openai_images_api();
    case Protocol::openai_speech:
      return openai_speech_api();
    case Protocol::openai_transcriptions:
      return openai_transcriptions_api();
    case Protocol::openai_moderations:
      return openai_moderations_api();
    case Protocol::rerank:
      return rerank_api();
    case Protocol::gemini_generate:
      return gemini_generate_api();
  }
  assert(false && "not a protocol");
  return openai_chat_api();
}

providers::Json cache_writes(const config::TokenCounts& counts) {
  return {{"ephemeral_5m_input_tokens", counts.cache_write_5m}, {"ephemeral_1h_input_tokens", counts.cache_write_1h}};
}

void append_usage_with_cost(std::string_view event, uint32_t usage_object, bool usage_empty, NanoUsd cost,
                            std::string& out) {
  out.append(event.substr(0, usage_object)).append(R"("cost_usd":)").append(to_decimal_usd(cost));
  if (!usage_empty) out.push_back(',');
  out.append(event.substr(usage_object));
}

}  // namespace weir::gateway
