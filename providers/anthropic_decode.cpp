// Claude's answers: server-sent events, bare events and whole bodies become segments or neutral events.
// https://docs.anthropic.com/en/api/messages-streaming.
#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include "config/base/json.h"

#include "providers/anthropic.h"
#include "providers/anthropic_parts.h"
#include "providers/half_characters.h"
#include "providers/json_fields.h"
#include "providers/json_numbers.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"
#include "providers/native_item.h"
#include "providers/net/sse.h"
#include "providers/opening.h"
#include "providers/reply_parts.h"
#include "providers/service_tier.h"

namespace weir::providers {
namespace {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;
using Kind = ChatEvent::Kind;

constexpr int64_t kBlocksMax = 100'000;  // block numbers of one answer

/// The whole text is checked, so that what is read from it afterwards cannot fail half-way. `out` is valid until the
/// thread's next call.
bool parse_object(std::string_view json, dom::object& out) {
  static thread_local dom::parser parser;
  dom::element root;
  return !json.empty() && parse_dom(parser, json, root) && root.get_object().get(out) == SUCCESS;
}

int64_t count_of(dom::object& object, std::string_view key) {
  int64_t value = 0;
  return object[key].get_int64().get(value) == SUCCESS ? std::max<int64_t>(value, 0) : 0;
}

std::string_view text_at(dom::object& object, std::string_view key) {
  std::string_view text;
  return object[key].get_string().get(text) == SUCCESS ? text : std::string_view{};
}

/// Sums Anthropic's disjoint input counts and keeps what the last events leave out: the split of the cache writes and
/// the tier of service come only at the beginning.
class UsageReader {
 public:
  /// `last`: the output is whole.
  void read(dom::object& usage, bool last, UsageMeter& meter);

 private:
  int64_t write_1h_ = 0;
  ClaudeTier tier_;
};

void UsageReader::read(dom::object& object, bool last, UsageMeter& meter) {
  config::TokenCounts counts;
  int64_t fresh = count_of(object, "input_tokens");
  const int64_t written = count_of(object, "cache_creation_input_tokens");
  counts.cached_input = count_of(object, "cache_read_input_tokens");
  counts.output = count_of(object, "output_tokens");
  // What compacting a conversation took is billed beside the counts of the whole:
  // https://docs.anthropic.com/en/docs/build-with-claude/compaction.
  dom::array iterations;
  if (object["iterations"].get_array().get(iterations) == SUCCESS)
    for (const dom::element element : iterations) {
      dom::object one;
      if (element.get_object().get(one) != SUCCESS || text_at(one, "type") != "compaction") continue;
      fresh += std::min(count_of(one, "input_tokens"), kPlausibleTokensMax);
      counts.output += std::min(count_of(one, "output_tokens"), kPlausibleTokensMax);
    }
  dom::object inner;
  if (object["cache_creation"].get_object().get(inner) == SUCCESS)
    write_1h_ = std::max(write_1h_, count_of(inner, "ephemeral_1h_input_tokens"));
  if (object["server_tool_use"].get_object().get(inner) == SUCCESS)
    counts.web_searches = count_of(inner, "web_search_requests");
  if (object["output_tokens_details"].get_object().get(inner) == SUCCESS)
    counts.reasoning = count_of(inner, "thinking_tokens");
  constexpr int64_t kMost = INT64_MAX / 4;
  counts.input = std::min(fresh, kMost) + std::min(written, kMost) + std::min(counts.cached_input, kMost);
  counts.cache_write_1h = std::min(write_1h_, written);
  counts.cache_write_5m = written - counts.cache_write_1h;
  for (auto [key, word] : {std::pair("service_tier", &tier_.service), std::pair("speed", &tier_.speed),
                           std::pair("inference_geo", &tier_.geo)})
    if (const std::string_view told = text_at(object, key); !told.empty()) *word = std::string(told);
  if (tier_.told()) meter.served(tier_.terms());
  if (plausible(counts))
    meter.report(counts, {.input = counts.input > 0, .output = last && object["output_tokens"].is_number()});
}

class Decoder final : public AnthropicDecoder {
 public:
  explicit Decoder(const Attempt& attempt)
      : native_(speaks_anthropic(attempt.body.protocol)),
        counting_(attempt.body.protocol == Protocol::anthropic_count),
        opening_(attempt.body.protocol),
        usage_(attempt.body, attempt.prompt_tokens) {}

