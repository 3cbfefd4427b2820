// OpenAI chat completions, whole or streamed, as neutral events: for clients that speak another protocol.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "providers/classify.h"
#include "providers/json_scan.h"
#include "providers/net/sse.h"
#include "providers/openai.h"

namespace weir::providers {
namespace {

Error broken(std::string detail) {
  return {ErrorKind::upstream, "upstream", Retry::other_target, 502, std::move(detail), "upstream_error"};
}

const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const Json& object, const char* key) {
  const Json* value = member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string{};
}

double number_of(const Json& object, const char* key) {
  const Json* value = member(object, key);
  return value != nullptr && value->is_number() ? value->get<double>() : 0.0;
}

LogprobEntry logprob_entry(const Json& in) {
  LogprobEntry entry{text_of(in, "token"), {}, number_of(in, "logprob")};
  if (const Json* bytes = member(in, "bytes"); bytes != nullptr && bytes->is_array())
    for (const Json& byte : *bytes)
      if (byte.is_number_integer()) entry.bytes.push_back(static_cast<char>(byte.get<int64_t>()));
  if (entry.bytes.empty()) entry.bytes = entry.token;
  return entry;
}

std::vector<TokenLogprobs> logprobs_of(const Json& choice) {
  std::vector<TokenLogprobs> out;
  const Json* object = member(choice, "logprobs");
  const Json* content = object != nullptr && object->is_object() ? member(*object, "content") : nullptr;
  if (content == nullptr || !content->is_array()) return out;
  for (const Json& in : *content) {
    if (!in.is_object()) continue;
    TokenLogprobs token{logprob_entry(in), {}};
    if (const Json* top = member(in, "top_logprobs"); top != nullptr && top->is_array())
      for (const Json& one : *top)
        if (one.is_object()) token.top.push_back(logprob_entry(one));
    out.push_back(std::move(token));
  }
  return out;
}

StopReason stop_of(const std::string& name) {
  if (name == "length" || name == "max_tokens") return StopReason::length;
  if (name == "tool_calls" || name == "function_call") return StopReason::tool_calls;
  if (name == "content_filter") return StopReason::content_filter;
  return StopReason::stop;
}

class OpenAiEvents final : public ReplyDecoder {
 public:
  explicit OpenAiEvents(const Attempt& attempt) : input_estimate_(attempt.body.json.size() / 4) {}

