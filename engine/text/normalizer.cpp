#include "engine/text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>

#include "engine/text/regex.h"
#include "engine/text/unicode.h"

namespace weir::engine::text {
namespace {

class PrependStep final : public NormalizerStep {
 public:
  explicit PrependStep(std::string prefix) : prefix_(std::move(prefix)) {}
  Result<void> apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
    return {};
  }

 private:
  std::string prefix_;
};

class ReplaceString final : public NormalizerStep {
 public:
  ReplaceString(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  Result<void> apply(std::string& text) const override {
    size_t hit = from_.empty() ? std::string::npos : text.find(from_);
    if (hit == std::string::npos) return {};
    std::string out;
    size_t at = 0;
    for (; hit != std::string::npos; hit = text.find(from_, at)) {
      out.append(text, at, hit - at).append(to_);
      at = hit + from_.size();
    }
    text = out.append(text, at);
    return {};
  }

 private:
  std::string from_, to_;
};

class ReplaceRegex final : public NormalizerStep {
 public:
  ReplaceRegex(Regex from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  Result<void> apply(std::string& text) const override {
    std::vector<Range> matches;
    if (auto found = from_.find_all(text, matches); !found.ok()) return found;
    std::string out;
    size_t at = 0;
    for (const Range& match : matches) {
      out.append(text, at, match.begin - at).append(to_);
      at = match.end;
    }
    text = out.append(text, at);
    return {};
  }

 private:
  Regex from_;
  std::string to_;
};

/// Unicode normalization forms (UAX #15). utf8proc gives decomposition and composition of code points; the canonical
/// reordering between them is done here, because utf8proc's is quadratic in the length of a run of marks.
class UnicodeForm final : public NormalizerStep {
 public:
  UnicodeForm(bool compatible, bool compose) : compatible_(compatible), compose_(compose) {}

  Result<void> apply(std::string& text) const override {
    if (is_stable(text)) return {};
    const auto options =
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible_ ? UTF8PROC_COMPAT : 0));
    std::vector<utf8proc_int32_t> points;
    points.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = code_point_at(text, at);
      at += point.bytes;
      utf8proc_int32_t parts[32];  // the longest decomposition has 18 (U+FDFA)
      int boundary = 0;
      const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(point.value), parts, std::size(parts),
                                                 options, &boundary);
      if (count < 0 || count > static_cast<utf8proc_ssize_t>(std::size(parts))) {
        points.push_back(static_cast<utf8proc_int32_t>(point.value));
      } else {
        points.insert(points.end(), parts, parts + count);
      }
    }
    reorder(points);
    auto length = static_cast<utf8proc_ssize_t>(points.size());
    if (compose_) {
      length = utf8proc_normalize_utf32(points.data(), length,
                                        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    }
    text.clear();
    for (utf8proc_ssize_t i = 0; i < length; ++i) append_utf8(text, static_cast<char32_t>(points[i]));
    return {};
  }

 private:
  /// Nothing below these code points changes: U+0300 for NFC, U+00A0 for NFKC, U+00C0 for NFD; ASCII for NFKD.
  bool is_stable(const std::string& text) const {
    const unsigned char lead_max = compose_ && !compatible_ ? 0xCB : 0x7F;
    return std::all_of(text.begin(), text.end(), [&](char c) { return static_cast<unsigned char>(c) <= lead_max; });
  }

  static void reorder(std::vector<utf8proc_int32_t>& points) {
    const auto order = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
    for (size_t begin = 0; begin < points.size();) {
      if (order(points[begin]) == 0) {
        ++begin;
        continue;
      }
      size_t end = begin + 1;
      while (end < points.size() && order(points[end]) != 0) ++end;
      std::stable_sort(points.begin() + begin, points.begin() + end,
                       [&](utf8proc_int32_t a, utf8proc_int32_t b) { return order(a) < order(b); });
      begin = end;
    }
  }

  bool compatible_, compose_;
};

class Lowercase final : public NormalizerStep {
 public:
  Result<void> apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = code_point_at(text, at);
      at += point.bytes;
      if (point.value == 0x130) {
        out.append("i\xCC\x87");  // the one character whose lower case is two (SpecialCasing.txt, unconditional)
      } else {
        append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point.value))));
      }
    }
    text = std::move(out);
    return {};
  }
};

class Strip final : public NormalizerStep {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  Result<void> apply(std::string& text) const override {
    size_t begin = 0, end = 0;  // end: after the last character that is no space
    bool inside = false;
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = code_point_at(text, at);
      const bool space = is_white_space(point.value);
      if (!space && !inside) inside = true, begin = at;
      at += point.bytes;
      if (!space) end = at;
    }
    if (!inside) {
      if (left_ || right_) text.clear();
      return {};
    }
    if (right_) text.resize(end);
    if (left_) text.erase(0, begin);
    return {};
  }

 private:
  bool left_, right_;
};

