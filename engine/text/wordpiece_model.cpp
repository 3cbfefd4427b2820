#include "engine/text/wordpiece_model.h"

#include <algorithm>

#include "engine/text/json_fields.h"

namespace weir::engine::text {
namespace {

constexpr int64_t kWordCharactersMax = 10'000;

/// Is there a character's first byte, or the end, at `at`?
bool is_boundary(std::string_view text, size_t at) {
  return at >= text.size() || (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
}

}  // namespace

std::unique_ptr<WordPieceModel> WordPieceModel::build(TokenizerJson& file) {
  const JsonField model = JsonField(file.rest, "").at("model");
  auto made = std::make_unique<WordPieceModel>();
  for (const auto& entry : file.vocab) made->piece_bytes_ = std::max<size_t>(made->piece_bytes_, entry.token.size);
  made->vocabulary_ = Vocabulary(std::move(file.vocab_bytes), file.vocab);
  const auto prefix = model.find("continuing_subword_prefix");
  made->prefix_ = prefix ? prefix->text() : "##";
  if (const auto most = model.find("max_input_chars_per_word")) {
    made->word_characters_ = static_cast<size_t>(most->whole(kWordCharactersMax));
  }
  const JsonField unknown = model.at("unk_token");
  made->unknown_ = made->vocabulary_.find(unknown.text());
  if (!made->unknown_) unknown.fail("is not in model.vocab");
  return made;
}

void WordPieceModel::encode(std::string_view word, std::vector<TokenId>& out) const {
  if (word.empty()) return;
  const auto characters = static_cast<size_t>(
      std::count_if(word.begin(), word.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
  const size_t before = out.size();
  std::string piece;
  for (size_t at = 0; at < word.size() && characters <= word_characters_;) {
    size_t end = std::min(word.size(), at + piece_bytes_);
    std::optional<TokenId> found;
    for (; end > at && !found; --end) {
      if (!is_boundary(word, end)) continue;
      if (at == 0) {
        found = vocabulary_.find(word.substr(0, end));
      } else {
        piece.assign(prefix_).append(word.substr(at, end - at));
        found = vocabulary_.find(piece);
      }
      if (found) break;
    }
    if (!found) break;
    out.push_back(*found);
    at = end;
    if (at == word.size()) return;
  }
  out.resize(before);
  out.push_back(*unknown_);
}

}  // namespace weir::engine::text
