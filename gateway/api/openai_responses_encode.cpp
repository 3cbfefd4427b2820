// Neutral events into Responses' event stream, or into one Response object.
#include <algorithm>

#include "gateway/api/calls_in_order.h"
#include "gateway/api/errors.h"
#include "gateway/api/openai_fields.h"
#include "gateway/api/openai_responses.h"
#include "gateway/api/openai_responses_object.h"
#include "providers/json_text.h"
#include "providers/media.h"

namespace weir::gateway {
namespace {

using providers::append_quoted;
using providers::ChatEvent;
using providers::Json;
using providers::json_text;
using providers::Signer;
using providers::StopReason;
using Kind = ResponseItem::Kind;

std::string id_prefix(Kind kind) {
  switch (kind) {
    case Kind::message:
      return "msg_";
    case Kind::call:
      return "fc_";
    case Kind::reasoning:
      return "rs_";
    case Kind::native:
      break;
  }
  return "item_";
}

/// Items are opened and closed in the order of the model's output; each step is told in events where a stream listens.
class ResponsesEncoder final : public AnswerEncoder {
 public:
  explicit ResponsesEncoder(const AnswerContext& context) : object_(context), tail_(id_tail(context.request_id)) {}

  void begin(const providers::Usage& known, std::string& out) override;
  void chunk(const ChatEvent& event, std::string& out) override {
    out_ = &out;
    take(event);
  }
  void final(const providers::Usage& usage, NanoUsd cost, std::string& out) override;
  bool broken(const Error& error, std::string& out) override;
  void add(ChatEvent event) override {
    out_ = nullptr;
    take(event);
  }
  std::string whole(const providers::Usage& usage, NanoUsd cost) override;

 private:
  void take(const ChatEvent& event);
  void take_next(const ChatEvent& event_in);
  void text(const ChatEvent& event, bool refusal);
  void reasoning(const ChatEvent& event);
  void signature(const ChatEvent& event);
  void call(const ChatEvent& event);
  void arguments(std::string_view piece);
  void citation(const ChatEvent& event);
  ResponseItem& open(Kind kind);
  void opened();
  ResponseContent& content(bool refusal);
  void close_content();
  void close(std::string_view status);
  void end();
  void event(std::string_view type);
  void place(bool with_content);
  void member(const char* key, const Json& value);
  void done_event() { out_->append("}\n\n"); }
  bool told() const { return out_ != nullptr; }
  ResponseItem& item() { return items_.back(); }
  Json output(std::string_view last_status) const;
  std::string_view status() const;
  bool filtered() const;
  std::string response(const providers::Usage& usage, NanoUsd cost) const;

