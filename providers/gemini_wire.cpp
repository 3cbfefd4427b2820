#include "providers/gemini_wire.h"

#include <algorithm>
#include <array>

#include "providers/classify.h"
#include "providers/json_scan.h"
#include "providers/reply_parts.h"
#include "providers/service_tier.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

constexpr size_t kElementBytesMax = 16 * 1024 * 1024;
constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

int64_t tokens_of(dom::object object, std::string_view key) {
  int64_t value = 0;
  return object[key].get(value) == SUCCESS ? std::clamp<int64_t>(value, 0, INT64_MAX / 8) : 0;
}

bool has_number(dom::object object, std::string_view key) {
  int64_t value = 0;
  return object[key].get(value) == SUCCESS;
}

/// [{"modality":"AUDIO","tokenCount":5},…]; the number of AUDIO is 4 in Vertex AI's Modality and 4 in Gemini's too.
int64_t audio_of(dom::object usage, std::string_view key) {
  dom::array details;
  if (usage[key].get(details) != SUCCESS) return 0;
  int64_t sum = 0;
  for (dom::element element : details) {
    dom::object one;
    std::string_view name;
    int64_t number = 0;
    if (element.get(one) != SUCCESS) continue;
    const bool audio = (one["modality"].get(name) == SUCCESS && name == "AUDIO") ||
                       (one["modality"].get(number) == SUCCESS && number == 4);
    if (audio) sum += tokens_of(one, "tokenCount");
  }
  return sum;
}

}  // namespace

std::string camel(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '_' && i + 1 < name.size() && i > 0 && name[i + 1] >= 'a' && name[i + 1] <= 'z')
      out.push_back(static_cast<char>(name[++i] - 'a' + 'A'));
    else
      out.push_back(name[i]);
  }
  return out;
}

bool parse_gemini(std::string_view json, dom::element& root) {
  static thread_local dom::parser parser;
  return parse_dom(parser, json, root);
}

void GeminiStream::feed(std::string_view bytes) {
  if (form_ == Form::unknown) {
    const size_t first = bytes.find_first_not_of(kSpace);
    if (first != std::string_view::npos) form_ = bytes[first] == '[' || bytes[first] == '{' ? Form::json : Form::events;
  }
  if (form_ == Form::events) {
    if (!buffer_.empty()) {  // white space that came before the form was known
      buffer_.append(bytes);
      sse_.feed(buffer_);
      return;
    }
    return sse_.feed(bytes);
  }
  buffer_.erase(0, taken_);
  scanned_ -= taken_;
  element_ -= std::min(element_, taken_);
  taken_ = 0;
  buffer_.append(bytes);
}

bool GeminiStream::next(GeminiPiece& piece) {
  piece = {};
  if (form_ == Form::json) return next_element(piece);
  SseEvent event;
  if (form_ == Form::unknown || !sse_.next(event)) {
    if (form_ == Form::events) buffer_.clear();
    return false;
  }
  piece.raw = event.raw;
  piece.json = event.data;
  return true;
}

/// Looks at one byte; true: it ends an element or the array.
bool GeminiStream::step(size_t at) {
  const char c = buffer_[at];
  if (in_string_) {
    if (escaped_)
      escaped_ = false;
    else if (c == '\\')
      escaped_ = true;
    else if (c == '"')
      in_string_ = false;
    return false;
  }
  switch (c) {
    case '"':
      in_string_ = depth_ > 0;
      garbage_ = garbage_ || depth_ == 0;
      return false;
    case '[':
      if (depth_ == 0 && !opened_) {
        opened_ = true;
        return false;
      }
      [[fallthrough]];
    case '{':
      if (depth_++ == 0) element_ = at;
      return false;
    case ']':
      if (depth_ == 0) return closed_ = true;
      [[fallthrough]];
    case '}':
      garbage_ = garbage_ || depth_ == 0;
      return depth_ > 0 && --depth_ == 0;
    default:
      garbage_ = garbage_ || (depth_ == 0 && c != ',' && kSpace.find(c) == std::string_view::npos);
      return false;
  }
}

bool GeminiStream::next_element(GeminiPiece& piece) {
  while (scanned_ < buffer_.size() && !garbage_ && !closed_) {
    const size_t at = scanned_++;
    if (!step(at)) continue;
    const std::string_view all(buffer_);
    piece.raw = all.substr(taken_, scanned_ - taken_);
    if (!closed_) piece.json = all.substr(element_, scanned_ - element_);
    taken_ = scanned_;
    return true;
  }
  too_large_ = too_large_ || buffer_.size() - taken_ > kElementBytesMax;
  return false;
}

