// Where an answer's text is from, whatever protocol said so, in the words that all of them share: each client protocol
// writes these in its own form. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "providers/chat.h"

namespace weir::gateway {

struct Citation {
  std::string url;
  std::string title;
  std::string quote;     // the source's own words
  std::string file;      // the upstream's id of a document
  int64_t document = 0;  // which of the request's documents
  std::optional<int64_t> begin;
  std::optional<int64_t> end;  // in the answer's text, in characters, where the upstream says
};

/// What an event cites: several sources where it names several (Gemini's grounding, Cohere's), none where it names
/// none.
std::vector<Citation> citations_of(const providers::ChatEvent& event);

/// The stretch of an answer's text that the next citation is about, where it does not say: what was written since the
/// one before, or since its block opened; the same stretch again where nothing was.
class CitedStretch {
 public:
  /// `length` more characters (or bytes, as the protocol counts) were written.
  void wrote(int64_t length) { written_ += length; }
  /// A block opens, whose citations are about nothing before it.
  void open_block() { end_ = written_; }
  /// Those of one event.
  void take(std::vector<Citation>& citations) {
    if (written_ != end_) begin_ = std::exchange(end_, written_);
    for (Citation& one : citations) {
      if (!one.begin) one.begin = begin_;
      if (!one.end) one.end = end_;
    }
  }

 private:
  int64_t written_ = 0;
  int64_t begin_ = 0;
  int64_t end_ = 0;
};

}  // namespace weir::gateway
