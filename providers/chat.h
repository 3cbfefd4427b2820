// The neutral language: what every client protocol is decoded into and every provider understands, where the two do
// not speak the same protocol. Pure values. A message is an ordered list of parts, so that text, thinking and tool
// calls keep the order in which a model interleaved them. What no field fits is kept by name: in `extensions` (the
// client's protocol does not know it either, so it goes to the upstream as it is) or `unmodelled` (a field of the
// client's protocol that the neutral language has no word for; a codec of another protocol must refuse it or be told to
// drop it).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>
#include "config/base/json.h"

#include "providers/protocol.h"
#include "providers/usage.h"

namespace weir::providers {

using Json = nlohmann::ordered_json;

enum class Role { system, developer, user, assistant, tool };

/// Bytes that are no text: by URL, inline in base64, or as a file the upstream knows. One of url, data, file_id is set.
struct Media {
  std::string mime;     // "image/png"; empty: unknown (an URL)
  std::string url;      // http(s); a data: URL is split into mime and data by the decoder
  std::string data;     // base64
  std::string file_id;  // of the upstream's files API
  std::string name;     // a file's name or title
  std::string detail;   // OpenAI's image detail: low, high, auto
};

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text; empty means {}
};

/// Whose signature or encrypted content a piece of reasoning carries: only that family can verify it.
enum class Signer : uint8_t { none, anthropic, gemini, openai };

struct Part {
  enum class Kind { text, image, audio, file, refusal, reasoning, tool_call, native };
  Kind kind = Kind::text;
  std::string text;       // text, refusal, reasoning
  Media media;            // image, audio, file
  ToolCall call;          // tool_call
  std::string signature;  // reasoning; Gemini signs text and tool calls too
  Signer signer = Signer::none;
  std::string redacted;  // reasoning: the upstream's encrypted thinking in place of text
  std::string item_id;   // reasoning: its id in the Responses protocol
  Json cache = {};       // cache_control as Anthropic writes it: {"type":"ephemeral","ttl":"5m"|"1h"}; null: none
  Json citations = {};   // of a text, as the upstream's protocol wrote them; null: none
  Json native = {};      // native: what only one provider can say, in the form of native_item.h

  static Part of_text(std::string text) { return {.kind = Kind::text, .text = std::move(text)}; }
  static Part of_call(ToolCall call) { return {.kind = Kind::tool_call, .call = std::move(call)}; }
};

struct Message {
  Role role = Role::user;
  std::vector<Part> parts;
  std::string name;
  std::string tool_call_id;  // tool: which call this is the result of
  bool tool_failed = false;  // tool: the result is an error

  /// All text (and refusal) parts joined.
  std::string text() const;
  /// All reasoning text joined.
  std::string reasoning() const;
  std::vector<ToolCall> tool_calls() const;
};

struct Tool {
  std::string name;
  std::string description;
  Json parameters;  // JSON Schema; null: takes nothing
  std::optional<bool> strict;
  Json cache = {};
  Json native = {};  // a tool that the upstream runs itself (web search, …), in `native_of`'s form; then no name is set
  Protocol native_of = Protocol::openai_chat;
};

struct ToolChoice {
  enum class Kind { unset, automatic, none, required, named };
  Kind kind = Kind::unset;
  std::string name;              // named
  std::optional<bool> parallel;  // may the model call several at once
};

struct ResponseFormat {
  enum class Kind { text, json_object, json_schema };
  Kind kind = Kind::text;
  std::string name;
  std::string description;
  Json schema;
  std::optional<bool> strict;
};

/// How much to think. Effort is a word, a budget is tokens; reasoning.h maps one to the other.
struct ReasoningAsk {
  std::optional<bool> enabled;           // unset: the model's default
  std::string effort;                    // none, minimal, low, medium, high, xhigh, max; empty: not given
  std::optional<int64_t> budget_tokens;  // −1: as much as the model wants
  std::optional<bool> show;              // send thinking or its summary to the client; unset: the protocol's default
  std::string summary;                   // Responses: auto, concise, detailed
  bool given() const { return enabled || !effort.empty() || budget_tokens; }
};

struct ChatRequest {
  Protocol protocol = Protocol::openai_chat;  // what the client speaks
  std::string model;
  std::vector<Message> messages;  // system messages among them, in order
  /// openai_completions: the prompts as given; `messages` then holds the first as a user message.
  std::vector<std::string> prompts;
  std::vector<std::vector<int32_t>> token_prompts;
  bool echo_prompt = false;
  std::vector<Tool> tools;
  ToolChoice tool_choice;
  ResponseFormat response_format;
  ReasoningAsk reasoning;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int32_t> top_k;
  std::optional<double> min_p;
  std::optional<double> presence_penalty;
  std::optional<double> frequency_penalty;
  std::optional<double> repetition_penalty;
  std::optional<int64_t> seed;
  std::optional<int64_t> output_tokens_max;
  std::vector<std::string> stop;
  std::vector<std::pair<int32_t, double>> logit_bias;
  bool logprobs = false;
  int32_t top_logprobs = 0;
  int32_t n = 1;
  bool ignore_eos = false;
  bool stream = false;
  bool include_usage = false;  // chat, completions: the client asked for the usage chunk
  Json template_arguments;     // chat_template_kwargs
  std::string user;
  Json metadata;             // null: none
  std::string service_tier;  // as the client's protocol names it
  Json extensions = Json::object();
  Json unmodelled = Json::object();  // some are hints: is_hint() of refusals.h
};

enum class StopReason : uint8_t {
  stop,            // the model ended its turn
  stop_sequence,   // one of `stop`
  length,          // output_tokens_max or the context's end
  tool_calls,      // waits for tool results
  content_filter,  // a safety system cut it off
  refusal,         // the model declined
  pause_turn,      // a long turn of an upstream's own tools: send it back to go on
};

struct LogprobEntry {
  std::string token;  // text; invalid UTF-8 replaced
  std::string bytes;  // raw
  double logprob = 0;
};
struct TokenLogprobs {
  LogprobEntry chosen;
  std::vector<LogprobEntry> top;
};

/// One thing that happened in an answer. A stream is: text | refusal | reasoning | tool_call | signature | citation |
/// native …
/// in the order of the model's output, then finish for each choice. A change of kind or of tool_index closes what was
/// open. The first event of a tool call has id and name, and any arguments known so far; later ones only arguments.
struct ChatEvent {
  enum class Kind : uint8_t { text, refusal, reasoning, signature, tool_call, citation, native, finish };
  Kind kind = Kind::text;
  int32_t index = 0;         // choice
  std::string text;          // text, refusal and reasoning: the new piece
  bool opens_block = false;  // text: the first piece of a block that citations behind it are about, and no text before
  std::vector<TokenLogprobs> logprobs;
  int32_t tool_index = 0;  // tool_call: which, counted from 0 within the choice
  ToolCall tool_call;
  /// signature: closes the piece of reasoning (or, of Gemini, text or tool call) just before; `redacted`: thinking that
  /// came encrypted, a piece of reasoning of its own without text.
  std::string signature;
  std::string redacted;
  Signer signer = Signer::none;
  Json citation = {};  // as the upstream's protocol wrote it
  Protocol citation_of = Protocol::openai_chat;
  Json native = {};                    // native: a whole item in the form of native_item.h
  StopReason stop = StopReason::stop;  // finish
  std::string stop_sequence;           // finish, where stop is stop_sequence and the upstream said which
  Json container = {};  // finish: where Claude's code ran, {"id","expires_at",…}, for a later call to go on in
};

}  // namespace weir::providers
