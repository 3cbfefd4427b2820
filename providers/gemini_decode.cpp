#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>

#include "providers/classify.h"
#include "providers/gemini.h"
#include "providers/gemini_arguments.h"
#include "providers/gemini_wire.h"
#include "providers/half_characters.h"
#include "providers/json_fields.h"
#include "providers/json_numbers.h"
#include "providers/json_text.h"
#include "providers/native_item.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;
using Kind = ChatEvent::Kind;

constexpr int64_t kChoicesMax = 128;
constexpr size_t kCitationsMax = 1024;
constexpr size_t kCitingBytesMax = 64U << 20;

/// What a finish reason means for the caller: https://ai.google.dev/api/generate-content#FinishReason.
enum class Outcome : uint8_t { stop, length, filtered, failed };

Outcome outcome_of(std::string_view reason) {
  if (reason == "STOP") return Outcome::stop;
  if (reason == "MAX_TOKENS") return Outcome::length;
  for (const std::string_view word : {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
                                      "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"})
    if (reason == word) return Outcome::filtered;
  return Outcome::failed;
}

/// These say that the answer is spoiled, whatever came before.
bool spoils(std::string_view reason) {
  return reason == "MALFORMED_FUNCTION_CALL" || reason == "UNEXPECTED_TOOL_CALL" || reason == "MALFORMED_RESPONSE" ||
         reason == "MISSING_THOUGHT_SIGNATURE" || reason == "TOO_MANY_TOOL_CALLS";
}

Json json_of(dom::element element) {
  return read_json<Json>(simdjson::to_string(element));
}

