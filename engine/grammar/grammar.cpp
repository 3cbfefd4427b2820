#include "engine/grammar/grammar.h"

#include <algorithm>
#include <utility>

namespace weir::engine::grammar {

Grammar::Grammar(std::shared_ptr<const Vocabulary> vocabulary, Rules rules, Rules::Node root)
    : vocabulary_(std::move(vocabulary)), rules_(std::make_shared<const Rules>(std::move(rules))), root_(root) {
  Effort effort(effort_max());
  states_ = std::make_shared<States>(vocabulary_, rules_, root_, effort);
}

bool Grammar::warm(int64_t nodes_max) const {
  Effort first(effort_max());
  {
    const std::lock_guard lock(mutex_);
    const auto mask = states_->mask(states_->start(), first);
    if (std::ranges::all_of(*mask, [](uint32_t word) { return word == 0; })) return false;
  }
  Effort effort(nodes_max);
  for (size_t l = 0; l < rules_->lexemes(); ++l) {
    DfaTokens& tokens = *rules_->lexeme_at(static_cast<Rules::LexemeId>(l)).tokens;
    for (int32_t state = 0; state < tokens.dfa().states(); ++state) {
      if (!effort.spend(64)) return true;
      tokens.of(state, effort);
    }
  }
  return true;
}

Matcher::Matcher(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)), effort_(grammar_->effort_max()) {
  const std::lock_guard lock(grammar_->mutex_);
  states_ = grammar_->states_;
  at_ = states_->start();
}

/// Asks the states, which may be more than they can tell. Nothing then, and from then on.
template <class Look>
auto Matcher::look(const Look& how) -> decltype(how()) {
  if (too_ambiguous_) return {};
  const std::lock_guard lock(grammar_->mutex_);
  try {
    return how();
  } catch (const TooAmbiguous&) {
    too_ambiguous_ = true;
    return {};
  }
}

/// Its states, or where those have become too many, new ones that know where it stands. REQUIRES: the grammar's lock.
States& Matcher::current() {
  if (!states_->full()) return *states_;
  if (grammar_->states_->full()) {
    grammar_->states_ = std::make_shared<States>(grammar_->vocabulary_, grammar_->rules_, grammar_->root_, effort_);
  }
  at_ = grammar_->states_->adopt(*states_, at_, effort_);
  states_ = grammar_->states_;
  return *states_;
}

bool Matcher::go(States::Id to) {
  if (to != States::kDead) at_ = to;
  return to != States::kDead;
}

bool Matcher::accept(TokenId token) {
  const Vocabulary& vocabulary = *grammar_->vocabulary_;
  if (vocabulary.is_stop(token)) return complete();
  const std::string_view bytes = vocabulary.bytes(token);
  if (!bytes.empty()) return accept_bytes(bytes);
  effort_.earn(grammar_->token_effort(), grammar_->effort_max());
  return look([&] { return go(current().take_token(at_, token, effort_)); });
}

bool Matcher::accept_bytes(std::string_view bytes) {
  effort_.earn(grammar_->token_effort(), grammar_->effort_max());
  return look([&] { return go(current().step(at_, bytes, effort_)); });
}

std::shared_ptr<const Mask> Matcher::mask() {
  return look([&] { return current().mask(at_, effort_); });
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
