// A client's call as bytes with marks: the few fields that policy reads or changes, and where they stand, so that a
// same-protocol call can send the body on byte for byte with only those places replaced. Found in one pass of simdjson
// (of the parts' heads, for a multipart body); nothing else is decoded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "providers/protocol.h"

namespace weir::providers {

/// A range of the body's bytes; empty: the field is not there.
struct ByteRange {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool empty() const { return begin == end; }
};

struct CallBody {
  Protocol protocol = Protocol::openai_chat;
  std::string_view json;                               // the body as received; outlives this
  std::string_view content_type = "application/json";  // of a multipart body with its boundary; outlives this
  std::string model;
  bool stream = false;
  bool sse = true;                           // Gemini: false where a stream is to be one JSON array (no alt=sse)
  bool include_usage = false;                // chat, completions: stream_options.include_usage
  int64_t n = 1;                             // choices; Gemini's candidateCount
  std::optional<int64_t> output_tokens_max;  // the largest of the protocol's fields for it, where given
  uint32_t object_open = 0;                  // offset behind the opening brace
  ByteRange model_value;                     // with its quotes; of a multipart body the bare text. Empty: in the URL
  ByteRange stream_options_value;
  ByteRange max_tokens_value;  // max_tokens; Responses: max_output_tokens; Gemini: generationConfig.maxOutputTokens
  ByteRange max_completion_tokens_value;
  ByteRange input_value;              // Responses
  ByteRange previous_response_value;  // Responses: previous_response_id
  std::string previous_response_id;   // empty: none
  bool store = true;                  // Responses: whether the answer may be gone on from
  ByteRange store_value;
  uint32_t message_count = 0;  // of the protocols that have messages
  bool items = false;          // something in it may be an item (native_item.h)
  /// Fields that no client's protocol knows and some upstream acts on. A codec whose upstream may leaves them out.
  struct Steering {
    std::string name;
    bool limit = false;  // another name for the output's limit (n_predict); else other models, or more answers
  };
  std::vector<Steering> steering;
  std::string tier;    // of service that it asks for, in the terms of price lists (service_tier.h); empty: the standard
  uint64_t units = 0;  // speech: characters to be spoken; rerank: documents; embeddings: inputs;
                       // transcriptions: seconds, by the size of what was sent
};

/// Checks that `json` is one JSON object with the types that the protocol's reference gives to the fields we act on,
/// and marks them. Errors are bad_request (400, code invalid_request_error) and name the field in `param`. The body may
/// be at most 4 GiB - 1; nesting at most 256. REQUIRES: a protocol with a JSON body. gemini_generate has its model and
/// stream in the URL: the caller sets them afterwards.
Result<CallBody> mark_call(Protocol protocol, std::string_view json);

/// The same for multipart/form-data (RFC 7578): audio transcriptions. `content_type` holds the boundary.
Result<CallBody> mark_multipart_call(Protocol protocol, std::string_view content_type, std::string_view body);

}  // namespace weir::providers
