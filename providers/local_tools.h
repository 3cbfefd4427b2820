// Finds tool calls in a local model's answer while it is being written: ordinary text goes on at once, what may be a
// call is held back until the answer is whole. Pure; one answer each.
#pragma once

#include <string>
#include <string_view>

#include "engine/text/tool_parse.h"

namespace weir::providers {

class ToolSplitter {
 public:
  explicit ToolSplitter(engine::ToolCallStyle style) : style_(style) {}
  /// The part of the answer so far that is certainly ordinary text and was not given out before.
  std::string push(std::string_view piece);
  /// The answer is whole: the rest of the text, and the calls.
  engine::ToolReply finish();

 private:
  engine::ToolCallStyle style_;
  std::string text_;      // all of it
  size_t given_ = 0;      // bytes of it already given out
  bool holding_ = false;  // a call has begun
};

}  // namespace weir::providers
