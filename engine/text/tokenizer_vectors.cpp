#include "engine/text/tokenizer_vectors.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace weir::engine {
namespace {

constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + separator.size();
  }
  return parts;
}

Error bad(std::string detail) {
  return {.kind = ErrorKind::bad_request, .source = "engine", .http_status = 400, .detail = std::move(detail)};
}

Result<std::vector<TokenId>> parse_ids(std::string_view line) {
  std::vector<TokenId> ids;
  for (std::string_view word : split(line, " ")) {
    if (word.empty()) continue;
    TokenId id = 0;
    const auto parsed = std::from_chars(word.data(), word.data() + word.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != word.data() + word.size()) {
      return bad("\"" + std::string(word.substr(0, 32)) + "\" is no token id");
    }
    ids.push_back(id);
  }
  return ids;
}

std::string join(const std::vector<TokenId>& ids) {
  std::string text;
  for (const TokenId id : ids) text += std::to_string(id) + " ";
  return text;
}

}  // namespace

Result<VectorScore> score_vectors(const Tokenizer& tokenizer, std::string_view texts, std::string_view ids) {
  const auto inputs = split(texts, kSeparator);
  auto lines = split(ids, "\n");
  if (lines.size() == inputs.size() + 1 && lines.back().empty()) lines.pop_back();  // the file ends in a line break
  if (lines.size() != inputs.size()) {
    return bad(std::to_string(inputs.size()) + " texts, but " + std::to_string(lines.size()) + " lines of ids");
  }
  VectorScore score;
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto wanted = parse_ids(lines[i]);
    if (!wanted.ok()) return std::move(wanted).error();
    auto made = tokenizer.encode(inputs[i]);
    if (!made.ok()) return std::move(made).error();
    ++score.total;
    if (*made == *wanted) {
      ++score.passed;
    } else if (score.first_difference.empty()) {
      score.first_difference =
          "text \"" + std::string(inputs[i]) + "\": wanted " + join(*wanted) + "but made " + join(*made);
    }
  }
  return score;
}

}  // namespace weir::engine
