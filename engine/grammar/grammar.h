// What an answer must look like, for one model's tokens: a compiled grammar, and a Matcher that follows one answer
// through it. A mask never leaves out the way to the end: as long as the answer keeps to it, some token is allowed, and
// where only stopping is left the matcher is finished().
#pragma once

#include <cstdint>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>

#include "engine/core/types.h"
#include "engine/grammar/rules.h"
#include "engine/grammar/states.h"
#include "engine/grammar/vocabulary.h"

namespace weir::engine::grammar {

/// Any thread; matchers of one grammar share what they find out.
class Grammar {
 public:
  /// REQUIRES: rules.finish(root) gave true. Throws TooAmbiguous where no answer could begin.
  Grammar(std::shared_ptr<const Vocabulary> vocabulary, Rules rules, Rules::Node root);

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  const Rules& rules() const { return *rules_; }
  /// Finds the first mask and tokens of automata ahead of time, so that the engine's thread need not: of all, or until
  /// so many nodes of the tree were looked at. False: no token may come first, not even a stop. Throws as the
  /// constructor.
  bool warm(int64_t nodes_max) const;

 private:
  friend class Matcher;

  /// What one answer may cost the engine's thread, in nodes of the tree of tokens (about 10 ns each): so much at once,
  /// and with each of its tokens so much more. An automaton's tokens cost a walk through the tree where they are new.
  int64_t effort_max() const { return 4'000'000 + 32 * std::ssize(vocabulary_->tree().byte); }
  int64_t token_effort() const { return 100'000 + 4 * std::ssize(vocabulary_->tree().byte); }

  const std::shared_ptr<const Vocabulary> vocabulary_;
  const std::shared_ptr<const Rules> rules_;
  const Rules::Node root_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<States> states_;  // the newest; matchers may still hold an older one
};

/// One answer. One owner.
class Matcher {
 public:
  explicit Matcher(std::shared_ptr<const Grammar> grammar);

  /// The answer goes on with this token. False: it may not, and nothing has changed; or it is too_ambiguous(). A stop
  /// token is no text: the answer is over, if it is complete().
  bool accept(TokenId token);
  /// The same for text.
  bool accept_bytes(std::string_view bytes);
  /// Which tokens may come next, the stops among them where the answer is complete(). Null: it is too_ambiguous().
  std::shared_ptr<const Mask> mask();
  /// It cannot be followed any further: that would keep the engine's thread too long.
  bool too_ambiguous() const { return too_ambiguous_; }
  /// The answer is whole as it is.
  bool complete() const;
  /// It is, and nothing may follow.
  bool finished() const;

 private:
  template <class Look>
  auto look(const Look& how) -> decltype(how());
  States& current();
  bool go(States::Id to);

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<States> states_;
  States::Id at_ = 0;
  Effort effort_;
  bool too_ambiguous_ = false;
};

}  // namespace weir::engine::grammar
