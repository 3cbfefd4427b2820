// Converse's answers as neutral events: whole bodies, and the binary event stream.
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html,
// …/API_runtime_TokenUsage.html.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "providers/anthropic_parts.h"
#include "providers/base64.h"
#include "providers/bedrock.h"
#include "providers/bedrock_frames.h"
#include "providers/classify.h"
#include "providers/half_characters.h"
#include "providers/json_fields.h"
#include "providers/json_numbers.h"
#include "providers/json_text.h"
#include "providers/native_item.h"
#include "providers/reply_parts.h"
#include "providers/retry_after.h"
#include "providers/service_tier.h"

namespace weir::providers {
namespace {

using Kind = ChatEvent::Kind;

constexpr int64_t kBlocksMax = 100'000;  // block numbers of one answer

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
  const auto details = usage.find("cacheDetails");
  if (details != usage.end() && details->is_array())
    for (const Json& one : *details)
      if (one.is_object() && text_of(one, "ttl") == "1h")
        counts.cache_write_1h = std::min(written, count_of(one, "inputTokens"));
  counts.cache_write_5m = written - counts.cache_write_1h;
  // The terms first: a sum of numbers without bound has none either.
  counts.input = fresh;
  if (!plausible(counts)) return {};
  counts.input = fresh + written + counts.cached_input;
  return plausible(counts) ? std::optional(counts) : std::nullopt;
}

/// What redactedContent holds: Claude's own text of it, as bytes.
std::string redacted_of(const Json& reasoning) {
  std::string bytes;
  return decode_base64(text_of(reasoning, "redactedContent"), bytes) ? bytes : std::string{};
}

/// A citation in Claude's words, which Bedrock's are but for their names: where it points is a member named for its
/// kind. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CitationLocation.html
Json citation_of(const Json& in) {
  struct Place {
    const char* theirs;
    const char* type;
    const char* document;
    const char* start;
    const char* end;
  };
  constexpr auto kPlaces = std::to_array<Place>(
      {{"documentChar", "char_location", "document_index", "start_char_index", "end_char_index"},
       {"documentPage", "page_location", "document_index", "start_page_number", "end_page_number"},
       {"documentChunk", "content_block_location", "document_index", "start_block_index", "end_block_index"},
       {"searchResultLocation", "search_result_location", "search_result_index", "start_block_index",
        "end_block_index"}});
  Json out;
  out["type"] = "web_search_result_location";
  std::string cited;
  if (const Json* pieces = array_of(in, "sourceContent"))
    for (const Json& piece : *pieces) cited += text_of(piece, "text");
  out["cited_text"] = cited;
  const std::string title = text_of(in, "title");
  const Json* location = object_of(in, "location");
  const Json* web = location == nullptr ? nullptr : object_of(*location, "web");
  if (web != nullptr) {
    out["url"] = text_of(*web, "url");
    out["title"] = title;
    return out;
  }
  for (const Place& place : kPlaces) {
    const Json* found = location == nullptr ? nullptr : object_of(*location, place.theirs);
    if (found == nullptr) continue;
    out["type"] = place.type;
    const bool search = place.document == std::string_view("search_result_index");
    out[place.document] = count_of(*found, search ? "searchResultIndex" : "documentIndex");
    out[place.start] = count_of(*found, "start");
    out[place.end] = count_of(*found, "end");
    if (search) out["source"] = text_of(in, "source");
  }
  out[out["type"] == "search_result_location" ? "title" : "document_title"] = title;
  return out;
}

class ConverseDecoder final : public ReplyDecoder {
 public:
  explicit ConverseDecoder(const Attempt& attempt)
      : signer_(bedrock_family(attempt.model) == BedrockFamily::claude ? Signer::anthropic : Signer::none),
        usage_(attempt.body, attempt.prompt_tokens) {}

