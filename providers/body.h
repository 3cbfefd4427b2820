// A client's chat body as bytes with marks: the few top-level fields that policy reads or changes, and where they
// stand, so that a same-protocol call can send the body on byte for byte with only those places replaced. Found in one
// pass of simdjson; nothing else is decoded. Protocol: OpenAI Chat Completions
// (https://platform.openai.com/docs/api-reference/chat/create).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace weir::providers {

/// A range of the body's bytes; empty: the field is not there.
struct ByteRange {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool empty() const { return begin == end; }
};

struct ChatBody {
  std::string_view json;  // as received; outlives this
  std::string model;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
  int64_t n = 1;
  std::optional<int64_t> output_tokens_max;  // the smaller of max_completion_tokens and max_tokens, where given
  uint32_t object_open = 0;                  // offset behind the opening brace
  ByteRange model_value;                     // with its quotes
  ByteRange stream_options_value;
  ByteRange max_tokens_value;
  ByteRange max_completion_tokens_value;
  uint32_t message_count = 0;
  uint32_t image_parts = 0;  // parts whose tokens cannot be told from their bytes
};

/// Checks that `json` is one JSON object with the types that OpenAI's reference gives to the fields we act on, and
/// marks them. Errors are bad_request (400, code invalid_request_error) and name the field in `param`. The body may be
/// at most 4 GiB - 1; nesting at most 256.
Result<ChatBody> mark_chat_body(std::string_view json);

}  // namespace weir::providers
