#include "engine/text/pre_tokenizer.h"

#include <functional>
#include <optional>

#include "engine/text/normalizer.h"
#include "engine/text/unicode.h"

namespace weir::engine::text {
namespace {

// GPT-2's split, which ByteLevel with use_regex means.
constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Words and runs of signs. Spelled out because this step means the wider \w of UTS #18, not the one of split patterns.
constexpr const char* kWhitespacePattern =
    R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}\s]+)";

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Matches in a word, alternating with what lies between them, so that the ranges cover it.
struct Cut {
  Range range;
  bool match;
};

void cover(uint32_t length, const std::vector<Range>& matches, bool invert, std::vector<Cut>& cuts) {
  uint32_t at = 0;
  for (const Range& match : matches) {
    if (at < match.begin) cuts.push_back({{at, match.begin}, invert});
    cuts.push_back({match, !invert});
    at = match.end;
  }
  if (at < length) cuts.push_back({{at, length}, invert});
}

/// Joins the cuts of one word as the behaviour says and appends them, moved by `base`.
void join(const std::vector<Cut>& cuts, Behavior behavior, uint32_t base, std::vector<Range>& out) {
  const size_t first = out.size();
  const auto put = [&](Range r) { out.push_back({r.begin + base, r.end + base}); };
  for (size_t i = 0; i < cuts.size(); ++i) {
    const bool match = cuts[i].match;
    const bool last_match = i > 0 && cuts[i - 1].match;
    bool extend = false;
    switch (behavior) {
      case Behavior::removed:
        if (match) continue;
        break;
      case Behavior::isolated:
        break;
      case Behavior::contiguous:
        extend = i > 0 && match == last_match;
        break;
      case Behavior::merged_with_previous:
        extend = i > 0 && match && !last_match;
        break;
      // A match goes to what follows it, so a piece joins its left neighbour when that is a match and it is not.
      case Behavior::merged_with_next:
        extend = last_match && !match;
        break;
    }
    if (extend && out.size() > first) {
      out.back().end = cuts[i].range.end + base;
    } else {
      put(cuts[i].range);
    }
  }
}

using Finder = std::function<Result<void>(std::string_view word, std::vector<Range>& matches)>;

Result<void> split_words(Words& words, const Finder& find, Behavior behavior, bool invert) {
  std::vector<Range> out, matches;
  std::vector<Cut> cuts;
  out.reserve(words.words.size());
  for (size_t i = 0; i < words.words.size(); ++i) {
    matches.clear(), cuts.clear();
    const std::string_view word = words.word(i);
    if (auto found = find(word, matches); !found.ok()) return found;
    cover(static_cast<uint32_t>(word.size()), matches, invert, cuts);
    const size_t before = out.size();
    join(cuts, behavior, words.words[i].begin, out);
    // Removing the beginning leaves no word that stands at the start of the input.
    if (i == 0 && (out.size() == before || out[before].begin != words.words[0].begin)) words.at_start = false;
  }
  words.words = std::move(out);
  return {};
}

class Split final : public PreTokenizerStep {
 public:
  Split(Finder find, Behavior behavior, bool invert) : find_(std::move(find)), behavior_(behavior), invert_(invert) {}
  Result<void> apply(Words& words) const override { return split_words(words, find_, behavior_, invert_); }

 private:
  Finder find_;
  Behavior behavior_;
  bool invert_;
};

Finder find_regex(const std::string& pattern, const std::string& path) {
  auto regex = std::make_shared<const Regex>(Regex::compile(pattern, path));
  return [regex](std::string_view word, std::vector<Range>& matches) { return regex->find_all(word, matches); };
}

Finder find_text(std::string needle) {
  return [needle = std::move(needle)](std::string_view word, std::vector<Range>& matches) -> Result<void> {
    if (needle.empty()) return {};
    for (size_t at = 0; (at = word.find(needle, at)) != word.npos; at += needle.size()) {
      matches.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(at + needle.size())});
    }
    return {};
  };
}

