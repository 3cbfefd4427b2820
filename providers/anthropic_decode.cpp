// Claude's answers: server-sent events, bare events and whole bodies become segments or neutral events.
// https://docs.anthropic.com/en/api/messages-streaming.
#include <algorithm>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>

#include "providers/anthropic.h"
#include "providers/classify.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"
#include "providers/net/sse.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;
using Kind = ChatEvent::Kind;

constexpr int64_t kBlocksMax = 100'000;  // block numbers of one answer

int64_t count_of(od::object& object, std::string_view key) {
  int64_t value = 0;
  return object.find_field_unordered(key).get_int64().get(value) == SUCCESS ? std::max<int64_t>(value, 0) : 0;
}

std::string_view text_of(od::object& object, std::string_view key) {
  std::string_view text;
  return object.find_field_unordered(key).get_string().get(text) == SUCCESS ? text : std::string_view{};
}

Error broken(std::string detail) {
  return {ErrorKind::upstream, "upstream", Retry::other_target, 502, std::move(detail), "upstream_error"};
}

StopReason stop_of(std::string_view reason) {
  if (reason == "tool_use") return StopReason::tool_calls;
  if (reason == "max_tokens" || reason == "model_context_window_exceeded") return StopReason::length;
  if (reason == "stop_sequence") return StopReason::stop_sequence;
  if (reason == "refusal") return StopReason::refusal;
  if (reason == "pause_turn") return StopReason::pause_turn;
  return StopReason::stop;
}

/// Sums Anthropic's disjoint input counts and keeps what the last events leave out: the split of the cache writes comes
/// only at the beginning.
class UsageReader {
 public:
  void read(od::object& usage);
  Usage usage;

 private:
  int64_t write_1h_ = 0;
};

void UsageReader::read(od::object& object) {
  config::TokenCounts counts;
  const int64_t fresh = count_of(object, "input_tokens");
  const int64_t written = count_of(object, "cache_creation_input_tokens");
  counts.cached_input = count_of(object, "cache_read_input_tokens");
  counts.output = count_of(object, "output_tokens");
  od::object inner;
  if (object.find_field_unordered("cache_creation").get_object().get(inner) == SUCCESS)
    write_1h_ = std::max(write_1h_, count_of(inner, "ephemeral_1h_input_tokens"));
  if (object.find_field_unordered("output_tokens_details").get_object().get(inner) == SUCCESS)
    counts.reasoning = count_of(inner, "thinking_tokens");
  constexpr int64_t kMost = INT64_MAX / 4;
  counts.input = std::min(fresh, kMost) + std::min(written, kMost) + std::min(counts.cached_input, kMost);
  counts.cache_write_1h = std::min(write_1h_, written);
  counts.cache_write_5m = written - counts.cache_write_1h;
  usage.raise(counts);
}

class Decoder final : public AnthropicDecoder {
 public:
  explicit Decoder(const Attempt& attempt)
      : native_(speaks_anthropic(attempt.body.protocol)),
        counting_(attempt.body.protocol == Protocol::anthropic_count),
        input_estimate_(static_cast<int64_t>(attempt.body.json.size() / 4) + 1) {}

