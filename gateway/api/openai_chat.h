// OpenAI Chat Completions as a client protocol: body to neutral request, neutral events to chunks or one answer.
// Pure. https://platform.openai.com/docs/api-reference/chat/create, …/chat/object, …/chat-streaming.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/money.h"
#include "providers/chat.h"

namespace weir::gateway {

/// Errors: bad_request with `param`.
Result<providers::ChatRequest> decode_chat(std::string_view body);

/// Encodes one answer. One of two uses: chunk() for each event and final() for a stream, or add() and whole().
class ChatEncoder {
 public:
  ChatEncoder(std::string id, int64_t created_unix_s, std::string model);

  /// Appends the server-sent events of one neutral event.
  void chunk(const providers::ChatEvent& event, std::string& out);
  /// The usage chunk, if the client asked for it, and the end mark.
  void final(const providers::Usage& usage, NanoUsd cost, bool include_usage, std::string& out);

  /// Collects an event of an answer that is sent whole.
  void add(providers::ChatEvent event);
  std::string whole(const providers::Usage& usage) const;

 private:
  struct Choice {
    std::string text;
    std::string reasoning;
    std::vector<providers::TokenLogprobs> logprobs;
    std::map<int32_t, providers::ToolCall> tool_calls;
    providers::StopReason stop = providers::StopReason::stop;
    bool opened = false;
  };
  std::string id_;
  int64_t created_;
  std::string model_;
  std::string prefix_;  // the part of every chunk before its choices, encoded once
  std::map<int32_t, Choice> choices_;
};

/// An error as an event of a stream that already began.
std::string chat_error_event(const Error& error);

/// `usage` with what it cost, spliced behind the brace that opens the upstream's own usage object.
void append_usage_with_cost(std::string_view event, uint32_t usage_object, bool usage_empty, NanoUsd cost,
                            std::string& out);

}  // namespace weir::gateway
