// How much of a stream's answer an encoder may have to keep until its end: Responses tell all of it again, chat the
// thinking that a signature closes, and pieces of calls that come in turns wait. One a stream; its core's.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "providers/chat.h"

namespace weir::gateway {

class AnswerSize {
 public:
  void add(const providers::ChatEvent& event);
  uint64_t bytes() const { return bytes_; }

 private:
  uint64_t bytes_ = 0;
  std::map<int32_t, std::pair<providers::ChatEvent::Kind, int32_t>> last_;  // of each choice, with its tool_index
};

}  // namespace weir::gateway
