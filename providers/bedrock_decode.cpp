// Converse's answers as neutral events: whole bodies, and the binary event stream.
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html,
// …/API_runtime_TokenUsage.html.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "providers/anthropic_parts.h"
#include "providers/base64.h"
#include "providers/bedrock.h"
#include "providers/classify.h"
#include "providers/net/aws_eventstream.h"

namespace weir::providers {
namespace {

using Kind = ChatEvent::Kind;

constexpr int64_t kBlocksMax = 100'000;  // block numbers of one answer

Error broken(std::string detail) {
  return {ErrorKind::upstream, "upstream", Retry::other_target, 502, std::move(detail), "upstream_error"};
}

std::string string_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

const Json* object_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? &*found : nullptr;
}

int64_t count_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return 0;
  return std::max<int64_t>(found->get<int64_t>(), 0);
}

StopReason stop_of(std::string_view reason) {
  if (reason == "guardrail_intervened" || reason == "content_filtered") return StopReason::content_filter;
  return anthropic_stop(reason);  // the others are called as Claude calls them
}

/// Fresh, read and written input stand apart; the split of the writes by lifetime is in the details, where there are
/// any. Empty where the numbers make no sense.
std::optional<config::TokenCounts> read_usage(const Json& usage) {
  const int64_t fresh = count_of(usage, "inputTokens");
  const int64_t written = count_of(usage, "cacheWriteInputTokens");
  config::TokenCounts counts;
  counts.cached_input = count_of(usage, "cacheReadInputTokens");
  counts.output = count_of(usage, "outputTokens");
  for (const int64_t count : {fresh, written, counts.cached_input, counts.output})
    if (count > kPlausibleTokensMax) return {};
  const auto details = usage.find("cacheDetails");
  if (details != usage.end() && details->is_array())
    for (const Json& one : *details)
      if (one.is_object() && string_of(one, "ttl") == "1h")
        counts.cache_write_1h = std::min(written, count_of(one, "inputTokens"));
  counts.cache_write_5m = written - counts.cache_write_1h;
  counts.input = fresh + written + counts.cached_input;
  return counts;
}

/// What redactedContent holds: Claude's own text of it, as bytes.
std::string redacted_of(const Json& reasoning) {
  std::string bytes;
  return decode_base64(string_of(reasoning, "redactedContent"), bytes) ? bytes : std::string{};
}

class ConverseDecoder final : public ReplyDecoder {
 public:
  explicit ConverseDecoder(const Attempt& attempt)
      : signer_(bedrock_family(attempt.model) == BedrockFamily::claude ? Signer::anthropic : Signer::none),
        input_estimate_(static_cast<int64_t>(attempt.body.json.size() / 4) + 1) {}

