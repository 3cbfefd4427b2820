// From tokens to what a client may see: text is held back while it could still become part of a stop string, and tokens
// and their log-probabilities travel with the text that they are. Pure; one for each sequence, on the engine thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/sampling.h"
#include "engine/core/types.h"
#include "engine/engine.h"

namespace weir::engine {

/// Lets text through up to the first stop string to complete; of two that complete with the same byte, the longer. So
/// the cut depends on the text alone and never on how tokens part it.
class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> strings) : strings_(std::move(strings)) {}

  /// Appends to `shown` what is now certain to be shown. True if a stop string completed: nothing may be fed again.
  bool feed(std::string_view text, std::string& shown);
  /// The sequence ended otherwise: appends what was held back.
  void flush(std::string& shown);

 private:
  size_t held_suffix() const;

  std::vector<std::string> strings_;
  std::string held_;
};

/// Gathers one sequence's Output. Byte offsets below count the sequence's text from its start.
class OutputAssembler {
 public:
  /// `with_text` false: there is no tokenizer; tokens are handed on as they come.
  OutputAssembler(std::vector<std::string> stops, bool with_text) : filter_(std::move(stops)), with_text_(with_text) {}

  /// A token, and the text that is whole now that it came. True if it completed a stop string.
  bool add(TokenId token, std::optional<TokenLogprob> logprob, std::string_view text);
  /// A token that is not shown (end of sequence): counted, but neither text nor log-probability.
  void add_hidden(TokenId token);
  /// The sequence ends. `text`: what the detokenizer still held. Returns the finish to report: stop, where `text`
  /// completed a stop string, else `finish`.
  Finish finish(Finish finish, std::string_view text);

  /// What can be handed on now; nullopt if that shows nothing. After finish() always the last piece.
  std::optional<Output> take();

 private:
  struct Held {
    TokenId token;
    std::optional<TokenLogprob> logprob;
    int64_t begin;  // offset of the token's text
    int64_t end;
  };

  StopFilter filter_;
  const bool with_text_;
  Output ready_;
  std::deque<Held> held_;
  int64_t fed_ = 0;    // offset of the end of all text
  int64_t shown_ = 0;  // offset of the end of what may be shown
  bool stopped_ = false;
  std::optional<Finish> finish_;
};

}  // namespace weir::engine
