#include "gateway/api/answer_size.h"

#include "providers/json_text.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::Json;

constexpr uint64_t kAroundBytes = 512;  // what is kept of an item, a call or a citation beside its words
constexpr uint64_t kTokenBytes = 64;    // the same of a token's log-probability

uint64_t size_of(const Json& tree) {
  return tree.is_null() ? 0 : providers::json_text(tree).size();
}

bool is_piece(ChatEvent::Kind kind) {
  return kind == ChatEvent::Kind::text || kind == ChatEvent::Kind::refusal || kind == ChatEvent::Kind::reasoning ||
         kind == ChatEvent::Kind::tool_call;
}

}  // namespace

void AnswerSize::add(const ChatEvent& event) {
  const providers::ToolCall& call = event.tool_call;
  bytes_ += event.text.size() + call.id.size() + call.name.size() + call.arguments.size();
  for (const auto& token : event.logprobs) {
    bytes_ += kTokenBytes + token.chosen.token.size();
    for (const auto& other : token.top) bytes_ += other.token.size() + other.bytes.size();
  }
  const std::pair begun(event.kind, event.tool_index);
  const auto [last, first] = last_.try_emplace(event.index, begun);
  if (!first && is_piece(event.kind) && last->second == begun) return;
  last->second = begun;
  bytes_ += kAroundBytes + event.signature.size() + event.redacted.size() + size_of(event.citation) +
            size_of(event.native) + size_of(event.container);
}

}  // namespace weir::gateway
