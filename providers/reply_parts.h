// What the decoders of answers share: usage as it becomes known, segments that pass, faults of an upstream's, and the
// loop over a stream's events. One decoder owns each object.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "providers/classify.h"
#include "providers/codec.h"
#include "providers/net/sse.h"

namespace weir::providers {

/// An answer that makes no sense: kind upstream, status 502, worth another target.
Error upstream_fault(std::string detail);
/// A whole answer that lacks the member without which it says nothing.
Error hollow_answer(std::string_view member);
/// A part of an answer that the neutral language has no word for (kind unusable): the answer was made and must be paid,
/// and another attempt would be paid again (Retry::no). `what`: "a content block of type \"x\"".
Error unsayable_answer(std::string_view what);
/// Tool calls of one answer, over all its choices. More are nothing that a model means, and pieces of any of them may
/// come in any order.
inline constexpr int64_t kCallsMax = 1024;
/// An answer with one more.
Error too_many_calls();
/// An answer that the model itself spoiled, "MALFORMED_FUNCTION_CALL" (kind unusable): it must be paid too, but another
/// attempt is a throw of other dice.
Error spoiled_answer(std::string detail);
/// A stream that ended, or is as large as nobody reads, before its end mark.
Error stream_cut_off();
Error stream_event_too_large();

/// An answer with more or fewer vectors than the call has inputs, which could not be told apart; nothing where it has
/// as many. `call`: of openai_embeddings.
std::optional<Error> miscounted_embeddings(const CallBody& call, size_t vectors);

/// An error inside an answer whose status was good, by its code (or type) and message; a detail of at most 2 KiB. What
/// is the caller's fault has status 400, the rest 502.
Error stream_error(std::string code, std::string message);

/// Adds bytes that pass as they came, to the segment before them where they follow it in memory.
void pass_data(std::string_view raw, ReplyBatch& batch);

/// What the ids of an answer's calls begin with where the upstream gives none: "call_7_" of request "req-7", another in
/// every answer, since a conversation's calls are told apart by them.
std::string call_id_prefix(std::string_view request_id);

/// Usage of one answer: what was reported, the maximum of several reports; what was not, an estimate of about four
/// bytes a token, and at least one token a piece.
class UsageMeter {
 public:
  /// `prompt_tokens`: what the input is estimated by where it is not told; 0: the bytes of `call`.
  UsageMeter(const CallBody& call, int64_t prompt_tokens)
      : input_estimate_(prompt_tokens > 0 ? prompt_tokens : static_cast<int64_t>(call.json.size() / 4) + 1) {}
  /// A piece of the answer was seen.
  void saw(size_t bytes) {
    text_bytes_ += static_cast<int64_t>(bytes);
    ++pieces_;
  }
  void saw_text(std::string_view text) {
    if (!text.empty()) saw(text.size());
  }
  /// Counts that hold for the whole answer, as far as they are `told`; those of the output may still grow where not.
  void report(const config::TokenCounts& counts, Told told = {}) {
    known_.raise(counts);
    told_.input = told_.input || told.input;
    told_.output = told_.output || told.output;
  }
  /// The tier that the answer says it is served at; the last word counts.
  void served(std::string tier) { known_.tier = std::move(tier); }
  bool reported() const { return told_.input && told_.output; }
  /// `ended`: the answer came to its end; else what was told of the output may be of a moment long ago.
  Usage usage(bool ended = true) const {
    Usage out = known_;
    out.told = told_;
    // No text is nothing.
    out.told.output = told_.output && ended && (known_.counts.output > 0 || text_bytes_ == 0);
    out.reported = out.told.input && out.told.output;
    if (!told_.input && out.counts.input == 0) out.counts.input = input_estimate_;
    if (!out.told.output) out.counts.output = std::max({out.counts.output, pieces_, (text_bytes_ + 3) / 4});
    return out;
  }

 private:
  Usage known_;
  Told told_{.input = false, .output = false};
  int64_t input_estimate_;
  int64_t text_bytes_ = 0;
  int64_t pieces_ = 0;
};

/// The event that a body ends with although its closing blank line is missing, as some servers end. False: there is
/// none, or the body broke off within it: a part of an event is not passed on.
bool flush_whole(SseScanner& scanner, SseEvent& event);

/// Hands the events that `bytes` complete to `event(const SseEvent&)`, up to an error or the end in `batch`.
template <class OnEvent>
void feed_events(SseScanner& scanner, std::string_view bytes, ReplyBatch& batch, const OnEvent& event) {
  scanner.feed(bytes);
  SseEvent next;
  while (!batch.error && !batch.end && scanner.next(next)) event(next);
  if (scanner.too_large() && !batch.error) batch.error = stream_event_too_large();
}

/// The events of a stream mostly differ in nothing but their text: what stands before and behind it is kept, and an
/// event with the same surroundings has the same meaning without another look.
class AlikeEvents {
 public:
  /// `text`: the inside of the string that may differ, a part of the event's bytes; elsewhere nothing is learnt.
  void learn(const SseEvent& event, std::string_view text) {
    if (text.data() < event.raw.data() || text.data() + text.size() > event.raw.data() + event.raw.size()) return;
    head_.assign(event.raw.data(), text.data());
    tail_.assign(text.data() + text.size(), event.raw.data() + event.raw.size());
  }
  /// feed_events, but that events like the learnt one go to `alike(raw, text)` while `may()` says so.
  template <class OnAlike, class OnEvent, class May>
  void feed(SseScanner& scanner, std::string_view bytes, ReplyBatch& batch, const OnAlike& alike, const OnEvent& event,
            const May& may) const {
    scanner.feed(bytes);
    SseEvent next;
    std::string_view raw;
    std::string_view text;
    while (!batch.error && !batch.end) {
      if (!head_.empty() && may() && scanner.next_like(head_, tail_, raw, text))
        alike(raw, text);
      else if (scanner.next(next))
        event(next);
      else
        break;
    }
    if (scanner.too_large() && !batch.error) batch.error = stream_event_too_large();
  }

 private:
  std::string head_;
  std::string tail_;
};

}  // namespace weir::providers