Finder find_characters(bool (*wanted)(char32_t)) {
  return [wanted](std::string_view word, std::vector<Range>& matches) -> Result<void> {
    for (size_t at = 0; at < word.size();) {
      const CodePoint point = code_point_at(word, at);
      const auto end = static_cast<uint32_t>(at + point.bytes);
      if (wanted(point.value)) matches.push_back({static_cast<uint32_t>(at), end});
      at = end;
    }
    return {};
  };
}

/// Rewrites every word into a new text; the base of the two steps that spell words in another alphabet.
template <class Spell>
Result<void> respell(Words& words, size_t growth, Spell spell) {
  std::string text;
  text.reserve(words.text.size() * growth + 8);
  for (size_t i = 0; i < words.words.size(); ++i) {
    const auto begin = static_cast<uint32_t>(text.size());
    spell(words.word(i), i, text);
    if (text.size() > kNormalizedBytesMax) {
      return Error{.kind = ErrorKind::too_large,
                   .source = "engine",
                   .http_status = 413,
                   .detail = "the text is longer than the tokenizer takes"};
    }
    words.words[i] = {begin, static_cast<uint32_t>(text.size())};
  }
  words.text = std::move(text);
  return {};
}

class ByteLevel final : public PreTokenizerStep {
 public:
  ByteLevel(bool prefix_space, std::optional<Finder> split) : prefix_space_(prefix_space), split_(std::move(split)) {}

  Result<void> apply(Words& words) const override {
    if (prefix_space_) {
      auto done = respell(words, 1, [](std::string_view word, size_t, std::string& out) {
        if (!word.starts_with(' ')) out.push_back(' ');
        out.append(word);
      });
      if (!done.ok()) return done;
    }
    if (split_) {
      if (auto done = split_words(words, *split_, Behavior::isolated, false); !done.ok()) return done;
    }
    const auto& letters = byte_letters();
    return respell(words, 2, [&](std::string_view word, size_t, std::string& out) {
      for (const char c : word) out.append(letters[static_cast<unsigned char>(c)]);
    });
  }

 private:
  bool prefix_space_;
  std::optional<Finder> split_;
};

class Metaspace final : public PreTokenizerStep {
 public:
  enum class Prepend { always, first, never };
  Metaspace(std::string replacement, Prepend prepend, bool split)
      : replacement_(std::move(replacement)), prepend_(prepend), split_(split), find_(find_text(replacement_)) {}

  Result<void> apply(Words& words) const override {
    const bool at_start = words.at_start;
    auto done = respell(words, 1, [&](std::string_view word, size_t i, std::string& out) {
      const bool wanted = prepend_ == Prepend::always || (prepend_ == Prepend::first && i == 0 && at_start);
      if (wanted && !word.starts_with(' ') && !word.starts_with(replacement_)) out.append(replacement_);
      for (const char c : word) {
        if (c == ' ') {
          out.append(replacement_);
        } else {
          out.push_back(c);
        }
      }
    });
    if (!done.ok() || !split_) return done;
    return split_words(words, find_, Behavior::merged_with_next, false);
  }

 private:
  std::string replacement_;
  Prepend prepend_;
  bool split_;
  Finder find_;
};

std::unique_ptr<PreTokenizerStep> parse_metaspace(const JsonField& field) {
  using Prepend = Metaspace::Prepend;
  Prepend prepend = field.boolean_or("add_prefix_space", true) ? Prepend::always : Prepend::never;
  if (const auto scheme = field.find("prepend_scheme")) {
    const std::string name = scheme->text();
    if (name == "always")
      prepend = Prepend::always;
    else if (name == "first")
      prepend = Prepend::first;
    else if (name == "never")
      prepend = Prepend::never;
    else
      scheme->fail("must be always, first or never");
  }
  const JsonField replacement = field.at("replacement");
  const std::string letter = replacement.text();
  if (letter.empty() || code_point_at(letter, 0).bytes != letter.size()) replacement.fail("must be one character");
  return std::make_unique<Metaspace>(letter, prepend, field.boolean_or("split", true));
}

