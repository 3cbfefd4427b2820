#include "engine/text/decoder.h"

#include <algorithm>

#include "engine/text/bpe_model.h"
#include "engine/text/pre_tokenizer.h"

namespace weir::engine::text {
namespace {

StripRule parse_strip(const JsonField& field) {
  StripRule rule;
  const JsonField content = field.at("content");
  rule.content = content.text();
  if (rule.content.empty() || code_point_at(rule.content, 0).bytes != rule.content.size()) {
    content.fail("must be one character");
  }
  rule.start = static_cast<size_t>(field.at("start").whole(kStripMax));
  rule.stop = static_cast<size_t>(field.at("stop").whole(kStripMax));
  return rule;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) text.replace(at, from.size(), to);
}

/// Letters of byte-level become their bytes; a token with any other character stays as it is.
std::string bytes_of_letters(std::string_view token) {
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const CodePoint point = code_point_at(token, at);
    const int byte = byte_of_letter(point.value);
    if (byte < 0) return std::string(token);
    bytes.push_back(static_cast<char>(byte));
    at += point.bytes;
  }
  return bytes;
}

/// A WordPiece token in a text: a blank before it, or without its prefix joined to what was; then, a token at a time,
/// English without the blanks that splitting put in.
std::string piece_text(std::string_view token, std::string_view prefix, bool first, bool cleans_up) {
  std::string text(token);
  if (!first) {
    if (text.starts_with(prefix)) {
      text.erase(0, prefix.size());
    } else {
      text.insert(0, " ");
    }
  }
  if (!cleans_up) return text;
  constexpr std::pair<std::string_view, std::string_view> kClean[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kClean) replace_all(text, from, to);
  return text;
}

}  // namespace

std::string_view strip_text(const StripRule& rule, std::string_view text) {
  for (size_t i = 0; i < rule.start && text.starts_with(rule.content); ++i) text.remove_prefix(rule.content.size());
  for (size_t i = 0; i < rule.stop && text.ends_with(rule.content); ++i) text.remove_suffix(rule.content.size());
  return text;
}

DecodeRules DecodeRules::parse(const std::optional<JsonField>& field) {
  DecodeRules rules;
  if (field) {
    rules.add(*field, 0);
  } else {
    rules.join_with_space_ = true;
  }
  return rules;
}

void DecodeRules::add(const JsonField& field, int depth) {
  if (depth > kNestingMax) field.fail("is nested deeper than " + std::to_string(kNestingMax) + " levels");
  const JsonField type_field = field.at("type");
  const std::string type = type_field.text();
  const auto before_bytes = [&] {
    if (fused_ || bytes_ != Bytes::none) type_field.fail("\"" + type + "\" is not supported after bytes were joined");
  };
  if (type == "Sequence") {
    const JsonField list = field.at("decoders");
    for (size_t i = 0; i < list.size(); ++i) add(list.item(i), depth + 1);
  } else if (type == "Replace") {
    before_bytes();
    add_replace(field);
  } else if (type == "Metaspace") {
    before_bytes();
    TokenStep step;
    step.metaspace = field.at("replacement").text();
    if (step.metaspace.empty()) field.at("replacement").fail("must be one character");
    step.metaspace_drops_first = field.boolean_or("add_prefix_space", true);
    if (const auto scheme = field.find("prepend_scheme")) step.metaspace_drops_first = scheme->text() != "never";
    first_differs_ = first_differs_ || step.metaspace_drops_first;
    token_steps_.push_back(std::move(step));
  } else if (type == "WordPiece") {
    before_bytes();
    TokenStep step;
    step.word_prefix = field.find("prefix") ? field.at("prefix").text() : "##";
    step.cleans_up = field.boolean_or("cleanup", true);
    first_differs_ = true;
    token_steps_.push_back(std::move(step));
  } else if (type == "ByteLevel") {
    before_bytes();
    bytes_ = Bytes::letters;
    fused_ = true;
  } else if (type == "ByteFallback") {
    before_bytes();
    bytes_ = Bytes::hex_tokens;
  } else if (type == "Fuse") {
    fused_ = true;
  } else if (type == "Strip") {
    if (fused_) {
      strips_.push_back(parse_strip(field));
    } else {
      TokenStep step;
      step.strip = parse_strip(field);
      token_steps_.push_back(std::move(step));
    }
  } else {
    type_field.fail("\"" + type.substr(0, 64) +
                    "\" is not supported (known: Sequence, Replace, Metaspace, ByteLevel, ByteFallback, Fuse, Strip, "
                    "WordPiece)");
  }
}

