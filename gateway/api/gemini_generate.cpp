#include "gateway/api/gemini_generate.h"

#include <map>

#include "gateway/api/calls_in_order.h"
#include "gateway/api/citations.h"
#include "gateway/api/errors.h"
#include "providers/json_text.h"
#include "providers/native_item.h"
#include "providers/net/percent.h"

namespace weir::gateway {
namespace {

using providers::CallBody;
using providers::ChatEvent;
using providers::Json;
using providers::json_text;
using providers::Protocol;
using providers::StopReason;
using providers::ToolCall;
using providers::Usage;
using Kind = ChatEvent::Kind;

/// https://ai.google.dev/api/generate-content#FinishReason has no word for calls: those end with STOP.
std::string_view finish_name(StopReason stop) {
  switch (stop) {
    case StopReason::length:
      return "MAX_TOKENS";
    case StopReason::content_filter:
    case StopReason::refusal:
      return "SAFETY";
    case StopReason::pause_turn:
      return "OTHER";
    case StopReason::stop:
    case StopReason::stop_sequence:
    case StopReason::tool_calls:
      return "STOP";
  }
  return "STOP";
}

Json details(int64_t all, int64_t audio) {
  Json out = Json::array();
  if (all > audio) out.push_back({{"modality", "TEXT"}, {"tokenCount", all - audio}});
  if (audio > 0) out.push_back({{"modality", "AUDIO"}, {"tokenCount", audio}});
  return out;
}

Json usage_json(const Usage& usage) {
  const auto& counts = usage.counts;
  const int64_t text = counts.output - counts.reasoning;
  Json out = {{"promptTokenCount", counts.input}, {"candidatesTokenCount", text}};
  out["totalTokenCount"] = counts.input + counts.output;
  if (counts.cached_input > 0) out["cachedContentTokenCount"] = counts.cached_input;
  if (const int64_t written = counts.cache_write_5m + counts.cache_write_1h; written > 0) {
    // Gemini counts none of its own: Anthropic's words, in the manner of this protocol.
    out["cacheCreationTokenCount"] = written;
    out["cacheCreation"] = {{"ephemeral5mTokenCount", counts.cache_write_5m},
                            {"ephemeral1hTokenCount", counts.cache_write_1h}};
  }
  if (counts.reasoning > 0) out["thoughtsTokenCount"] = counts.reasoning;
  out["promptTokensDetails"] = details(counts.input, counts.audio_input);
  if (counts.audio_output > 0) out["candidatesTokensDetails"] = details(text, counts.audio_output);
  return out;
}

Json candidate_logprob(const providers::LogprobEntry& entry) {
  return {{"token", entry.token}, {"logProbability", entry.logprob}};
}

Json call_part(const ToolCall& call) {
  Json arguments = providers::parse_written(call.arguments.empty() ? "{}" : call.arguments);
  // A model may write what is no object: the client sees it as it is.
  if (!arguments.is_object()) arguments = {{"arguments", call.arguments}};
  Json function = {{"name", call.name}, {"args", std::move(arguments)}};
  if (!call.id.empty()) function["id"] = call.id;
  Json out = {{"functionCall", std::move(function)}};
  return out;
}

/// A citation of Gemini's own is where it was; another protocol's becomes a source with what it says, about the bytes
/// of text that were written since the last.
void add_citation(const ChatEvent& event, CitedStretch& cited, Json& candidate) {
  const Json& citation = event.citation;
  if (!citation.is_object()) return;
  for (const char* whole : {"groundingMetadata", "urlContextMetadata"})
    if (citation.contains(whole)) {
      candidate[whole] = citation[whole];
      return;
    }
  if (event.citation_of == Protocol::gemini_generate) {
    candidate["citationMetadata"]["citationSources"].push_back(citation);
    return;
  }
  std::vector<Citation> citations = citations_of(event);
  cited.take(citations);
  for (const Citation& one : citations) {
    Json source = {{"startIndex", *one.begin}, {"endIndex", *one.end}};
    if (!one.url.empty()) source["uri"] = one.url;
    if (!one.title.empty() || !one.file.empty()) source["title"] = one.title.empty() ? one.file : one.title;
    candidate["citationMetadata"]["citationSources"].push_back(std::move(source));
  }
}

/// google.rpc.Code for an HTTP status: https://cloud.google.com/apis/design/errors#handling_errors.
std::string_view status_name(const Error& error) {
  switch (error.http_status) {
    case 401:
      return "UNAUTHENTICATED";
    case 402:
    case 429:
      return "RESOURCE_EXHAUSTED";
    case 403:
      return "PERMISSION_DENIED";
    case 404:
      return "NOT_FOUND";
    case 499:
      return "CANCELLED";
    case 501:
      return "UNIMPLEMENTED";
    case 502:
    case 503:
    case 529:
      return "UNAVAILABLE";
    case 408:
    case 504:
      return "DEADLINE_EXCEEDED";
    default:
      return error.http_status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT";
  }
}

Json error_json(const Error& error) {
  Json inner = {{"code", error.http_status}, {"message", error.detail}, {"status", status_name(error)}};
  Json list = Json::array();
  if (!error.code.empty()) {
    Json info = {{"@type", "type.googleapis.com/google.rpc.ErrorInfo"}, {"reason", error.code}, {"domain", "weir"}};
    if (!error.param.empty()) info["metadata"]["field"] = error.param;
    list.push_back(std::move(info));
  }
  if (error.retry_after) {
    const auto ms = error.retry_after->count();
    std::string seconds = std::to_string(ms / 1000);
    if (ms % 1000 != 0) seconds += "." + std::to_string(1000 + ms % 1000).substr(1);
    list.push_back({{"@type", "type.googleapis.com/google.rpc.RetryInfo"}, {"retryDelay", seconds + "s"}});
  }
  if (!list.empty()) inner["details"] = std::move(list);
  Json out = {{"error", std::move(inner)}};
  return out;
}

class GeminiEncoder final : public AnswerEncoder {
 public:
  explicit GeminiEncoder(const AnswerContext& context) : sse_(context.body.sse) {
    std::string_view id = context.request_id;
    if (const size_t dash = id.find('-'); dash != std::string_view::npos) id.remove_prefix(dash + 1);
    tail_["modelVersion"] = context.model;
    tail_["responseId"] = id;
  }

