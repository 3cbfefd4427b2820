// What a recorded answer says, read without any code of the codecs': each API's answers by its own reference.
#include <algorithm>

#include "providers/base64.h"
#include "tests/providers/wire_corpus.h"

namespace weir::providers {
namespace {

using Counts = config::TokenCounts;

/// The member at the end of a path, or null.
Json at(const Json& value, std::initializer_list<const char*> path) {
  const Json* here = &value;
  for (const char* key : path) {
    if (!here->is_object() || !here->contains(key)) return nullptr;
    here = &(*here)[key];
  }
  return *here;
}

std::string text_at(const Json& value, std::initializer_list<const char*> path) {
  const Json found = at(value, path);
  return found.is_string() ? found.get<std::string>() : std::string();
}

int64_t number_at(const Json& value, std::initializer_list<const char*> path) {
  const Json found = at(value, path);
  return found.is_number() ? found.get<int64_t>() : 0;
}

Json list_at(const Json& value, std::initializer_list<const char*> path) {
  Json found = at(value, path);
  return found.is_array() ? found : Json::array();
}

void raise(std::optional<Counts>& usage, const Counts& other) {
  Usage sum;
  if (usage) sum.counts = *usage;
  sum.raise(other);
  usage = sum.counts;
}

void stopped(WireTruth& out, std::string word) {
  if (!word.empty()) out.stop = std::move(word);
}

/// Arguments come as an object, or as its text, perhaps in pieces.
class Calls {
 public:
  void open(const std::string& key, std::string name) {
    order_.push_back(key);
    calls_[key].first = std::move(name);
  }
  size_t size() const { return order_.size(); }
  bool knows(const std::string& key) const { return calls_.count(key) > 0; }
  void add(const std::string& key, const Json& arguments) {
    calls_[key].second += arguments.is_string() ? arguments.get<std::string>() : arguments.dump();
  }
  void give(WireTruth& out) const {
    for (const std::string& key : order_) {
      const auto& [name, text] = calls_.at(key);
      out.calls.emplace_back(name, text.empty() ? Json::object() : read_json<Json>(text));
    }
  }

