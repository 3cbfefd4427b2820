// The neutral language: what every client protocol is decoded into and every provider understands, where the two do
// not speak the same protocol. Pure values. A field that only some protocols have is optional; what no field fits
// survives in `extra`.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/base/result.h"
#include "config/prices.h"

namespace weir::providers {

using Json = nlohmann::ordered_json;

enum class Role { system, developer, user, assistant, tool };

struct Part {
  enum class Kind { text, image, audio, file, refusal };
  Kind kind = Kind::text;
  std::string text;  // text and refusal
  Json source;       // the other kinds: as the client sent them
};

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text
};

struct Message {
  Role role = Role::user;
  std::vector<Part> parts;
  std::string name;
  std::vector<ToolCall> tool_calls;  // assistant
  std::string tool_call_id;          // tool
  std::string reasoning;             // assistant's earlier thinking, where it is replayed
  /// All text parts joined.
  std::string text() const;
};

struct ChatRequest {
  std::string model;
  std::vector<Message> messages;
  Json tools = Json::array();  // OpenAI's tool definitions
  Json tool_choice;            // null: not given
  Json response_format;        // null: not given
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int32_t> top_k;
  std::optional<double> min_p;
  std::optional<double> presence_penalty;
  std::optional<double> frequency_penalty;
  std::optional<double> repetition_penalty;
  std::optional<uint64_t> seed;
  std::optional<int64_t> output_tokens_max;
  std::vector<std::string> stop;
  std::vector<std::pair<int32_t, double>> logit_bias;
  bool logprobs = false;
  int32_t top_logprobs = 0;
  int32_t n = 1;
  bool ignore_eos = false;
  bool stream = false;
  bool include_usage = false;  // the client asked for the usage chunk
  Json template_arguments;     // chat_template_kwargs
  std::string user;
};

/// Tokens of one request as far as they are known. Streams may report several times: the maximum counts.
struct Usage {
  config::TokenCounts counts;
  bool reported = false;  // by the upstream or the engine; else estimated

  void raise(const config::TokenCounts& other);
};

enum class StopReason { stop, length, tool_calls, content_filter };

struct LogprobEntry {
  std::string token;  // text; invalid UTF-8 replaced
  std::string bytes;  // raw
  double logprob = 0;
};
struct TokenLogprobs {
  LogprobEntry chosen;
  std::vector<LogprobEntry> top;
};

/// One thing that happened in an answer. A stream is: text | reasoning | tool_call … then finish for each choice.
struct ChatEvent {
  enum class Kind { text, reasoning, tool_call, finish };
  Kind kind = Kind::text;
  int32_t index = 0;  // choice
  std::string text;   // text and reasoning: the new piece
  std::vector<TokenLogprobs> logprobs;
  int32_t tool_index = 0;  // tool_call: which; id and name only in its first event
  ToolCall tool_call;
  StopReason stop = StopReason::stop;  // finish
};

}  // namespace weir::providers