  void begin(const Usage&, std::string&) override {}
  void chunk(const ChatEvent& event, std::string& out) override;
  void final(const Usage& usage, NanoUsd cost, std::string& out) override;
  bool broken(const Error& error, std::string& out) override;
  void add(ChatEvent event) override;
  std::string whole(const Usage& usage, NanoUsd cost) override;

 private:
  struct Choice {
    Json parts = Json::array();    // not yet written
    Json beside = Json::object();  // citations and log-probabilities, likewise
    std::optional<ToolCall> call;  // its arguments are still coming: Gemini has calls whole
    CallsInOrder calls;
    CitedStretch cited;
    int32_t tool_index = 0;
    std::optional<StopReason> stop;
  };
  void collect(const ChatEvent& event, Choice& choice, bool merge);
  void collect_next(const ChatEvent& event, Choice& choice, bool merge);
  void text(const ChatEvent& event, Choice& choice, bool merge);
  void sign(const ChatEvent& event, Choice& choice, bool merge);
  void close_call(Choice& choice);
  void logprobs(const ChatEvent& event, Json& candidate);
  Json take(int32_t index, Choice& choice);
  void write(Json answer, std::string& out);

  bool sse_;
  bool opened_ = false;
  Json tail_ = Json::object();  // what every piece ends with
  std::map<int32_t, Choice> choices_;
};

void GeminiEncoder::close_call(Choice& choice) {
  if (!choice.call) return;
  choice.parts.push_back(call_part(*choice.call));
  choice.call.reset();
}

/// `merge`: into the text before, where the answer is sent whole.
void GeminiEncoder::text(const ChatEvent& event, Choice& choice, bool merge) {
  if (event.text.empty()) return;
  const bool thought = event.kind == Kind::reasoning;
  if (event.opens_block) choice.cited.open_block();
  if (!thought) choice.cited.wrote(static_cast<int64_t>(event.text.size()));
  if (merge && !choice.parts.empty()) {
    Json& last = choice.parts.back();
    if (last.contains("text") && last.contains("thought") == thought && !last.contains("thoughtSignature")) {
      last["text"].get_ref<std::string&>() += event.text;
      return;
    }
  }
  Json part = {{"text", event.text}};
  if (thought) part["thought"] = true;
  choice.parts.push_back(std::move(part));
}

/// Goes with the part before it; in a stream, where text was sent already, with an empty one.
void GeminiEncoder::sign(const ChatEvent& event, Choice& choice, bool merge) {
  const bool call = choice.call.has_value();
  close_call(choice);
  const bool before = event.redacted.empty() && !choice.parts.empty() && (call || merge) &&
                      !choice.parts.back().contains("thoughtSignature");
  if (!before) {
    Json part = {{"text", ""}};
    // Claude signs its thinking; Gemini what follows it.
    if (event.signer != providers::Signer::gemini) part["thought"] = true;
    choice.parts.push_back(std::move(part));
  }
  choice.parts.back()["thoughtSignature"] = gemini_signature(event);
}

void GeminiEncoder::logprobs(const ChatEvent& event, Json& candidate) {
  Json& result = candidate["logprobsResult"];
  for (const auto& token : event.logprobs) {
    result["chosenCandidates"].push_back(candidate_logprob(token.chosen));
    Json top = Json::array();
    for (const auto& entry : token.top) top.push_back(candidate_logprob(entry));
    Json candidates = {{"candidates", std::move(top)}};
    result["topCandidates"].push_back(std::move(candidates));
  }
}

void GeminiEncoder::collect(const ChatEvent& event_in, Choice& choice, bool merge) {
  choice.calls.pass(event_in, [&](const ChatEvent& event) { collect_next(event, choice, merge); });
}

void GeminiEncoder::collect_next(const ChatEvent& event, Choice& choice, bool merge) {
  const bool same_call = event.kind == Kind::tool_call && choice.call && choice.tool_index == event.tool_index;
  if (!same_call && event.kind != Kind::signature) close_call(choice);
  switch (event.kind) {
    case Kind::text:
    case Kind::refusal:
    case Kind::reasoning:
      text(event, choice, merge);
      break;
    case Kind::signature:
      sign(event, choice, merge);
      break;
    case Kind::tool_call:
      if (!choice.call) choice.call.emplace();
      choice.tool_index = event.tool_index;
      if (!event.tool_call.id.empty()) choice.call->id = event.tool_call.id;
      if (!event.tool_call.name.empty()) choice.call->name = event.tool_call.name;
      choice.call->arguments += event.tool_call.arguments;
      break;
    case Kind::citation:
      add_citation(event, choice.cited, choice.beside);
      break;
    case Kind::native: {
      // The signature is for Google's clients, which keep no member that they do not know.
      Json part = {{"text", ""}, {"thought", true}, {"thoughtSignature", providers::item_signature(event.native)}};
      part["providerItem"] = event.native;
      choice.parts.push_back(std::move(part));
      break;
    }
    case Kind::finish:
      choice.stop = event.stop;
      if (event.stop == StopReason::pause_turn) choice.beside["finishMessage"] = "pause_turn";
      if (!event.container.is_null()) choice.beside["container"] = event.container;
      break;
  }
  if (!event.logprobs.empty()) logprobs(event, choice.beside);
}

/// What was collected of one choice, as a candidate.
Json GeminiEncoder::take(int32_t index, Choice& choice) {
  Json content = {{"parts", std::exchange(choice.parts, Json::array())}, {"role", "model"}};
  Json candidate = {{"content", std::move(content)}};
  if (choice.stop) candidate["finishReason"] = finish_name(*choice.stop);
  candidate["index"] = index;
  candidate.update(choice.beside);
  choice.beside = Json::object();
  return candidate;
}

void GeminiEncoder::write(Json answer, std::string& out) {
  answer.update(tail_);
  if (sse_) {
    out.append("data: ").append(json_text(answer)).append("\r\n\r\n");
    return;
  }
  out.append(opened_ ? ",\r\n" : "[").append(json_text(answer));
  opened_ = true;
}

void GeminiEncoder::chunk(const ChatEvent& event, std::string& out) {
  Choice& choice = choices_[event.index];
  collect(event, choice, false);
  // The end waits for the usage, which Google's clients read in the last piece.
  if (choice.parts.empty() || event.kind == Kind::finish) return;
  Json answer = Json::object();
  answer["candidates"].push_back(take(event.index, choice));
  write(std::move(answer), out);
}

void GeminiEncoder::final(const Usage& usage, NanoUsd, std::string& out) {
  Json answer = Json::object();
  for (auto& [index, choice] : choices_) {
    close_call(choice);
    if (choice.parts.empty()) choice.parts.push_back({{"text", ""}});
    answer["candidates"].push_back(take(index, choice));
  }
  answer["usageMetadata"] = usage_json(usage);
  write(std::move(answer), out);
  if (!sse_) out.append("]");
}

/// The array's last element, or its only one: a call whose arguments were still coming is no piece of it.
bool GeminiEncoder::broken(const Error& error, std::string& out) {
  if (sse_) return false;
  out.append(opened_ ? ",\r\n" : "[").append(json_text(error_json(error))).append("]");
  return true;
}

void GeminiEncoder::add(ChatEvent event) {
  collect(event, choices_[event.index], true);
}

std::string GeminiEncoder::whole(const Usage& usage, NanoUsd) {
  Json answer = {{"candidates", Json::array()}};
  for (auto& [index, choice] : choices_) {
    close_call(choice);
    answer["candidates"].push_back(take(index, choice));
  }
  answer["usageMetadata"] = usage_json(usage);
  answer.update(tail_);
  return json_text(answer);
}

/// alt=sse among the query's parameters; "$alt" is the same.
bool asks_for_events(std::string_view query) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string one = providers::percent_decoded(query.substr(0, end));
    if (one == "alt=sse" || one == "$alt=sse") return true;
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return false;
}

class GeminiGenerateApi final : public ClientApi {
 public:
  Protocol protocol() const override { return Protocol::gemini_generate; }

