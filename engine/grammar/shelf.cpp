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

template <class T>
const T* Shelf::find(Kept<T>& kept, const std::string& key) {
  const auto found = std::ranges::find(kept, key, &std::pair<std::string, T>::first);
  if (found == kept.end()) return nullptr;
  kept.splice(kept.begin(), kept, found);
  return &found->second;
}

std::optional<Result<std::shared_ptr<const Grammar>>> Shelf::known(const std::string& key, const std::string& places) {
  const std::lock_guard lock(mutex_);
  if (const auto* grammar = find(grammars_, key)) return *grammar;
  if (const Error* refusal = find(refusals_, key + places)) return *refusal;
  return std::nullopt;
}

Result<std::shared_ptr<const Grammar>> Shelf::get(const Source& source) {
  if (auto checked = source.check(); !checked) return std::move(checked).error();
  std::string key = source.key();
  if (key.size() > kSourceBytesMax) {
    return refused(source.place, "has " + std::to_string(key.size()) + " bytes, and the local engine takes " +
                                     std::to_string(kSourceBytesMax));
  }
  std::string places = source.place;
  for (const ToolShape& tool : source.tools) places.append("\n").append(tool.place);
  if (auto before = known(key, places)) return *std::move(before);
  const auto tokens = vocabulary();
  if (!tokens)
    return refused(source.place,
                   "this model's tokenizer joins tokens by more than their bytes, so its answers are free");
  auto made = compile(tokens, source);
  const std::lock_guard lock(mutex_);
  if (made) {
    grammars_.emplace_front(std::move(key), *made);
    if (grammars_.size() > kGrammarsMax) grammars_.pop_back();
  } else {
    refusals_.emplace_front(key + places, made.error());
    if (refusals_.size() > kRefusalsMax) refusals_.pop_back();
  }
  return made;
}

}  // namespace weir::engine::grammar