Behavior parse_behavior(const JsonField& field) {
  const std::string name = field.text();
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  field.fail("must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

std::unique_ptr<PreTokenizerStep> parse_split(const JsonField& field) {
  const Behavior behavior = parse_behavior(field.at("behavior"));
  const bool invert = field.boolean_or("invert", false);
  const JsonField pattern = field.at("pattern");
  if (const auto text = pattern.find("String"))
    return std::make_unique<Split>(find_text(text->text()), behavior, invert);
  const JsonField regex = pattern.at("Regex");
  return std::make_unique<Split>(find_regex(regex.text(), regex.path()), behavior, invert);
}

}  // namespace

PreTokenizer PreTokenizer::parse(const JsonField& field) {
  PreTokenizer pre_tokenizer;
  pre_tokenizer.add(field, 0);
  return pre_tokenizer;
}

void PreTokenizer::add(const JsonField& field, int depth) {
  if (depth > kNestingMax) field.fail("is nested deeper than " + std::to_string(kNestingMax) + " levels");
  const std::string type = field.at("type").text();
  if (type == "Sequence") {
    const JsonField list = field.at("pretokenizers");
    for (size_t i = 0; i < list.size(); ++i) add(list.item(i), depth + 1);
  } else if (type == "Split") {
    steps_.push_back(parse_split(field));
  } else if (type == "ByteLevel") {
    std::optional<Finder> split;
    if (field.boolean_or("use_regex", true)) split = find_regex(kByteLevelPattern, field.path());
    steps_.push_back(std::make_unique<ByteLevel>(field.boolean_or("add_prefix_space", true), std::move(split)));
    byte_level_ = true;
  } else if (type == "Metaspace") {
    steps_.push_back(parse_metaspace(field));
  } else if (type == "Digits") {
    const bool each = field.boolean_or("individual_digits", false);
    steps_.push_back(
        std::make_unique<Split>(find_characters(is_number), each ? Behavior::isolated : Behavior::contiguous, false));
  } else if (type == "Punctuation") {
    const auto behavior = field.find("behavior");
    steps_.push_back(std::make_unique<Split>(find_characters(is_punctuation),
                                             behavior ? parse_behavior(*behavior) : Behavior::isolated, false));
  } else if (type == "Whitespace") {
    steps_.push_back(std::make_unique<Split>(find_regex(kWhitespacePattern, field.path()), Behavior::removed, true));
  } else if (type == "WhitespaceSplit") {
    steps_.push_back(std::make_unique<Split>(find_characters(is_white_space), Behavior::removed, false));
  } else if (type == "BertPreTokenizer") {
    steps_.push_back(std::make_unique<Split>(find_characters(is_white_space), Behavior::removed, false));
    steps_.push_back(std::make_unique<Split>(find_characters(is_punctuation), Behavior::isolated, false));
  } else {
    field.at("type").fail("\"" + type.substr(0, 64) +
                          "\" is not supported (known: Sequence, Split, ByteLevel, Metaspace, Digits, Punctuation, "
                          "Whitespace, WhitespaceSplit, BertPreTokenizer)");
  }
}

Result<void> PreTokenizer::apply(Words& words) const {
  for (const auto& step : steps_) {
    if (auto done = step->apply(words); !done.ok()) return done;
  }
  return {};
}

const std::array<std::string, 256>& byte_letters() {
  static const std::array<std::string, 256> letters = [] {
    std::array<std::string, 256> table;
    char32_t next = 256;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      append_utf8(table[byte], printable ? byte : next++);
    }
    return table;
  }();
  return letters;
}

int byte_of_letter(char32_t letter) {
  static const std::array<int16_t, 512> bytes = [] {
    std::array<int16_t, 512> table;
    table.fill(-1);
    const auto& letters = byte_letters();
    for (int byte = 0; byte < 256; ++byte) table[code_point_at(letters[byte], 0).value] = static_cast<int16_t>(byte);
    return table;
  }();
  return letter < bytes.size() ? bytes[letter] : -1;
}

}  // namespace weir::engine::text
