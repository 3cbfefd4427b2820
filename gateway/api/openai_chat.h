// OpenAI Chat Completions as a client protocol: body to neutral request, neutral events to chunks or one answer.
// Pure. https://platform.openai.com/docs/api-reference/chat/create, …/chat/object, …/chat-streaming.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/api/calls_in_order.h"
#include "gateway/api/citations.h"
#include "gateway/api/client_api.h"

namespace weir::gateway {

const ClientApi& openai_chat_api();

/// Errors: bad_request with `param`.
Result<providers::ChatRequest> decode_chat(std::string_view body);

class ChatEncoder final : public AnswerEncoder {
 public:
  ChatEncoder(std::string id, int64_t created_unix_s, std::string model, bool include_usage);

  void begin(const providers::Usage&, std::string&) override {}
  void chunk(const providers::ChatEvent& event, std::string& out) override;
  /// The usage chunk, if the client asked for it, and the end mark.
  void final(const providers::Usage& usage, NanoUsd cost, std::string& out) override;
  void add(providers::ChatEvent event) override;
  std::string whole(const providers::Usage& usage, NanoUsd cost) override;

 private:
  struct Choice {
    std::string text;
    std::string refusal;
    std::string reasoning;
    providers::Json thinking_blocks = providers::Json::array();
    providers::Json annotations = providers::Json::array();
    providers::Json citations = providers::Json::array();  // of sources that are no page on the web, as they came
    providers::Json items = providers::Json::array();      // what the provider alone can say (native_item.h)
    CallsInOrder in_order;  // of a stream: OpenAI's own client reads a call's arguments when the next one begins
    CitedStretch cited;
    std::vector<providers::TokenLogprobs> logprobs;
    std::map<int32_t, providers::ToolCall> tool_calls;
    std::map<int32_t, std::string> call_signatures;
    std::map<int32_t, bool> calls_told;  // of a stream: whether the call's arguments have begun
    providers::StopReason stop = providers::StopReason::stop;
    providers::Json container;
    bool opened = false;
    bool text_last = false;       // what came last was text: a signature now is the text's, not the thinking's
    std::string delta;            // what every plain chunk begins with
    int32_t last_tool = -1;       // the call that a signature belongs to; −1: what came last was no call
    int32_t blocks_sent = 0;      // of a stream: the index of the next thinking block,
    size_t annotations_sent = 0;  // of the next annotation,
    size_t citations_sent = 0;    // of the next citation,
    size_t items_sent = 0;        // of the next item; OpenAI's client puts lists together by it
    size_t thinking_from = 0;     // where the open thinking block begins in `reasoning`

    void note(const providers::ChatEvent& event);
    /// Adds what an event cites to `annotations` and `citations`.
    void cite(const providers::ChatEvent& event);
    /// The thinking that a signature closes; empty where it signs a text.
    std::string_view signed_thinking();
  };
  void tell(const providers::ChatEvent& event, Choice& choice, std::string& out);
  void delta(const providers::ChatEvent& event, Choice& choice, providers::Json& out);

  std::string id_;
  int64_t created_;
  std::string model_;
  bool include_usage_;
  std::string prefix_;  // the part of every chunk before its choices, encoded once
  std::map<int32_t, Choice> choices_;
};

/// OpenAI's usage object.
providers::Json openai_usage(const providers::Usage& usage);
providers::Json openai_logprobs(const std::vector<providers::TokenLogprobs>& tokens);

}  // namespace weir::gateway