bool GeminiStream::flush(GeminiPiece& piece) {
  piece = {};
  if (form_ != Form::events) {
    piece.raw = std::string_view(buffer_).substr(taken_);
    taken_ = scanned_ = buffer_.size();
    piece.json = trimmed(piece.raw);
    return !piece.raw.empty();
  }
  SseEvent event;
  if (!flush_whole(sse_, event)) return false;
  piece.raw = event.raw;
  // An error in mid-stream comes as bare JSON between the events.
  const std::string_view bare = trimmed(event.raw);
  piece.json = event.data.empty() && (bare.starts_with("{") || bare.starts_with("[")) ? bare : event.data;
  return true;
}

void GeminiUsage::read(dom::object answer) {
  dom::object usage;
  if (answer["usageMetadata"].get(usage) != SUCCESS) return;
  const bool prompt = has_number(usage, "promptTokenCount");
  const bool total = has_number(usage, "totalTokenCount");
  config::TokenCounts counts;
  counts.reasoning = tokens_of(usage, "thoughtsTokenCount");
  counts.output = tokens_of(usage, "candidatesTokenCount") + counts.reasoning;
  counts.input = tokens_of(usage, "promptTokenCount") + tokens_of(usage, "toolUsePromptTokenCount");
  if (!prompt && total) counts.input = std::max<int64_t>(0, tokens_of(usage, "totalTokenCount") - counts.output);
  const bool sum = prompt && total;  // tells the output where its own count is left out
  if (sum) counts.output = std::max(counts.output, tokens_of(usage, "totalTokenCount") - counts.input);
  counts.cached_input = tokens_of(usage, "cachedContentTokenCount");
  counts.audio_input = audio_of(usage, "promptTokensDetails") + audio_of(usage, "toolUsePromptTokensDetails");
  counts.audio_output = audio_of(usage, "candidatesTokensDetails");
  std::string_view tier;
  for (const char* key : {"serviceTier", "trafficType"})
    if (usage[key].get(tier) == SUCCESS) usage_.tier = service_tier(tier);
  if (!plausible(counts)) return;
  usage_.raise(counts);
  prompt_known_ = prompt_known_ || (counts.input > 0 && (prompt || total));
  output_known_ = output_known_ || sum || has_number(usage, "candidatesTokenCount") || counts.reasoning > 0;
}

// Some answers say what they wrote and not what they read (a file fetched by URL); early pieces the other way round.
Usage GeminiUsage::usage(bool complete) const {
  Usage usage = usage_;
  usage.reported = prompt_known_;
  usage.told = {.input = prompt_known_, .output = output_known_};
  const int64_t output_estimate = std::max(text_pieces_, (text_bytes_ + 3) / 4);
  if (!prompt_known_) usage.counts.input = std::max(usage.counts.input, static_cast<int64_t>(input_estimate_));
  if (!prompt_known_ && usage.counts.output > 0) return usage;
  if (output_estimate > 0 && !output_known_) usage.reported = false;
  if (!complete || !prompt_known_ || !output_known_)
    usage.counts.output = std::max(usage.counts.output, output_estimate);
  return usage;
}

std::optional<Error> gemini_error(dom::object answer) {
  dom::element error;
  if (answer["error"].get(error) != SUCCESS || error.is_null()) return {};
  dom::object object;
  int64_t code = 0;
  if (error.get(object) == SUCCESS) code = tokens_of(object, "code");
  const int status = code >= 400 && code < 600 ? static_cast<int>(code) : 502;
  Error result = classify_answer(
      status, [](std::string_view) { return std::nullopt; }, simdjson::to_string(answer));
  if (code == 499) result.kind = ErrorKind::upstream;  // CANCELLED, and not by us
  result.retry = retry_of(result.kind);
  return result;
}

std::string_view finish_reason_of(dom::object candidate) {
  constexpr auto kNames =
      std::to_array<std::string_view>({"", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST",
                                       "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "MODEL_ARMOR"});
  std::string_view name;
  if (candidate["finishReason"].get(name) == SUCCESS) return name == "FINISH_REASON_UNSPECIFIED" ? "" : name;
  uint64_t number = 0;
  if (candidate["finishReason"].get(number) != SUCCESS) return {};
  return number < kNames.size() ? kNames[number] : "OTHER";
}

}  // namespace weir::providers
