// Answers of Cohere's chat v2, whole and streamed, as neutral events. https://docs.cohere.com/reference/chat-stream
#include <algorithm>
#include <utility>

#include "providers/classify.h"
#include "providers/cohere.h"
#include "providers/half_characters.h"
#include "providers/json_fields.h"
#include "providers/json_text.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

using Kind = ChatEvent::Kind;

/// The object behind a member, or an empty one.
const Json& member(const Json& object, const char* key) {
  static const Json kNothing = Json::object();
  const Json* found = member_of(object, key);
  return found == nullptr ? kNothing : *found;
}

StopReason stop_of(std::string_view reason) {
  if (reason == "MAX_TOKENS") return StopReason::length;
  if (reason == "STOP_SEQUENCE") return StopReason::stop_sequence;
  if (reason == "TOOL_CALL") return StopReason::tool_calls;
  return reason == "ERROR_TOXIC" ? StopReason::content_filter : StopReason::stop;
}

class ChatDecoder final : public ReplyDecoder {
 public:
  ChatDecoder(const CallBody& call, int64_t prompt_tokens) : usage_(call, prompt_tokens) {}
  bool native() const override { return false; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override { return usage_.usage(); }

 private:
  void event(const SseEvent& event, ReplyBatch& batch);
  void content(const Json& part, ReplyBatch& batch);
  void call(const Json& call, int32_t index, ReplyBatch& batch);
  void citation(const Json& citation, ReplyBatch& batch);
  void end(const Json& reason, const Json& usage, const std::string& said, ReplyBatch& batch);
  void say(Kind kind, std::string text, ReplyBatch& batch);

  SseScanner scanner_;
  HalfCharacters halves_;
  UsageMeter usage_;
  bool finished_ = false;
  bool ended_ = false;
};

void ChatDecoder::say(Kind kind, std::string text, ReplyBatch& batch) {
  if (text.empty()) return;
  usage_.saw(text.size());
  ChatEvent& out = batch.events.emplace_back();
  out.kind = kind;
  out.text = std::move(text);
}

void ChatDecoder::content(const Json& part, ReplyBatch& batch) {
  say(Kind::reasoning, text_of(part, "thinking"), batch);
  say(Kind::text, text_of(part, "text"), batch);
  const std::string type = text_of(part, "type");
  if (!type.empty() && type != "text" && type != "thinking")
    batch.error = unsayable_answer("a content block of type " + quoted(std::string_view(type).substr(0, 64)));
}

void ChatDecoder::call(const Json& call, int32_t index, ReplyBatch& batch) {
  if (index >= kCallsMax) {
    batch.error = too_many_calls();
    return;
  }
  const Json& function = member(call, "function");
  ChatEvent out;
  out.kind = Kind::tool_call;
  out.tool_index = index;
  out.tool_call = {text_of(call, "id"), text_of(function, "name"), text_of(function, "arguments")};
  if (out.tool_call.id.empty() && out.tool_call.name.empty() && out.tool_call.arguments.empty()) return;
  usage_.saw(out.tool_call.arguments.size());
  batch.events.push_back(std::move(out));
}

void ChatDecoder::citation(const Json& citation, ReplyBatch& batch) {
  if (!citation.is_object() || citation.empty()) return;
  ChatEvent& out = batch.events.emplace_back();
  out.kind = Kind::citation;
  out.citation = citation;
  out.citation_of = Protocol::rerank;  // Cohere's own shape
}

/// What is billed counts; the tokens of Cohere's own prompt around ours are told beside it.
void ChatDecoder::end(const Json& reason, const Json& usage, const std::string& said, ReplyBatch& batch) {
  const Json& billed = member(usage, "billed_units");
  const Json& tokens = member(usage, "tokens");
  const Json& counted = billed.empty() ? tokens : billed;
  if (!counted.empty()) {
    config::TokenCounts counts;
    counts.input = count_of(counted, "input_tokens");
    counts.output = count_of(counted, "output_tokens");
    counts.cached_input = std::min(count_of(usage, "cached_tokens"), counts.input);
    if (plausible(counts))
      usage_.report(counts, {.input = counts.input > 0, .output = member_of(counted, "output_tokens") != nullptr});
  }
  const std::string word = reason.is_string() ? reason.get<std::string>() : std::string();
  if (word == "ERROR" || word == "TIMEOUT" || word == "ERROR_LIMIT") {
    Error error = upstream_fault(said.empty() ? "the upstream ended its answer with " + word : said);
    if (word == "TIMEOUT") error.kind = ErrorKind::timeout;
    batch.error = std::move(error);
    return;
  }
  if (finished_) return;
  finished_ = true;
  ChatEvent& out = batch.events.emplace_back();
  out.kind = Kind::finish;
  out.stop = stop_of(word);
}

void ChatDecoder::event(const SseEvent& event, ReplyBatch& batch) {
  if (ended_ || event.data.empty()) return;  // empty: a comment
  if (event.data == "[DONE]") {
    ended_ = finished_;
    batch.end = finished_;
    return;
  }
  const Json json = parse_json(halves_.data(event.data));
  if (!json.is_object()) {
    batch.error = upstream_fault("the upstream sent a stream event that is not a JSON object");
    return;
  }
  const std::string type = text_of(json, "type");
  const Json& delta = member(json, "delta");
  const Json& message = member(delta, "message");
  const auto index = static_cast<int32_t>(std::min<int64_t>(count_of(json, "index"), INT32_MAX));
  if (type == "content-start" || type == "content-delta") return content(member(message, "content"), batch);
  if (type == "tool-plan-delta") return say(Kind::reasoning, text_of(message, "tool_plan"), batch);
  if (type == "tool-call-start" || type == "tool-call-delta") return call(member(message, "tool_calls"), index, batch);
  if (type == "citation-start") return citation(member(message, "citations"), batch);
  if (type == "message-end") {
    end(member(delta, "finish_reason"), member(delta, "usage"), text_of(delta, "error"), batch);
    ended_ = batch.end = !batch.error;
    return;
  }
  // An error has no type of event: {"message":"…"}. What else there may be says nothing of the answer.
  if (type.empty() && (json.contains("message") || json.contains("error"))) {
    Error error = classify_answer(
        502, [](std::string_view) { return std::optional<std::string_view>(); }, event.data);
    error.http_status = 502;
    batch.error = std::move(error);
  }
}

void ChatDecoder::feed(std::string_view bytes, ReplyBatch& batch) {
  feed_events(scanner_, bytes, batch, [&](const SseEvent& next) { event(next, batch); });
}

void ChatDecoder::finish(ReplyBatch& batch) {
  SseEvent last;
  if (scanner_.flush(last)) event(last, batch);
  if (batch.error) return;
  if (finished_)
    batch.end = true;
  else
    batch.error = stream_cut_off();
}

void ChatDecoder::whole(std::string_view body, ReplyBatch& batch) {
  const Json json = parse_json(body);
  const Json& message = member(json, "message");
  if (!json.is_object() || !message.is_object() || !json.contains("message")) {
    batch.error = upstream_fault("the upstream's answer holds no message");
    return;
  }
  say(Kind::reasoning, text_of(message, "tool_plan"), batch);
  if (const Json& parts = member(message, "content"); parts.is_array())
    for (const Json& part : parts) content(part, batch);
  if (const Json& list = member(message, "citations"); list.is_array())
    for (const Json& one : list) citation(one, batch);
  int32_t index = 0;
  if (const Json& calls = member(message, "tool_calls"); calls.is_array())
    for (const Json& one : calls) call(one, index++, batch);
  auto unsayable = std::exchange(batch.error, {});
  end(member(json, "finish_reason"), member(json, "usage"), "", batch);
  if (unsayable) batch.error = std::move(unsayable);
  batch.end = !batch.error;
}

}  // namespace

std::unique_ptr<ReplyDecoder> make_cohere_chat_decoder(const CallBody& call, int64_t prompt_tokens) {
  return std::make_unique<ChatDecoder>(call, prompt_tokens);
}

}  // namespace weir::providers