class StripAccents final : public NormalizerStep {
 public:
  Result<void> apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = code_point_at(text, at);
      if (!is_mark(point.value)) out.append(text, at, point.bytes);
      at += point.bytes;
    }
    text = std::move(out);
    return {};
  }
};

/// Without accents: decomposed, and its nonspacing marks left out.
class StripNonspacing final : public NormalizerStep {
 public:
  Result<void> apply(std::string& text) const override {
    if (auto done = decompose_.apply(text); !done.ok()) return done;
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = code_point_at(text, at);
      if (!is_nonspacing_mark(point.value)) out.append(text, at, point.bytes);
      at += point.bytes;
    }
    text = std::move(out);
    return {};
  }

 private:
  UnicodeForm decompose_{false, false};
};

/// BERT's cleaning: control characters and U+FFFD go, white space becomes a blank, and blanks are put around every
/// ideograph (the released tokenization.py, BasicTokenizer._clean_text and _tokenize_chinese_chars).
class CleanText final : public NormalizerStep {
 public:
  CleanText(bool clean, bool part_ideographs) : clean_(clean), part_ideographs_(part_ideographs) {}
  Result<void> apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = code_point_at(text, at);
      const char32_t c = point.value;
      const bool goes = clean_ && (c == 0xFFFD || is_control(c));
      if (clean_ && !goes && is_white_space(c)) {
        out.push_back(' ');
      } else if (!goes) {
        const bool part = part_ideographs_ && is_ideograph(c);
        if (part) out.push_back(' ');
        out.append(text, at, point.bytes);
        if (part) out.push_back(' ');
      }
      at += point.bytes;
    }
    text = std::move(out);
    return {};
  }

 private:
  bool clean_, part_ideographs_;
};

}  // namespace

std::unique_ptr<NormalizerStep> make_replace(const JsonField& field) {
  std::string to = field.at("content").text();
  const JsonField pattern = field.at("pattern");
  if (const auto from = pattern.find("String")) return std::make_unique<ReplaceString>(from->text(), std::move(to));
  const JsonField from = pattern.at("Regex");
  return std::make_unique<ReplaceRegex>(Regex::compile(from.text(), from.path()), std::move(to));
}

Normalizer Normalizer::parse(const JsonField& field) {
  Normalizer normalizer;
  normalizer.add(field, 0);
  return normalizer;
}

void Normalizer::add(const JsonField& field, int depth) {
  if (depth > kNestingMax) field.fail("is nested deeper than " + std::to_string(kNestingMax) + " levels");
  const std::string type = field.at("type").text();
  if (type == "Sequence") {
    const JsonField list = field.at("normalizers");
    for (size_t i = 0; i < list.size(); ++i) add(list.item(i), depth + 1);
  } else if (type == "Prepend") {
    steps_.push_back(std::make_unique<PrependStep>(field.at("prepend").text()));
  } else if (type == "Replace") {
    steps_.push_back(make_replace(field));
  } else if (type == "NFC" || type == "NFKC" || type == "NFD" || type == "NFKD") {
    steps_.push_back(std::make_unique<UnicodeForm>(type[2] == 'K', type.back() == 'C'));
  } else if (type == "Lowercase") {
    steps_.push_back(std::make_unique<Lowercase>());
  } else if (type == "Strip") {
    steps_.push_back(
        std::make_unique<Strip>(field.boolean_or("strip_left", true), field.boolean_or("strip_right", true)));
  } else if (type == "StripAccents") {
    steps_.push_back(std::make_unique<StripAccents>());
  } else if (type == "BertNormalizer") {
    const bool lowercase = field.boolean_or("lowercase", true);
    steps_.push_back(std::make_unique<CleanText>(field.boolean_or("clean_text", true),
                                                 field.boolean_or("handle_chinese_chars", true)));
    if (field.boolean_or("strip_accents", lowercase)) steps_.push_back(std::make_unique<StripNonspacing>());
    if (lowercase) steps_.push_back(std::make_unique<Lowercase>());
  } else {
    field.at("type").fail("\"" + type.substr(0, 64) +
                          "\" is not supported (known: Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, "
                          "Strip, StripAccents, BertNormalizer)");
  }
}

Result<void> Normalizer::apply(std::string& text) const {
  for (const auto& step : steps_) {
    if (auto done = step->apply(text); !done.ok()) return done;
    if (text.size() > kNormalizedBytesMax) {
      return Error{.kind = ErrorKind::too_large,
                   .source = "engine",
                   .http_status = 413,
                   .detail = "the text grows past " + std::to_string(kNormalizedBytesMax) + " bytes when normalized"};
    }
  }
  return {};
}

}  // namespace weir::engine::text
