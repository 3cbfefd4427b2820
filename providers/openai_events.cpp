// OpenAI chat completions, whole or streamed, as neutral events: for clients that speak another protocol.
#include <algorithm>
#include <deque>
#include <map>
#include <utility>
#include <vector>
#include "config/base/json.h"

#include "providers/half_characters.h"
#include "providers/json_fields.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"
#include "providers/native_item.h"
#include "providers/openai.h"
#include "providers/reply_parts.h"
#include "providers/service_tier.h"

namespace weir::providers {
namespace {

constexpr size_t kChoicesMax = 128;
constexpr size_t kSourcesMax = 1024;  // that stand beside an answer

double number_of(const Json& object, const char* key) {
  const Json* value = member_of(object, key);
  return value != nullptr && value->is_number() ? value->get<double>() : 0.0;
}

LogprobEntry logprob_entry(const Json& in) {
  LogprobEntry entry{text_of(in, "token"), {}, number_of(in, "logprob")};
  if (const Json* bytes = member_of(in, "bytes"); bytes != nullptr && bytes->is_array())
    for (const Json& byte : *bytes)
      if (byte.is_number_integer()) entry.bytes.push_back(static_cast<char>(byte.get<int64_t>()));
  if (entry.bytes.empty()) entry.bytes = entry.token;
  return entry;
}

std::vector<TokenLogprobs> logprobs_of(const Json& choice) {
  std::vector<TokenLogprobs> out;
  const Json* object = member_of(choice, "logprobs");
  const Json* content = object != nullptr && object->is_object() ? member_of(*object, "content") : nullptr;
  if (content == nullptr || !content->is_array()) return out;
  for (const Json& in : *content) {
    if (!in.is_object()) continue;
    TokenLogprobs token{logprob_entry(in), {}};
    if (const Json* top = member_of(in, "top_logprobs"); top != nullptr && top->is_array())
      for (const Json& one : *top)
        if (one.is_object()) token.top.push_back(logprob_entry(one));
    out.push_back(std::move(token));
  }
  return out;
}

StopReason stop_of(const std::string& name) {
  // Mistral's and Zhipu's words for a context that is full
  if (name == "length" || name == "max_tokens" || name == "model_length" || name == "model_context_window_exceeded")
    return StopReason::length;
  if (name == "tool_calls" || name == "function_call") return StopReason::tool_calls;
  if (name == "content_filter" || name == "sensitive") return StopReason::content_filter;
  return StopReason::stop;
}

class OpenAiEvents final : public ReplyDecoder {
 public:
  explicit OpenAiEvents(const Attempt& attempt)
      : usage_(attempt.body, attempt.prompt_tokens),
        asked_(static_cast<size_t>(std::max<int64_t>(attempt.body.n, 1))),
        call_prefix_(call_id_prefix(attempt.request_id)) {}

