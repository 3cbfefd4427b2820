#include "engine/text/added_tokens.h"

#include <algorithm>

#include "engine/text/unicode.h"

namespace weir::engine::text {
namespace {

/// The code point that ends before byte `end`. REQUIRES: end > 0.
CodePoint code_point_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return code_point_at(text, at);
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  const bool left = begin == 0 || !is_word(code_point_before(text, begin).value);
  const bool right = end == text.size() || !is_word(code_point_at(text, end).value);
  return left && right;
}

}  // namespace

void TokenTrie::add(std::string_view pattern, uint32_t index) {
  if (pattern.empty()) return;
  starts_[static_cast<unsigned char>(pattern.front())] = true;
  uint64_t node = 0;
  for (const char c : pattern) {
    const uint64_t key = node << 8 | static_cast<unsigned char>(c);
    const uint32_t* child = children_.find(key);
    if (!child) children_.insert_or_assign(key, nodes_);
    node = child ? *child : nodes_++;
  }
  if (!ends_.find(node)) ends_.insert_or_assign(node, index);
}

TokenTrie::Hit TokenTrie::longest_at(std::string_view text, size_t at) const {
  Hit hit;
  if (!starts_[static_cast<unsigned char>(text[at])]) return hit;
  uint64_t node = 0;
  for (size_t i = at; i < text.size(); ++i) {
    const uint32_t* child = children_.find(node << 8 | static_cast<unsigned char>(text[i]));
    if (!child) break;
    node = *child;
    if (const uint32_t* index = ends_.find(node)) hit = {*index, i + 1 - at};
  }
  return hit;
}

Result<AddedTokens> AddedTokens::build(std::vector<AddedToken> tokens, const Normalize& normalize) {
  AddedTokens added;
  added.tokens_ = std::move(tokens);
  for (size_t i = 0; i < added.tokens_.size(); ++i) {
    AddedToken& token = added.tokens_[i];
    token.spelling = token.content;
    added.by_id_.emplace(token.id, i);
    added.by_content_.emplace(token.content, i);
    if (!token.normalized) {
      added.raw_.add(token.content, static_cast<uint32_t>(i));
      continue;
    }
    auto content = normalize(token.content);
    if (!content.ok()) return std::move(content).error();
    added.normalized_.add(*content, static_cast<uint32_t>(i));
    token.spelling = *std::move(content);
  }
  return added;
}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text, bool normalized, bool specials) const {
  const TokenTrie& trie = normalized ? normalized_ : raw_;
  std::vector<Part> parts;
  size_t done = 0;  // everything before is in parts
  for (size_t at = trie.empty() ? text.size() : 0; at < text.size();) {
    const TokenTrie::Hit hit = trie.longest_at(text, at);
    if (hit.size == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[hit.index];
    size_t begin = at, end = at + hit.size;
    at = end;
    if ((token.special && !specials) || (token.single_word && !stands_alone(text, begin, end))) continue;
    if (token.lstrip) {
      while (begin > done) {
        const CodePoint before = code_point_before(text, begin);
        if (!is_white_space(before.value)) break;
        begin -= before.bytes;
      }
    }
    if (token.rstrip) {
      while (end < text.size()) {
        const CodePoint after = code_point_at(text, end);
        if (!is_white_space(after.value)) break;
        end += after.bytes;
      }
    }
    if (done < begin) parts.push_back({done, begin, -1});
    parts.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), -1});
  return parts;
}

const AddedToken* AddedTokens::find(TokenId id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(std::string(content));
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

}  // namespace weir::engine::text