  bool native() const override { return false; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override;

 private:
  /// A block of the answer while it is open.
  struct Block {
    enum class Type : uint8_t { plain, tool, unseen } type = Type::plain;
    int32_t tool_index = 0;
    bool arguments = false;  // some came
    std::string signature;
    std::string redacted;
  };

  void message(const EventStreamMessage& message, ReplyBatch& batch);
  void block_start(const Json& event, ReplyBatch& batch);
  void block_delta(const Json& event, ReplyBatch& batch);
  void block_stop(Block& block, ReplyBatch& batch);
  void message_stop(const Json& event, ReplyBatch& batch);
  void whole_block(const Json& block, ReplyBatch& batch);
  void text(Kind kind, std::string text, ReplyBatch& batch);
  void call(const Json& use, std::string arguments, ReplyBatch& batch);
  void arguments(Block& block, std::string piece, ReplyBatch& batch);
  void thought(const Block& block, ReplyBatch& batch);
  void count(size_t bytes) {
    text_bytes_ += static_cast<int64_t>(bytes);
    text_events_ += bytes > 0 ? 1 : 0;
  }
  void learn_usage(const Json& usage);

  Signer signer_;
  int64_t input_estimate_;
  EventStreamDecoder frames_;
  Usage usage_;
  std::map<int64_t, Block> blocks_;
  int32_t tools_ = 0;
  int64_t text_bytes_ = 0;  // of the answer, for an estimate where the stream breaks before its usage
  int64_t text_events_ = 0;
  bool stopped_ = false;
};

Usage ConverseDecoder::usage() const {
  Usage usage = usage_;
  if (usage.reported) return usage;
  usage.counts.input = input_estimate_;
  usage.counts.output = std::max(text_events_, (text_bytes_ + 3) / 4);
  return usage;
}

void ConverseDecoder::learn_usage(const Json& usage) {
  const auto counts = read_usage(usage);
  if (!counts) return;
  usage_.raise(*counts);
  usage_.reported = true;
}

void ConverseDecoder::text(Kind kind, std::string text, ReplyBatch& batch) {
  count(text.size());
  if (text.empty()) return;
  ChatEvent& event = batch.events.emplace_back();
  event.kind = kind;
  event.text = std::move(text);
}

void ConverseDecoder::call(const Json& use, std::string arguments, ReplyBatch& batch) {
  ChatEvent& event = batch.events.emplace_back();
  event.kind = Kind::tool_call;
  event.tool_index = tools_++;
  event.tool_call.id = string_of(use, "toolUseId");
  event.tool_call.name = string_of(use, "name");
  count(arguments.size());
  event.tool_call.arguments = std::move(arguments);
}

void ConverseDecoder::arguments(Block& block, std::string piece, ReplyBatch& batch) {
  if (piece.empty()) return;
  block.arguments = true;
  count(piece.size());
  ChatEvent& event = batch.events.emplace_back();
  event.kind = Kind::tool_call;
  event.tool_index = block.tool_index;
  event.tool_call.arguments = std::move(piece);
}

void ConverseDecoder::thought(const Block& block, ReplyBatch& batch) {
  if (block.signature.empty() && block.redacted.empty()) return;
  ChatEvent& event = batch.events.emplace_back();
  event.kind = Kind::signature;
  event.signature = block.signature;
  event.redacted = block.redacted;
  event.signer = signer_;
}

/// Tools that the service runs itself (type server_tool_use, and their results) have no word in the neutral language;
/// the text that came of them does arrive.
void ConverseDecoder::block_start(const Json& event, ReplyBatch& batch) {
  const int64_t index = count_of(event, "contentBlockIndex");
  const Json* start = object_of(event, "start");
  if (start == nullptr || index > kBlocksMax) return;
  Block& block = blocks_[index] = Block{};
  const Json* use = object_of(*start, "toolUse");
  if (use == nullptr || string_of(*use, "type") == "server_tool_use") {
    block.type = Block::Type::unseen;
    return;
  }
  block.type = Block::Type::tool;
  block.tool_index = tools_;
  call(*use, "", batch);
}

void ConverseDecoder::block_delta(const Json& event, ReplyBatch& batch) {
  const int64_t index = count_of(event, "contentBlockIndex");
  const Json* delta = object_of(event, "delta");
  if (delta == nullptr || index > kBlocksMax) return;
  Block& block = blocks_[index];  // blocks of text begin without a start
  if (block.type == Block::Type::unseen) return;
  text(Kind::text, string_of(*delta, "text"), batch);
  if (const Json* use = object_of(*delta, "toolUse"); use != nullptr && block.type == Block::Type::tool)
    arguments(block, string_of(*use, "input"), batch);
  if (const Json* reasoning = object_of(*delta, "reasoningContent")) {
    text(Kind::reasoning, string_of(*reasoning, "text"), batch);
    block.signature += string_of(*reasoning, "signature");
    block.redacted += redacted_of(*reasoning);
  }
}

/// A call without arguments has an empty object: a client that reads JSON must find some.
void ConverseDecoder::block_stop(Block& block, ReplyBatch& batch) {
  if (block.type == Block::Type::tool && !block.arguments) arguments(block, "{}", batch);
  thought(block, batch);
}

void ConverseDecoder::message_stop(const Json& event, ReplyBatch& batch) {
  if (stopped_) return;
  stopped_ = true;
  for (auto& [index, block] : blocks_) block_stop(block, batch);
  blocks_.clear();
  ChatEvent& finish = batch.events.emplace_back();
  finish.kind = Kind::finish;
  finish.stop = stop_of(string_of(event, "stopReason"));
  if (const Json* more = object_of(event, "additionalModelResponseFields"))
    finish.stop_sequence = string_of(*more, "stop_sequence");
}

void ConverseDecoder::message(const EventStreamMessage& message, ReplyBatch& batch) {
  const std::string_view kind = message.text(":message-type");
  if (kind == "exception" || kind == "error") {
    const auto type = message.text(kind == "exception" ? ":exception-type" : ":error-code");
    batch.error = bedrock_stream_error(type, message.payload);
    return;
  }
  const Json event = bedrock_json(message.payload);
  if (!event.is_object()) {
    batch.error = broken("the upstream sent an event that is not JSON");
    return;
  }
  const std::string_view type = message.text(":event-type");
  if (type == "contentBlockStart") {
    block_start(event, batch);
  } else if (type == "contentBlockDelta") {
    block_delta(event, batch);
  } else if (type == "contentBlockStop") {
    const auto found = blocks_.find(count_of(event, "contentBlockIndex"));
    if (found == blocks_.end()) return;
    block_stop(found->second, batch);
    blocks_.erase(found);
  } else if (type == "messageStop") {
    message_stop(event, batch);
  } else if (type == "metadata") {
    if (const Json* usage = object_of(event, "usage")) learn_usage(*usage);
  }
}

void ConverseDecoder::feed(std::string_view bytes, ReplyBatch& batch) {
  frames_.feed(bytes);
  EventStreamMessage next;
  while (!batch.error) {
    auto more = frames_.next(next);
    if (!more)
      batch.error = std::move(more).error();
    else if (*more)
      message(next, batch);
    else
      break;
  }
}

void ConverseDecoder::finish(ReplyBatch& batch) {
  if (auto done = frames_.finish(); !done)
    batch.error = std::move(done).error();
  else if (!stopped_)
    batch.error = broken("the upstream's stream ended before its end mark");
  else
    batch.end = true;
}

void ConverseDecoder::whole_block(const Json& block, ReplyBatch& batch) {
  text(Kind::text, string_of(block, "text"), batch);
  if (const Json* use = object_of(block, "toolUse"); use != nullptr && string_of(*use, "type") != "server_tool_use") {
    const auto input = use->find("input");
    call(*use, input == use->end() ? "{}" : input->dump(-1, ' ', false, Json::error_handler_t::replace), batch);
  }
  if (const Json* reasoning = object_of(block, "reasoningContent")) {
    Block thinking;
    thinking.redacted = redacted_of(*reasoning);
    if (const Json* said = object_of(*reasoning, "reasoningText")) {
      text(Kind::reasoning, string_of(*said, "text"), batch);
      thinking.signature = string_of(*said, "signature");
    }
    thought(thinking, batch);
  }
  if (const Json* cited = object_of(block, "citationsContent")) {
    const auto pieces = cited->find("content");
    if (pieces != cited->end() && pieces->is_array())
      for (const Json& piece : *pieces)
        if (piece.is_object()) text(Kind::text, string_of(piece, "text"), batch);
  }
}

void ConverseDecoder::whole(std::string_view body, ReplyBatch& batch) {
  const Json root = bedrock_json(body);
  const Json* output = root.is_object() ? object_of(root, "output") : nullptr;
  const Json* message = output != nullptr ? object_of(*output, "message") : nullptr;
  if (message == nullptr) {
    batch.error = broken("the upstream's answer has no message");
    return;
  }
  const auto content = message->find("content");
  if (content != message->end() && content->is_array())
    for (const Json& block : *content)
      if (block.is_object()) whole_block(block, batch);
  message_stop(root, batch);
  if (const Json* usage = object_of(root, "usage")) learn_usage(*usage);
  batch.end = true;
}

}  // namespace

Json bedrock_json(std::string_view text) {
  constexpr int kDepthMax = 128;
  return Json::parse(
      text, [](int depth, Json::parse_event_t, Json&) { return depth <= kDepthMax; }, false);
}

Error bedrock_stream_error(std::string_view exception, std::string_view payload) {
  const Json body = bedrock_json(payload);
  std::string detail;
  if (body.is_object()) detail = string_of(body, body.contains("message") ? "message" : "Message");
  if (detail.empty()) detail = "the upstream reported " + std::string(exception.substr(0, 128)) + " inside its stream";
  detail.resize(std::min<size_t>(detail.size(), 2048));
  // A stream has no status; this one is what the same exception has in front of one.
  const bool callers = exception.starts_with("validation") || exception.starts_with("Validation");
  const ErrorKind kind = classify_code(callers ? 400 : 0, exception, detail);
  return {kind, "upstream", retry_of(kind), 502, std::move(detail), std::string(exception.substr(0, 128))};
}

std::unique_ptr<ReplyDecoder> make_converse_decoder(const Attempt& attempt) {
  return std::make_unique<ConverseDecoder>(attempt);
}

}  // namespace weir::providers
