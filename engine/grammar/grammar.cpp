#include "engine/grammar/grammar.h"

#include <utility>

namespace weir::engine::grammar {

Grammar::Grammar(std::shared_ptr<const Vocabulary> vocabulary, Rules rules, Rules::Node root)
    : vocabulary_(std::move(vocabulary)),
      rules_(std::make_shared<const Rules>(std::move(rules))),
      root_(root),
      states_(std::make_shared<States>(vocabulary_, rules_, root_)) {}

void Grammar::warm(int64_t nodes_max) const {
  {
    const std::lock_guard lock(mutex_);
    states_->mask(states_->start());
  }
  for (size_t l = 0; l < rules_->lexemes(); ++l) {
    DfaTokens& tokens = *rules_->lexeme_at(static_cast<Rules::LexemeId>(l)).tokens;
    for (int32_t state = 0; state < tokens.dfa().states(); ++state) {
      if (nodes_max <= 0) return;
      nodes_max -= 64 + tokens.of(state)->visited;
    }
  }
}

Matcher::Matcher(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  const std::lock_guard lock(grammar_->mutex_);
  states_ = grammar_->states_;
  at_ = states_->start();
}

/// Its states, or where those have become too many, new ones that know where it stands. REQUIRES: the grammar's lock.
States& Matcher::current() const {
  if (!states_->full()) return *states_;
  if (grammar_->states_->full()) {
    grammar_->states_ = std::make_shared<States>(grammar_->vocabulary_, grammar_->rules_, grammar_->root_);
  }
  at_ = grammar_->states_->adopt(*states_, at_);
  states_ = grammar_->states_;
  return *states_;
}

bool Matcher::accept(TokenId token) {
  const Vocabulary& vocabulary = *grammar_->vocabulary_;
  if (vocabulary.is_stop(token)) return complete();
  const std::string_view bytes = vocabulary.bytes(token);
  if (!bytes.empty()) return accept_bytes(bytes);
  const std::lock_guard lock(grammar_->mutex_);
  const States::Id to = current().take_token(at_, token);
  if (to != States::kDead) at_ = to;
  return to != States::kDead;
}

bool Matcher::accept_bytes(std::string_view bytes) {
  const std::lock_guard lock(grammar_->mutex_);
  const States::Id to = current().step(at_, bytes);
  if (to != States::kDead) at_ = to;
  return to != States::kDead;
}

std::shared_ptr<const Mask> Matcher::mask() const {
  const std::lock_guard lock(grammar_->mutex_);
  return current().mask(at_);
}

bool Matcher::complete() const {
  const std::lock_guard lock(grammar_->mutex_);
  return states_->complete(at_);
}

bool Matcher::finished() const {
  const std::lock_guard lock(grammar_->mutex_);
  return states_->finished(at_);
}

}  // namespace weir::engine::grammar