class GeminiDecoder final : public ReplyDecoder {
 public:
  explicit GeminiDecoder(const Attempt& attempt)
      : usage_(attempt.body, attempt.prompt_tokens), call_prefix_(call_id_prefix(attempt.request_id)) {}
  bool native() const override { return false; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override { return usage_.usage(complete_); }

 private:
  struct Choice {
    std::string reason;
    std::string message;  // finishMessage
    bool content = false;
    int32_t calls = 0;
    std::optional<GeminiArguments> streamed;       // of the last call, while it will continue
    std::set<std::string, std::less<>> citations;  // as sent: some models repeat them in every piece
    std::string said;                              // its text so far, which citations count in
    size_t citing = 0;                             // bytes searched or repeated for citations, one after the other
  };

  void piece(std::string_view json, ReplyBatch& batch);
  void answer(dom::object answer, ReplyBatch& batch);
  void feedback(dom::object answer);
  void candidate(dom::object candidate, int64_t position, ReplyBatch& batch);
  void part(dom::object part, int32_t index, Choice& choice, ReplyBatch& batch);
  void text(Kind kind, std::string text, int32_t index, Choice& choice, ReplyBatch& batch);
  void other(dom::object part, int32_t index, Choice& choice, ReplyBatch& batch);
  bool call(dom::object part, int32_t index, Choice& choice, ReplyBatch& batch);
  std::string arguments_text(const dom::object& arguments);
  void more_arguments(dom::object call, int32_t index, Choice& choice, ReplyBatch& batch);
  void close_call(int32_t index, Choice& choice, ReplyBatch& batch);
  void arguments(std::string piece, int32_t index, const Choice& choice, ReplyBatch& batch);
  static void cite_supports(const Json& metadata, int32_t index, Choice& choice, ReplyBatch& batch);
  void cite(dom::element citation, const char* wrapper, int32_t index, Choice& choice, ReplyBatch& batch);
  void citations(dom::object candidate, int32_t index, Choice& choice, ReplyBatch& batch);
  void logprobs(dom::object candidate, int32_t index, size_t first_event, ReplyBatch& batch);
  void end(bool framed, ReplyBatch& batch);
  std::optional<Error> broken(bool framed) const;

  /// Where the part that is read stands in the piece.
  struct Place {
    size_t answer = 0;
    size_t candidate = 0;
    size_t part = 0;
  };

  GeminiStream stream_;
  HalfCharacters halves_;
  std::string_view piece_;  // that is read
  Json written_;            // its tree, where a call's numbers need one
  Place place_;
  GeminiUsage usage_;
  std::string call_prefix_;
  int64_t calls_ = 0;  // over all choices
  std::map<int32_t, Choice> choices_;
  std::optional<Error> blocked_;
  bool complete_ = false;
};

void GeminiDecoder::text(Kind kind, std::string text, int32_t index, Choice& choice, ReplyBatch& batch) {
  if (text.empty()) return;
  usage_.saw_text(text.size());
  choice.content = true;
  if (kind == Kind::text) choice.said += text;
  ChatEvent event;
  event.kind = kind;
  event.index = index;
  event.text = std::move(text);
  batch.events.push_back(std::move(event));
}

/// With its numbers as written, which the parser's own tree of the piece does not keep.
std::string GeminiDecoder::arguments_text(const dom::object& arguments) {
  std::string text = simdjson::to_string(arguments);
  if (!has_real(text)) return text;
  if (written_.is_null()) written_ = parse_written(piece_);
  std::string part = written_.is_array() ? "/" + std::to_string(place_.answer) : "";
  part += "/candidates/" + std::to_string(place_.candidate) + "/content/parts/" + std::to_string(place_.part);
  for (const char* name : {"/functionCall/args", "/function_call/args"})
    if (const Json::json_pointer at(part + name); written_.contains(at)) return json_text(written_[at]);
  return text;
}

bool GeminiDecoder::call(dom::object part, int32_t index, Choice& choice, ReplyBatch& batch) {
  dom::object call;
  if (part["functionCall"].get(call) != SUCCESS && part["function_call"].get(call) != SUCCESS) return false;
  std::string_view text;
  const bool has_name = call["name"].get(text) == SUCCESS && !text.empty();
  if (choice.streamed && !has_name) {
    more_arguments(call, index, choice, batch);
    return true;
  }
  close_call(index, choice, batch);
  if (calls_ >= kCallsMax) {
    batch.error = too_many_calls();
    return true;
  }
  ChatEvent event;
  event.kind = Kind::tool_call;
  event.index = index;
  event.tool_index = choice.calls++;
  if (has_name) event.tool_call.name = std::string(text);
  const bool named = call["id"].get(text) == SUCCESS && !text.empty();
  event.tool_call.id = named ? std::string(text) : call_prefix_ + std::to_string(calls_);
  ++calls_;
  dom::object arguments;
  bool more = false;
  const bool whole = call["args"].get(arguments) == SUCCESS;
  const bool streamed =
      !whole && (call["partialArgs"].error() == SUCCESS || (call["willContinue"].get(more) == SUCCESS && more));
  if (!streamed) event.tool_call.arguments = whole ? arguments_text(arguments) : "{}";
  usage_.saw_text(event.tool_call.name.size() + event.tool_call.arguments.size());
  choice.content = true;
  batch.events.push_back(std::move(event));
  if (streamed) choice.streamed.emplace();
  if (streamed) more_arguments(call, index, choice, batch);
  return true;
}

void GeminiDecoder::arguments(std::string piece, int32_t index, const Choice& choice, ReplyBatch& batch) {
  if (piece.empty()) return;
  usage_.saw_text(piece.size());
  ChatEvent event;
  event.kind = Kind::tool_call;
  event.index = index;
  event.tool_index = choice.calls - 1;
  event.tool_call.arguments = std::move(piece);
  batch.events.push_back(std::move(event));
}

/// {"partialArgs": [{"jsonPath": "$.place", "stringValue": "Bos", "willContinue": true}], "willContinue": true}; one
/// that is not to continue ends the call.
void GeminiDecoder::more_arguments(dom::object call, int32_t index, Choice& choice, ReplyBatch& batch) {
  std::string piece;
  dom::array leaves;
  if (call["partialArgs"].get(leaves) == SUCCESS)
    for (const dom::element element : leaves) {
      dom::element value;
      std::string_view path;
      std::string_view text;
      if (element["jsonPath"].get(path) != SUCCESS) continue;
      const bool is_string = element["stringValue"].get(text) == SUCCESS;
      const bool is_else = element["numberValue"].get(value) == SUCCESS || element["boolValue"].get(value) == SUCCESS;
      const std::string other = is_else ? simdjson::to_string(value) : "null";
      if (!choice.streamed->add(path, is_string, is_string ? text : std::string_view(other), piece))
        batch.error = unsayable_answer("arguments of a call that make no JSON, at " + quoted(path.substr(0, 64)));
    }
  arguments(std::move(piece), index, choice, batch);
  bool more = false;
  if (call["willContinue"].get(more) != SUCCESS || !more) close_call(index, choice, batch);
}

void GeminiDecoder::close_call(int32_t index, Choice& choice, ReplyBatch& batch) {
  if (!choice.streamed) return;
  std::string piece;
  choice.streamed->close(piece);
  choice.streamed.reset();
  arguments(std::move(piece), index, choice, batch);
}

/// Pictures and code that the model ran have no word of their own in an answer: they come as the Markdown that chat
/// clients show.
std::string markdown_of(dom::object part) {
  dom::object inner;
  std::string_view one;
  std::string_view two;
  if (part["inlineData"].get(inner) == SUCCESS || part["inline_data"].get(inner) == SUCCESS) {
    if (inner["data"].get(two) != SUCCESS) return {};
    if (inner["mimeType"].get(one) != SUCCESS && inner["mime_type"].get(one) != SUCCESS) one = "image/png";
    return (one.starts_with("image/") ? "![image](data:" : "[file](data:") + std::string(one) + ";base64," +
           std::string(two) + ")";
  }
  if (part["fileData"].get(inner) == SUCCESS && inner["fileUri"].get(two) == SUCCESS)
    return "[file](" + std::string(two) + ")";
  if (part["executableCode"].get(inner) == SUCCESS && inner["code"].get(two) == SUCCESS) {
    const bool python = inner["language"].get(one) == SUCCESS && one == "PYTHON";
    return std::string(python ? "```python\n" : "```\n") + std::string(two) + "\n```\n";
  }
  if (part["codeExecutionResult"].get(inner) == SUCCESS) {
    if (inner["output"].get(two) != SUCCESS) two = {};
    // OUTCOME_FAILED, OUTCOME_DEADLINE_EXCEEDED: that it went wrong is the result.
    std::string shown = "```output\n" + std::string(two) + "\n```\n";
    if (inner["outcome"].get(one) == SUCCESS && one != "OUTCOME_OK") shown += std::string(one) + "\n";
    return shown;
  }
  return {};
}

/// What Google's own tools did on the way goes along whole. Anything else that is not known is no empty answer.
void GeminiDecoder::other(dom::object part, int32_t index, Choice& choice, ReplyBatch& batch) {
  constexpr auto kLeftOut = std::to_array<std::string_view>(
      {"thought", "thoughtSignature", "thought_signature", "videoMetadata", "video_metadata", "partMetadata",
       "mediaResolution", "executableCode", "codeExecutionResult"});
  for (const char* type : {"toolCall", "toolResponse", "functionResponse"}) {
    if (part[type].error() != SUCCESS) continue;
    ChatEvent event = native_event("gemini", type, read_json<Json>(simdjson::to_string(part)));
    event.index = index;
    return batch.events.push_back(std::move(event));
  }
  if (std::string shown = markdown_of(part); !shown.empty())
    return text(Kind::text, std::move(shown), index, choice, batch);
  for (const auto [key, value] : part)
    if (std::find(kLeftOut.begin(), kLeftOut.end(), key) == kLeftOut.end())
      batch.error = unsayable_answer("a part with " + quoted(key.substr(0, 64)));
}

void GeminiDecoder::part(dom::object part, int32_t index, Choice& choice, ReplyBatch& batch) {
  bool thought = false;
  if (part["thought"].get(thought) != SUCCESS) thought = false;
  std::string_view words;
  if (part["text"].get(words) == SUCCESS)
    text(thought ? Kind::reasoning : Kind::text, std::string(words), index, choice, batch);
  else if (!call(part, index, choice, batch))
    other(part, index, choice, batch);
  if ((part["thoughtSignature"].get(words) != SUCCESS && part["thought_signature"].get(words) != SUCCESS) ||
      words.empty())
    return;
  ChatEvent event;
  event.kind = Kind::signature;
  event.index = index;
  event.signature = std::string(words);
  event.signer = Signer::gemini;
  batch.events.push_back(std::move(event));
}

/// A stretch of an answer, in characters (Unicode code points).
struct Stretch {
  int64_t begin = 0;
  int64_t end = 0;
};

/// Where in `said` a segment's text is: where its bytes are said to be, else wherever it stands; nothing where it is
/// not to be found.
std::optional<Stretch> stretch_of(const std::string& said, const Json& segment) {
  const std::string text = text_of(segment, "text");
  auto at = static_cast<size_t>(count_of(segment, "startIndex"));
  if (text.empty()) return {};
  if (at > said.size() || said.compare(at, text.size(), text) != 0) {
    // Unlike find() it is linear whatever both hold.
    const void* found = memmem(said.data(), said.size(), text.data(), text.size());
    if (found == nullptr) return {};
    at = static_cast<size_t>(static_cast<const char*>(found) - said.data());
  }
  const auto characters = [](std::string_view part) {
    return std::count_if(part.begin(), part.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
  };
  const int64_t begin = characters(std::string_view(said).substr(0, at));
  return Stretch{begin, begin + characters(text)};
}

void GeminiDecoder::cite_supports(const Json& metadata, int32_t index, Choice& choice, ReplyBatch& batch) {
  const Json& chunks = metadata["groundingChunks"];
  for (const Json& support : metadata["groundingSupports"]) {
    const Json* segment = object_of(support, "segment");
    const Json* pages = array_of(support, "groundingChunkIndices");
    if (segment == nullptr || pages == nullptr) continue;
    const std::string text = text_of(*segment, "text");
    choice.citing += choice.said.size();
    if (choice.citations.size() >= kCitationsMax || choice.citing > kCitingBytesMax) return;
    const auto stretch = stretch_of(choice.said, *segment);
    for (const Json& page : *pages) {
      if (!page.is_number_unsigned() || page.get<uint64_t>() >= chunks.size()) continue;
      choice.citing += text.size();
      if (choice.citations.size() >= kCitationsMax || choice.citing > kCitingBytesMax) return;
      const Json& web = chunks[page.get<size_t>()]["web"];
      Json cited = {{"url", text_of(web, "uri")}, {"title", text_of(web, "title")}};
      if (stretch) cited["start_index"] = stretch->begin;
      if (stretch) cited["end_index"] = stretch->end;
      if (!text.empty()) cited["cited_text"] = text;
      if (!choice.citations.insert(json_text(cited)).second) continue;
      ChatEvent& event = batch.events.emplace_back();
      event.kind = Kind::citation;
      event.index = index;
      event.citation = {{"type", "url_citation"}, {"url_citation", std::move(cited)}};
    }
  }
}

void GeminiDecoder::cite(dom::element citation, const char* wrapper, int32_t index, Choice& choice, ReplyBatch& batch) {
  if (choice.citations.size() >= kCitationsMax || !choice.citations.insert(simdjson::to_string(citation)).second)
    return;
  ChatEvent event;
  event.kind = Kind::citation;
  event.index = index;
  if (wrapper != nullptr)
    event.citation[wrapper] = json_of(citation);
  else
    event.citation = json_of(citation);
  event.citation_of = Protocol::gemini_generate;
  if (const Json* metadata = object_of(event.citation, "groundingMetadata");
      metadata != nullptr && gemini_supports(*metadata))
    cite_supports(*metadata, index, choice, batch);
  batch.events.push_back(std::move(event));
}

/// A citation is one of citationMetadata's sources as it is ({"startIndex","endIndex","uri",…}), or
/// {"groundingMetadata": …} or {"urlContextMetadata": …}.
void GeminiDecoder::citations(dom::object candidate, int32_t index, Choice& choice, ReplyBatch& batch) {
  dom::object metadata;
  dom::array list;
  if (candidate["citationMetadata"].get(metadata) == SUCCESS &&
      (metadata["citationSources"].get(list) == SUCCESS || metadata["citations"].get(list) == SUCCESS))
    for (const dom::element one : list)
      if (one.is_object()) cite(one, nullptr, index, choice, batch);
  dom::element element;
  for (const char* name : {"groundingMetadata", "urlContextMetadata"})
    if (candidate[name].get(element) == SUCCESS && element.get(metadata) == SUCCESS && metadata.size() > 0)
      cite(element, name, index, choice, batch);
}

LogprobEntry entry_of(dom::element element) {
  LogprobEntry entry;
  dom::object object;
  if (element.get(object) != SUCCESS) return entry;
  std::string_view token;
  if (object["token"].get(token) == SUCCESS) entry.token = entry.bytes = std::string(token);
  if (object["logProbability"].get(entry.logprob) != SUCCESS) entry.logprob = 0;
  return entry;
}

/// logprobsResult covers all the text of this piece: it goes with its last text event.
void GeminiDecoder::logprobs(dom::object candidate, int32_t index, size_t first_event, ReplyBatch& batch) {
  dom::object result;
  dom::array chosen;
  if (candidate["logprobsResult"].get(result) != SUCCESS || result["chosenCandidates"].get(chosen) != SUCCESS) return;
  dom::array top;
  const bool has_top = result["topCandidates"].get(top) == SUCCESS;
  std::vector<TokenLogprobs> tokens;
  for (const dom::element element : chosen) {
    TokenLogprobs token{entry_of(element), {}};
    dom::array others;
    if (has_top && top.at(tokens.size())["candidates"].get(others) == SUCCESS)
      for (const dom::element other : others) token.top.push_back(entry_of(other));
    tokens.push_back(std::move(token));
  }
  if (tokens.empty()) return;
  size_t at = batch.events.size();
  while (at > first_event && batch.events[at - 1].kind != Kind::text) --at;
  if (at == first_event) {
    ChatEvent event;
    event.index = index;
    at = batch.events.size() + 1;
    batch.events.push_back(std::move(event));
  }
  batch.events[at - 1].logprobs = std::move(tokens);
}

void GeminiDecoder::candidate(dom::object candidate, int64_t position, ReplyBatch& batch) {
  int64_t number = position;
  if (candidate["index"].get(number) != SUCCESS) number = position;
  if (number < 0 || number >= kChoicesMax) {
    batch.error = upstream_fault("the upstream's answer has a candidate with index " + std::to_string(number));
    return;
  }
  const auto index = static_cast<int32_t>(number);
  Choice& choice = choices_[index];
  const size_t first_event = batch.events.size();
  dom::object content;
  dom::array parts;
  if (candidate["content"].get(content) == SUCCESS && content["parts"].get(parts) == SUCCESS)
    for (place_.part = 0; const dom::element element : parts) {
      dom::object one;
      if (!batch.error && element.get(one) == SUCCESS) part(one, index, choice, batch);
      ++place_.part;
    }
  logprobs(candidate, index, first_event, batch);
  citations(candidate, index, choice, batch);
  const std::string_view reason = finish_reason_of(candidate);
  // Older models end every piece with STOP: what was said last counts.
  if (!reason.empty()) choice.reason = std::string(reason);
  std::string_view message;
  if (candidate["finishMessage"].get(message) == SUCCESS) choice.message = std::string(message);
}

void GeminiDecoder::feedback(dom::object answer) {
  dom::object feedback;
  if (blocked_ || answer["promptFeedback"].get(feedback) != SUCCESS) return;
  std::string_view reason;
  std::string_view message;
  if (feedback["blockReason"].get(reason) != SUCCESS) reason = {};
  if (feedback["blockReasonMessage"].get(message) != SUCCESS) message = {};
  if (reason.empty() && message.empty()) return;
  std::string detail = "the upstream's safety system blocked the prompt";
  if (!reason.empty()) detail += " (" + std::string(reason) + ")";
  if (!message.empty()) detail += ": " + std::string(message);
  blocked_ = Error{ErrorKind::content_policy, "upstream",      retry_of(ErrorKind::content_policy), 400,
                   std::move(detail),         "content_filter"};
}

void GeminiDecoder::answer(dom::object answer, ReplyBatch& batch) {
  if (auto error = gemini_error(answer)) {
    batch.error = std::move(*error);
    return;
  }
  usage_.read(answer);
  feedback(answer);
  dom::array candidates;
  if (answer["candidates"].get(candidates) != SUCCESS) return;
  int64_t position = 0;
  for (place_.candidate = 0; const dom::element element : candidates) {
    dom::object one;
    if (!batch.error && element.get(one) == SUCCESS) candidate(one, position++, batch);
    ++place_.candidate;
  }
}

void GeminiDecoder::piece(std::string_view json, ReplyBatch& batch) {
  if (json.empty()) return;
  dom::element root;
  dom::object object;
  dom::array array;
  piece_ = json;
  written_ = nullptr;
  if (!parse_gemini(json, root)) {
    batch.error = upstream_fault("the upstream's answer is not JSON");
    return;
  }
  if (root.get(object) == SUCCESS) return answer(object, batch);
  // Errors of the streaming call come inside an array.
  if (root.get(array) != SUCCESS) {
    batch.error = upstream_fault("the upstream's answer is not a JSON object");
    return;
  }
  for (place_.answer = 0; const dom::element element : array) {
    if (!batch.error && element.get(object) == SUCCESS) answer(object, batch);
    ++place_.answer;
  }
}

void GeminiDecoder::feed(std::string_view bytes, ReplyBatch& batch) {
  stream_.feed(bytes);
  GeminiPiece next;
  while (!batch.error && stream_.next(next)) piece(halves_.data(next.json), batch);
  if (batch.error) return;
  if (stream_.too_large()) batch.error = stream_event_too_large();
  if (stream_.garbage()) batch.error = upstream_fault("the upstream's stream is not a JSON array");
}

/// `framed`: a whole body, which is complete by its length.
std::optional<Error> GeminiDecoder::broken(bool framed) const {
  if (choices_.empty()) {
    if (blocked_) return blocked_;
    return framed ? upstream_fault("the upstream's answer has no candidates") : stream_cut_off();
  }
  // One that ended does not make another whole.
  const bool cut = std::any_of(choices_.begin(), choices_.end(), [](const auto& c) { return c.second.reason.empty(); });
  if (cut && !framed) return stream_cut_off();
  std::string failure;
  bool said_why = true;
  for (const auto& [index, choice] : choices_) {
    const bool failed = outcome_of(choice.reason) == Outcome::failed && (!choice.content || spoils(choice.reason));
    if (!failed) return {};
    said_why = said_why && !choice.reason.empty();
    failure = choice.reason.empty() ? "the upstream's answer has neither content nor a finish reason"
                                    : "the upstream's answer failed with " + choice.reason;
    if (!choice.message.empty()) failure += ": " + choice.message;
  }
  if (blocked_) return blocked_;
  return said_why ? spoiled_answer(std::move(failure)) : upstream_fault(std::move(failure));
}

void GeminiDecoder::end(bool framed, ReplyBatch& batch) {
  complete_ = !choices_.empty() &&
              std::all_of(choices_.begin(), choices_.end(), [](const auto& c) { return !c.second.reason.empty(); });
  if (auto error = broken(framed)) {
    batch.error = std::move(*error);
    return;
  }
  for (auto& [index, choice] : choices_) {
    close_call(index, choice, batch);
    ChatEvent event;
    event.kind = Kind::finish;
    event.index = index;
    const Outcome outcome = outcome_of(choice.reason);
    if (outcome == Outcome::length)
      event.stop = StopReason::length;
    else if (outcome == Outcome::filtered)
      event.stop = StopReason::content_filter;
    else
      event.stop = choice.calls > 0 ? StopReason::tool_calls : StopReason::stop;
    batch.events.push_back(std::move(event));
  }
  complete_ = true;
  batch.end = true;
}

// Finish events wait for the end of the body: a reason may be revised, and usage comes with the last piece.
void GeminiDecoder::finish(ReplyBatch& batch) {
  GeminiPiece last;
  if (stream_.flush(last)) piece(halves_.data(last.json), batch);
  if (!batch.error && stream_.open()) batch.error = stream_cut_off();
  if (!batch.error) end(false, batch);
}

void GeminiDecoder::whole(std::string_view body, ReplyBatch& batch) {
  complete_ = true;  // what it tells of its usage is the last word
  piece(body, batch);
  if (!batch.error && body.empty()) batch.error = upstream_fault("the upstream's answer is empty");
  if (!batch.error) end(true, batch);
}

}  // namespace

bool gemini_supports(const Json& metadata) {
  const Json* chunks = array_of(metadata, "groundingChunks");
  const Json* supports = array_of(metadata, "groundingSupports");
  return chunks != nullptr && supports != nullptr && !chunks->empty() && !supports->empty() &&
         std::all_of(chunks->begin(), chunks->end(), [](const Json& chunk) {
           const Json* web = object_of(chunk, "web");
           return web != nullptr && !text_of(*web, "uri").empty();
         });
}

std::unique_ptr<ReplyDecoder> make_gemini_decoder(const Attempt& attempt) {
  return std::make_unique<GeminiDecoder>(attempt);
}

}  // namespace weir::providers
