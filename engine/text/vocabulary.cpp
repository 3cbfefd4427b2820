#include "engine/text/vocabulary.h"

#include <algorithm>
#include <bit>

#include "engine/text/bpe_model.h"
#include "engine/text/json_fields.h"
#include "engine/text/wordpiece_model.h"

namespace weir::engine::text {
namespace {

constexpr uint32_t kNoToken = UINT32_MAX;

}  // namespace

Vocabulary::Vocabulary(std::string bytes, const std::vector<TokenizerJson::Entry>& entries) : bytes_(std::move(bytes)) {
  slots_.resize(std::bit_ceil(entries.size() * 2 + 2));
  TokenId last = -1;
  for (const auto& entry : entries) last = std::max(last, entry.id);
  by_id_.resize(static_cast<size_t>(last) + 1, {0, kNoToken});
  for (const auto& entry : entries) {
    const std::string_view token = view(entry.token);
    const uint32_t hash = hash_of(token);
    slots_[probe(token, hash)] = {hash, entry.id, entry.token};  // a token given twice: the last one counts
    if (by_id_[entry.id].size == kNoToken) by_id_[entry.id] = entry.token;
  }
}

size_t Vocabulary::probe(std::string_view token, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].id >= 0 && (slots_[at].hash != hash || view(slots_[at].token) != token)) at = (at + 1) & mask;
  return at;
}

std::optional<TokenId> Vocabulary::find(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const Slot& slot = slots_[probe(token, hash_of(token))];
  return slot.id >= 0 ? std::optional(slot.id) : std::nullopt;
}

std::optional<std::string_view> Vocabulary::text(TokenId id) const {
  if (id < 0 || id >= id_end() || by_id_[id].size == kNoToken) return std::nullopt;
  return view(by_id_[id]);
}

std::unique_ptr<TokenModel> TokenModel::build(TokenizerJson& file) {
  const JsonField model = JsonField(file.rest, "").at("model");
  const auto type = model.find("type");
  const std::string name = type ? type->text() : "BPE";
  if (name != "BPE" && name != "WordPiece") {
    type->fail("\"" + name.substr(0, 64) + "\" is not supported (known: BPE, WordPiece)");
  }
  if (!file.has_vocab) throw LoadFailure{"model.vocab", "must be an object of token to id"};
  if (file.vocab.empty()) throw LoadFailure{"model.vocab", "is empty"};
  if (name == "WordPiece") return WordPieceModel::build(file);
  return BpeModel::build(file);
}

}  // namespace weir::engine::text