  bool native() const override { return false; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override { return usage_.usage(); }

 private:
  /// A block of the answer while it is open.
  struct Block {
    enum class Type : uint8_t { plain, tool, item, unseen } type = Type::plain;
    int32_t tool_index = 0;
    bool arguments = false;  // some came
    Json item = {};          // item: the block as it began,
    std::string input;       // and its input, which comes in pieces
    std::string signature;
    std::string redacted;
    size_t held_bytes = 0;  // of these
  };

  void message(const EventStreamMessage& message, ReplyBatch& batch);
  void block_start(const Json& event, ReplyBatch& batch);
  void block_delta(const Json& event, ReplyBatch& batch);
  void block_stop(Block& block, ReplyBatch& batch);
  void add_to_item(const Json& delta, Block& block, ReplyBatch& batch);
  void hold(size_t bytes, std::string_view what, Block& block, ReplyBatch& batch);
  static void tell_item(Block& block, ReplyBatch& batch);
  void message_stop(const Json& event, ReplyBatch& batch);
  void whole_block(const Json& block, ReplyBatch& batch);
  void unsaid(const Json& block, ReplyBatch& batch);
  void text(Kind kind, std::string text, ReplyBatch& batch);
  void call(const Json& use, std::string arguments, ReplyBatch& batch);
  void arguments(Block& block, std::string piece, ReplyBatch& batch);
  void thought(const Block& block, ReplyBatch& batch);
  static void cite(const Json& citation, ReplyBatch& batch);
  void learn_usage(const Json& told);
  void end(ReplyBatch& batch);

  Signer signer_;
  UsageMeter usage_;
  EventStreamDecoder frames_;
  HalfCharacters halves_;
  std::map<int64_t, Block> blocks_;
  size_t held_bytes_ = 0;  // of all blocks
  int32_t tools_ = 0;
  bool stopped_ = false;
  std::optional<Error> spoiled_;  // told when the usage is, which comes last
};

/// Of a whole answer, or of the event that tells a stream's usage.
void ConverseDecoder::learn_usage(const Json& told) {
  if (const Json* tier = object_of(told, "serviceTier")) usage_.served(service_tier(text_of(*tier, "type")));
  const Json* object = object_of(told, "usage");
  if (object == nullptr) return;
  const Json& usage = *object;
  if (const auto counts = read_usage(usage))
    usage_.report(*counts, {.input = counts->input > 0, .output = member_of(usage, "outputTokens") != nullptr});
}

void ConverseDecoder::text(Kind kind, std::string text, ReplyBatch& batch) {
  usage_.saw_text(text);
  if (text.empty()) return;
  ChatEvent& event = batch.events.emplace_back();
  event.kind = kind;
  event.text = std::move(text);
}

void ConverseDecoder::call(const Json& use, std::string arguments, ReplyBatch& batch) {
  if (tools_ >= kCallsMax) {
    batch.error = too_many_calls();
    return;
  }
  ChatEvent& event = batch.events.emplace_back();
  event.kind = Kind::tool_call;
  event.tool_index = tools_++;
  event.tool_call.id = text_of(use, "toolUseId");
  event.tool_call.name = text_of(use, "name");
  usage_.saw_text(arguments);
  event.tool_call.arguments = std::move(arguments);
}

void ConverseDecoder::arguments(Block& block, std::string piece, ReplyBatch& batch) {
  if (piece.empty()) return;
  block.arguments = true;
  usage_.saw_text(piece);
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

void ConverseDecoder::cite(const Json& citation, ReplyBatch& batch) {
  if (!citation.is_object()) return;
  ChatEvent& event = batch.events.emplace_back();
  event.kind = Kind::citation;
  event.citation = citation_of(citation);
  event.citation_of = Protocol::anthropic_messages;
}

/// A call of a tool that the service runs itself, or the result of one.
bool ran_itself(const Json& block) {
  const Json* use = object_of(block, "toolUse");
  return use != nullptr ? text_of(*use, "type") == "server_tool_use" : object_of(block, "toolResult") != nullptr;
}

/// What a block keeps until its end.
void ConverseDecoder::hold(size_t bytes, std::string_view what, Block& block, ReplyBatch& batch) {
  block.held_bytes += bytes;
  held_bytes_ += bytes;
  if (held_bytes_ > kNativeItemBytesMax) batch.error = unsayable_answer(std::string(what) + ": more than 16 MiB");
}

/// Pieces of a call's input, or of a result's content.
void ConverseDecoder::add_to_item(const Json& delta, Block& block, ReplyBatch& batch) {
  constexpr std::string_view kWhat = "what a tool of the service's own said";
  if (const Json* use = object_of(delta, "toolUse")) {
    const std::string piece = text_of(*use, "input");
    block.input += piece;
    hold(piece.size(), kWhat, block, batch);
  }
  Json* result = block.item.contains("toolResult") ? &block.item["toolResult"] : nullptr;
  if (const Json* pieces = array_of(delta, "toolResult"); pieces != nullptr && result != nullptr)
    for (const Json& piece : *pieces) {
      hold(json_text(piece).size(), kWhat, block, batch);
      (*result)["content"].push_back(piece);
    }
}

void ConverseDecoder::tell_item(Block& block, ReplyBatch& batch) {
  const char* type = block.item.contains("toolUse") ? "toolUse" : "toolResult";
  if (bedrock_json(block.input).is_object()) block.item[type]["input"] = parse_written(block.input);
  batch.events.push_back(native_event("bedrock", type, std::move(block.item)));
}

void ConverseDecoder::block_start(const Json& event, ReplyBatch& batch) {
  const int64_t index = count_of(event, "contentBlockIndex");
  const Json* start = object_of(event, "start");
  if (start == nullptr || index > kBlocksMax) return;
  Block& block = blocks_[index];
  held_bytes_ -= block.held_bytes;
  block = Block{};
  const Json* use = object_of(*start, "toolUse");
  if (use == nullptr) unsaid(*start, batch);
  if (ran_itself(*start)) {
    block.type = Block::Type::item;
    block.item = *start;
    hold(json_text(*start).size(), "blocks of tools of the service's own", block, batch);
    batch.begun = true;
    return;
  }
  if (use == nullptr) {
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
  if (block.type == Block::Type::item) return add_to_item(*delta, block, batch);
  constexpr auto kKnown =
      std::to_array<std::string_view>({"text", "toolUse", "toolResult", "reasoningContent", "citation"});
  for (const auto& [name, value] : delta->items())
    if (std::find(kKnown.begin(), kKnown.end(), name) == kKnown.end())
      batch.error = unsayable_answer("a piece of content of type " + quoted(std::string_view(name).substr(0, 64)));
  text(Kind::text, text_of(*delta, "text"), batch);
  if (const Json* citation = object_of(*delta, "citation")) cite(*citation, batch);
  if (const Json* use = object_of(*delta, "toolUse"); use != nullptr && block.type == Block::Type::tool)
    arguments(block, text_of(*use, "input"), batch);
  if (const Json* reasoning = object_of(*delta, "reasoningContent")) {
    batch.begun = true;
    text(Kind::reasoning, text_of(*reasoning, "text"), batch);
    const std::string signature = text_of(*reasoning, "signature");
    const std::string redacted = redacted_of(*reasoning);
    block.signature += signature;
    block.redacted += redacted;
    hold(signature.size() + redacted.size(), "a signature", block, batch);
  }
}

/// A call without arguments has an empty object: a client that reads JSON must find some.
void ConverseDecoder::block_stop(Block& block, ReplyBatch& batch) {
  held_bytes_ -= std::exchange(block.held_bytes, 0);
  if (block.type == Block::Type::tool && !block.arguments) arguments(block, "{}", batch);
  if (block.type == Block::Type::item) tell_item(block, batch);
  thought(block, batch);
}

void ConverseDecoder::message_stop(const Json& event, ReplyBatch& batch) {
  if (stopped_) return;
  stopped_ = true;
  if (const std::string reason = text_of(event, "stopReason"); reason.starts_with("malformed_")) {
    spoiled_ = spoiled_answer("the upstream's answer failed with " + reason);
    return;
  }
  for (auto& [index, block] : blocks_) block_stop(block, batch);
  blocks_.clear();
  ChatEvent& finish = batch.events.emplace_back();
  finish.kind = Kind::finish;
  finish.stop = stop_of(text_of(event, "stopReason"));
  if (const Json* more = object_of(event, "additionalModelResponseFields"))
    finish.stop_sequence = text_of(*more, "stop_sequence");
}

void ConverseDecoder::message(const EventStreamMessage& message, ReplyBatch& batch) {
  const Json event = bedrock_json(halves_.data(message.payload));
  if (!event.is_object()) {
    batch.error = upstream_fault("the upstream sent an event that is not JSON");
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
    learn_usage(event);
    if (stopped_) end(batch);  // nothing comes behind it
  }
}

void ConverseDecoder::feed(std::string_view bytes, ReplyBatch& batch) {
  feed_bedrock(frames_, bytes, batch, [&](const EventStreamMessage& next) { message(next, batch); });
}

void ConverseDecoder::finish(ReplyBatch& batch) {
  if (auto done = frames_.finish(); !done)
    batch.error = std::move(done).error();
  else if (!stopped_)
    batch.error = stream_cut_off();
  else
    end(batch);
}

void ConverseDecoder::end(ReplyBatch& batch) {
  batch.error = spoiled_;
  batch.end = !batch.error;
}

/// A block that has its kind as its one member's name. What the service says of its own marks is left out.
void ConverseDecoder::unsaid(const Json& block, ReplyBatch& batch) {
  constexpr auto kKnown = std::to_array<std::string_view>(
      {"text", "toolUse", "toolResult", "reasoningContent", "citationsContent", "cachePoint", "guardContent"});
  for (const auto& [name, value] : block.items())
    if (std::find(kKnown.begin(), kKnown.end(), name) == kKnown.end())
      batch.error = unsayable_answer("a content block of type " + quoted(std::string_view(name).substr(0, 64)));
}

void ConverseDecoder::whole_block(const Json& block, ReplyBatch& batch) {
  unsaid(block, batch);
  text(Kind::text, text_of(block, "text"), batch);
  if (ran_itself(block)) {
    Block item;
    item.item = block;
    tell_item(item, batch);
  } else if (const Json* use = object_of(block, "toolUse")) {
    const auto input = use->find("input");
    call(*use, input == use->end() ? "{}" : json_text(*input), batch);
  }
  if (const Json* reasoning = object_of(block, "reasoningContent")) {
    Block thinking;
    thinking.redacted = redacted_of(*reasoning);
    if (const Json* said = object_of(*reasoning, "reasoningText")) {
      text(Kind::reasoning, text_of(*said, "text"), batch);
      thinking.signature = text_of(*said, "signature");
    }
    thought(thinking, batch);
  }
  if (const Json* cited = object_of(block, "citationsContent")) {
    const auto pieces = cited->find("content");
    if (pieces != cited->end() && pieces->is_array())
      for (const Json& piece : *pieces)
        if (piece.is_object()) text(Kind::text, text_of(piece, "text"), batch);
    if (const Json* citations = array_of(*cited, "citations"))
      for (const Json& one : *citations) cite(one, batch);
  }
}

void ConverseDecoder::whole(std::string_view body, ReplyBatch& batch) {
  const Json root = bedrock_json(body);
  const Json* output = root.is_object() ? object_of(root, "output") : nullptr;
  const Json* message = output != nullptr ? object_of(*output, "message") : nullptr;
  if (message == nullptr) {
    batch.error = upstream_fault("the upstream's answer has no message");
    return;
  }
  const auto content = message->find("content");
  if (content != message->end() && content->is_array())
    for (const Json& block : *content)
      if (block.is_object() && !batch.error) whole_block(block, batch);
  learn_usage(root);
  if (batch.error) return;
  message_stop(root, batch);
  end(batch);
}

}  // namespace

Json bedrock_json(std::string_view text) {
  constexpr int kDepthMax = 128;
  const auto parse = [](std::string_view json) {
    return Json::parse(
        json, [](int depth, Json::parse_event_t, Json&) { return depth <= kDepthMax; }, false);
  };
  Json tree = parse(text);
  if (tree.is_discarded())
    if (const std::string mended = mended_json(text); !mended.empty()) tree = parse(mended);
  keep_call_numbers(text, tree);
  return tree;
}

Error bedrock_stream_error(std::string_view exception, std::string_view payload) {
  const Json body = bedrock_json(payload);
  std::string detail;
  if (body.is_object()) detail = text_of(body, body.contains("message") ? "message" : "Message");
  if (detail.empty()) detail = "the upstream reported " + std::string(exception.substr(0, 128)) + " inside its stream";
  detail.resize(std::min<size_t>(detail.size(), 2048));
  // A stream has no status; this one is what the same exception has in front of one.
  const bool callers = exception.starts_with("validation") || exception.starts_with("Validation");
  const ErrorKind kind = classify_code(callers ? 400 : 0, exception, detail);
  const int status = retry_of(kind) == Retry::no ? 400 : 502;
  Error error{kind, "upstream", retry_of(kind), status, std::move(detail), std::string(exception.substr(0, 128))};
  if (kind == ErrorKind::rate_limit) error.limit = limit_in_words(error.detail);
  return error;
}

std::unique_ptr<ReplyDecoder> make_converse_decoder(const Attempt& attempt) {
  return std::make_unique<ConverseDecoder>(attempt);
}

}  // namespace weir::providers
