// A whole answer to a call that asked for a stream, as some proxies and providers give one, told in the events of the
// client's own protocol as if it had been streamed: nothing of it is lost, and its usage and end are where clients look
// for them. Pure. The events of each protocol: https://platform.openai.com/docs/api-reference/chat-streaming,
// …/responses-streaming, https://docs.anthropic.com/en/api/messages-streaming,
// https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent.
#pragma once

#include <string>
#include <string_view>

#include "providers/provider.h"

namespace weir::providers {

/// Puts the events of `body`, a whole answer of `protocol` that a decoder took for good, into `batch` in place of its
/// segments; their bytes are in `storage`, which outlives the batch. False: this answer is no end (a Response that
/// failed or is still made), or the protocol has no streams; then nothing was changed.
bool tell_as_stream(Protocol protocol, std::string_view body, std::string& storage, ReplyBatch& batch);

}  // namespace weir::providers