  bool native() const override { return native_; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void event(std::string_view json, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override;

 private:
  /// A block of the answer while it is open.
  struct Block {
    enum class Type { text, thinking, tool, other } type = Type::other;
    int32_t tool_index = 0;
    bool arguments = false;  // some came
  };

  bool like_last(std::string_view raw, std::string_view data, ReplyBatch& batch);
  void learn(std::string_view data, std::string_view text, Kind kind, Block& block);
  void one(std::string_view raw, std::string_view data, ReplyBatch& batch);
  void block_start(od::object& root, ReplyBatch& batch);
  void block_delta(od::object& root, std::string_view data, ReplyBatch& batch);
  void block_stop(od::object& root, ReplyBatch& batch);
  void message_start(od::object& root);
  void message_delta(od::object& root, std::string_view raw, std::string_view data, ReplyBatch& batch);
  void error_event(od::object& root, std::string_view raw, ReplyBatch& batch);
  void whole_blocks(const Json& body, ReplyBatch& batch);
  void pass(std::string_view raw, ReplyBatch& batch);
  void emit(ChatEvent event, ReplyBatch& batch) {
    if (!native_) batch.events.push_back(std::move(event));
  }
  void text(Kind kind, std::string text, const Block& block, ReplyBatch& batch);
  void count(size_t bytes) {
    text_bytes_ += static_cast<int64_t>(bytes);
    ++text_events_;
  }

  bool native_;
  bool counting_;
  int64_t input_estimate_;
  SseScanner scanner_;
  UsageReader usage_;
  std::map<int64_t, Block> blocks_;
  int32_t tools_ = 0;
  int64_t text_bytes_ = 0;  // of the answer, for an estimate where the stream breaks before its usage
  int64_t text_events_ = 0;
  bool stopped_ = false;  // a stop_reason was seen
  bool done_ = false;     // message_stop
  // The last delta up to its text: one that begins like it has the same meaning.
  std::string head_;
  Kind head_kind_ = Kind::text;
  Block* head_block_ = nullptr;
  std::deque<std::string> frames_;  // server-sent events made of bare ones
};

/// The counts of message_start are whole for the input only; until message_delta the output is what could be seen.
Usage Decoder::usage() const {
  Usage known = usage_.usage;
  if (known.reported) return known;
  if (known.counts.input == 0) known.counts.input = input_estimate_;
  known.counts.output = std::max({known.counts.output, text_events_, (text_bytes_ + 3) / 4});
  return known;
}

void Decoder::pass(std::string_view raw, ReplyBatch& batch) {
  if (!native_) return;
  if (!batch.segments.empty()) {
    Segment& last = batch.segments.back();
    if (last.kind == Segment::Kind::data && last.bytes.data() + last.bytes.size() == raw.data()) {
      last.bytes = {last.bytes.data(), last.bytes.size() + raw.size()};
      return;
    }
  }
  batch.segments.push_back({Segment::Kind::data, raw});
}

void Decoder::text(Kind kind, std::string text, const Block& block, ReplyBatch& batch) {
  if (native_ || text.empty()) return;
  ChatEvent& event = batch.events.emplace_back();
  event.kind = kind;
  if (kind == Kind::tool_call) {
    event.tool_index = block.tool_index;
    event.tool_call.arguments = std::move(text);
  } else {
    event.text = std::move(text);
  }
}

/// Streams are mostly deltas that differ in nothing but their text (and in the spaces that Anthropic pads with): what
/// stands before the text is kept, and such an event needs no parsing.
bool Decoder::like_last(std::string_view raw, std::string_view data, ReplyBatch& batch) {
  if (head_.empty() || !data.starts_with(head_)) return false;
  size_t end = head_.size();
  bool escaped = false;
  while (end < data.size() && data[end] != '"') {
    const bool slash = data[end] == '\\';
    escaped = escaped || slash;
    end += slash ? 2 : 1;
  }
  if (end >= data.size()) return false;
  const std::string_view inside = data.substr(head_.size(), end - head_.size());
  int braces = 0;
  for (size_t i = end + 1; i < data.size(); ++i) {
    if (data[i] == '}')
      ++braces;
    else if (data[i] != ' ')
      return false;
  }
  if (braces != 2) return false;
  if (!native_) {
    std::string piece;
    if (!escaped)
      piece = std::string(inside);
    else if (!append_unescaped(inside, piece))
      return false;
    text(head_kind_, std::move(piece), *head_block_, batch);
  }
  head_block_->arguments = head_block_->arguments || !inside.empty();
  count(inside.size());
  pass(raw, batch);
  return true;
}

/// `text` is the inside of the string, a part of `data`.
void Decoder::learn(std::string_view data, std::string_view text, Kind kind, Block& block) {
  head_.assign(data.data(), text.data());
  head_kind_ = kind;
  head_block_ = &block;
}

void Decoder::message_start(od::object& root) {
  od::object message;
  od::object usage;
  if (root.find_field_unordered("message").get_object().get(message) == SUCCESS &&
      message.find_field_unordered("usage").get_object().get(usage) == SUCCESS)
    usage_.read(usage);
}

void Decoder::block_start(od::object& root, ReplyBatch& batch) {
  const int64_t index = count_of(root, "index");
  od::object inner;
  if (index > kBlocksMax || root.find_field_unordered("content_block").get_object().get(inner) != SUCCESS) return;
  head_.clear();
  Block& block = blocks_[index] = Block{};
  const std::string type(text_of(inner, "type"));
  if (type == "text") {
    block.type = Block::Type::text;
    text(Kind::text, std::string(text_of(inner, "text")), block, batch);
  } else if (type == "thinking") {
    block.type = Block::Type::thinking;
    text(Kind::reasoning, std::string(text_of(inner, "thinking")), block, batch);
  } else if (type == "redacted_thinking") {
    ChatEvent event;
    event.kind = Kind::signature;
    event.redacted = std::string(text_of(inner, "data"));
    event.signer = Signer::anthropic;
    emit(std::move(event), batch);
  } else if (type == "tool_use") {
    block.type = Block::Type::tool;
    block.tool_index = tools_++;
    ChatEvent event;
    event.kind = Kind::tool_call;
    event.tool_index = block.tool_index;
    event.tool_call.id = std::string(text_of(inner, "id"));
    event.tool_call.name = std::string(text_of(inner, "name"));
    // Servers that do not stream arguments give them here.
    std::string_view input;
    od::object object;
    if (inner.find_field_unordered("input").get_object().get(object) == SUCCESS &&
        object.raw_json().get(input) == SUCCESS && input.find('"') != std::string_view::npos)
      event.tool_call.arguments = std::string(input);
    block.arguments = !event.tool_call.arguments.empty();
    emit(std::move(event), batch);
  }
}

void Decoder::block_delta(od::object& root, std::string_view data, ReplyBatch& batch) {
  const auto found = blocks_.find(count_of(root, "index"));
  od::object delta;
  if (found == blocks_.end() || root.find_field_unordered("delta").get_object().get(delta) != SUCCESS) return;
  Block& block = found->second;
  const std::string type(text_of(delta, "type"));
  const auto piece = [&](Kind kind, std::string_view quoted_key) {
    const std::string_view inside = string_after(data, quoted_key);
    std::string plain;
    if (!append_unescaped(inside, plain)) return;
    count(inside.size());
    block.arguments = block.arguments || !inside.empty();
    text(kind, std::move(plain), block, batch);
    if (!inside.empty()) learn(data, inside, kind, block);
  };
  if (type == "text_delta") {
    piece(Kind::text, "\"text\"");
  } else if (type == "thinking_delta") {
    piece(Kind::reasoning, "\"thinking\"");
  } else if (type == "input_json_delta") {
    if (block.type == Block::Type::tool) piece(Kind::tool_call, "\"partial_json\"");
  } else if (type == "signature_delta") {
    ChatEvent event;
    event.kind = Kind::signature;
    event.signature = std::string(text_of(delta, "signature"));
    event.signer = Signer::anthropic;
    if (!event.signature.empty()) emit(std::move(event), batch);
  } else if (type == "citations_delta" && !native_) {
    od::object citation;
    std::string_view raw;
    if (delta.find_field_unordered("citation").get_object().get(citation) != SUCCESS ||
        citation.raw_json().get(raw) != SUCCESS)
      return;
    ChatEvent event;
    event.kind = Kind::citation;
    event.citation = Json::parse(raw, nullptr, false);
    event.citation_of = Protocol::anthropic_messages;
    if (event.citation.is_object()) emit(std::move(event), batch);
  }
}

/// A call without arguments has an empty object: a client that reads JSON must find some.
void Decoder::block_stop(od::object& root, ReplyBatch& batch) {
  const auto found = blocks_.find(count_of(root, "index"));
  head_.clear();
  if (found == blocks_.end()) return;
  if (found->second.type == Block::Type::tool && !found->second.arguments)
    text(Kind::tool_call, "{}", found->second, batch);
  blocks_.erase(found);
}

void Decoder::message_delta(od::object& root, std::string_view raw, std::string_view data, ReplyBatch& batch) {
  od::object delta;
  if (root.find_field_unordered("delta").get_object().get(delta) == SUCCESS) {
    const std::string reason(text_of(delta, "stop_reason"));
    od::object details;
    if (delta.find_field_unordered("stop_details").get_object().get(details) == SUCCESS)
      text(Kind::refusal, std::string(text_of(details, "explanation")), Block{}, batch);
    if (!reason.empty() && !stopped_) {
      stopped_ = true;
      ChatEvent event;
      event.kind = Kind::finish;
      event.stop = stop_of(reason);
      event.stop_sequence = std::string(text_of(delta, "stop_sequence"));
      emit(std::move(event), batch);
    }
  }
  od::object usage;
  if (root.find_field_unordered("usage").get_object().get(usage) != SUCCESS) return pass(raw, batch);
  usage_.read(usage);
  usage_.usage.reported = true;
  if (!native_) return;
  const size_t value = find_key(data, "\"usage\"");
  const size_t open = value == std::string_view::npos ? value : data.find('{', value);
  // The data may be joined from several lines and then is no part of the raw bytes: such an event stays untouched.
  const bool in_place = data.data() >= raw.data() && data.data() < raw.data() + raw.size();
  if (!in_place || open == std::string_view::npos) return pass(raw, batch);
  Segment segment{Segment::Kind::usage, raw};
  segment.usage_object = static_cast<uint32_t>(data.data() - raw.data() + static_cast<ptrdiff_t>(open) + 1);
  const size_t first = data.find_first_not_of(" \t\r\n", open + 1);
  segment.usage_empty = first != std::string_view::npos && data[first] == '}';
  batch.segments.push_back(segment);
}

void Decoder::error_event(od::object& root, std::string_view raw, ReplyBatch& batch) {
  std::string type = "api_error";
  std::string message = "the upstream reported an error inside its stream";
  od::object error;
  if (root.find_field_unordered("error").get_object().get(error) == SUCCESS) {
    if (const auto text = text_of(error, "type"); !text.empty()) type = std::string(text);
    if (const auto text = text_of(error, "message"); !text.empty()) message = std::string(text.substr(0, 2048));
  }
  const ErrorKind kind = classify_code(0, type, message);
  batch.error = Error{kind, "upstream", retry_of(kind), 502, std::move(message), std::move(type)};
  if (native_) batch.segments.push_back({Segment::Kind::error, raw});
}

void Decoder::one(std::string_view raw, std::string_view data, ReplyBatch& batch) {
  if (like_last(raw, data, batch)) return;
  PaddedJson& json = padded_json();
  od::object root;
  if (data.empty() || !json.parse(data) || json.document.get_object().get(root) != SUCCESS) return pass(raw, batch);
  const std::string type(text_of(root, "type"));
  if (type == "error") return error_event(root, raw, batch);
  if (type == "message_delta") return message_delta(root, raw, data, batch);
  if (type == "message_stop") {
    done_ = true;
    if (native_) batch.segments.push_back({Segment::Kind::done, raw});
    return;
  }
  if (type == "message_start") message_start(root);
  if (type == "content_block_start") block_start(root, batch);
  if (type == "content_block_delta") block_delta(root, data, batch);
  if (type == "content_block_stop") block_stop(root, batch);
  pass(raw, batch);  // a ping too, and what later versions add
}

void Decoder::feed(std::string_view bytes, ReplyBatch& batch) {
  scanner_.feed(bytes);
  SseEvent next;
  while (!batch.error && !done_ && scanner_.next(next)) one(next.raw, next.data, batch);
  if (scanner_.too_large() && !batch.error)
    batch.error = broken("the upstream sent a stream event larger than 16 MiB");
}

void Decoder::event(std::string_view json, ReplyBatch& batch) {
  if (done_) return;
  if (!native_) return one({}, json, batch);
  if (batch.segments.empty()) frames_.clear();
  std::string_view type = "message";
  PaddedJson& parsed = padded_json();
  od::object root;
  std::string name;
  if (parsed.parse(json) && parsed.document.get_object().get(root) == SUCCESS) name = std::string(text_of(root, "type"));
  if (!name.empty()) type = name;
  std::string& frame = frames_.emplace_back("event: ");
  frame.append(type).append("\ndata: ");
  const size_t at = frame.size();
  for (const char c : json)  // white space between tokens may be line ends, which would end the field
    frame.push_back(c == '\n' || c == '\r' ? ' ' : c);
  const size_t size = frame.size() - at;
  frame += "\n\n";
  one(frame, std::string_view(frame).substr(at, size), batch);
}

void Decoder::finish(ReplyBatch& batch) {
  SseEvent last;
  if (!done_ && scanner_.flush(last)) one(last.raw, last.data, batch);
  if (batch.error) return;
  if (done_ || stopped_)
    batch.end = true;
  else
    batch.error = broken("the upstream's stream ended before its end mark");
}

void Decoder::whole_blocks(const Json& body, ReplyBatch& batch) {
  const auto string = [](const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
  };
  const auto content = body.find("content");
  if (content != body.end() && content->is_array())
    for (const Json& block : *content) {
      if (!block.is_object()) continue;
      const std::string type = string(block, "type");
      ChatEvent event;
      event.signer = Signer::anthropic;
      if (type == "text") {
        text(Kind::text, string(block, "text"), Block{}, batch);
        const auto citations = block.find("citations");
        if (citations == block.end() || !citations->is_array()) continue;
        for (const Json& citation : *citations) {
          ChatEvent& cited = batch.events.emplace_back();
          cited.kind = Kind::citation;
          cited.citation = citation;
          cited.citation_of = Protocol::anthropic_messages;
        }
      } else if (type == "thinking") {
        text(Kind::reasoning, string(block, "thinking"), Block{}, batch);
        event.kind = Kind::signature;
        event.signature = string(block, "signature");
        if (!event.signature.empty()) emit(std::move(event), batch);
      } else if (type == "redacted_thinking") {
        event.kind = Kind::signature;
        event.redacted = string(block, "data");
        emit(std::move(event), batch);
      } else if (type == "tool_use") {
        event.kind = Kind::tool_call;
        event.signer = Signer::none;
        event.tool_index = tools_++;
        event.tool_call.id = string(block, "id");
        event.tool_call.name = string(block, "name");
        const auto input = block.find("input");
        event.tool_call.arguments =
            input == block.end() ? "{}" : input->dump(-1, ' ', false, Json::error_handler_t::replace);
        emit(std::move(event), batch);
      }
    }
  if (const auto details = body.find("stop_details"); details != body.end() && details->is_object())
    text(Kind::refusal, string(*details, "explanation"), Block{}, batch);
  ChatEvent finish;
  finish.kind = Kind::finish;
  finish.stop = stop_of(string(body, "stop_reason"));
  finish.stop_sequence = string(body, "stop_sequence");
  emit(std::move(finish), batch);
}

void Decoder::whole(std::string_view body, ReplyBatch& batch) {
  PaddedJson& json = padded_json();
  od::object root;
  if (!json.parse(body) || json.document.get_object().get(root) != SUCCESS) {
    batch.error = broken("the upstream's answer is not a JSON object");
    return;
  }
  const std::string type(text_of(root, "type"));
  if (type == "error") return error_event(root, body, batch);
  od::object usage;
  if (counting_) {
    usage_.usage.reported = true;  // counting is free
  } else if (root.find_field_unordered("usage").get_object().get(usage) == SUCCESS) {
    usage_.read(usage);
    usage_.usage.reported = true;
  } else {
    count(string_after(body, "\"text\"").size());
  }
  if (native_) {
    batch.segments.push_back({Segment::Kind::data, body});
  } else {
    const Json tree = Json::parse(body, nullptr, false);
    if (!tree.is_object()) {
      batch.error = broken("the upstream's answer is not JSON");
      return;
    }
    whole_blocks(tree, batch);
  }
  batch.end = true;
}

}  // namespace

std::unique_ptr<AnthropicDecoder> make_anthropic_decoder(const Attempt& attempt) {
  return std::make_unique<Decoder>(attempt);
}

}  // namespace weir::providers
