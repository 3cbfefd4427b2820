// What the decoders of Gemini's answers share: the stream cut into whole answers, whichever form it comes in, and the
// few fields that everybody reads. Internal to the gemini codec; one decoder owns each object.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "providers/net/sse.h"
#include "providers/provider.h"

namespace weir::providers {

namespace dom = simdjson::dom;

/// One whole answer out of a stream. Views are valid until the next feed().
struct GeminiPiece {
  std::string_view raw;   // with what stands around it: an event, or what follows the previous element of the array
  std::string_view json;  // empty: there is none (a comment, the array's closing bracket)
};

/// A streamed body: server-sent events (alt=sse), one JSON array whose elements come as they are made, or a lone object
/// (an error). Told apart by the first byte.
class GeminiStream {
 public:
  void feed(std::string_view bytes);
  /// False: no whole piece yet.
  bool next(GeminiPiece& piece);
  /// At the end of the body: what is left, if anything.
  bool flush(GeminiPiece& piece);
  /// An array was opened and not closed.
  bool open() const { return opened_ && !closed_; }
  bool too_large() const { return too_large_ || sse_.too_large(); }
  /// Bytes outside of any element that are not JSON.
  bool garbage() const { return garbage_; }

 private:
  enum class Form : uint8_t { unknown, events, json };
  bool next_element(GeminiPiece& piece);
  bool step(size_t at);

  Form form_ = Form::unknown;
  SseScanner sse_;
  std::string buffer_;  // json: bytes not yet taken
  size_t taken_ = 0;    // json: of buffer_, handed out
  size_t scanned_ = 0;
  size_t element_ = 0;  // where the element under way begins
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool opened_ = false;
  bool closed_ = false;
  bool garbage_ = false;
  bool too_large_ = false;
};

/// An answer's tree, valid until the thread's next. Half of a character becomes U+FFFD. False: not JSON.
bool parse_gemini(std::string_view json, dom::element& root);

/// Usage over all pieces of an answer.
class GeminiUsage {
 public:
  /// `prompt_tokens`: what the input is estimated by where it is not told; 0: the bytes of `call`.
  GeminiUsage(const CallBody& call, int64_t prompt_tokens)
      : input_estimate_(prompt_tokens > 0 ? prompt_tokens : static_cast<int64_t>(call.json.size() / 4) + 1) {}
  /// Reads usageMetadata, where the answer has it.
  void read(dom::object answer);
  void saw_text(size_t bytes) {
    text_bytes_ += static_cast<int64_t>(bytes);
    ++text_pieces_;
  }
  /// `complete`: the answer reached its end. Else what came may be more than what was reported.
  Usage usage(bool complete) const;

 private:
  Usage usage_;
  bool prompt_known_ = false;
  bool output_known_ = false;  // an output of nothing is often left out
  int64_t input_estimate_;
  int64_t text_bytes_ = 0;
  int64_t text_pieces_ = 0;
};

/// Of {"error":{…}}: the classified error; empty: the answer is none.
std::optional<Error> gemini_error(dom::object answer);

/// The name of an enum's value, which a server may send as its number (enum-encoding=int).
std::string_view finish_reason_of(dom::object candidate);

}  // namespace weir::providers
