#include "providers/chat.h"

#include <algorithm>

namespace weir::providers {

std::string Message::text() const {
  std::string all;
  for (const Part& part : parts)
    if (part.kind == Part::Kind::text || part.kind == Part::Kind::refusal) all += part.text;
  return all;
}

std::string Message::reasoning() const {
  std::string all;
  for (const Part& part : parts)
    if (part.kind == Part::Kind::reasoning) all += part.text;
  return all;
}

std::vector<ToolCall> Message::tool_calls() const {
  std::vector<ToolCall> calls;
  for (const Part& part : parts)
    if (part.kind == Part::Kind::tool_call) calls.push_back(part.call);
  return calls;
}

void Usage::raise(const config::TokenCounts& other) {
  counts.input = std::max(counts.input, other.input);
  counts.output = std::max(counts.output, other.output);
  // A part is never more than its whole, whatever an upstream reports: prices rely on it.
  const auto part = [](int64_t& mine, int64_t theirs, int64_t whole) {
    mine = std::min(std::max(mine, theirs), whole);
  };
  part(counts.cached_input, other.cached_input, counts.input);
  part(counts.cache_write_1h, other.cache_write_1h, counts.input - counts.cached_input);
  part(counts.cache_write_5m, other.cache_write_5m, counts.input - counts.cached_input - counts.cache_write_1h);
  part(counts.audio_input, other.audio_input, counts.input);
  part(counts.reasoning, other.reasoning, counts.output);
  part(counts.audio_output, other.audio_output, counts.output);
  counts.web_searches = std::max(counts.web_searches, other.web_searches);
}

std::string_view to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::openai_chat:
      return "openai_chat";
    case Protocol::openai_completions:
      return "openai_completions";
    case Protocol::openai_responses:
      return "openai_responses";
    case Protocol::openai_embeddings:
      return "openai_embeddings";
    case Protocol::openai_images:
      return "openai_images";
    case Protocol::openai_speech:
      return "openai_speech";
    case Protocol::openai_transcriptions:
      return "openai_transcriptions";
    case Protocol::openai_moderations:
      return "openai_moderations";
    case Protocol::anthropic_messages:
      return "anthropic_messages";
    case Protocol::anthropic_count:
      return "anthropic_count";
    case Protocol::gemini_generate:
      return "gemini_generate";
    case Protocol::rerank:
      return "rerank";
  }
  return "unknown";
}

}  // namespace weir::providers
