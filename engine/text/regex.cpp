#include "engine/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "engine/text/json_fields.h"

namespace weir::engine::text {
namespace {

constexpr uint32_t kMatchLimit = 20'000'000;   // backtracking steps a match; real patterns need a few a byte
constexpr uint32_t kHeapLimitKib = 64 * 1024;  // of the interpreter, where the JIT's stack was too small
constexpr size_t kJitStackBytesMax = 1u << 20;

template <auto kFree>
struct Freer {
  template <class T>
  void operator()(T* p) const {
    kFree(p);
  }
};

/// What a match needs and a thread keeps: PCRE2 wants no two threads in one of these.
struct Scratch {
  std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>> data{pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>> context{pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, Freer<pcre2_jit_stack_free>> stack{
      pcre2_jit_stack_create(32 * 1024, kJitStackBytesMax, nullptr)};

  Scratch() {
    if (!context) return;
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
    if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

/// Walks a pattern once, copying it, with the Oniguruma-only escapes rewritten.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& path) : pattern_(pattern), path_(path) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      if (pattern_[at_] == '\\') {
        escape();
      } else if (in_class_) {
        class_char();
      } else {
        outside();
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw LoadFailure{path_, what}; }

  void outside() {
    const char c = pattern_[at_++];
    out_.push_back(c);
    if (c == '{' && at_ < pattern_.size() && pattern_[at_] == ',') out_.push_back('0');  // {,n} counts from zero
    if (c != '[') return;
    in_class_ = true;
    if (at_ < pattern_.size() && pattern_[at_] == '^') out_.push_back(pattern_[at_++]);
    if (at_ < pattern_.size() && pattern_[at_] == ']') out_.push_back(pattern_[at_++]);  // ] at the front is itself
  }

  void class_char() {
    const char c = pattern_[at_];
    if (c == '[') {
      if (pattern_.substr(at_, 2) != "[:") fail("has a set inside a set, which is not supported");
      const size_t end = pattern_.find(":]", at_);
      if (end == std::string_view::npos) fail("has an unfinished [: :] class");
      out_.append(pattern_.substr(at_, end + 2 - at_));
      at_ = end + 2;
      return;
    }
    if (pattern_.substr(at_, 2) == "&&") fail("has an intersection of sets (&&), which is not supported");
    if (c == ']') in_class_ = false;
    out_.push_back(c);
    ++at_;
  }

  /// An escape whose meaning is a set: `members` stands inside [...], and is bracketed outside of one.
  void set(std::string_view members, bool negated) {
    if (in_class_ && negated) fail("has \\W or \\H inside a set, which is not supported");
    if (!in_class_) out_.append(negated ? "[^" : "[");
    out_.append(members);
    if (!in_class_) out_.push_back(']');
  }

  void escape() {
    if (at_ + 1 >= pattern_.size()) fail("ends in a lone backslash");
    const char c = pattern_[at_ + 1];
    at_ += 2;
    // PCRE2's \s takes U+180E for a space and its \w leaves out marks; the properties say what Oniguruma means.
    // (The code points at the end are no letters, but Oniguruma counts Latin-1's small digits and fractions as such.)
    constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";
    constexpr std::string_view kHex = "0-9A-Fa-f";
    switch (c) {
      case 's':
        out_.append("\\p{White_Space}");
        return;
      case 'S':
        out_.append("\\P{White_Space}");
        return;
      case 'w':
        return set(kWord, false);
      case 'W':
        return set(kWord, true);
      case 'h':
        return set(kHex, false);
      case 'H':
        return set(kHex, true);
      case 'u': {
        const std::string_view digits = pattern_.substr(at_, 4);
        if (digits.size() != 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != digits.npos) {
          fail("has \\u without four hexadecimal digits");
        }
        out_.append("\\x{").append(digits).append("}");
        at_ += 4;
        return;
      }
      default:
        out_.push_back('\\'), out_.push_back(c);
        return;
    }
  }

  std::string_view pattern_;
  const std::string& path_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

Error match_error(int code) {
  std::array<PCRE2_UCHAR, 128> message{};
  pcre2_get_error_message(code, message.data(), message.size());
  return {.kind = ErrorKind::bad_request,
          .source = "engine",
          .http_status = 400,
          .detail = "the text cannot be split by the tokenizer's pattern: " +
                    std::string(reinterpret_cast<const char*>(message.data()))};
}

}  // namespace

std::string translate_pattern(std::string_view pattern, const std::string& path) {
  return Translator(pattern, path).run();
}

void Regex::Free::operator()(pcre2_real_code_8* code) const {
  pcre2_code_free(code);
}

Regex Regex::compile(std::string_view pattern, const std::string& path) {
  if (pattern.size() > kPatternBytesMax) {
    throw LoadFailure{path, "is longer than " + std::to_string(kPatternBytesMax) + " bytes"};
  }
  const std::string translated = translate_pattern(pattern, path);
  int error = 0;
  PCRE2_SIZE offset = 0;
  Regex regex;
  // MULTILINE because ^ and $ are always line anchors in the dialect that these files use.
  regex.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                                  nullptr));
  if (!regex.code_) {
    std::array<PCRE2_UCHAR, 128> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    throw LoadFailure{path,
                      "is not a regular expression: " + std::string(reinterpret_cast<const char*>(message.data())) +
                          " (at byte " + std::to_string(offset) + " of \"" + translated.substr(0, 200) + "\")"};
  }
  (void)pcre2_jit_compile(regex.code_.get(), PCRE2_JIT_COMPLETE);  // without a JIT the interpreter serves
  return regex;
}

Result<void> Regex::find_all(std::string_view text, std::vector<Range>& matches) const {
  thread_local Scratch scratch;
  if (!scratch.data || !scratch.context) return match_error(PCRE2_ERROR_NOMEMORY);
  size_t at = 0;
  while (at <= text.size()) {
    const auto match = [&](uint32_t options) {
      return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                         PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | options, scratch.data.get(), scratch.context.get());
    };
    int rc = match(0);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = match(PCRE2_NO_JIT);
    if (rc == PCRE2_ERROR_NOMATCH) return {};
    if (rc < 0) return match_error(rc);
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(scratch.data.get());
    matches.push_back({static_cast<uint32_t>(ends[0]), static_cast<uint32_t>(ends[1])});
    at = ends[1];
    if (at >= text.size()) break;
  }
  return {};
}

}  // namespace weir::engine::text
