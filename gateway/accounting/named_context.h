// What a prompt only names and its upstream looks up: a file by its id, a document or a recording by its address, a
// cache. The call's bytes say nothing of how long it is. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace weir::gateway {

struct NamedContext {
  int64_t files = 0;   // documents, recordings, caches
  int64_t images = 0;  // by the id of a file; those by address are prompt_size.h's
};

/// Of a body in JSON, of any chat protocol: OpenAI's and OpenRouter's file and input_file, Anthropic's source, Gemini's
/// fileData and cachedContent, Mistral's document_url, vLLM's video_url and audio_url, a stored prompt of Responses.
/// What a tool was called with is the client's own, and names nothing.
NamedContext named_context(std::string_view json);

}  // namespace weir::gateway
