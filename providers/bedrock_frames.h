// The messages of Bedrock's binary event streams, for the decoders of Converse and of Claude's chunks: errors are told
// apart from events in one place. Pure.
#pragma once

#include <string_view>
#include <utility>

#include "providers/bedrock.h"
#include "providers/net/aws_eventstream.h"

namespace weir::providers {

/// Hands the events that `bytes` complete to `event(const EventStreamMessage&)`, up to the end or an error in
/// `batch`: an exception of the service's, or a damaged frame.
template <class OnEvent>
void feed_bedrock(EventStreamDecoder& frames, std::string_view bytes, ReplyBatch& batch, const OnEvent& event) {
  frames.feed(bytes);
  EventStreamMessage next;
  while (!batch.error && !batch.end) {
    auto more = frames.next(next);
    if (!more) {
      batch.error = std::move(more).error();
      return;
    }
    if (!*more) return;
    const std::string_view kind = next.text(":message-type");
    if (kind == "exception" || kind == "error")
      batch.error =
          bedrock_stream_error(next.text(kind == "exception" ? ":exception-type" : ":error-code"), next.payload);
    else
      event(next);
  }
}

}  // namespace weir::providers