  bool native() const override { return false; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override;

 private:
  struct Choice {
    std::map<int64_t, int32_t> tools;  // the upstream's index → ours
    int32_t tool_count = 0;
    bool finished = false;
  };
  void event(const SseEvent& event, ReplyBatch& batch);
  void learn(const SseEvent& event);
  void text_piece(std::string_view inside, ReplyBatch& batch);
  bool common(const Json& root, ReplyBatch& batch);
  void read_choice(const Json& choice, const Json& delta, ReplyBatch& batch);
  void content(const Json& value, ChatEvent event, ReplyBatch& batch);
  void tool_call(Choice& choice, const Json& in, size_t position, int32_t index, ReplyBatch& batch);
  void push(ChatEvent event, ReplyBatch& batch);

  SseScanner scanner_;
  Usage usage_;
  uint64_t input_estimate_;
  int64_t text_bytes_ = 0;
  int64_t text_events_ = 0;
  std::map<int32_t, Choice> choices_;
  bool done_ = false;
  std::string head_;  // an event that is one piece of text, up to it and behind it
  std::string tail_;
};

Usage OpenAiEvents::usage() const {
  Usage usage = usage_;
  if (usage.reported) return usage;
  usage.counts.input = static_cast<int64_t>(input_estimate_) + 1;
  usage.counts.output = std::max(text_events_, (text_bytes_ + 3) / 4);
  return usage;
}

void OpenAiEvents::push(ChatEvent event, ReplyBatch& batch) {
  text_bytes_ += static_cast<int64_t>(event.text.size() + event.tool_call.arguments.size());
  text_events_ += event.kind == ChatEvent::Kind::finish ? 0 : 1;
  batch.events.push_back(std::move(event));
}

/// A string, or Mistral's list of parts, where thinking is a part of its own.
void OpenAiEvents::content(const Json& value, ChatEvent event, ReplyBatch& batch) {
  if (value.is_string()) {
    event.text = value.get<std::string>();
    if (!event.text.empty() || !event.logprobs.empty()) push(std::move(event), batch);
    return;
  }
  if (!value.is_array()) return;
  for (const Json& part : value) {
    if (!part.is_object()) continue;
    ChatEvent piece = event;
    const Json* thinking = member(part, "thinking");
    if (thinking != nullptr) {
      piece.kind = ChatEvent::Kind::reasoning;
      content(*thinking, std::move(piece), batch);
    } else if (piece.text = text_of(part, "text"); !piece.text.empty()) {
      push(std::move(piece), batch);
    }
  }
}

void OpenAiEvents::tool_call(Choice& choice, const Json& in, size_t position, int32_t index, ReplyBatch& batch) {
  if (!in.is_object()) return;
  const Json* number = member(in, "index");
  const int64_t theirs =
      number != nullptr && number->is_number_integer() ? number->get<int64_t>() : static_cast<int64_t>(position);
  ChatEvent event;
  event.kind = ChatEvent::Kind::tool_call;
  event.index = index;
  const Json* function = member(in, "function");
  if (function != nullptr && function->is_object()) {
    event.tool_call.name = text_of(*function, "name");
    const Json* arguments = member(*function, "arguments");
    if (arguments != nullptr)
      event.tool_call.arguments = arguments->is_string() ? arguments->get<std::string>() : arguments->dump();
  }
  const std::string id = text_of(in, "id");
  const auto known = choice.tools.find(theirs);
  // A new call has a name; some upstreams give every call index 0 and tell them apart by id alone.
  const bool opens = known == choice.tools.end() || (!event.tool_call.name.empty() && !id.empty());
  if (opens) {
    choice.tools[theirs] = choice.tool_count++;
    event.tool_call.id = id.empty() ? "call_" + std::to_string(index) + "_" + std::to_string(choice.tool_count) : id;
  } else {
    event.tool_call.name.clear();
  }
  event.tool_index = choice.tools[theirs];
  if (opens || !event.tool_call.arguments.empty()) push(std::move(event), batch);
  const Json* extra = member(in, "extra_content");
  const Json* google = extra != nullptr && extra->is_object() ? member(*extra, "google") : nullptr;
  if (google == nullptr || !google->is_object()) return;
  ChatEvent signature;
  signature.kind = ChatEvent::Kind::signature;
  signature.index = index;
  signature.signature = text_of(*google, "thought_signature");
  signature.signer = Signer::gemini;
  if (!signature.signature.empty()) batch.events.push_back(std::move(signature));
}

/// `delta` is a chunk's delta or a whole answer's message.
void OpenAiEvents::read_choice(const Json& in, const Json& delta, ReplyBatch& batch) {
  ChatEvent event;
  if (const Json* index = member(in, "index"); index != nullptr && index->is_number_integer())
    event.index = static_cast<int32_t>(index->get<int64_t>());
  Choice& choice = choices_[event.index];
  for (const char* key : {"reasoning_content", "reasoning"}) {
    ChatEvent thought = event;
    thought.kind = ChatEvent::Kind::reasoning;
    thought.text = text_of(delta, key);
    if (thought.text.empty()) continue;
    push(std::move(thought), batch);
    break;
  }
  if (const Json* value = member(delta, "content")) {
    ChatEvent text = event;
    text.logprobs = logprobs_of(in);
    content(*value, std::move(text), batch);
  }
  if (std::string refusal = text_of(delta, "refusal"); !refusal.empty()) {
    ChatEvent said = event;
    said.kind = ChatEvent::Kind::refusal;
    said.text = std::move(refusal);
    push(std::move(said), batch);
  }
  if (const Json* notes = member(delta, "annotations"); notes != nullptr && notes->is_array())
    for (const Json& note : *notes) {
      ChatEvent citation = event;
      citation.kind = ChatEvent::Kind::citation;
      citation.citation = note;
      batch.events.push_back(std::move(citation));
    }
  if (const Json* calls = member(delta, "tool_calls"); calls != nullptr && calls->is_array())
    for (size_t i = 0; i < calls->size(); ++i) tool_call(choice, (*calls)[i], i, event.index, batch);
  const std::string reason = text_of(in, "finish_reason");
  if (reason.empty() || choice.finished) return;
  if (reason == "insufficient_system_resource" || reason == "error") {  // DeepSeek, OpenRouter
    batch.error = Error{ErrorKind::overloaded,
                        "upstream",
                        Retry::other_target,
                        502,
                        "the upstream gave up within its answer: " + reason,
                        "upstream_error"};
    return;
  }
  choice.finished = true;
  event.kind = ChatEvent::Kind::finish;
  event.stop = stop_of(reason);
  if (event.stop == StopReason::stop && choice.tool_count > 0) event.stop = StopReason::tool_calls;
  batch.events.push_back(std::move(event));
}

/// Usage and errors. False: the answer is broken.
bool OpenAiEvents::common(const Json& root, ReplyBatch& batch) {
  if (const Json* error = member(root, "error")) {
    std::string message = error->is_object() ? text_of(*error, "message") : std::string{};
    if (message.empty()) message = "the upstream reported an error inside its answer";
    std::string code = error->is_object() ? text_of(*error, "code") : std::string{};
    if (code.empty() && error->is_object()) code = text_of(*error, "type");
    const ErrorKind kind = classify_code(0, code, message);
    batch.error = Error{kind, "upstream", retry_of(kind), 502, std::move(message), "upstream_error"};
    return false;
  }
  const Json* usage = member(root, "usage");
  if (usage == nullptr)  // Groq puts a stream's usage here
    if (const Json* groq = member(root, "x_groq"); groq != nullptr && groq->is_object()) usage = member(*groq, "usage");
  if (usage != nullptr && usage->is_object()) {
    if (const auto counts = openai_usage_counts(usage->dump())) {
      usage_.raise(*counts);
      usage_.reported = true;
    }
  }
  return true;
}

void OpenAiEvents::text_piece(std::string_view inside, ReplyBatch& batch) {
  ChatEvent event;
  if (inside.find('\\') == std::string_view::npos) {
    event.text = std::string(inside);
  } else {
    const Json text = Json::parse("\"" + std::string(inside) + "\"", nullptr, false);
    if (!text.is_string()) {
      batch.error = broken("the upstream sent a stream event that is not valid JSON");
      return;
    }
    event.text = text.get<std::string>();
  }
  if (!event.text.empty()) push(std::move(event), batch);
}

/// The event just read was one piece of text of choice 0: its like need no parsing.
void OpenAiEvents::learn(const SseEvent& event) {
  const std::string_view text = string_after(event.data, "\"content\"");
  if (text.empty() || text.data() < event.raw.data() || text.data() + text.size() > event.raw.data() + event.raw.size())
    return;
  head_.assign(event.raw.data(), text.data());
  tail_.assign(text.data() + text.size(), event.raw.data() + event.raw.size());
}

void OpenAiEvents::event(const SseEvent& event, ReplyBatch& batch) {
  if (event.data == "[DONE]") {
    done_ = true;
    return;
  }
  const Json root = Json::parse(event.data, nullptr, false);
  if (!root.is_object()) {
    batch.error = broken("the upstream sent a stream event that is not a JSON object");
    return;
  }
  if (!common(root, batch)) return;
  const Json* choices = member(root, "choices");
  if (choices == nullptr || !choices->is_array()) return;
  const size_t before = batch.events.size();
  for (const Json& choice : *choices) {
    if (!choice.is_object()) continue;
    const Json* delta = member(choice, "delta");
    const Json none = Json::object();
    read_choice(choice, delta != nullptr && delta->is_object() ? *delta : none, batch);
    if (batch.error) return;
  }
  const bool plain = batch.events.size() == before + 1 && batch.events.back().kind == ChatEvent::Kind::text &&
                     batch.events.back().logprobs.empty() && batch.events.back().index == 0;
  if (plain) learn(event);
}

void OpenAiEvents::feed(std::string_view bytes, ReplyBatch& batch) {
  scanner_.feed(bytes);
  SseEvent next;
  std::string_view raw;
  std::string_view text;
  while (!batch.error) {
    if (!head_.empty() && scanner_.next_like(head_, tail_, raw, text))
      text_piece(text, batch);
    else if (scanner_.next(next))
      event(next, batch);
    else
      break;
  }
  if (scanner_.too_large() && !batch.error) batch.error = broken("the upstream sent a stream event larger than 16 MiB");
}

void OpenAiEvents::finish(ReplyBatch& batch) {
  SseEvent last;
  if (scanner_.flush(last)) event(last, batch);
  if (batch.error) return;
  const bool finished = std::any_of(choices_.begin(), choices_.end(), [](const auto& c) { return c.second.finished; });
  if (done_ || finished)
    batch.end = true;
  else
    batch.error = broken("the upstream's stream ended before its end mark");
}

void OpenAiEvents::whole(std::string_view body, ReplyBatch& batch) {
  const Json root = Json::parse(body, nullptr, false);
  if (!root.is_object()) {
    batch.error = broken("the upstream's answer is not a JSON object");
    return;
  }
  if (!common(root, batch)) return;
  const Json* choices = member(root, "choices");
  if (choices == nullptr || !choices->is_array()) {
    batch.error = hollow_answer("choices");
    return;
  }
  for (const Json& choice : *choices) {
    const Json* message = choice.is_object() ? member(choice, "message") : nullptr;
    if (message != nullptr && message->is_object()) read_choice(choice, *message, batch);
    if (batch.error) return;
  }
  batch.end = true;
}

}  // namespace

std::unique_ptr<ReplyDecoder> make_openai_event_decoder(const Attempt& attempt) {
  return std::make_unique<OpenAiEvents>(attempt);
}

}  // namespace weir::providers
