// Anthropic's Messages as a client protocol: bodies to the neutral language, neutral answers to whole bodies and
// streams, and counting tokens. Pure; used on the core of the request.
// https://docs.anthropic.com/en/api/messages, …/messages-streaming, …/messages-count-tokens, …/errors.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "gateway/api/calls_in_order.h"
#include "gateway/api/client_api.h"

namespace weir::gateway {

const ClientApi& anthropic_messages_api();
/// POST /v1/messages/count_tokens: {"input_tokens":N}, which is usage.counts.input.
const ClientApi& anthropic_count_api();

/// Errors: bad_request with `param`; where a block is Anthropic's own and has no word in the neutral language, with
/// code unsupported_parameter and Retry::other_target, since a target that speaks Anthropic takes it as it is.
Result<providers::ChatRequest> decode_messages(const providers::CallBody& body);

class MessagesEncoder final : public AnswerEncoder {
 public:
  MessagesEncoder(std::string id, std::string model);

  /// message_start, with what the input counted where that is known.
  void begin(const providers::Usage& known, std::string& out) override;
  void chunk(const providers::ChatEvent& event, std::string& out) override;
  /// message_delta with stop reason, usage and usage.cost_usd; message_stop.
  void final(const providers::Usage& usage, NanoUsd cost, std::string& out) override;
  void add(providers::ChatEvent event) override;
  std::string whole(const providers::Usage& usage, NanoUsd cost) override;

 private:
  enum class Open { nothing, text, thinking, tool, item };
  void tell(const providers::ChatEvent& event, std::string& out);
  void open(Open kind, std::string_view content_block, std::string& out);
  void close(std::string& out);
  void delta(int32_t index, std::string_view head, std::string_view text, std::string& out);
  void tool_call(const providers::ChatEvent& event, std::string& out);
  void signature(const providers::ChatEvent& event, std::string& out);
  void citation(const providers::ChatEvent& event, std::string& out);
  void add_tool_call(providers::ChatEvent& event);
  void add_signature(const providers::ChatEvent& event);
  /// The last block of a whole answer if it is of this type and not closed, else a new one.
  providers::Json& block(const char* type);

  std::string id_;
  std::string model_;
  int32_t index_ = -1;  // of the block that is open or was last
  Open open_ = Open::nothing;
  std::map<int32_t, int32_t> tool_block_;  // tool_index to block index
  CallsInOrder calls_;                     // of a stream: a block is over before the next begins
  providers::StopReason stop_ = providers::StopReason::stop;
  std::string stop_sequence_;
  providers::Json container_;
  providers::Json content_ = providers::Json::array();  // whole answers; tool_use has its input as text until the end
  bool thinking_closed_ = false;                        // whole: the last thinking block has its signature
};

/// {"type":"error","error":{"type","message"}} with CONTRACT's `code` and `param` where there are any.
std::string messages_error(const Error& error);

}  // namespace weir::gateway
