#include "engine/text/bpe_model.h"

#include <algorithm>
#include <atomic>
#include <bit>

#include "engine/text/unicode.h"

namespace weir::engine::text {
namespace {

constexpr std::string_view kBlankMark = "\xE2\x96\x81";  // U+2581, SentencePiece's blank
constexpr size_t kShortWord = 24;                        // symbols; below this a scan beats a heap

/// A word met lately and its tokens. Real text repeats its words; each thread keeps 256 KiB of them, and a new word
/// takes the place of an old one.
struct CachedWord {
  static constexpr size_t kWordBytesMax = 22;
  static constexpr size_t kTokensMax = 8;
  static constexpr size_t kEntries = 4096;

  uint64_t serial = 0;  // of the model; 0 is an empty entry
  uint8_t word_bytes = 0;
  uint8_t count = 0;
  char word[kWordBytesMax] = {};
  TokenId ids[kTokensMax] = {};
};

CachedWord& cached_word(std::string_view word) {
  thread_local std::vector<CachedWord> cache(CachedWord::kEntries);
  return cache[hash_of(word) % CachedWord::kEntries];
}

}  // namespace

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    value *= 16;
    if (c >= '0' && c <= '9')
      value += c - '0';
    else if (c >= 'A' && c <= 'F')
      value += c - 'A' + 10;
    else if (c >= 'a' && c <= 'f')
      value += c - 'a' + 10;
    else
      return -1;
  }
  return value;
}

std::unique_ptr<BpeModel> BpeModel::build(TokenizerJson& file) {
  if (!file.has_merges) throw LoadFailure{"model.merges", "must be an array"};
  auto bpe = std::make_unique<BpeModel>();
  bpe->vocabulary_ = Vocabulary(std::move(file.vocab_bytes), file.vocab);
  bpe->read_options(JsonField(file.rest, "").at("model"));
  bpe->read_merges(file);
  static std::atomic<uint64_t> serials{0};
  bpe->serial_ = ++serials;
  return bpe;
}

void BpeModel::read_options(const JsonField& model) {
  const auto optional_text = [&](const char* key) {
    const auto field = model.find(key);
    return field ? field->text() : std::string();
  };
  prefix_ = optional_text("continuing_subword_prefix");
  suffix_ = optional_text("end_of_word_suffix");
  fuse_unknown_ = model.boolean_or("fuse_unk", false);
  byte_fallback_ = model.boolean_or("byte_fallback", false);
  ignore_merges_ = model.boolean_or("ignore_merges", false);
  if (const auto dropout = model.find("dropout"); dropout && dropout->value() != 0.0) {
    dropout->fail("must be null: a random tokenization cannot be served");
  }
  if (const auto unknown = model.find("unk_token")) {
    unknown_ = vocabulary_.find(unknown->text());
    if (!unknown_) unknown->fail("is not in model.vocab");
  }
  std::string letter;
  for (char32_t c = 0; c < low_ids_.size(); ++c) {
    letter.clear();
    append_utf8(letter, c);
    low_ids_[c] = vocabulary_.find(letter).value_or(-1);
  }
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = vocabulary_.find(std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + ">").value_or(-1);
  }
}

void BpeModel::read_merges(const TokenizerJson& file) {
  merges_ = FlatMap64<Merge>(file.merges.size());
  // Cutting needs the blank's mark to be a token (else unknown characters could fuse over it) and plain spelling.
  cut_at_marks_ = vocabulary_.find(kBlankMark) && prefix_.empty() && suffix_.empty();
  std::string joined;
  for (size_t rank = 0; rank < file.merges.size(); ++rank) {
    const std::string_view left = file.half(file.merges[rank].first), right = file.half(file.merges[rank].second);
    const auto find = [&](std::string_view token) {
      const auto id = vocabulary_.find(token);
      if (id) return *id;
      throw LoadFailure{"model.merges[" + std::to_string(rank) + "]",
                        "names \"" + std::string(token.substr(0, 64)) + "\", which is not in model.vocab"};
    };
    if (right.starts_with(kBlankMark) && !left.ends_with(kBlankMark)) cut_at_marks_ = false;
    const TokenId left_id = find(left), right_id = find(right);
    joined.assign(left).append(right.substr(std::min(prefix_.size(), right.size())));
    merges_.insert_or_assign(pair_key(left_id, right_id), {static_cast<uint32_t>(rank), find(joined)});
  }
}

std::optional<TokenId> BpeModel::token_of(std::string_view character, bool first, bool last) const {
  if ((first || prefix_.empty()) && (!last || suffix_.empty())) return vocabulary_.find(character);
  std::string decorated;
  if (!first) decorated += prefix_;
  decorated += character;
  if (last) decorated += suffix_;
  return vocabulary_.find(decorated);
}

