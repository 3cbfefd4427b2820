#include "engine/grammar/shelf.h"

#include <algorithm>

#include "engine/text/tokenizer.h"

namespace weir::engine::grammar {

Shelf::Shelf(std::shared_ptr<const Tokenizer> tokenizer, std::vector<TokenId> stops, int32_t vocab_size)
    : tokenizer_(std::move(tokenizer)), stops_(std::move(stops)), vocab_size_(vocab_size) {}

std::shared_ptr<const Vocabulary> Shelf::vocabulary() {
  const std::lock_guard lock(vocabulary_mutex_);
  if (!vocabulary_ && tokenizer_) vocabulary_ = Vocabulary::of(*tokenizer_, stops_, vocab_size_);
  return vocabulary_;
}

Result<std::shared_ptr<const Grammar>> Shelf::get(const Source& source) {
  if (auto checked = source.check(); !checked) return std::move(checked).error();
  std::string key = source.key();
  if (key.size() > kSourceBytesMax) {
    return refused(source.place, "has " + std::to_string(key.size()) + " bytes, and the local engine takes " +
                                     std::to_string(kSourceBytesMax));
  }
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(grammars_.begin(), grammars_.end(), [&](const auto& g) { return g.first == key; });
    if (found != grammars_.end()) {
      grammars_.splice(grammars_.begin(), grammars_, found);
      return found->second;
    }
  }
  const auto tokens = vocabulary();
  if (!tokens)
    return refused(source.place,
                   "this model's tokenizer joins tokens by more than their bytes, so its answers are free");
  auto made = compile(tokens, source);
  if (!made) return made;
  const std::lock_guard lock(mutex_);
  grammars_.emplace_front(std::move(key), *made);
  if (grammars_.size() > kGrammarsMax) grammars_.pop_back();
  return made;
}

}  // namespace weir::engine::grammar
