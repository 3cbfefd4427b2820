#include "providers/local_tools.h"

#include <algorithm>

namespace weir::providers {
namespace {

constexpr std::string_view kHermesTag = "<tool_call>";
constexpr std::string_view kWhite = " \t\r\n";

/// How many bytes at the end of the text may be the beginning of the tag.
size_t tag_begun(std::string_view text) {
  for (size_t n = std::min(kHermesTag.size() - 1, text.size()); n > 0; --n)
    if (text.ends_with(kHermesTag.substr(0, n))) return n;
  return 0;
}

}  // namespace

std::string ToolSplitter::push(std::string_view piece) {
  text_.append(piece);
  if (holding_) return {};
  size_t safe = text_.size();
  switch (style_) {
    case engine::ToolCallStyle::none:
      break;
    case engine::ToolCallStyle::hermes:
      if (const size_t tag = text_.find(kHermesTag, given_); tag != std::string::npos) {
        holding_ = true;
        safe = tag;
      } else {
        safe -= tag_begun(std::string_view(text_).substr(given_));
      }
      // White space before a call is not a part of the text.
      while (safe > given_ && kWhite.find(text_[safe - 1]) != std::string_view::npos) --safe;
      break;
    case engine::ToolCallStyle::llama3_json: {
      // A call is the whole answer, so its first character tells.
      const size_t first = text_.find_first_not_of(kWhite);
      if (first == std::string::npos) return {};
      holding_ = given_ == 0 && (text_[first] == '{' || text_[first] == '<');
      if (holding_) return {};
      break;
    }
  }
  std::string out = text_.substr(given_, safe - given_);
  given_ = safe;
  return out;
}

engine::ToolReply ToolSplitter::finish() {
  engine::ToolReply reply = engine::parse_tool_calls(text_, style_);
  if (reply.calls.empty()) reply.content = text_;
  reply.content = reply.content.size() > given_ ? reply.content.substr(given_) : std::string{};
  return reply;
}

}  // namespace weir::providers