  ResponseObject object_;
  std::string tail_;
  std::vector<ResponseItem> items_;
  CallsInOrder calls_;
  bool open_ = false;          // the last item
  bool content_open_ = false;  // the last content of a message, the summary of a reasoning item
  bool ended_ = false;
  StopReason stop_ = StopReason::stop;
  Json container_;
  int64_t sequence_ = 0;
  std::string* out_ = nullptr;  // of the stream; null while collecting
};

// --- events ---------------------------------------------------------------------------------------------------------

void ResponsesEncoder::event(std::string_view type) {
  out_->append("event: ").append(type).append("\ndata: {\"type\":\"").append(type);
  out_->append("\",\"sequence_number\":").append(std::to_string(sequence_++));
}

/// Which item, and which of its pieces, an event is about.
void ResponsesEncoder::place(bool with_content) {
  out_->append(",\"item_id\":\"").append(item().id).append("\",\"output_index\":");
  out_->append(std::to_string(items_.size() - 1));
  if (!with_content) return;
  if (item().kind == Kind::reasoning)
    out_->append(",\"summary_index\":0");
  else
    out_->append(",\"content_index\":").append(std::to_string(item().contents.size() - 1));
}

void ResponsesEncoder::member(const char* key, const Json& value) {
  out_->append(",\"").append(key).append("\":").append(json_text(value));
}

// --- items ----------------------------------------------------------------------------------------------------------

ResponseItem& ResponsesEncoder::open(Kind kind) {
  close("completed");
  ResponseItem& made = items_.emplace_back();
  made.kind = kind;
  made.id = id_prefix(kind) + tail_ + "_" + std::to_string(items_.size() - 1);
  open_ = true;
  return made;
}

/// Tells of the item that open() made, once it is filled in.
void ResponsesEncoder::opened() {
  if (!told()) return;
  event("response.output_item.added");
  out_->append(",\"output_index\":").append(std::to_string(items_.size() - 1));
  member("item", item_json(item(), "in_progress"));
  done_event();
}

void ResponsesEncoder::close_content() {
  if (!content_open_) return;
  content_open_ = false;
  if (!told()) return;
  if (item().kind == Kind::reasoning) {
    event("response.reasoning_summary_text.done");
    place(true);
    member("text", item().summary);
    done_event();
    event("response.reasoning_summary_part.done");
    place(true);
    member("part", {{"type", "summary_text"}, {"text", item().summary}});
    return done_event();
  }
  const ResponseContent& last = item().contents.back();
  event(last.refusal ? "response.refusal.done" : "response.output_text.done");
  place(true);
  member(last.refusal ? "refusal" : "text", last.text);
  if (!last.refusal) member("logprobs", last.logprobs);
  done_event();
  event("response.content_part.done");
  place(true);
  member("part", content_json(last));
  done_event();
}

void ResponsesEncoder::close(std::string_view status) {
  if (!open_) return;
  close_content();
  // A call without arguments means {}: what a client parses must be JSON.
  if (item().kind == Kind::call && item().call.arguments.empty() && status == "completed") arguments("{}");
  open_ = false;
  if (!told()) return;
  if (item().kind == Kind::call) {
    event("response.function_call_arguments.done");
    place(false);
    member("name", item().call.name);
    member("arguments", item().call.arguments);
    done_event();
  }
  event("response.output_item.done");
  out_->append(",\"output_index\":").append(std::to_string(items_.size() - 1));
  member("item", item_json(item(), status));
  done_event();
}

/// The open piece of a message that text or a refusal goes to.
ResponseContent& ResponsesEncoder::content(bool refusal) {
  if (!open_ || item().kind != Kind::message) {
    open(Kind::message);
    opened();
  }
  if (content_open_ && item().contents.back().refusal != refusal) close_content();
  if (!content_open_) {
    item().contents.emplace_back().refusal = refusal;
    content_open_ = true;
    if (told()) {
      event("response.content_part.added");
      place(true);
      member("part", content_json(item().contents.back()));
      done_event();
    }
  }
  return item().contents.back();
}

// --- what a model does ----------------------------------------------------------------------------------------------

void ResponsesEncoder::text(const ChatEvent& event_in, bool refusal) {
  if (event_in.text.empty() && event_in.logprobs.empty()) return;
  ResponseContent& to = content(refusal);
  if (event_in.opens_block) open_block(to);
  to.text += event_in.text;
  Json logprobs = event_in.logprobs.empty() ? Json::array() : response_logprobs(event_in.logprobs);
  for (const Json& one : logprobs) to.logprobs.push_back(one);
  if (!told()) return;
  event(refusal ? "response.refusal.delta" : "response.output_text.delta");
  place(true);
  out_->append(",\"delta\":");
  append_quoted(event_in.text, *out_);
  if (logprobs.empty() && !refusal)
    out_->append(",\"logprobs\":[]");
  else if (!refusal)
    member("logprobs", logprobs);
  done_event();
}

void ResponsesEncoder::reasoning(const ChatEvent& event_in) {
  if (event_in.text.empty()) return;
  if (!open_ || item().kind != Kind::reasoning) {
    open(Kind::reasoning);
    opened();
  }
  if (!content_open_ && told()) {
    event("response.reasoning_summary_part.added");
    place(true);
    member("part", {{"type", "summary_text"}, {"text", ""}});
    done_event();
  }
  content_open_ = true;
  item().summary += event_in.text;
  if (!told()) return;
  event("response.reasoning_summary_text.delta");
  place(true);
  out_->append(",\"delta\":");
  append_quoted(event_in.text, *out_);
  done_event();
}

void ResponsesEncoder::signature(const ChatEvent& event_in) {
  const bool redacted = !event_in.redacted.empty();
  const bool closes = !redacted && open_ && item().kind == Kind::reasoning;
  if (!closes) {
    open(Kind::reasoning);
    opened();
  }
  std::string content = redacted ? event_in.redacted : event_in.signature;
  if (redacted && event_in.signer != Signer::openai) content.insert(0, kRedactedMark);
  item().encrypted = providers::wrap_signature(content, event_in.signer, Signer::openai);
  close("completed");
}

void ResponsesEncoder::call(const ChatEvent& event_in) {
  const bool goes_on = open_ && item().kind == Kind::call && item().tool_index == event_in.tool_index;
  if (!goes_on) {
    ResponseItem& made = open(Kind::call);
    made.tool_index = event_in.tool_index;
    made.call.id = event_in.tool_call.id.empty() ? "call_" + tail_ + "_" + std::to_string(items_.size() - 1)
                                                 : event_in.tool_call.id;
    made.call.name = event_in.tool_call.name;
    opened();
  }
  arguments(event_in.tool_call.arguments);
}

void ResponsesEncoder::arguments(std::string_view piece) {
  if (piece.empty()) return;
  item().call.arguments += piece;
  if (!told()) return;
  event("response.function_call_arguments.delta");
  place(false);
  out_->append(",\"delta\":");
  append_quoted(piece, *out_);
  done_event();
}

void ResponsesEncoder::citation(const ChatEvent& event_in) {
  ResponseContent& to = content(false);
  for (const Json& annotation : annotations_json(event_in, to)) {
    to.annotations.push_back(annotation);
    if (!told()) continue;
    event("response.output_text.annotation.added");
    place(true);
    out_->append(",\"annotation_index\":").append(std::to_string(to.annotations.size() - 1));
    member("annotation", annotation);
    done_event();
  }
}

/// Responses have one choice; events of others cannot come, since a request cannot ask for them.
void ResponsesEncoder::take(const ChatEvent& event_in) {
  if (ended_ || event_in.index != 0) return;
  calls_.pass(event_in, [this](const ChatEvent& next) { take_next(next); });
}

void ResponsesEncoder::take_next(const ChatEvent& event_in) {
  switch (event_in.kind) {
    case ChatEvent::Kind::text:
      return text(event_in, false);
    case ChatEvent::Kind::refusal:
      return text(event_in, true);
    case ChatEvent::Kind::reasoning:
      return reasoning(event_in);
    case ChatEvent::Kind::signature:
      return signature(event_in);
    case ChatEvent::Kind::tool_call:
      return call(event_in);
    case ChatEvent::Kind::citation:
      return citation(event_in);
    case ChatEvent::Kind::native:
      open(Kind::native).native = event_in.native;
      opened();
      return close("completed");
    case ChatEvent::Kind::finish:
      stop_ = event_in.stop;
      container_ = event_in.container;
      return end();
  }
}

void ResponsesEncoder::end() {
  close(status());
  ended_ = true;
}

// --- the whole ------------------------------------------------------------------------------------------------------

std::string_view ResponsesEncoder::status() const {
  const bool cut = stop_ == StopReason::length || stop_ == StopReason::pause_turn || filtered();
  return cut ? "incomplete" : "completed";
}

/// By a filter, or by the model itself, unless it said so in words of refusal.
bool ResponsesEncoder::filtered() const {
  if (stop_ == StopReason::content_filter) return true;
  return stop_ == StopReason::refusal && std::none_of(items_.begin(), items_.end(), [](const ResponseItem& one) {
           return std::any_of(one.contents.begin(), one.contents.end(), [](const auto& part) { return part.refusal; });
         });
}

Json ResponsesEncoder::output(std::string_view last_status) const {
  Json list = Json::array();
  for (const ResponseItem& one : items_)
    list.push_back(item_json(one, &one == &items_.back() ? last_status : "completed"));
  return list;
}

std::string ResponsesEncoder::response(const providers::Usage& usage, NanoUsd cost) const {
  Json details = nullptr;
  // A pause has no word of its own; without any a client would take the answer for one that broke.
  if (stop_ == StopReason::length || stop_ == StopReason::pause_turn) details = {{"reason", "max_output_tokens"}};
  if (stop_ == StopReason::pause_turn) details["native_finish_reason"] = "pause_turn";
  if (filtered()) details = {{"reason", "content_filter"}};
  std::string out =
      object_.text(status(), output(status()), with_cost(json_text(response_usage(usage)), cost), details, nullptr);
  if (container_.is_null()) return out;
  out.pop_back();
  return out.append(",\"container\":").append(json_text(container_)).append("}");
}

void ResponsesEncoder::begin(const providers::Usage&, std::string& out) {
  out_ = &out;
  const std::string empty = object_.text("in_progress", Json::array(), "null", nullptr, nullptr);
  for (const char* type : {"response.created", "response.in_progress"}) {
    event(type);
    out.append(",\"response\":").append(empty);
    done_event();
  }
}

void ResponsesEncoder::final(const providers::Usage& usage, NanoUsd cost, std::string& out) {
  out_ = &out;
  if (!ended_) end();
  event(status() == "completed" ? "response.completed" : "response.incomplete");
  out.append(",\"response\":").append(response(usage, cost));
  done_event();
}

/// The failed object first, then the error event: OpenAI's clients raise at the latter and read no further.
bool ResponsesEncoder::broken(const Error& error, std::string& out) {
  out_ = &out;
  const char* code = "server_error";
  if (error.kind == ErrorKind::rate_limit) code = "rate_limit_exceeded";
  if (error.kind == ErrorKind::bad_request || error.kind == ErrorKind::context_length) code = "invalid_prompt";
  const Json said = {{"code", code}, {"message", error.detail}};
  event("response.failed");
  out.append(",\"response\":").append(object_.text("failed", output("incomplete"), "null", nullptr, said));
  done_event();
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  event("error");
  member("code", text_or_null(error.code));
  member("message", error.detail);
  member("param", text_or_null(error.param));
  const std::string body = error_body(error);  // {"error":{…}}
  out.append(",").append(body, 1, body.size() - 2);
  done_event();
  return true;
}

std::string ResponsesEncoder::whole(const providers::Usage& usage, NanoUsd cost) {
  out_ = nullptr;
  if (!ended_) end();
  return response(usage, cost);
}

}  // namespace

std::unique_ptr<AnswerEncoder> make_responses_encoder(const AnswerContext& context) {
  return std::make_unique<ResponsesEncoder>(context);
}

}  // namespace weir::gateway
