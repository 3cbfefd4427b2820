// Small tokenizers made in memory, in the two shapes that real models use, for the tests of the tokenizer and the
// detokenizer.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>
#include "config/base/json.h"

#include "engine/text/pre_tokenizer.h"
#include "engine/text/tokenizer.h"

namespace weir::engine {

using Merges = std::vector<std::pair<std::string, std::string>>;

/// Appends to a vocabulary what the merges make.
inline void add_merges(nlohmann::json& model, const Merges& merges) {
  for (const auto& [left, right] : merges) {
    const std::string made = left + right;
    if (!model["vocab"].contains(made)) model["vocab"][made] = model["vocab"].size();
    model["merges"].push_back(left + " " + right);
  }
}

/// GPT-2's shape: ids 0–255 are the bytes, then the merges' tokens, then <|end|> (special) and <tool> (not special).
inline nlohmann::json byte_level_json(const Merges& merges = {}) {
  nlohmann::json model = {{"type", "BPE"}, {"vocab", nlohmann::json::object()}, {"merges", nlohmann::json::array()}};
  for (int byte = 0; byte < 256; ++byte) model["vocab"][text::byte_letters()[byte]] = byte;
  add_merges(model, merges);
  const size_t next = model["vocab"].size();
  return {{"version", "1.0"},
          {"added_tokens",
           {{{"id", next}, {"content", "<|end|>"}, {"special", true}, {"normalized", false}},
            {{"id", next + 1}, {"content", "<tool>"}, {"special", false}, {"normalized", false}}}},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", model}};
}

/// Llama 2's shape: <unk> <s> </s>, 256 byte tokens, the letters, then the merges' tokens; <s> is put before a text.
inline nlohmann::json sentence_piece_json(const std::vector<std::string>& letters, const Merges& merges = {}) {
  nlohmann::json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  constexpr const char* kHex = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    vocab[std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">"] = 3 + byte;
  }
  for (const auto& letter : letters) vocab[letter] = vocab.size();
  nlohmann::json model = {{"type", "BPE"},         {"unk_token", "<unk>"}, {"fuse_unk", true},
                          {"byte_fallback", true}, {"vocab", vocab},       {"merges", nlohmann::json::array()}};
  add_merges(model, merges);
  nlohmann::json added = nlohmann::json::array();
  for (const char* token : {"<unk>", "<s>", "</s>"}) {
    added.push_back({{"id", vocab[token]}, {"content", token}, {"special", true}, {"normalized", false}});
  }
  return nlohmann::json{
      {"added_tokens", added},
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers",
         {{{"type", "Prepend"}, {"prepend", "▁"}},
          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}}},
      {"pre_tokenizer", nullptr},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single",
         {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
        {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}},
          {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
      {"model", model}};
}

/// Parses or fails the test.
inline std::shared_ptr<const Tokenizer> make_tokenizer(const nlohmann::json& json, const nlohmann::json& config = {}) {
  auto made = Tokenizer::parse(json.dump(), config.is_null() ? "" : config.dump());
  if (!made.ok()) ADD_FAILURE() << made.error().detail;
  return made.ok() ? *made : nullptr;
}

}  // namespace weir::engine
