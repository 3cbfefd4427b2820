#include "providers/openai_unary.h"

#include <algorithm>
#include "config/base/json.h"

#include "providers/json_fields.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"
#include "providers/made.h"
#include "providers/opening.h"
#include "providers/reply_parts.h"
#include "providers/service_tier.h"
#include "providers/transcription.h"

namespace weir::providers {
namespace {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;
using Counts = config::TokenCounts;

int64_t count_of(dom::object object, std::string_view key) {
  int64_t value = 0;
  return object[key].get(value) == SUCCESS ? std::max<int64_t>(value, 0) : 0;
}

int64_t nested_count(dom::object object, std::string_view outer, std::string_view key) {
  dom::object inner;
  return object[outer].get(inner) == SUCCESS ? count_of(inner, key) : 0;
}

/// {"type":"duration","seconds"}; a usage of tokens may say seconds beside them.
std::optional<int64_t> read_seconds(dom::object usage) {
  double seconds = 0;
  std::string_view type;
  if (usage["seconds"].get(seconds) != SUCCESS || (usage["type"].get(type) == SUCCESS && type == "tokens")) return {};
  return whole_seconds(seconds);
}

Counts read_counts(dom::object usage) {
  Counts out;
  out.input = std::max(count_of(usage, "input_tokens"), count_of(usage, "prompt_tokens"));
  out.output = std::max(count_of(usage, "output_tokens"), count_of(usage, "completion_tokens"));
  if (out.input == 0 && out.output == 0) out.input = count_of(usage, "total_tokens");
  for (const char* details : {"input_tokens_details", "prompt_tokens_details", "input_token_details"}) {
    out.cached_input = std::max(out.cached_input, nested_count(usage, details, "cached_tokens"));
    out.cache_write_5m = std::max(out.cache_write_5m, nested_count(usage, details, "cache_write_tokens"));
    out.audio_input = std::max(out.audio_input, nested_count(usage, details, "audio_tokens"));
  }
  for (const char* beside : {"prompt_cache_hit_tokens", "cached_tokens"})  // DeepSeek's and Moonshot's
    if (out.cached_input == 0) out.cached_input = std::min(count_of(usage, beside), out.input);
  for (const char* details : {"output_tokens_details", "completion_tokens_details"})
    out.reasoning = std::max(out.reasoning, nested_count(usage, details, "reasoning_tokens"));
  return out;
}

/// How often a response's model searched the web; to look at a page or within it costs nothing.
/// https://platform.openai.com/docs/guides/tools-web-search#output-and-citations
int64_t count_searches(dom::object answer) {
  dom::array items;
  int64_t count = 0;
  if (answer["output"].get(items) != SUCCESS) return 0;
  for (const dom::element item : items) {
    std::string_view type;
    if (item["type"].get(type) != SUCCESS || type != "web_search_call") continue;
    const bool other = item["action"]["type"].get(type) == SUCCESS && type != "search";
    if (!other) ++count;
  }
  return count;
}

/// What stands beside a usage and is priced: the tier and the searches. All of the text is checked first, since what is
/// no JSON throughout must not be read any further.
void read_service(std::string_view text, bool of_response, UsagePlace& out) {
  if (find_key(text, "\"service_tier\"") == std::string_view::npos &&
      text.find("web_search_call") == std::string_view::npos)
    return;
  static thread_local dom::parser parser;
  dom::element root;
  dom::object answer;
  std::string_view tier;
  if (!parse_dom(parser, text, root) || root.get(answer) != SUCCESS) return;
  if (of_response && answer["response"].get(answer) != SUCCESS) return;
  if (answer["service_tier"].get(tier) == SUCCESS) out.tier = service_tier(tier);
  out.counts.web_searches = count_searches(answer);
}

int64_t list_length(std::string_view body, std::string_view key) {
  PaddedJson& json = padded_json();
  od::object root;
  od::array list;
  size_t length = 0;
  if (!json.parse(body) || json.document.get_object().get(root) != SUCCESS ||
      root.find_field_unordered(key).get_array().get(list) != SUCCESS || list.count_elements().get(length) != SUCCESS)
    return 0;
  return static_cast<int64_t>(length);
}

/// Cohere: meta.billed_units.search_units.
int64_t search_units(std::string_view body) {
  PaddedJson& json = padded_json();
  od::object root;
  od::object units;
  int64_t searches = 0;
  const bool told = json.parse(body) && json.document.get_object().get(root) == SUCCESS &&
                    root.find_field_unordered("meta").get_object()["billed_units"].get_object().get(units) == SUCCESS &&
                    units.find_field_unordered("search_units").get_int64().get(searches) == SUCCESS;
  return told ? std::max<int64_t>(searches, 0) : 0;
}

/// The outermost "type": first of its object in OpenAI's own events, anywhere in others'. Valid until the next parse.
std::string_view type_of(std::string_view data) {
  if (data.starts_with(R"({"type":)")) return string_after(data, "\"type\"");
  PaddedJson& json = padded_json();
  od::object root;
  std::string_view type;
  const bool found = json.parse(data) && json.document.get_object().get(root) == SUCCESS &&
                     root.find_field_unordered("type").get_string().get(type) == SUCCESS;
  return found ? type : std::string_view{};
}

bool is_json(std::string_view content_type) {
  return content_type.find("json") != std::string_view::npos;
}

/// {"error":{…}}, {"response":{"error":{…}}}, or the event itself.
Error error_of(std::string_view data) {
  const nlohmann::ordered_json root = parse_json(data);
  const nlohmann::ordered_json* object = &root;
  for (const char* inner : {"response", "error"})
    if (const auto* within = object_of(*object, inner)) object = within;
  std::string code = text_of(*object, "code");
  if (const int64_t number = providers::count_of(*object, "code"); number > 0) code = std::to_string(number);
  if (code.empty()) code = text_of(*object, "type");
  Error error = stream_error(std::move(code), text_of(*object, "message"));
  error.code = "upstream_error";
  return error;
}

Usage usage_of_whole_transcription(const CallBody& call, bool json, std::string_view body) {
  TranscriptionTold told;
  if (const auto place = json ? find_openai_usage(body) : std::nullopt) {
    if (place->seconds)
      told.seconds = place->seconds;
    else if (place->told.input)
      told.tokens = place->counts;
  }
  if (!told.seconds) told.seconds = transcription_seconds(json, body);
  told.text_bytes = json ? string_after(body, "\"text\"").size() : body.size();
  return usage_of_transcription(call, told);
}

/// The usage among the events of a body that came whole.
std::optional<Counts> told_in_events(Protocol protocol, std::string_view body) {
  std::optional<Counts> told;
  SseScanner scanner;
  scanner.feed(body);
  SseEvent event;
  while (scanner.next(event))
    if (const auto read = read_openai_event(protocol, event); read.usage) told = read.usage->counts;
  return told;
}

/// What a whole answer's usage leaves out, from the call and the text of the answer.
void estimate_untold(const CallBody& call, std::string_view body, Told told, Usage& out) {
  out.reported = told.input && told.output;
  out.told = told;
  if (!told.input) out.counts.input = static_cast<int64_t>(call.json.size() / 4) + 1;
  if (!told.output) out.counts.output = static_cast<int64_t>(string_after(body, "\"text\"").size() + 3) / 4;
}

}  // namespace

std::optional<UsagePlace> find_openai_usage(std::string_view text) {
  PaddedJson& json = padded_json();
  od::object root;
  od::object response;
  od::object usage;
  bool of_response = false;
  if (find_key(text, "\"usage\"") == std::string_view::npos) return {};
  if (!json.parse(text) || json.document.get_object().get(root) != SUCCESS) return {};
  if (root.find_field_unordered("usage").get_object().get(usage) != SUCCESS) {
    if (!json.document.is_alive()) return {};  // no JSON: there is nothing left to go back in
    json.document.rewind();
    of_response = true;
    if (json.document.get_object().get(root) != SUCCESS ||
        root.find_field_unordered("response").get_object().get(response) != SUCCESS ||
        response.find_field_unordered("usage").get_object().get(usage) != SUCCESS)
      return {};
  }
  std::string_view raw;
  if (usage.raw_json().get(raw) != SUCCESS) return {};
  // Its members are read in any order, which the on-demand parser bears only of what is JSON throughout: the other one
  // checks all of it first.
  static thread_local dom::parser parser;
  dom::element checked;
  dom::object counted;
  if (!parse_dom(parser, raw, checked) || checked.get(counted) != SUCCESS) return {};
  UsagePlace out;
  out.object = static_cast<uint32_t>(raw.data() - json.text.data()) + 1;
  const size_t first = raw.find_first_not_of(" \t\r\n", 1);
  out.empty = first != std::string_view::npos && raw[first] == '}';
  out.seconds = read_seconds(counted);
  if (out.seconds)
    out.counts.input = *out.seconds;
  else
    out.counts = read_counts(counted);
  read_service(text, of_response, out);
  out.told.input = out.counts.input > 0;
  for (const char* key : {"output_tokens", "completion_tokens"}) {
    int64_t count = 0;
    // No prompt is empty: beside an input of 0 an output of 0 was not counted either.
    out.told.output = counted[key].get(count) == SUCCESS && (out.told.input || count > 0);
    if (out.told.output) break;
  }
  if (!plausible(out.counts)) return {};
  return out;
}

Usage usage_of_openai_answer(const CallBody& call, std::string_view content_type, std::string_view body) {
  Usage out;
  if (call.protocol == Protocol::rerank) {
    out.counts.input = search_units(body);
    const auto tokens = out.counts.input == 0 ? find_openai_usage(body) : std::nullopt;  // Jina, Voyage, vLLM
    if (tokens) out.counts = tokens->counts;
    if (out.counts.input == 0)
      out.counts.input = static_cast<int64_t>((call.units + 99) / 100);  // 100 documents a search
    out.reported = true;
    return out;
  }
  const bool json = is_json(content_type) || body.starts_with("{");
  if (call.protocol == Protocol::openai_transcriptions) return usage_of_whole_transcription(call, json, body);
  const auto place = json ? find_openai_usage(body) : std::nullopt;
  if (makes_media(call.protocol)) {
    auto told = place ? std::optional(place->counts) : std::nullopt;
    if (!json) told = told_in_events(call.protocol, body);
    out = usage_of_made(call, told, list_length(body, "data"));
    return out;
  }
  if (place) {
    out.counts = place->counts;
    out.tier = place->tier;
    out.reported = true;
    if (generates_chat(call.protocol)) estimate_untold(call, body, place->told, out);
    return out;
  }
  if (call.protocol == Protocol::openai_moderations) {
    out.reported = true;
    return out;
  }
  out.counts.input = static_cast<int64_t>(call.json.size() / 4) + 1;
  if (generates_chat(call.protocol)) estimate_untold(call, body, {.input = false, .output = false}, out);
  return out;
}

OpenAiStreamEvent read_openai_event(Protocol protocol, const SseEvent& event) {
  using Kind = OpenAiStreamEvent::Kind;
  OpenAiStreamEvent out;
  if (event.data == "[DONE]") {
    out.kind = Kind::end;
    return out;
  }
  // The type stands in the event line, or, where that is missing, in the object.
  const std::string type(event.type.empty() ? type_of(event.data) : event.type);
  if (type == "error" || type == "response.failed") {
    out.kind = Kind::error;
    out.error = error_of(event.data);
    if (type == "response.failed") out.usage = find_openai_usage(event.data);
    return out;
  }
  if (protocol == Protocol::openai_completions) {
    if (const size_t at = find_key(event.data, "\"error\""); at != std::string_view::npos) {
      const size_t value = event.data.find_first_not_of(" \t", at);
      if (value != std::string_view::npos && event.data[value] == '{') {
        out.kind = Kind::error;
        out.error = error_of(event.data);
        return out;
      }
    }
    out.usage = find_openai_usage(event.data);
    out.text = string_after(event.data, "\"text\"");
    out.finished = !string_after(event.data, "\"finish_reason\"").empty();
    const size_t choices = find_key(event.data, "\"choices\"");
    out.usage_only = out.usage && choices != std::string_view::npos && event.data.substr(choices).starts_with("[]");
    return out;
  }
  if (type.ends_with(".delta")) {
    out.text = string_after(event.data, "\"delta\"");
    return out;
  }
  const bool last = type == "response.completed" || type == "response.incomplete" || type == "transcript.text.done" ||
                    type == "speech.audio.done";
  if (last) out.kind = Kind::end;
  if (last || type.ends_with(".completed")) out.usage = find_openai_usage(event.data);
  return out;
}

namespace {

/// What an answer of the protocol holds at least, in quotes; empty: it may be anything.
std::string_view needed_member(Protocol protocol) {
  switch (protocol) {
    case Protocol::openai_completions:
      return "\"choices\"";
    case Protocol::openai_responses:
      return "\"output\"";
    case Protocol::openai_embeddings:
    case Protocol::openai_images:
      return "\"data\"";
    case Protocol::openai_moderations:
    case Protocol::rerank:
      return "\"results\"";
    default:
      return {};
  }
}

/// A Response whose status is failed, or that has none and holds an error beside its output.
bool says_it_failed(std::string_view answer) {
  static thread_local dom::parser parser;
  dom::element root;
  dom::object error;
  std::string_view text;
  if (!parse_dom(parser, answer, root)) return false;
  if (root["status"].get(text) == SUCCESS) return text == "failed";
  if (root["error"].get(error) == SUCCESS)
    return std::any_of(error.begin(), error.end(), [](const auto& member) { return !member.value.is_null(); });
  return root["error"].get(text) == SUCCESS && !text.empty();
}

class UnaryDecoder final : public ReplyDecoder {
 public:
  UnaryDecoder(const CallBody& call, int64_t prompt_tokens)
      : call_(call), opening_(call.protocol), usage_(call, prompt_tokens) {}
  bool native() const override { return true; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override;
  bool ends_with_body() const override { return call_.protocol == Protocol::openai_speech && (audio_ || !began_); }

 private:
  std::string_view begin(std::string_view bytes);
  void event(const SseEvent& event, ReplyBatch& batch);
  void hear(const SseEvent& event, const OpenAiStreamEvent& read);

  const CallBody& call_;
  SseScanner scanner_;
  Opening opening_;
  UsageMeter usage_;
  TranscriptionTold heard_;     // of a stream of transcriptions
  std::optional<Usage> whole_;  // of an answer that came in one piece
  bool done_ = false;
  bool finished_ = false;  // a finish_reason was seen
  bool audio_ = false;     // the body is no event stream: speech as it is made
  bool began_ = false;
  std::string first_bytes_;  // until it is known which
};

/// transcript.text.done repeats the text, and is all that some servers send.
void UnaryDecoder::hear(const SseEvent& event, const OpenAiStreamEvent& read) {
  heard_.text_bytes += read.text.size();
  if (heard_.text_bytes == 0) heard_.text_bytes = string_after(event.data, "\"text\"").size();
  if (!read.usage) return;
  if (read.usage->seconds)
    heard_.seconds = read.usage->seconds;
  else if (read.usage->told.input)
    heard_.tokens = read.usage->counts;
}

void UnaryDecoder::event(const SseEvent& event, ReplyBatch& batch) {
  OpenAiStreamEvent read = read_openai_event(call_.protocol, event);
  if (read.usage) usage_.report(read.usage->counts, generates_chat(call_.protocol) ? read.usage->told : Told{});
  if (read.error) {
    batch.error = std::move(read.error);
    batch.segments.push_back({.kind = Segment::Kind::error, .bytes = event.raw});
    return;
  }
  if (opening_.takes(event, batch)) return;
  usage_.saw_text(read.text);
  if (call_.protocol == Protocol::openai_transcriptions) hear(event, read);
  if (read.usage && read.usage->tier) usage_.served(*read.usage->tier);
  finished_ = finished_ || read.finished;
  const bool in_place =
      event.data.data() >= event.raw.data() && event.data.data() < event.raw.data() + event.raw.size();
  if (read.usage && in_place) {
    Segment segment{.kind = Segment::Kind::usage, .bytes = event.raw};
    segment.usage_object = static_cast<uint32_t>(event.data.data() - event.raw.data()) + read.usage->object;
    segment.usage_empty = read.usage->empty;
    segment.usage_only = read.usage_only;
    batch.segments.push_back(segment);
  } else if (read.kind != OpenAiStreamEvent::Kind::end) {
    pass_data(event.raw, batch);
  }
  if (read.kind != OpenAiStreamEvent::Kind::end) return;
  done_ = true;
  const bool told = read.usage && in_place;
  batch.segments.push_back({.kind = Segment::Kind::done, .bytes = told ? std::string_view() : event.raw});
}

/// Speech comes as events or as the sound itself, and its first bytes, which may arrive one by one, tell which. What is
/// held back goes with the next bytes.
std::string_view UnaryDecoder::begin(std::string_view bytes) {
  first_bytes_.append(bytes);
  constexpr std::string_view kFields[] = {"event:", "data:", ":"};
  const auto begins = [&](std::string_view field) { return std::string_view(first_bytes_).starts_with(field); };
  const auto may_begin = [&](std::string_view field) { return field.starts_with(first_bytes_); };
  const bool events =
      call_.protocol != Protocol::openai_speech || std::any_of(std::begin(kFields), std::end(kFields), begins);
  if (!events && std::any_of(std::begin(kFields), std::end(kFields), may_begin)) return {};
  began_ = true;
  audio_ = !events;
  return first_bytes_;
}

void UnaryDecoder::feed(std::string_view bytes, ReplyBatch& batch) {
  if (!began_ && (bytes = begin(bytes)).empty()) return;
  if (audio_) return pass_data(bytes, batch);
  feed_events(scanner_, bytes, batch, [&](const SseEvent& next) { event(next, batch); });
}

void UnaryDecoder::finish(ReplyBatch& batch) {
  SseEvent last;
  if (!began_ && !first_bytes_.empty()) {
    audio_ = true;
    pass_data(first_bytes_, batch);
  }
  if (!audio_ && flush_whole(scanner_, last)) event(last, batch);
  if (batch.error) return;
  // Images end with their body: how many a stream will have is not said in it.
  // So do the completions of some servers: a finish_reason without [DONE].
  const bool complete =
      done_ || finished_ || audio_ || (call_.protocol == Protocol::openai_images && usage_.reported());
  if (complete)
    batch.end = true;
  else
    batch.error = stream_cut_off();
}

void UnaryDecoder::whole(std::string_view body, ReplyBatch& batch) {
  const size_t first = body.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && body[first] == '{';
  const bool text_is_fine =
      call_.protocol == Protocol::openai_speech || call_.protocol == Protocol::openai_transcriptions;
  if (!json && !text_is_fine) {
    batch.error = upstream_fault("the upstream's answer is not a JSON object");
    return;
  }
  if (call_.protocol == Protocol::openai_responses && says_it_failed(body)) {
    Usage told = usage_of_openai_answer(call_, "application/json", body);
    if (told.reported) whole_ = told;
    batch.error = error_of(body);
    return;
  }
  if (const std::string_view needed = needed_member(call_.protocol);
      !needed.empty() && find_key(body, needed) == std::string_view::npos) {
    batch.error = hollow_answer(needed.substr(1, needed.size() - 2));
    return;
  }
  whole_ = usage_of_openai_answer(call_, json ? "application/json" : "", body);
  pass_data(body, batch);
  batch.end = true;
}

Usage UnaryDecoder::usage() const {
  if (whole_) return *whole_;
  if (call_.protocol == Protocol::openai_transcriptions) return usage_of_transcription(call_, heard_);
  Usage out = usage_.usage();
  if (makes_media(call_.protocol)) return usage_of_made(call_, out.reported ? std::optional(out.counts) : std::nullopt);
  if (!out.reported && !generates_chat(call_.protocol)) out.counts.input = 0;  // its body is no text
  return out;
}

}  // namespace

std::unique_ptr<ReplyDecoder> make_openai_unary_decoder(const CallBody& call, int64_t prompt_tokens) {
  return std::make_unique<UnaryDecoder>(call, prompt_tokens);
}

std::optional<std::string> without_foreign_reasoning(std::string_view json) {
  if (json.find("\"weir:") == std::string_view::npos) return {};
  Json body = parse_written(json);
  if (!body.is_object() || !body.contains("input") || !body["input"].is_array()) return {};
  Json kept = Json::array();
  for (Json& item : body["input"]) {
    const bool foreign = item.is_object() && item.value("type", Json()) == "reasoning" &&
                         item.value("encrypted_content", Json()).is_string() &&
                         item["encrypted_content"].get_ref<const std::string&>().starts_with("weir:");
    if (!foreign) kept.push_back(std::move(item));
  }
  if (kept.size() == body["input"].size()) return {};
  body["input"] = std::move(kept);
  return json_text(body);
}

}  // namespace weir::providers