  bool native() const override { return false; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override { return usage_.usage(ended_ || done_ || finished()); }

 private:
  struct Choice {
    struct Call {
      int32_t index = 0;  // ours
      std::string id;     // theirs
      std::string name;   // may come in pieces
      std::string held;   // arguments that came before it
      bool told = false;

      /// Whether these are of another call with the same index: some upstreams give every call index 0 and tell them
      /// apart by id, or by name alone; and some repeat id and name in every piece.
      bool is_another(const std::string& its_id, const std::string& its_name) const {
        if (its_id.empty()) return told && its_name != name;
        return its_id != id && (told || !id.empty());
      }
    };
    std::map<int64_t, Call> tools;         // by the upstream's index
    std::map<std::string, int64_t> by_id;  // the same index, of calls that have an id, or had it
    std::deque<int64_t> waiting;           // by the same, in their order: calls that may not be told yet
    int64_t last_tool = 0;                 // the upstream's index of what came last
    int32_t tool_count = 0;
    bool refused = false;
    bool finished = false;
  };
  bool finished() const {
    return choices_.size() >= asked_ &&
           std::all_of(choices_.begin(), choices_.end(), [](const auto& c) { return c.second.finished; });
  }
  void event(const SseEvent& event, ReplyBatch& batch);
  void text_piece(std::string_view inside, ReplyBatch& batch);
  bool common(const Json& root, ReplyBatch& batch);
  void read_choice(const Json& choice, const Json& delta, ReplyBatch& batch);
  void content(const Json& value, ChatEvent event, ReplyBatch& batch);
  void pictures(const Json& images, const ChatEvent& event, ReplyBatch& batch);
  void signatures(const Json& details, const ChatEvent& event, ReplyBatch& batch);
  void note_sources(const Json& root);
  void tell_sources(const ChatEvent& event, ReplyBatch& batch);
  static int64_t place_of(const Choice& choice, const Json& in, const std::string& id, bool named);
  void tool_call(Choice& choice, const Json& in, int32_t index, ReplyBatch& batch);
  void tell_call(Choice::Call& call, int32_t index, std::string arguments, ReplyBatch& batch);
  void tell_waiting(int32_t index, ReplyBatch& batch, int32_t before = INT32_MAX);
  void push(ChatEvent event, ReplyBatch& batch);
  void finish_choices(ReplyBatch& batch);
  void end(ReplyBatch& batch);

  SseScanner scanner_;
  HalfCharacters halves_;
  UsageMeter usage_;
  std::map<int32_t, Choice> choices_;
  size_t asked_;                 // choices that the client asked for
  std::string call_prefix_;      // of ids where the upstream gives none
  int64_t calls_ = 0;            // that were told, over all choices
  int64_t begun_ = 0;            // that began
  size_t held_bytes_ = 0;        // of names in pieces, and of arguments before any
  std::optional<Error> failed_;  // told at the end, behind the usage
  Json sources_;                 // Perplexity's, of all the text; they are told at its end
  bool done_ = false;
  bool ended_ = false;  // a whole answer, or a stream at its end
  AlikeEvents alike_;   // to the last event that was one piece of text of choice 0
};

void OpenAiEvents::push(ChatEvent event, ReplyBatch& batch) {
  if (event.kind != ChatEvent::Kind::tool_call) tell_waiting(event.index, batch);
  usage_.saw(event.text.size() + event.tool_call.arguments.size());
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
    const Json* thinking = member_of(part, "thinking");
    if (thinking != nullptr) {
      piece.kind = ChatEvent::Kind::reasoning;
      content(*thinking, std::move(piece), batch);
    } else if (piece.text = text_of(part, "text"); !piece.text.empty()) {
      push(std::move(piece), batch);
    } else if (const std::string type = text_of(part, "type"); type != "text" && type != "reference") {
      // References point into what the answer's text says already.
      batch.error = unsayable_answer("a content part of type " + quoted(std::string_view(type).substr(0, 64)));
    }
  }
}

/// OpenRouter's models that paint: the picture comes as the Markdown that chat clients show.
void OpenAiEvents::pictures(const Json& images, const ChatEvent& event, ReplyBatch& batch) {
  for (const Json& image : images) {
    const Json* place = object_of(image, "image_url");
    const std::string url = place == nullptr ? "" : text_of(*place, "url");
    if (url.empty()) {
      batch.error = unsayable_answer("a picture without an URL");
      return;
    }
    ChatEvent shown = event;
    shown.text = "![image](" + url + ")";
    push(std::move(shown), batch);
  }
}

/// OpenRouter's reasoning_details: the text stands in `reasoning` too, signatures and what is encrypted only here.
void OpenAiEvents::signatures(const Json& details, const ChatEvent& event, ReplyBatch& batch) {
  for (const Json& detail : details) {
    const std::string format = text_of(detail, "format");
    ChatEvent signature = event;
    signature.kind = ChatEvent::Kind::signature;
    signature.signature = text_of(detail, "signature");
    signature.signer = format.starts_with("anthropic") ? Signer::anthropic
                       : format.starts_with("google")  ? Signer::gemini
                       : format.starts_with("openai")  ? Signer::openai
                                                       : Signer::none;
    if (text_of(detail, "type") == "reasoning.encrypted")
      (signature.signer == Signer::gemini ? signature.signature : signature.redacted) = text_of(detail, "data");
    if (signature.signer == Signer::none || (signature.signature.empty() && signature.redacted.empty())) continue;
    batch.events.push_back(std::move(signature));
  }
}

/// Perplexity's sources, which stand beside the choices and are repeated with every chunk: search_results, or the bare
/// addresses.
void OpenAiEvents::note_sources(const Json& root) {
  const Json* list = array_of(root, "search_results");
  if (list == nullptr || list->empty()) list = array_of(root, "citations");
  if (list != nullptr && list->size() > sources_.size()) sources_ = *list;
}

void OpenAiEvents::tell_sources(const ChatEvent& event, ReplyBatch& batch) {
  size_t told = 0;
  for (const Json& source : sources_) {
    if (++told > kSourcesMax) return;
    const std::string url = source.is_string() ? source.get<std::string>() : text_of(source, "url");
    if (url.empty()) continue;
    ChatEvent citation = event;
    citation.kind = ChatEvent::Kind::citation;
    citation.citation = {{"type", "url_citation"},
                         {"url_citation", {{"url", url}, {"title", text_of(source, "title")}}}};
    batch.events.push_back(std::move(citation));
  }
}

/// The upstream's index of a call. Where it has none, a name begins a call, and what has neither name nor a known id
/// goes on with the last.
int64_t OpenAiEvents::place_of(const Choice& choice, const Json& in, const std::string& id, bool named) {
  const Json* number = member_of(in, "index");
  if (number != nullptr && number->is_number_integer()) return number->get<int64_t>();
  if (const auto known = choice.by_id.find(id); known != choice.by_id.end())
    if (choice.tools.at(known->second).id == id) return known->second;
  return named ? -1 - int64_t{choice.tool_count} : choice.last_tool;
}

/// More of a call's arguments; before the first of them id and name, which are whole then.
void OpenAiEvents::tell_call(Choice::Call& call, int32_t index, std::string arguments, ReplyBatch& batch) {
  ChatEvent event;
  event.kind = ChatEvent::Kind::tool_call;
  event.index = index;
  event.tool_index = call.index;
  event.tool_call.arguments = std::move(arguments);
  if (!std::exchange(call.told, true)) {
    if (call.name.empty()) batch.error = unsayable_answer("a tool call without a name");
    // One of our own is another in every answer, since a conversation's calls are told apart by it.
    event.tool_call.id = call.id.empty() ? call_prefix_ + std::to_string(calls_) : call.id;
    ++calls_;
    event.tool_call.name = call.name;
  } else if (event.tool_call.arguments.empty()) {
    return;
  }
  if (!batch.error) push(std::move(event), batch);
}

/// Calls that had no arguments when something else came, or the arguments of a later one: those with a smaller index.
void OpenAiEvents::tell_waiting(int32_t index, ReplyBatch& batch, int32_t before) {
  Choice& choice = choices_[index];
  while (!choice.waiting.empty()) {
    Choice::Call& call = choice.tools[choice.waiting.front()];
    if (call.index >= before) return;
    choice.waiting.pop_front();
    if (!call.told) tell_call(call, index, std::exchange(call.held, {}), batch);
  }
}

void OpenAiEvents::tool_call(Choice& choice, const Json& in, int32_t index, ReplyBatch& batch) {
  if (!in.is_object()) return;
  std::string name;
  std::string arguments;
  if (const Json* function = object_of(in, "function")) {
    name = text_of(*function, "name");
    if (const Json* given = member_of(*function, "arguments"))
      arguments = given->is_string() ? given->get<std::string>() : json_text(*given);
  }
  const std::string id = text_of(in, "id");
  choice.last_tool = place_of(choice, in, id, !name.empty());
  const auto known = choice.tools.find(choice.last_tool);
  const bool opens = known == choice.tools.end() || (!name.empty() && known->second.is_another(id, name));
  if (opens) {
    if (++begun_ > kCallsMax) {
      batch.error = too_many_calls();
      return;
    }
    if (known != choice.tools.end()) tell_waiting(index, batch);  // its place is taken
    choice.tools[choice.last_tool] = {choice.tool_count++, id, name, {}, false};
    choice.waiting.push_back(choice.last_tool);
  }
  Choice::Call& call = choice.tools[choice.last_tool];
  if (!opens && !call.told) {
    if (call.id.empty()) call.id = id;
    if (name != call.name) {
      call.name += name;
      held_bytes_ += name.size();
    }
  }
  if (call.name.empty()) held_bytes_ += arguments.size();
  if (!call.id.empty() && call.id == id) choice.by_id[id] = choice.last_tool;
  if (!call.told) arguments = std::exchange(call.held, {}) + arguments;
  if (held_bytes_ > kNativeItemBytesMax) {
    batch.error = unsayable_answer("tool calls of more than 16 MiB before they have a name");
  } else if (!arguments.empty() && call.name.empty()) {
    call.held = std::move(arguments);
  } else if (!arguments.empty()) {
    tell_waiting(index, batch, call.index);
    tell_call(call, index, std::move(arguments), batch);
  }
  const Json* extra = object_of(in, "extra_content");
  const Json* google = extra != nullptr ? object_of(*extra, "google") : nullptr;
  if (google == nullptr) return;
  ChatEvent signature;
  signature.kind = ChatEvent::Kind::signature;
  signature.index = index;
  signature.signature = text_of(*google, "thought_signature");
  signature.signer = Signer::gemini;
  if (signature.signature.empty()) return;
  if (!call.told) tell_call(call, index, {}, batch);
  batch.events.push_back(std::move(signature));
}

/// `delta` is a chunk's delta or a whole answer's message.
void OpenAiEvents::read_choice(const Json& in, const Json& delta, ReplyBatch& batch) {
  ChatEvent event;
  if (const Json* index = member_of(in, "index"); index != nullptr && index->is_number_integer())
    event.index = static_cast<int32_t>(index->get<int64_t>());
  if (choices_.size() >= kChoicesMax && !choices_.contains(event.index)) {
    batch.error = upstream_fault("the upstream's answer has more than " + std::to_string(kChoicesMax) + " choices");
    return;
  }
  Choice& choice = choices_[event.index];
  for (const char* key : {"reasoning_content", "reasoning"}) {
    ChatEvent thought = event;
    thought.kind = ChatEvent::Kind::reasoning;
    thought.text = text_of(delta, key);
    if (thought.text.empty()) continue;
    push(std::move(thought), batch);
    break;
  }
  if (const Json* details = array_of(delta, "reasoning_details")) signatures(*details, event, batch);
  if (const Json* value = member_of(delta, "content")) {
    ChatEvent text = event;
    text.logprobs = logprobs_of(in);
    content(*value, std::move(text), batch);
  }
  if (const Json* images = array_of(delta, "images")) pictures(*images, event, batch);
  if (std::string refusal = text_of(delta, "refusal"); !refusal.empty()) {
    ChatEvent said = event;
    said.kind = ChatEvent::Kind::refusal;
    said.text = std::move(refusal);
    push(std::move(said), batch);
    choice.refused = true;
  }
  if (const Json* notes = member_of(delta, "annotations"); notes != nullptr && notes->is_array())
    for (const Json& note : *notes) {
      if (!note.is_object()) continue;
      ChatEvent citation = event;
      citation.kind = ChatEvent::Kind::citation;
      citation.citation = note;
      batch.events.push_back(std::move(citation));
    }
  if (const Json* calls = member_of(delta, "tool_calls"); calls != nullptr && calls->is_array())
    for (const Json& call : *calls)
      if (!batch.error) tool_call(choice, call, event.index, batch);
  if (const Json* function = object_of(delta, "function_call"))  // as calls were before there were several
    tool_call(choice, {{"index", 0}, {"function", *function}}, event.index, batch);
  if (object_of(delta, "audio") != nullptr) {
    batch.error = unsayable_answer("audio");
    return;
  }
  const std::string reason = text_of(in, "finish_reason");
  if (reason.empty() || choice.finished) return;
  // DeepSeek, OpenRouter, Zhipu
  if (reason == "insufficient_system_resource" || reason == "error" || reason == "network_error") {
    const std::string native = text_of(in, "native_finish_reason");
    const std::string why = native.empty() ? reason : native;
    // Google's words for what the model itself did wrong.
    const bool spoiled = native.starts_with("MALFORMED_") || native == "UNEXPECTED_TOOL_CALL";
    failed_ = spoiled ? spoiled_answer("the upstream's answer failed with " + why)
                      : upstream_fault("the upstream gave up within its answer: " + why);
    if (!spoiled) failed_->kind = ErrorKind::overloaded;
    return;
  }
  tell_waiting(event.index, batch);
  if (batch.error) return;
  tell_sources(event, batch);
  choice.finished = true;
  event.kind = ChatEvent::Kind::finish;
  event.stop = stop_of(reason);
  if (event.stop == StopReason::stop && choice.refused) event.stop = StopReason::refusal;
  if (event.stop == StopReason::stop && choice.tool_count > 0) event.stop = StopReason::tool_calls;
  batch.events.push_back(std::move(event));
}

/// false, "", [] or {}.
bool says_nothing(const Json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_structured() && value.empty();
}

/// Usage and errors. False: the answer is broken.
bool OpenAiEvents::common(const Json& root, ReplyBatch& batch) {
  const Json* const error = member_of(root, "error");
  // Some servers send the member always: "", {} or false where there is none.
  if (error != nullptr && !says_nothing(*error)) {
    std::string code = text_of(*error, "code");
    if (const int64_t number = count_of(*error, "code"); number > 0) code = std::to_string(number);
    if (code.empty()) code = text_of(*error, "type");
    batch.error =
        stream_error(std::move(code), error->is_string() ? error->get<std::string>() : text_of(*error, "message"));
    batch.error->code = "upstream_error";
    return false;
  }
  note_sources(root);
  const Json* usage = member_of(root, "usage");
  if (usage == nullptr)  // Groq puts a stream's usage here
    if (const Json* groq = member_of(root, "x_groq"); groq != nullptr && groq->is_object())
      usage = member_of(*groq, "usage");
  if (const std::string word = text_of(root, "service_tier"); !word.empty()) usage_.served(service_tier(word));
  if (usage != nullptr && usage->is_object()) {
    if (const auto read = openai_usage_counts(json_text(*usage))) usage_.report(read->counts, read->told);
  }
  return true;
}

void OpenAiEvents::text_piece(std::string_view inside, ReplyBatch& batch) {
  ChatEvent event;
  if (!append_unescaped(halves_.inside(inside), event.text)) {
    batch.error = upstream_fault("the upstream sent a stream event that is not valid JSON");
    return;
  }
  if (!event.text.empty()) push(std::move(event), batch);
}

void OpenAiEvents::event(const SseEvent& event, ReplyBatch& batch) {
  if (done_ || event.data.empty()) return;  // empty: a comment that keeps the connection open, OpenRouter's
  // The connection may stay open behind it, and whatever else comes is nobody's answer.
  if (event.data == "[DONE]") {
    done_ = true;
    end(batch);
    return;
  }
  const Json root = parse_json(halves_.data(event.data));
  if (!root.is_object()) {
    batch.error = upstream_fault("the upstream sent a stream event that is not a JSON object");
    return;
  }
  if (!common(root, batch)) return;
  const Json* choices = member_of(root, "choices");
  if (choices == nullptr || !choices->is_array()) return;
  const size_t before = batch.events.size();
  for (const Json& choice : *choices) {
    if (!choice.is_object()) continue;
    const Json* delta = member_of(choice, "delta");
    const Json none = Json::object();
    read_choice(choice, delta != nullptr && delta->is_object() ? *delta : none, batch);
    if (batch.error) return;
  }
  const bool plain = batch.events.size() == before + 1 && batch.events.back().kind == ChatEvent::Kind::text &&
                     batch.events.back().logprobs.empty() && batch.events.back().index == 0;
  if (!plain) return;
  const std::string_view text = string_after(event.data, "\"content\"");
  if (!text.empty()) alike_.learn(event, text);
}

void OpenAiEvents::feed(std::string_view bytes, ReplyBatch& batch) {
  alike_.feed(
      scanner_, bytes, batch, [&](std::string_view, std::string_view text) { text_piece(text, batch); },
      [&](const SseEvent& next) { event(next, batch); }, [&] { return !halves_.waits(); });
}

/// Some upstreams end a choice without saying why.
void OpenAiEvents::finish_choices(ReplyBatch& batch) {
  for (auto& [index, choice] : choices_) {
    if (choice.finished) continue;
    tell_waiting(index, batch);
    if (batch.error) return;
    choice.finished = true;
    ChatEvent& event = batch.events.emplace_back();
    event.kind = ChatEvent::Kind::finish;
    event.index = index;
    event.stop = choice.tool_count > 0 ? StopReason::tool_calls : StopReason::stop;
  }
}

void OpenAiEvents::finish(ReplyBatch& batch) {
  SseEvent last;
  if (!done_ && scanner_.flush(last)) event(last, batch);
  if (batch.error || batch.end) return;
  if (!done_ && !finished() && !failed_)
    batch.error = stream_cut_off();
  else
    end(batch);
}

void OpenAiEvents::end(ReplyBatch& batch) {
  ended_ = true;
  if (failed_)
    batch.error = failed_;
  else
    finish_choices(batch);
  batch.end = !batch.error;
}

void OpenAiEvents::whole(std::string_view body, ReplyBatch& batch) {
  ended_ = true;
  const Json root = parse_json(body);
  if (!root.is_object()) {
    batch.error = upstream_fault("the upstream's answer is not a JSON object");
    return;
  }
  if (!common(root, batch)) return;
  const Json* choices = array_of(root, "choices");
  if (choices == nullptr || choices->empty()) {
    batch.error = hollow_answer("choices");
    return;
  }
  for (const Json& choice : *choices) {
    const Json* message = choice.is_object() ? member_of(choice, "message") : nullptr;
    if (message != nullptr && message->is_object()) read_choice(choice, *message, batch);
    if (batch.error) return;
  }
  end(batch);
}

}  // namespace

std::unique_ptr<ReplyDecoder> make_openai_event_decoder(const Attempt& attempt) {
  return std::make_unique<OpenAiEvents>(attempt);
}

}  // namespace weir::providers
