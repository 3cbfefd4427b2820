#include "engine/grammar/pattern.h"

#include <optional>
#include <utility>

#include "engine/text/unicode.h"

namespace weir::engine::grammar {
namespace {

using Kind = PatternNode::Kind;

constexpr int kGroupsDeepMax = 64;

const CharSet& digits() {
  static const CharSet set = {{'0', '9'}};
  return set;
}
const CharSet& word_chars() {
  static const CharSet set = normalized({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
  return set;
}
const CharSet& spaces() {
  static const CharSet set = normalized({{9, 13},
                                         {' ', ' '},
                                         {0xA0, 0xA0},
                                         {0x1680, 0x1680},
                                         {0x2000, 0x200A},
                                         {0x2028, 0x2029},
                                         {0x202F, 0x202F},
                                         {0x205F, 0x205F},
                                         {0x3000, 0x3000},
                                         {0xFEFF, 0xFEFF}});
  return set;
}
const CharSet& line_ends() {
  static const CharSet set = normalized({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
  return set;
}

struct Wrong {
  std::string what;
};

class PatternParser {
 public:
  explicit PatternParser(std::string_view text) : text_(text) {}

  PatternNode parse() {
    PatternNode node = choice(0);
    if (at_ < text_.size()) fail("a ) without its (");
    return node;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Wrong{"at byte " + std::to_string(at_ + 1) + ": " + what};
  }
  bool ends() const { return at_ >= text_.size(); }
  bool sees(std::string_view text) const { return text_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!sees(text)) return false;
    at_ += text.size();
    return true;
  }

  PatternNode choice(int depth) {
    if (depth > kGroupsDeepMax) fail("groups are nested more than 64 deep");
    PatternNode out{.kind = Kind::choice, .set = {}, .parts = {}};
    do {
      out.parts.push_back(sequence(depth));
    } while (take("|"));
    return out.parts.size() == 1 ? std::move(out.parts.front()) : std::move(out);
  }

  PatternNode sequence(int depth) {
    PatternNode out{.kind = Kind::sequence, .set = {}, .parts = {}};
    while (!ends() && !sees("|") && !sees(")")) {
      PatternNode item = atom(depth);
      quantify(item);
      out.parts.push_back(std::move(item));
    }
    return out;
  }

  void quantify(PatternNode& item) {
    int32_t low = 0;
    int32_t high = -1;
    if (take("*")) {
    } else if (take("+")) {
      low = 1;
    } else if (take("?")) {
      high = 1;
    } else if (!braces(low, high)) {
      return;
    }
    if (item.kind == Kind::begin || item.kind == Kind::end) fail("an anchor cannot be repeated");
    take("?");  // lazy: the same language
    if (sees("*") || sees("+") || sees("?")) fail("a repetition of a repetition");
    PatternNode repeat{.kind = Kind::repeat, .set = {}, .parts = {}, .low = low, .high = high};
    repeat.parts.push_back(std::move(item));
    item = std::move(repeat);
  }

  /// {3}, {3,}, {3,5}; anything else is the character {.
  bool braces(int32_t& low, int32_t& high) {
    if (!sees("{")) return false;
    const size_t begin = at_++;
    const auto from = number();
    std::optional<int32_t> to = from;
    if (take(",")) {
      to = sees("}") ? std::optional<int32_t>(-1) : number();
    }
    if (!from || !to || !take("}")) {
      at_ = begin;
      fail("{ begins no repetition; write \\{ for the character");
    }
    low = *from;
    high = *to;
    if (low > kRepeatMax || high > kRepeatMax) fail("a repetition of more than 4096");
    if (high >= 0 && high < low) fail("a repetition whose end is before its beginning");
    return true;
  }

  std::optional<int32_t> number() {
    int32_t value = 0;
    const size_t begin = at_;
    while (!ends() && text_[at_] >= '0' && text_[at_] <= '9') {
      value = value > kRepeatMax ? value : value * 10 + (text_[at_] - '0');
      ++at_;
    }
    return at_ == begin ? std::nullopt : std::optional(value);
  }

  PatternNode atom(int depth) {
    if (take("^")) return {.kind = Kind::begin, .set = {}, .parts = {}};
    if (take("$")) return {.kind = Kind::end, .set = {}, .parts = {}};
    if (take(".")) return of(complement(line_ends()));
    if (take("(")) return group(depth);
    if (take("[")) return of(char_class());
    if (take("\\")) return of(escape(false));
    if (sees("*") || sees("+") || sees("?")) fail("a repetition of nothing");
    if (sees("{")) fail("{ repeats nothing; write \\{ for the character");
    return of(one(code_point()));
  }

  static PatternNode of(CharSet set) { return {.kind = Kind::chars, .set = std::move(set), .parts = {}}; }
  static CharSet one(char32_t c) { return normalized({{c, c}}); }

  char32_t code_point() {
    const text::CodePoint point = text::code_point_at(text_, at_);
    at_ += point.bytes;
    return point.value;
  }

  PatternNode group(int depth) {
    if (take("?")) {
      if (sees("=") || sees("!") || sees("<=") || sees("<!")) fail("looking ahead or behind is not regular");
      if (take("<")) {
        const size_t end = text_.find('>', at_);
        if (end == std::string_view::npos) fail("a group's name without its >");
        at_ = end + 1;
      } else if (!take(":")) {
        fail("(? begins nothing that is known here");
      }
    }
    PatternNode inner = choice(depth + 1);
    if (!take(")")) fail("a ( without its )");
    return inner;
  }

  char32_t hex(int digits_wanted) {
    char32_t value = 0;
    for (int i = 0; i < digits_wanted; ++i) value = value * 16 + hex_digit();
    return value;
  }
  char32_t hex_digit() {
    const char c = ends() ? '\0' : text_[at_++];
    if (c >= '0' && c <= '9') return static_cast<char32_t>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<char32_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<char32_t>(c - 'A' + 10);
    fail("a hexadecimal digit is missing");
  }

  char32_t unicode_escape() {
    if (take("{")) {
      char32_t value = 0;
      while (!take("}")) {
        value = value * 16 + hex_digit();
        if (value > 0x10FFFF) fail("no such character");
      }
      return value;
    }
    const char32_t value = hex(4);
    if (value < 0xD800 || value > 0xDFFF) return value;
    if (value > 0xDBFF || !take("\\u")) fail("half of a surrogate pair");
    const char32_t low = hex(4);
    if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
    return 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
  }

  /// What follows a backslash.
  CharSet escape(bool in_class) {
    if (ends()) fail("a backslash at the end");
    const char c = text_[at_++];
    switch (c) {
      case 'd':
        return digits();
      case 'D':
        return complement(digits());
      case 'w':
        return word_chars();
      case 'W':
        return complement(word_chars());
      case 's':
        return spaces();
      case 'S':
        return complement(spaces());
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'x':
        return one(hex(2));
      case 'u':
        return one(unicode_escape());
      case 'c':
        if (ends() || (text_[at_] | 0x20) < 'a' || (text_[at_] | 0x20) > 'z') fail("\\c wants a letter");
        return one(static_cast<char32_t>(text_[at_++]) & 31);
      case 'b':
        if (in_class) return one('\b');
        fail("\\b, a word's edge, is not supported");
      case 'B':
        fail("\\B is not supported");
      case 'p':
      case 'P':
        fail("Unicode properties are not supported; write the ranges");
      case 'k':
        fail("a reference to a group is not regular");
      default:
        break;
    }
    if (c == '0' && (ends() || text_[at_] < '0' || text_[at_] > '9')) return one(0);
    if (c >= '0' && c <= '9') fail("a reference to a group is not regular");
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) fail(std::string("\\") + c + " is not known");
    --at_;
    return one(code_point());
  }

  CharSet char_class() {
    const bool inverted = take("^");
    CharSet set;
    while (!take("]")) {
      const CharSet low = class_item();
      const bool single = low.size() == 1 && low.front().low == low.front().high;
      if (sees("-") && !sees("-]")) {
        ++at_;
        const CharSet high = class_item();
        const bool both = single && high.size() == 1 && high.front().low == high.front().high;
        if (!both) fail("a range between classes");
        if (high.front().low < low.front().low) fail("a range whose end is before its beginning");
        set.push_back({low.front().low, high.front().low});
      } else {
        set.insert(set.end(), low.begin(), low.end());
      }
    }
    set = normalized(std::move(set));
    return inverted ? complement(set) : set;
  }

  CharSet class_item() {
    if (ends()) fail("a [ without its ]");
    return take("\\") ? escape(true) : one(code_point());
  }

  std::string_view text_;
  size_t at_ = 0;
};

class Emitter {
 public:
  Emitter(Nfa& nfa, Spelling spelling) : nfa_(nfa), spelling_(spelling) {}

  bool emit(const PatternNode& node, Nfa::State from, Nfa::State to) {
    if (nfa_.size() > kNfaStatesMax) return false;
    using When = Nfa::EmptyEdge::When;
    switch (node.kind) {
      case Kind::nothing:
        nfa_.empty(from, to);
        return true;
      case Kind::chars:
        nfa_.chars(from, node.set, spelling_, true, to);
        return true;
      case Kind::begin:
        nfa_.empty(from, to, When::at_begin);
        return true;
      case Kind::end:
        nfa_.empty(from, to, When::at_end);
        return true;
      case Kind::sequence:
        for (const PatternNode& part : node.parts) {
          const Nfa::State next = nfa_.add();
          if (!emit(part, from, next)) return false;
          from = next;
        }
        nfa_.empty(from, to);
        return true;
      case Kind::choice:
        for (const PatternNode& part : node.parts) {
          if (!emit(part, from, to)) return false;
        }
        return true;
      case Kind::repeat:
        return repeat(node, from, to);
    }
    return false;
  }

 private:
  bool repeat(const PatternNode& node, Nfa::State from, Nfa::State to) {
    const PatternNode& part = node.parts.front();
    for (int32_t i = 0; i < node.low; ++i) {
      const Nfa::State next = nfa_.add();
      if (!emit(part, from, next)) return false;
      from = next;
    }
    if (node.high < 0) {
      const Nfa::State loop = nfa_.add();  // of its own: what else leaves `from` must not be repeated
      nfa_.empty(from, loop);
      nfa_.empty(loop, to);
      const Nfa::State back = nfa_.add();
      nfa_.empty(back, loop);
      return emit(part, loop, back);
    }
    for (int32_t i = node.low; i < node.high; ++i) {
      const Nfa::State next = nfa_.add();
      nfa_.empty(from, to);
      if (!emit(part, from, next)) return false;
      from = next;
    }
    nfa_.empty(from, to);
    return true;
  }

  Nfa& nfa_;
  Spelling spelling_;
};

}  // namespace

Result<PatternNode> parse_pattern(std::string_view pattern) {
  const auto wrong = [](std::string detail) {
    return Error{.kind = ErrorKind::bad_request, .source = "engine", .http_status = 400, .detail = std::move(detail)};
  };
  if (pattern.size() > kPatternTextBytesMax) return wrong("has more than 16384 bytes");
  if (!text::is_valid_utf8(pattern)) return wrong("is no UTF-8");
  try {
    return PatternParser(pattern).parse();
  } catch (Wrong& what) {
    return wrong(std::move(what.what));
  }
}

bool add_pattern(Nfa& nfa, const PatternNode& pattern, Spelling spelling, Nfa::State from, Nfa::State to) {
  return Emitter(nfa, spelling).emit(pattern, from, to);
}

bool add_search(Nfa& nfa, const PatternNode& pattern, Spelling spelling, Nfa::State from, Nfa::State to) {
  const Nfa::State before = nfa.add();
  const Nfa::State after = nfa.add();
  nfa.empty(from, before);
  nfa.chars(before, any_char(), spelling, true, before);
  if (!add_pattern(nfa, pattern, spelling, before, after)) return false;
  nfa.chars(after, any_char(), spelling, true, after);
  nfa.empty(after, to);
  return true;
}

}  // namespace weir::engine::grammar