void DecodeRules::add_replace(const JsonField& field) {
  TokenStep step;
  step.replace = make_replace(field);
  token_steps_.push_back(std::move(step));
}

std::string DecodeRules::token_bytes(std::string_view token, bool first) const {
  std::string text(token);
  for (const TokenStep& step : token_steps_) {
    if (step.replace) {
      (void)step.replace->apply(text);  // a pattern that gives up on one token leaves it as it is
    } else if (step.strip) {
      text = std::string(strip_text(*step.strip, text));
    } else if (step.word_prefix) {
      text = piece_text(text, *step.word_prefix, first, step.cleans_up);
    } else {
      replace_all(text, step.metaspace, first && step.metaspace_drops_first ? "" : " ");
    }
  }
  if (bytes_ == Bytes::letters) return bytes_of_letters(text);
  if (bytes_ == Bytes::hex_tokens) {
    if (const int byte = byte_of_token(text); byte >= 0) return std::string(1, static_cast<char>(byte));
  }
  return text;
}

DecodeStream::DecodeStream(const DecodeTable& table, bool skip_special, bool continues)
    : table_(&table),
      skip_special_(skip_special),
      first_(!continues),
      utf8_(table.rules.bytes() == DecodeRules::Bytes::letters ? Utf8Stream::Broken::one_each_sequence
                                                               : Utf8Stream::Broken::one_each_byte) {
  for (const StripRule& rule : table.rules.strips()) strips_.push_back({continues ? 0 : rule.start, {}});
}

void DecodeStream::push(TokenId id, std::string& out) {
  if (id < 0 || static_cast<size_t>(id) >= table_->entries.size()) return;
  const DecodeTable::Entry& entry = table_->entries[id];
  if (!entry.exists || (skip_special_ && entry.special)) return;
  const DecodeRules& rules = table_->rules;
  std::string first_bytes;
  std::string_view bytes = table_->view(id);
  if (first_ && rules.first_differs()) bytes = first_bytes = rules.token_bytes(table_->names[id], true);
  piece_.clear();
  if (rules.join_with_space() && !first_) piece_.push_back(' ');
  first_ = false;
  if (rules.bytes() == DecodeRules::Bytes::letters || entry.is_byte) {
    utf8_.push(bytes, piece_);
  } else {
    utf8_.flush(piece_);  // a run of byte tokens ends where text begins
    piece_.append(bytes);
  }
  strip(0, piece_, out);
}

void DecodeStream::flush(std::string& out) {
  std::string last;
  utf8_.flush(last);
  strip(0, last, out);
  for (size_t i = 0; i < strips_.size(); ++i) {
    const StripRule& rule = table_->rules.strips()[i];
    const std::string held = std::move(strips_[i].held);
    strips_[i].held.clear();
    const StripRule cut{rule.content, 0, rule.stop};
    strip(i + 1, strip_text(cut, held), out);
  }
}

/// Runs a piece through the whole-text strips from number `rule` on.
void DecodeStream::strip(size_t rule, std::string_view piece, std::string& out) {
  if (piece.empty()) return;
  if (rule == strips_.size()) {
    out.append(piece);
    return;
  }
  const StripRule& what = table_->rules.strips()[rule];
  Strip& state = strips_[rule];
  while (state.start_left > 0 && !piece.empty()) {
    if (!piece.starts_with(what.content)) {
      state.start_left = 0;
      break;
    }
    piece.remove_prefix(what.content.size());
    --state.start_left;
  }
  if (what.stop == 0) return strip(rule + 1, piece, out);
  std::string text = std::move(state.held);
  state.held.clear();
  text.append(piece);
  size_t keep = text.size();  // up to `stop` equal characters at the end may yet be cut
  for (size_t i = 0; i < what.stop && std::string_view(text).substr(0, keep).ends_with(what.content); ++i) {
    keep -= what.content.size();
  }
  state.held = text.substr(keep);
  text.resize(keep);
  strip(rule + 1, text, out);
}

}  // namespace weir::engine::text