/// The word as one token a character, before any merge.
void BpeModel::spell(std::string_view word, std::vector<TokenId>& symbols) const {
  const bool plain = prefix_.empty() && suffix_.empty();
  bool unknown_pending = false;  // a run of unknown characters becomes one token where the file says to fuse them
  for (size_t at = 0; at < word.size();) {
    const CodePoint point = code_point_at(word, at);
    const std::string_view character = word.substr(at, point.bytes);
    at += point.bytes;
    TokenId id = -1;
    if (plain && point.value < low_ids_.size()) {
      id = low_ids_[point.value];
    } else {
      id = token_of(character, at == point.bytes, at == word.size()).value_or(-1);
    }
    if (id < 0 && byte_fallback_ &&
        std::all_of(character.begin(), character.end(), [&](unsigned char b) { return byte_ids_[b] >= 0; })) {
      for (const char c : character) symbols.push_back(byte_ids_[static_cast<unsigned char>(c)]);
      continue;
    }
    if (id < 0) {
      if (unknown_ && unknown_pending && !fuse_unknown_) symbols.push_back(*unknown_);
      unknown_pending = unknown_.has_value();
      continue;
    }
    if (unknown_pending) symbols.push_back(*unknown_);
    unknown_pending = false;
    symbols.push_back(id);
  }
  if (unknown_pending) symbols.push_back(*unknown_);
}

void BpeModel::encode(std::string_view word, std::vector<TokenId>& out) const {
  if (word.empty()) return;
  if (ignore_merges_) {
    if (const auto id = vocabulary_.find(word)) {
      out.push_back(*id);
      return;
    }
  }
  // SentencePiece-style files do not split text at all. Where no merge can reach over the start of a blank, the text
  // between blanks is tokenized the same alone, and short words are the fast case.
  for (size_t begin = 0; cut_at_marks_ && begin < word.size();) {
    size_t end = begin;
    while (word.substr(end).starts_with(kBlankMark)) end += kBlankMark.size();
    end = std::min(word.find(kBlankMark, end), word.size());
    encode_part(word.substr(begin, end - begin), out);
    begin = end;
  }
  if (!cut_at_marks_) encode_part(word, out);
}

void BpeModel::encode_part(std::string_view word, std::vector<TokenId>& out) const {
  if (word.size() > CachedWord::kWordBytesMax) return encode_uncached(word, out);
  CachedWord& cached = cached_word(word);
  if (cached.serial == serial_ && std::string_view(cached.word, cached.word_bytes) == word) {
    out.insert(out.end(), cached.ids, cached.ids + cached.count);
    return;
  }
  const size_t before = out.size();
  encode_uncached(word, out);
  const size_t count = out.size() - before;
  if (count > CachedWord::kTokensMax) return;
  cached.serial = serial_;
  cached.word_bytes = static_cast<uint8_t>(word.size());
  cached.count = static_cast<uint8_t>(count);
  std::copy(word.begin(), word.end(), cached.word);
  std::copy(out.begin() + static_cast<ptrdiff_t>(before), out.end(), cached.ids);
}

void BpeModel::encode_uncached(std::string_view word, std::vector<TokenId>& out) const {
  thread_local std::vector<TokenId> symbols;
  symbols.clear();
  spell(word, symbols);
  if (symbols.size() > 1) symbols.size() <= kShortWord ? merge_short(symbols) : merge_long(symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
  if (symbols.capacity() > 1u << 20) std::vector<TokenId>().swap(symbols);  // one huge prompt is not kept for ever
}

/// Repeats: the leftmost pair of the lowest rank becomes one symbol. Quadratic, and fastest for the words of real text.
void BpeModel::merge_short(std::vector<TokenId>& symbols) const {
  std::array<Merge, kShortWord> pairs;  // pairs[i] would join symbols i and i + 1
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) pairs[i] = find_merge(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].id < 0) break;
    symbols[best] = pairs[best].id;
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      pairs[i] = pairs[i + 1];
    }
    --count;
    if (best + 1 < count) pairs[best] = find_merge(symbols[best], symbols[best + 1]);
    if (best > 0) pairs[best - 1] = find_merge(symbols[best - 1], symbols[best]);
  }
  symbols.resize(count);
}

/// The same with a linked list and a heap of (rank, position): O(n log n), as each merge adds at most two candidates.
void BpeModel::merge_long(std::vector<TokenId>& symbols) const {
  const auto count = static_cast<int32_t>(symbols.size());
  std::vector<int32_t> previous(count), next(count);
  std::vector<uint64_t> heap;  // rank << 32 | position of the left symbol: ties go to the leftmost
  const auto candidate = [&](int32_t left) {
    const Merge merge = find_merge(symbols[left], symbols[next[left]]);
    return merge.id < 0 ? UINT64_MAX : static_cast<uint64_t>(merge.rank) << 32 | static_cast<uint32_t>(left);
  };
  for (int32_t i = 0; i < count; ++i) previous[i] = i - 1, next[i] = i + 1 < count ? i + 1 : -1;
  for (int32_t i = 0; i + 1 < count; ++i) {
    if (const uint64_t entry = candidate(i); entry != UINT64_MAX) heap.push_back(entry);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto push = [&](int32_t left) {
    const uint64_t entry = candidate(left);
    if (entry == UINT64_MAX) return;
    heap.push_back(entry);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t top = heap.back();
    heap.pop_back();
    const auto left = static_cast<int32_t>(static_cast<uint32_t>(top));
    if (symbols[left] < 0 || next[left] < 0) continue;  // merged away meanwhile
    const int32_t right = next[left];
    const Merge merge = find_merge(symbols[left], symbols[right]);
    if (merge.id < 0 || merge.rank != top >> 32) continue;  // the pair is another one by now
    symbols[left] = merge.id;
    symbols[right] = -1;
    next[left] = next[right];
    if (next[left] >= 0) {
      previous[next[left]] = left;
      push(left);
    }
    if (previous[left] >= 0) push(previous[left]);
  }
  std::erase(symbols, -1);
}

}  // namespace weir::engine::text
