#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace weir::fuzz {
namespace {

bool digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

const std::vector<std::string>& dictionary() {
  static const std::vector<std::string> words = {"{",
                                                 "}",
                                                 "[",
                                                 "]",
                                                 ",",
                                                 ":",
                                                 "\"",
                                                 "null",
                                                 "true",
                                                 "{}",
                                                 "[]",
                                                 "\"\"",
                                                 "-1",
                                                 "0",
                                                 "1e400",
                                                 "-0.0",
                                                 "9223372036854775807",
                                                 "9223372036854775808",
                                                 "18446744073709551616",
                                                 "1.7976931348623157e308",
                                                 "\\u0000",
                                                 "\\ud800",
                                                 "\\udc00",
                                                 "\\\"",
                                                 "\xff",
                                                 "\xed\xa0\x80",
                                                 "\xf4\x90\x80\x80",
                                                 "\xc3",
                                                 std::string(1, '\0'),
                                                 "\r\n",
                                                 "\n\n",
                                                 "\r\r",
                                                 "\r",
                                                 "data: ",
                                                 "data:",
                                                 "event: ",
                                                 "data: [DONE]\n\n",
                                                 ": x\n",
                                                 "\"error\":{}",
                                                 "\"usage\":",
                                                 "\"usage\":null",
                                                 "\"choices\":[",
                                                 "\"index\":2147483648",
                                                 "\"delta\":{",
                                                 "\"tool_calls\":[",
                                                 "\"content\":",
                                                 "\"text\":",
                                                 "\"type\":",
                                                 "\"finish_reason\":\"stop\"",
                                                 "\"index\":-1",
                                                 "\"weir:",
                                                 "\"stream\":true",
                                                 "\"model\":\"m\"",
                                                 "{%",
                                                 "%}",
                                                 "{{",
                                                 "}}",
                                                 "{#",
                                                 "|",
                                                 "loop",
                                                 "range(99999)",
                                                 "Content-Length: ",
                                                 "Transfer-Encoding: chunked\r\n",
                                                 "0\r\n\r\n",
                                                 "--",
                                                 "${A}",
                                                 "&a",
                                                 "*a",
                                                 "<<: ",
                                                 "<tool_call>",
                                                 "</tool_call>"};
  return words;
}

Mutator::Mutator(uint64_t seed, std::vector<std::string> corpus, size_t bytes_max)
    : rng_(seed), corpus_(std::move(corpus)), bytes_max_(bytes_max) {}

void Mutator::change(std::string& input) {
  const size_t at = below(input.size() + 1);
  const size_t length = std::min(input.size() - at, 1 + below(1 + below(64)));
  switch (below(10)) {
    case 0:
      if (at < input.size()) input[at] = static_cast<char>(rng_.next());
      return;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(input[at] ^ 1 << below(8));
      return;
    case 2:
      input.insert(at, 1 + below(4), static_cast<char>(rng_.next()));
      return;
    case 3:
      input.erase(at, length);
      return;
    case 4: {
      const std::string copy = input.substr(at, length);
      for (size_t i = below(8) + 1; i > 0; --i) input.insert(at, copy);
      return;
    }
    case 5:
    case 6: {
      const std::string& word = dictionary()[below(dictionary().size())];
      input.replace(at, below(2) == 0 ? 0 : std::min(length, word.size()), word);
      return;
    }
    case 7: {
      const std::string& other = corpus_[below(corpus_.size())];
      const size_t from = below(other.size() + 1);
      input.replace(at, length, other, from, below(200));
      return;
    }
    case 8: {  // the next number
      const auto begin = std::find_if(input.begin() + static_cast<std::ptrdiff_t>(at), input.end(), digit);
      const auto end = std::find_if_not(begin, input.end(), digit);
      constexpr std::string_view kNumbers[] = {
          "0",     "-1", "1", "255", "65536", "2147483647", "2147483648", "4294967295", "9223372036854775807",
          "1e308", "0.5"};
      if (begin != end) input.replace(begin, end, kNumbers[below(std::size(kNumbers))]);
      return;
    }
    default:
      if (below(4) == 0) input.resize(at);
  }
}

std::string Mutator::next() {
  std::string input = corpus_[below(corpus_.size())];
  for (size_t changes = 1 + below(5); changes > 0; --changes) change(input);
  if (input.size() > bytes_max_) input.resize(bytes_max_);
  return input;
}

}  // namespace weir::fuzz