 private:
  std::vector<std::string> order_;
  std::map<std::string, std::pair<std::string, std::string>> calls_;
};

// https://platform.openai.com/docs/api-reference/chat, with the fields of those compatible with it
void read_chat(const Json& value, bool whole, WireTruth& out, Calls& calls) {
  Json usage = at(value, {"usage"});
  if (!usage.is_object()) usage = at(value, {"x_groq", "usage"});
  if (usage.is_object()) {
    Counts counts;
    counts.input = number_at(usage, {"prompt_tokens"});
    counts.output = number_at(usage, {"completion_tokens"});
    counts.cached_input = std::max(number_at(usage, {"prompt_tokens_details", "cached_tokens"}),
                                   number_at(usage, {"prompt_cache_hit_tokens"}));
    counts.reasoning = number_at(usage, {"completion_tokens_details", "reasoning_tokens"});
    counts.audio_input = number_at(usage, {"prompt_tokens_details", "audio_tokens"});
    counts.audio_output = number_at(usage, {"completion_tokens_details", "audio_tokens"});
    raise(out.usage, counts);
  }
  for (const Json& choice : list_at(value, {"choices"})) {
    const Json delta = at(choice, {whole ? "message" : "delta"});  // Perplexity's choices have both
    stopped(out, text_at(choice, {"finish_reason"}));
    out.text += text_at(delta, {"content"});
    const std::string thought = text_at(delta, {"reasoning_content"});
    out.reasoning += thought.empty() ? text_at(delta, {"reasoning"}) : thought;
    int position = 0;
    for (const Json& call : list_at(delta, {"tool_calls"})) {
      const Json index = at(call, {"index"});
      const std::string key =
          at(choice, {"index"}).dump() + "/" + (index.is_null() ? std::to_string(position) : index.dump());
      ++position;
      if (!calls.knows(key)) calls.open(key, text_at(call, {"function", "name"}));
      calls.add(key, text_at(call, {"function", "arguments"}));
    }
    if (const Json function = at(delta, {"function_call"}); function.is_object()) {  // before there were several
      const std::string key = at(choice, {"index"}).dump();
      if (!calls.knows(key)) calls.open(key, text_at(function, {"name"}));
      calls.add(key, text_at(function, {"arguments"}));
    }
    if (!text_at(delta, {"refusal"}).empty()) out.stop = "refusal";  // which OpenAI calls "stop"
  }
}

// https://platform.openai.com/docs/api-reference/responses, …/completions, …/embeddings; Cohere's rerank
void read_unary(const Json& value, WireTruth& out) {
  Json usage = at(value, {"usage"});
  if (!usage.is_object()) usage = at(value, {"response", "usage"});
  if (usage.is_object()) {
    Counts counts;
    counts.input = number_at(usage, {"prompt_tokens"}) + number_at(usage, {"input_tokens"});
    counts.output = number_at(usage, {"completion_tokens"}) + number_at(usage, {"output_tokens"});
    counts.cached_input = number_at(usage, {"input_tokens_details", "cached_tokens"});
    counts.cache_write_5m = number_at(usage, {"input_tokens_details", "cache_write_tokens"});
    counts.reasoning = number_at(usage, {"output_tokens_details", "reasoning_tokens"});
    raise(out.usage, counts);
  }
}

// https://docs.anthropic.com/en/api/messages, …/messages-streaming
void read_messages(const Json& value, WireTruth& out, Calls& calls) {
  Json usage = at(value, {"usage"});
  if (!usage.is_object()) usage = at(value, {"message", "usage"});
  if (usage.is_object()) {
    Counts counts;
    const int64_t written = number_at(usage, {"cache_creation_input_tokens"});
    counts.cached_input = number_at(usage, {"cache_read_input_tokens"});
    counts.input = number_at(usage, {"input_tokens"}) + written + counts.cached_input;
    counts.cache_write_1h = number_at(usage, {"cache_creation", "ephemeral_1h_input_tokens"});
    counts.cache_write_5m = written - counts.cache_write_1h;
    counts.output = number_at(usage, {"output_tokens"});
    counts.reasoning = number_at(usage, {"output_tokens_details", "thinking_tokens"});
    raise(out.usage, counts);
  }
  stopped(out, text_at(value, {"stop_reason"}));
  stopped(out, text_at(value, {"delta", "stop_reason"}));
  const auto block = [&](const Json& content, const std::string& key, bool whole) {
    out.text += text_at(content, {"text"});
    out.reasoning += text_at(content, {"thinking"});
    if (text_at(content, {"type"}) != "tool_use") return;  // server_tool_use: the upstream runs it itself
    calls.open(key, text_at(content, {"name"}));
    if (whole) calls.add(key, at(content, {"input"}));
  };
  int position = 0;
  for (const Json& content : list_at(value, {"content"})) block(content, std::to_string(position++), true);
  const std::string key = at(value, {"index"}).dump();
  const std::string type = text_at(value, {"type"});
  if (type == "content_block_start") block(at(value, {"content_block"}), key, false);
  if (type != "content_block_delta") return;
  out.text += text_at(value, {"delta", "text"});
  out.reasoning += text_at(value, {"delta", "thinking"});
  if (calls.knows(key)) calls.add(key, text_at(value, {"delta", "partial_json"}));
}

// https://ai.google.dev/api/generate-content, and Vertex AI's predict for embeddings
void read_gemini(const Json& value, WireTruth& out, Calls& calls) {
  if (const Json usage = at(value, {"usageMetadata"}); usage.is_object() && usage.contains("promptTokenCount")) {
    Counts counts;
    counts.input = number_at(usage, {"promptTokenCount"}) + number_at(usage, {"toolUsePromptTokenCount"});
    counts.cached_input = number_at(usage, {"cachedContentTokenCount"});
    counts.reasoning = number_at(usage, {"thoughtsTokenCount"});
    counts.output = number_at(usage, {"candidatesTokenCount"}) + counts.reasoning;
    for (const Json& one : list_at(usage, {"promptTokensDetails"}))
      if (text_at(one, {"modality"}) == "AUDIO") counts.audio_input += number_at(one, {"tokenCount"});
    for (const Json& one : list_at(usage, {"candidatesTokensDetails"}))
      if (text_at(one, {"modality"}) == "AUDIO") counts.audio_output += number_at(one, {"tokenCount"});
    raise(out.usage, counts);
  }
  if (const Json predictions = list_at(value, {"predictions"}); !predictions.empty()) {
    Counts counts;
    for (const Json& one : predictions) counts.input += number_at(one, {"embeddings", "statistics", "token_count"});
    raise(out.usage, counts);
  }
  for (const Json& candidate : list_at(value, {"candidates"})) {
    const Json reason = at(candidate, {"finishReason"});  // a number where the call asked for enum-encoding=int
    stopped(out, reason == 2 ? "MAX_TOKENS" : text_at(candidate, {"finishReason"}));
    for (const Json& part : list_at(candidate, {"content", "parts"})) {
      (at(part, {"thought"}) == true ? out.reasoning : out.text) += text_at(part, {"text"});
      const Json call = at(part, {"functionCall"});
      if (!call.is_object()) continue;
      const std::string key = std::to_string(calls.size());  // each comes whole
      calls.open(key, text_at(call, {"name"}));
      if (call.contains("args")) calls.add(key, call["args"]);
    }
  }
}

// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, …_ConverseStream.html
void read_converse(const Json& value, WireTruth& out, Calls& calls) {
  Json usage = at(value, {"usage"});
  if (!usage.is_object()) usage = at(value, {"metadata", "usage"});
  if (usage.is_object()) {
    Counts counts;
    const int64_t written = number_at(usage, {"cacheWriteInputTokens"});
    counts.cached_input = number_at(usage, {"cacheReadInputTokens"});
    counts.input = number_at(usage, {"inputTokens"}) + written + counts.cached_input;
    for (const Json& one : list_at(usage, {"cacheDetails"}))
      if (text_at(one, {"ttl"}) == "1h") counts.cache_write_1h += number_at(one, {"inputTokens"});
    counts.cache_write_5m = written - counts.cache_write_1h;
    counts.output = number_at(usage, {"outputTokens"});
    raise(out.usage, counts);
  }
  stopped(out, text_at(value, {"stopReason"}));
  stopped(out, text_at(value, {"messageStop", "stopReason"}));
  int position = 0;
  const auto opens = [](const Json& use) {
    return use.is_object() && use.contains("name") && text_at(use, {"type"}) != "server_tool_use";
  };
  for (const Json& block : list_at(value, {"output", "message", "content"})) {
    out.text += text_at(block, {"text"});
    out.reasoning += text_at(block, {"reasoningContent", "reasoningText", "text"});
    const std::string key = std::to_string(position++);
    if (const Json use = at(block, {"toolUse"}); opens(use)) {
      calls.open(key, text_at(use, {"name"}));
      calls.add(key, at(use, {"input"}));
    }
  }
  if (const Json start = at(value, {"contentBlockStart"}); start.is_object())
    if (const Json use = at(start, {"start", "toolUse"}); opens(use))
      calls.open(at(start, {"contentBlockIndex"}).dump(), text_at(use, {"name"}));
  const Json delta = at(value, {"contentBlockDelta"});
  if (!delta.is_object()) return;
  out.text += text_at(delta, {"delta", "text"});
  out.reasoning += text_at(delta, {"delta", "reasoningContent", "text"});
  const std::string key = at(delta, {"contentBlockIndex"}).dump();
  if (calls.knows(key)) calls.add(key, text_at(delta, {"delta", "toolUse", "input"}));
}

// https://docs.cohere.com/reference/chat, …/chat-stream, …/rerank
void read_cohere(const Json& value, WireTruth& out, Calls& calls) {
  const bool stream = value.contains("type");
  const Json usage = stream ? at(value, {"delta", "usage"}) : at(value, {"usage"});
  const Json billed = at(usage, {"billed_units"}).is_object() ? at(usage, {"billed_units"}) : at(usage, {"tokens"});
  if (billed.is_object()) {
    Counts counts;
    counts.input = number_at(billed, {"input_tokens"});
    counts.output = number_at(billed, {"output_tokens"});
    counts.cached_input = std::min<int64_t>(number_at(usage, {"cached_tokens"}), counts.input);  // of what is billed
    raise(out.usage, counts);
  }
  stopped(out, stream ? text_at(value, {"delta", "finish_reason"}) : text_at(value, {"finish_reason"}));
  const Json message = stream ? at(value, {"delta", "message"}) : at(value, {"message"});
  out.reasoning += text_at(message, {"tool_plan"}) + text_at(message, {"content", "thinking"});
  out.text += text_at(message, {"content", "text"});
  for (const Json& part : list_at(message, {"content"})) {
    out.reasoning += text_at(part, {"thinking"});
    out.text += text_at(part, {"text"});
  }
  Json list = at(message, {"tool_calls"});
  if (list.is_object()) list = Json::array({list});
  int position = 0;
  for (const Json& call : list.is_array() ? list : Json::array()) {
    const std::string key = stream ? at(value, {"index"}).dump() : std::to_string(position++);
    if (!calls.knows(key)) calls.open(key, text_at(call, {"function", "name"}));
    calls.add(key, text_at(call, {"function", "arguments"}));
  }
}

/// Searches, or tokens where those are what is counted; one search for each hundred documents where nothing is said.
void read_rerank(const Recording& recording, const Json& value, WireTruth& out) {
  Counts counts;
  counts.input = number_at(value, {"meta", "billed_units", "search_units"});
  if (counts.input == 0) counts.input = number_at(value, {"usage", "total_tokens"});
  if (counts.input == 0)
    counts.input = static_cast<int64_t>(list_at(recording.request, {"documents"}).size() + 99) / 100;
  raise(out.usage, counts);
}

uint32_t big_endian(std::string_view bytes) {
  uint32_t number = 0;
  for (const char c : bytes.substr(0, 4)) number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

/// application/vnd.amazon.eventstream: 4 bytes of length, 4 of the headers' length, a checksum, headers, payload, a
/// checksum. The event's type is a string among the headers: its name, 7, two bytes of length.
std::vector<Json> frames_of(std::string_view bytes) {
  std::vector<Json> out;
  while (bytes.size() >= 16) {
    const size_t length = big_endian(bytes);
    const size_t headers = big_endian(bytes.substr(4));
    if (length > bytes.size() || headers + 16 > length) break;
    const std::string_view head = bytes.substr(12, headers);
    const std::string_view payload = bytes.substr(12 + headers, length - headers - 16);
    constexpr std::string_view kType = ":event-type";
    std::string type;
    if (const size_t place = head.find(kType); place != std::string_view::npos)
      type = head.substr(place + kType.size() + 3, static_cast<uint8_t>(head[place + kType.size() + 2]));
    Json value = read_json<Json>(payload);
    if (std::string inner; type == "chunk" && decode_base64(text_at(value, {"bytes"}), inner))
      out.push_back(read_json<Json>(inner));
    else
      out.push_back({{type, std::move(value)}});
    bytes.remove_prefix(length);
  }
  return out;
}

}  // namespace

std::vector<Json> values_of(const Recording& recording) {
  std::vector<Json> out;
  if (recording.form == Recording::Form::event_stream) return frames_of(recording.response);
  if (recording.form == Recording::Form::json) {
    Json whole = read_json<Json>(recording.response);
    if (!whole.is_array()) return {std::move(whole)};
    for (Json& one : whole) out.push_back(std::move(one));
    return out;
  }
  for (size_t at = 0; at < recording.response.size();) {
    const size_t end = std::min(recording.response.find('\n', at), recording.response.size());
    const std::string_view line = std::string_view(recording.response).substr(at, end - at);
    if (line.starts_with("data:")) {
      Json value = read_json<Json>(line.substr(5));
      if (!value.is_discarded()) out.push_back(std::move(value));
    }
    at = end + 1;
  }
  return out;
}

WireTruth truth_of(const Recording& recording, const RecordedCall& call) {
  WireTruth out;
  Calls calls;
  const Protocol spoken = call.native.value_or(call.translate.value_or(Protocol::openai_chat));
  const bool gemini = call.provider == "gemini" || call.provider == "vertex";
  for (const Json& value : values_of(recording)) {
    if (!value.is_object()) continue;
    if (const Json error = at(value, {"error"}); error.is_object() && out.error.empty())
      out.error = text_at(error, {"message"});
    if (spoken == Protocol::anthropic_count) continue;  // counting costs nothing
    if (spoken == Protocol::anthropic_messages)
      read_messages(value, out, calls);
    else if (spoken == Protocol::gemini_generate || gemini)
      read_gemini(value, out, calls);
    else if (spoken == Protocol::rerank)
      read_rerank(recording, value, out);
    else if (call.provider == "bedrock")
      read_converse(value, out, calls);
    else if (call.provider == "cohere")
      read_cohere(value, out, calls);
    else if (spoken == Protocol::openai_chat)
      read_chat(value, recording.form == Recording::Form::json, out, calls);
    else
      read_unary(value, out);
  }
  calls.give(out);
  return out;
}

void strings_of(const Json& value, std::vector<std::string>& out) {
  if (value.is_string()) out.push_back(value.get<std::string>());
  if (value.is_structured())
    for (const Json& inner : value) strings_of(inner, out);
}

}  // namespace weir::providers
