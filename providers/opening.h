// The beginning of a streamed answer that passes through as it came, one mechanism for every protocol: what comes
// before the first word (comments, pings, a role alone, message_start, response.created, a block or a chunk with
// nothing in it) is kept and goes with that word, byte for byte. Until then it is no first token: the deadline runs on,
// and an error lets another target answer, of which the client sees nothing. One decoder owns each object.
#pragma once

#include <string>
#include <string_view>

#include "providers/net/sse.h"
#include "providers/protocol.h"
#include "providers/provider.h"

namespace weir::providers {

/// Does one event, or one chunk of Gemini's, only open an answer of `protocol`: nothing that was written, called,
/// counted or ended?
bool only_opens(Protocol protocol, std::string_view json);

/// Is there no such member of the outermost object, or is it null, false, "", [] or {}?
bool is_silent(std::string_view json, std::string_view member);

class Opening {
 public:
  /// Kept at most; with more the answer counts as begun. The first events of Responses repeat the call's instructions
  /// and tools, twice.
  static constexpr size_t kBytesMax = 1024 * 1024;

  explicit Opening(Protocol protocol) : protocol_(protocol) {}

  /// An event of the stream. True: it is done with, because it is kept, or because the stream is none, which
  /// batch.error says then. False: it is to be passed on, and what was kept stands in `batch` before it.
  bool takes(const SseEvent& event, ReplyBatch& batch) { return !begun_ && takes_early(event, batch); }

 private:
  bool takes_early(const SseEvent& event, ReplyBatch& batch);
  bool keep(std::string_view raw);

  Protocol protocol_;
  bool seen_ = false;   // an event, which comments are not
  bool begun_ = false;  // one that says more than that an answer begins
  std::string kept_;
};

}  // namespace weir::providers
