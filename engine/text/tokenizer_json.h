// Reads a tokenizer.json without building a tree of its large parts: the vocabulary and the merges, nearly all of the
// file, go straight into flat arrays, and the rest becomes a small JSON tree. Used once, while a model loads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include "config/base/json.h"

namespace weir::engine::text {

inline constexpr size_t kTokenizerBytesMax = 256u << 20;
inline constexpr int64_t kTokenIdMax = (1 << 22) - 1;  // sixteen times the largest vocabulary in use
inline constexpr size_t kMergesMax = 1u << 23;
inline constexpr size_t kJsonDepthMax = 64;

/// The raw parts of a tokenizer.json. All strings are valid UTF-8.
struct TokenizerJson {
  struct Slice {
    uint32_t begin = 0;
    uint32_t size = 0;
  };
  struct Entry {
    Slice token;
    int32_t id = 0;
  };

  std::string vocab_bytes;                      // what the slices of vocab point into
  std::string merge_bytes;                      // what the slices of merges point into
  std::vector<Entry> vocab;                     // model.vocab, in the file's order
  std::vector<std::pair<Slice, Slice>> merges;  // model.merges, in the order of their rank
  bool has_vocab = false;
  bool has_merges = false;
  nlohmann::json rest;  // everything else

  std::string_view token(Slice s) const { return std::string_view(vocab_bytes).substr(s.begin, s.size); }
  std::string_view half(Slice s) const { return std::string_view(merge_bytes).substr(s.begin, s.size); }
};

/// Throws LoadFailure: not JSON (with the byte), too deep or large, a vocabulary or merge of the wrong type.
TokenizerJson read_tokenizer_json(std::string_view text);

/// A small JSON file. Throws LoadFailure: not JSON, too deep.
nlohmann::json read_small_json(std::string_view text);

}  // namespace weir::engine::text