  Result<CallBody> mark(const Request& request, std::string_view rest) const override {
    const std::string path = providers::percent_decoded(rest);
    const size_t colon = path.rfind(':');
    const std::string_view method = colon == std::string::npos ? "" : std::string_view(path).substr(colon + 1);
    const bool stream = method == "streamGenerateContent";
    if (colon == 0 || (!stream && method != "generateContent"))
      return not_found("there is no " + std::string(request.path) +
                       "; models have the methods generateContent and streamGenerateContent");
    auto body = providers::mark_call(Protocol::gemini_generate, request.body);
    if (!body) return std::move(body).error();
    body->model = path.substr(0, colon);
    body->stream = stream;
    body->sse = stream && asks_for_events(request.query);
    return body;
  }

  Result<providers::ChatRequest> decode(const CallBody& body) const override {
    auto request = decode_gemini(body.json);
    if (!request) return request;
    request->model = body.model;
    request->stream = body.stream;
    return request;
  }
  std::unique_ptr<AnswerEncoder> encoder(const AnswerContext& context) const override {
    return std::make_unique<GeminiEncoder>(context);
  }
  std::string error_body(const Error& error) const override { return json_text(error_json(error)); }
  std::string error_event(const Error& error) const override {
    return "data: " + json_text(error_json(error)) + "\r\n\r\n";
  }
  /// The array's last element, of an upstream's own array that was passed through and broke off between two elements.
  std::string stream_error(const Error& error, const CallBody& body) const override {
    return body.sse ? error_event(error) : ",\r\n" + json_text(error_json(error)) + "]";
  }
  std::string_view stream_type(const CallBody& body) const override {
    return body.sse ? "text/event-stream" : "application/json; charset=UTF-8";
  }
};

}  // namespace

const ClientApi& gemini_generate_api() {
  static const GeminiGenerateApi api;
  return api;
}

}  // namespace weir::gateway