  bool native() const override { return native_; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void event(std::string_view json, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  /// The counts of message_start are whole for the input only; until message_delta the output is what could be seen.
  Usage usage() const override { return usage_.usage(); }

 private:
  /// A block of the answer while it is open.
  struct Block {
    enum class Type { text, thinking, tool, item, unseen } type = Type::unseen;
    int32_t tool_index = 0;
    bool told = false;            // some of its text or arguments
    std::vector<Json> citations;  // of its text, which may come behind them
    Json item = {};               // item: the block as it began,
    std::string input;            // and its input, where it came in pieces
    size_t citation_bytes = 0;    // held of both
    size_t item_bytes = 0;
  };

  bool like_last(std::string_view raw, std::string_view data, ReplyBatch& batch);
  bool take(std::string_view raw, std::string_view inside, ReplyBatch& batch);
  void learn(std::string_view raw, std::string_view data, std::string_view text, Kind kind, Block& block);
  void forget() {
    head_.clear();
    raw_head_.clear();
  }
  void one(std::string_view raw, std::string_view data, ReplyBatch& batch);
  void block_start(dom::object& root, std::string_view data, ReplyBatch& batch);
  void block_delta(dom::object& root, std::string_view raw, std::string_view data, ReplyBatch& batch);
  void block_stop(dom::object& root, ReplyBatch& batch);
  void hold(size_t bytes, size_t& of_block, std::string_view what, ReplyBatch& batch);
  void hold_citation(const std::string& json, Block& block, ReplyBatch& batch);
  void tell_citations(Block& block, ReplyBatch& batch);
  void tell_held(Block& block, ReplyBatch& batch);
  void tell_all_held(ReplyBatch& batch);
  void message_start(dom::object& root);
  void note_container(dom::object& within);
  void message_delta(dom::object& root, std::string_view raw, std::string_view data, ReplyBatch& batch);
  void error_event(dom::object& root, std::string_view raw, ReplyBatch& batch);
  void see_content(dom::object& root);
  void pass(std::string_view raw, ReplyBatch& batch);
  void emit(ChatEvent event, ReplyBatch& batch) {
    if (!native_) batch.events.push_back(std::move(event));
  }
  void text(Kind kind, std::string text, Block& block, ReplyBatch& batch);

  bool native_;
  bool counting_;
  Opening opening_;
  UsageMeter usage_;
  UsageReader reader_;
  SseScanner scanner_;
  HalfCharacters halves_;  // of events
  std::map<int64_t, Block> blocks_;
  std::set<int64_t> citing_;  // those of them that hold citations, or did
  size_t held_bytes_ = 0;     // of all blocks
  int32_t tools_ = 0;
  Json container_;
  bool stopped_ = false;  // a stop_reason was seen
  bool done_ = false;     // message_stop
  // The last delta up to its text: one that begins like it has the same meaning.
  std::string head_;
  Kind head_kind_ = Kind::text;
  Block* head_block_ = nullptr;
  // The same of the whole event, lines included, and what stood behind its text; empty: its data was not in one piece.
  std::string raw_head_;
  std::string raw_tail_;
  size_t data_at_ = 0;              // of the data in it
  size_t data_end_ = 0;             // counted from the event's end
  std::deque<std::string> frames_;  // server-sent events made of bare ones
};

void Decoder::pass(std::string_view raw, ReplyBatch& batch) {
  if (native_) pass_data(raw, batch);
}

void Decoder::text(Kind kind, std::string text, Block& block, ReplyBatch& batch) {
  if (native_ || text.empty()) return;
  ChatEvent& event = batch.events.emplace_back();
  event.kind = kind;
  if (kind == Kind::tool_call) {
    event.tool_index = block.tool_index;
    event.tool_call.arguments = std::move(text);
  } else {
    event.text = std::move(text);
    event.opens_block = kind == Kind::text && !block.told;
  }
  block.told = true;
}

/// Streams are mostly deltas that differ in nothing but their text (and in the spaces that Anthropic pads with): what
/// stands before the text is kept, and such an event needs no parsing.
bool Decoder::like_last(std::string_view raw, std::string_view data, ReplyBatch& batch) {
  if (head_.empty() || halves_.waits() || !data.starts_with(head_)) return false;
  size_t end = head_.size();
  while (end < data.size() && data[end] != '"') end += data[end] == '\\' ? 2 : 1;
  if (end >= data.size()) return false;
  const std::string_view inside = data.substr(head_.size(), end - head_.size());
  int braces = 0;
  for (size_t i = end + 1; i < data.size(); ++i) {
    if (data[i] == '}')
      ++braces;
    else if (data[i] != ' ')
      return false;
  }
  return braces == 2 && take(raw, inside, batch);
}

/// A delta like the last with another text. False: the text is no JSON string; nothing was taken.
bool Decoder::take(std::string_view raw, std::string_view inside, ReplyBatch& batch) {
  if (!native_) {
    std::string piece;
    if (!append_unescaped(halves_.inside(inside), piece)) return false;
    text(head_kind_, std::move(piece), *head_block_, batch);
  }
  usage_.saw(inside.size());
  pass(raw, batch);
  return true;
}

/// `text` is the inside of the string, a part of `data`.
void Decoder::learn(std::string_view raw, std::string_view data, std::string_view text, Kind kind, Block& block) {
  head_.assign(data.data(), text.data());
  raw_head_.clear();
  if (data.data() >= raw.data() && data.data() < raw.data() + raw.size()) {
    raw_head_.assign(raw.data(), text.data());
    raw_tail_.assign(text.data() + text.size(), raw.data() + raw.size());
    data_at_ = static_cast<size_t>(data.data() - raw.data());
    data_end_ = raw.size() - data_at_ - data.size();
  }
  head_kind_ = kind;
  head_block_ = &block;
}

void Decoder::message_start(dom::object& root) {
  dom::object message;
  dom::object usage;
  if (root["message"].get_object().get(message) != SUCCESS) return;
  note_container(message);
  if (message["usage"].get_object().get(usage) == SUCCESS) reader_.read(usage, false, usage_);
}

/// Told with the message's end, or already with its beginning where the call named it.
void Decoder::note_container(dom::object& within) {
  dom::object container;
  if (!native_ && within["container"].get_object().get(container) == SUCCESS)
    container_ = read_json<Json>(simdjson::minify(container));
}

/// Those of a server that does not stream them: the input of the block that begins.
std::string arguments_at_once(const dom::object& input, std::string_view data) {
  std::string text = simdjson::minify(input);
  if (!has_real(text)) return text;
  const Json event = parse_written(data);
  const Json::json_pointer at("/content_block/input");
  return event.contains(at) ? json_text(event[at]) : text;
}

void Decoder::block_start(dom::object& root, std::string_view data, ReplyBatch& batch) {
  const int64_t index = count_of(root, "index");
  dom::object inner;
  if (index > kBlocksMax || root["content_block"].get_object().get(inner) != SUCCESS) {
    if (!native_) batch.error = unsayable_answer("a content block that is no object, or one too many");
    return;
  }
  forget();
  for (const int64_t other : std::exchange(citing_, {}))  // of blocks whose end was not told
    if (const auto open = blocks_.find(other); open != blocks_.end()) tell_citations(open->second, batch);
  Block& block = blocks_[index];
  held_bytes_ -= block.citation_bytes + block.item_bytes;
  block = Block{};
  const std::string type(text_at(inner, "type"));
  if (type == "text") {
    block.type = Block::Type::text;
    text(Kind::text, std::string(text_at(inner, "text")), block, batch);
  } else if (type == "thinking") {
    block.type = Block::Type::thinking;
    batch.begun = true;
    text(Kind::reasoning, std::string(text_at(inner, "thinking")), block, batch);
  } else if (type == "redacted_thinking") {
    ChatEvent event;
    event.kind = Kind::signature;
    event.redacted = std::string(text_at(inner, "data"));
    event.signer = Signer::anthropic;
    emit(std::move(event), batch);
  } else if (type == "tool_use") {
    if (!native_ && tools_ >= kCallsMax) {
      batch.error = too_many_calls();
      return;
    }
    block.type = Block::Type::tool;
    block.tool_index = tools_++;
    ChatEvent event;
    event.kind = Kind::tool_call;
    event.tool_index = block.tool_index;
    event.tool_call.id = std::string(text_at(inner, "id"));
    event.tool_call.name = std::string(text_at(inner, "name"));
    dom::object input;
    if (inner["input"].get_object().get(input) == SUCCESS && input.size() > 0)
      event.tool_call.arguments = arguments_at_once(input, data);
    block.told = !event.tool_call.arguments.empty();
    if (event.tool_call.name.empty() && !native_)
      batch.error = unsayable_answer("a content block of type \"tool_use\" without a name");
    else
      emit(std::move(event), batch);
  } else if (!native_ && anthropic_ran_itself(type)) {
    block.type = Block::Type::item;
    const std::string item = simdjson::minify(inner);
    block.item = read_json<Json>(item);
    hold(item.size(), block.item_bytes, "blocks of tools", batch);
    batch.begun = true;
  } else if (!native_) {
    batch.error = unsayable_block(type);
  }
}

/// What a block keeps until its end.
void Decoder::hold(size_t bytes, size_t& of_block, std::string_view what, ReplyBatch& batch) {
  of_block += bytes;
  held_bytes_ += bytes;
  if (held_bytes_ > kNativeItemBytesMax) batch.error = unsayable_answer(std::string(what) + " of more than 16 MiB");
}

void Decoder::hold_citation(const std::string& json, Block& block, ReplyBatch& batch) {
  Json citation = read_json<Json>(json);
  if (!citation.is_object()) return;
  block.citations.push_back(std::move(citation));
  hold(json.size(), block.citation_bytes, "citations", batch);
  batch.begun = true;
}

void Decoder::tell_citations(Block& block, ReplyBatch& batch) {
  held_bytes_ -= std::exchange(block.citation_bytes, 0);
  for (Json& citation : std::exchange(block.citations, {})) {
    ChatEvent event;
    event.kind = Kind::citation;
    event.citation = std::move(citation);
    event.citation_of = Protocol::anthropic_messages;
    emit(std::move(event), batch);
  }
}

/// What waits for a block's end: a whole block of a tool that Claude's API ran itself, and what a text cites.
void Decoder::tell_held(Block& block, ReplyBatch& batch) {
  tell_citations(block, batch);
  if (block.type != Block::Type::item) return;
  block.type = Block::Type::unseen;
  held_bytes_ -= std::exchange(block.item_bytes, 0);
  if (Json input = parse_written(block.input); input.is_object()) block.item["input"] = std::move(input);
  const std::string type = text_of(block.item, "type");
  emit(native_event("anthropic", type, std::move(block.item)), batch);
}

/// Of the blocks whose end was not told, as some servers do.
void Decoder::tell_all_held(ReplyBatch& batch) {
  for (auto& [index, block] : blocks_) tell_held(block, batch);
}

void Decoder::block_delta(dom::object& root, std::string_view raw, std::string_view data, ReplyBatch& batch) {
  const int64_t index = count_of(root, "index");
  dom::object delta;
  if (index > kBlocksMax || root["delta"].get_object().get(delta) != SUCCESS) return;
  Block& block = blocks_[index];  // text and thinking say what they are, even where no start came before
  const std::string type(text_at(delta, "type"));
  const auto piece = [&](Kind kind, std::string_view quoted_key) {
    const std::string_view inside = string_after(data, quoted_key);
    std::string plain;
    if (!append_unescaped(inside, plain)) return;
    usage_.saw(inside.size());
    text(kind, std::move(plain), block, batch);
    if (!inside.empty()) learn(raw, data, inside, kind, block);
  };
  if (type == "text_delta") {
    piece(Kind::text, "\"text\"");
  } else if (type == "thinking_delta") {
    piece(Kind::reasoning, "\"thinking\"");
  } else if (type == "input_json_delta") {
    if (block.type == Block::Type::tool) piece(Kind::tool_call, "\"partial_json\"");
    if (block.type != Block::Type::item) return;
    const std::string_view piece_of_input = text_at(delta, "partial_json");
    block.input += piece_of_input;
    hold(piece_of_input.size(), block.item_bytes, "a tool's input", batch);
  } else if (type == "signature_delta") {
    ChatEvent event;
    event.kind = Kind::signature;
    event.signature = std::string(text_at(delta, "signature"));
    event.signer = Signer::anthropic;
    if (!event.signature.empty()) emit(std::move(event), batch);
  } else if (type == "citations_delta" && !native_) {
    dom::object citation;
    if (delta["citation"].get_object().get(citation) != SUCCESS) return;
    hold_citation(simdjson::minify(citation), block, batch);
    citing_.insert(index);
  }
}

/// A call without arguments has an empty object: a client that reads JSON must find some.
void Decoder::block_stop(dom::object& root, ReplyBatch& batch) {
  const auto found = blocks_.find(count_of(root, "index"));
  forget();
  if (found == blocks_.end()) return;
  if (found->second.type == Block::Type::tool && !found->second.told) text(Kind::tool_call, "{}", found->second, batch);
  tell_held(found->second, batch);
  blocks_.erase(found);
}

void Decoder::message_delta(dom::object& root, std::string_view raw, std::string_view data, ReplyBatch& batch) {
  dom::object delta;
  if (root["delta"].get_object().get(delta) == SUCCESS) {
    const std::string reason(text_at(delta, "stop_reason"));
    note_container(delta);
    const bool stops = !reason.empty() && !stopped_;
    if (stops) tell_all_held(batch);
    Block none;
    dom::object details;
    if (delta["stop_details"].get_object().get(details) == SUCCESS)
      text(Kind::refusal, std::string(text_at(details, "explanation")), none, batch);
    if (stops) {
      stopped_ = true;
      ChatEvent event;
      event.kind = Kind::finish;
      event.stop = anthropic_stop(reason);
      event.stop_sequence = std::string(text_at(delta, "stop_sequence"));
      event.container = std::exchange(container_, Json());
      emit(std::move(event), batch);
    }
  }
  dom::object usage;
  if (root["usage"].get_object().get(usage) != SUCCESS) return pass(raw, batch);
  reader_.read(usage, true, usage_);
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

void Decoder::error_event(dom::object& root, std::string_view raw, ReplyBatch& batch) {
  std::string type = "api_error";
  std::string message;
  dom::object error;
  if (root["error"].get_object().get(error) == SUCCESS) {
    if (const auto text = text_at(error, "type"); !text.empty()) type = std::string(text);
    if (const auto text = text_at(error, "message"); !text.empty()) message = std::string(text);
  }
  batch.error = stream_error(std::move(type), std::move(message));
  if (native_) batch.segments.push_back({Segment::Kind::error, raw});
}

void Decoder::one(std::string_view raw, std::string_view data, ReplyBatch& batch) {
  if (like_last(raw, data, batch)) return;
  if (!native_) data = halves_.data(data);
  dom::object root;
  const bool object = parse_object(data, root);
  const std::string type(object ? text_at(root, "type") : std::string_view{});
  if (type == "error") return error_event(root, raw, batch);
  const bool kept = native_ && opening_.takes({.raw = raw, .data = data, .type = {}}, batch);
  if (!object) {
    if (!native_ && !data.empty())
      batch.error = upstream_fault("the upstream sent a stream event that is not a JSON object");
    if (!kept) pass(raw, batch);
    return;
  }
  if (type == "message_delta") return message_delta(root, raw, data, batch);
  if (type == "message_stop") {
    done_ = true;
    tell_all_held(batch);
    if (native_)
      batch.segments.push_back({Segment::Kind::done, raw});
    else
      batch.end = true;
    return;
  }
  if (type == "message_start") message_start(root);
  if (type == "content_block_start") block_start(root, data, batch);
  if (type == "content_block_delta") block_delta(root, raw, data, batch);
  if (type == "content_block_stop") block_stop(root, batch);
  if (!kept) pass(raw, batch);  // a ping too, and what later versions add
}

void Decoder::feed(std::string_view bytes, ReplyBatch& batch) {
  scanner_.feed(bytes);
  SseEvent next;
  std::string_view raw;
  std::string_view inside;
  while (!batch.error && !done_) {
    if (!raw_head_.empty() && !halves_.waits() && scanner_.next_like(raw_head_, raw_tail_, raw, inside)) {
      if (!take(raw, inside, batch)) one(raw, raw.substr(data_at_, raw.size() - data_at_ - data_end_), batch);
    } else if (scanner_.next(next)) {
      one(next.raw, next.data, batch);
    } else {
      break;
    }
  }
  if (scanner_.too_large() && !batch.error) batch.error = stream_event_too_large();
}

void Decoder::event(std::string_view json, ReplyBatch& batch) {
  if (done_) return;
  if (!native_) return one({}, json, batch);
  if (batch.segments.empty()) frames_.clear();
  std::string_view type = "message";
  dom::object root;
  std::string name;
  if (parse_object(json, root)) name = std::string(text_at(root, "type"));
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

/// An answer that said why it stopped is whole; where its end mark is missing, clients that wait for one get ours.
void Decoder::finish(ReplyBatch& batch) {
  SseEvent last;
  const bool cut = !done_ && flush_whole(scanner_, last);  // without the blank line that ends an event
  if (cut) one(last.raw, last.data, batch);
  if (batch.error) return;
  if (!done_ && !stopped_) {
    batch.error = stream_cut_off();
    return;
  }
  constexpr std::string_view kStop = "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
  if (native_ && !done_) batch.segments.push_back({Segment::Kind::done, kStop.substr(cut ? 0 : 2)});
  batch.end = true;
}

/// What a whole answer says, for an estimate where its usage is absent or makes no sense.
void Decoder::see_content(dom::object& root) {
  dom::array content;
  if (root["content"].get_array().get(content) != SUCCESS) return;
  for (const dom::element element : content) {
    dom::object block;
    if (element.get_object().get(block) != SUCCESS) continue;
    size_t bytes = text_at(block, "text").size() + text_at(block, "thinking").size();
    dom::element input;
    if (block["input"].get(input) == SUCCESS) bytes += simdjson::minify(input).size();
    usage_.saw(bytes);
  }
}

void Decoder::whole(std::string_view body, ReplyBatch& batch) {
  dom::object root;
  if (!parse_object(body, root)) {
    batch.error = upstream_fault("the upstream's answer is not a JSON object");
    return;
  }
  const std::string type(text_at(root, "type"));
  if (type == "error") return error_event(root, body, batch);
  if (const char* needed = counting_ ? "input_tokens" : "content"; root[needed].error() != SUCCESS) {
    batch.error = hollow_answer(needed);
    return;
  }
  dom::object usage;
  if (counting_) {
    usage_.report({});  // counting is free
  } else if (root["usage"].get_object().get(usage) == SUCCESS) {
    reader_.read(usage, true, usage_);
  }
  see_content(root);
  if (native_) {
    batch.segments.push_back({Segment::Kind::data, body});
  } else {
    Json tree = parse_json(body);
    keep_call_numbers(body, tree);
    if (auto error = anthropic_events(tree, batch.events)) {
      batch.error = std::move(error);
      return;
    }
  }
  batch.end = true;
}

}  // namespace

std::unique_ptr<AnthropicDecoder> make_anthropic_decoder(const Attempt& attempt) {
  return std::make_unique<Decoder>(attempt);
}

}  // namespace weir::providers
