// Passing an OpenAI answer through: usage, errors and the end are found in it, and nothing is changed.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "providers/classify.h"
#include "providers/json_scan.h"
#include "providers/net/sse.h"
#include "providers/openai.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

/// Members of one object, read one after the other. A text that turns out to be no JSON on the way must not be read
/// further: simdjson's place in it is lost then.
class Members {
 public:
  explicit Members(od::object& object) : object_(object) {}
  bool broken() const { return broken_; }

  std::optional<int64_t> count(std::string_view key) {
    od::value value;
    int64_t number = 0;
    if (!find(key, value) || value.get_int64().get(number) != SUCCESS) return {};
    return number;
  }
  std::string_view text(std::string_view key) {
    od::value value;
    std::string_view text;
    bool is_string = false;
    if (!find(key, value) || !type_is(value, od::json_type::string, is_string) || !is_string) return {};
    if (value.get_string().get(text) != SUCCESS) broken_ = true;
    return broken_ ? std::string_view{} : text;
  }
  int64_t nested_count(std::string_view outer, std::string_view key) {
    od::value value;
    od::object inner;
    bool is_object = false;
    if (!find(outer, value) || !type_is(value, od::json_type::object, is_object) || !is_object) return 0;
    if (value.get_object().get(inner) != SUCCESS) {
      broken_ = true;
      return 0;
    }
    Members members(inner);
    const int64_t number = std::max<int64_t>(members.count(key).value_or(0), 0);
    broken_ = members.broken();
    return number;
  }

 private:
  bool find(std::string_view key, od::value& value) {
    if (broken_) return false;
    const auto error = object_.find_field_unordered(key).get(value);
    if (error != SUCCESS && error != simdjson::NO_SUCH_FIELD) broken_ = true;
    return error == SUCCESS;
  }
  bool type_is(od::value& value, od::json_type wanted, bool& is) {
    od::json_type type{};
    if (value.type().get(type) != SUCCESS) broken_ = true;
    is = !broken_ && type == wanted;
    return !broken_;
  }

  od::object& object_;
  bool broken_ = false;
};

/// Empty where the object does not say, in numbers that make sense, what was used: that is then estimated.
std::optional<config::TokenCounts> read_usage(od::object& usage) {
  const auto plausible = [](int64_t count) { return count >= 0 && count <= kPlausibleTokensMax; };
  Members members(usage);
  config::TokenCounts counts;
  const auto input = members.count("prompt_tokens");
  const auto output = members.count("completion_tokens");
  if (!input || !plausible(*input) || !output || !plausible(*output)) return {};
  counts.input = *input;
  counts.output = *output;
  counts.cached_input = members.nested_count("prompt_tokens_details", "cached_tokens");
  if (counts.cached_input == 0)
    counts.cached_input = std::max<int64_t>(members.count("prompt_cache_hit_tokens").value_or(0), 0);
  counts.audio_input = members.nested_count("prompt_tokens_details", "audio_tokens");
  counts.reasoning = members.nested_count("completion_tokens_details", "reasoning_tokens");
  counts.audio_output = members.nested_count("completion_tokens_details", "audio_tokens");
  if (members.broken()) return {};
  return counts;
}

class OpenAiDecoder final : public ReplyDecoder {
 public:
  explicit OpenAiDecoder(const Attempt& attempt) : input_estimate_(attempt.body.json.size() / 4) {}

  bool native() const override { return true; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override;

 private:
  void event(const SseEvent& event, ReplyBatch& batch);
  void add_data(std::string_view raw, std::string_view text, ReplyBatch& batch);
  void learn(const SseEvent& event, std::string_view text);
  void count(std::string_view text);
  bool usage_event(const SseEvent& event, ReplyBatch& batch);
  bool error_event(const SseEvent& event, ReplyBatch& batch);

  SseScanner scanner_;
  Usage usage_;
  uint64_t input_estimate_;
  int64_t text_bytes_ = 0;  // of the answer's text, for an estimate where no usage comes
  int64_t text_events_ = 0;
  bool begun_ = false;  // an event was seen
  bool done_ = false;
  bool finished_ = false;  // a finish_reason was seen
  std::string head_;       // an event of text up to the text, and from its closing quote to its end
  std::string tail_;
};

/// Where no usage came: about four bytes a token, and upstreams send at least one token an event.
Usage OpenAiDecoder::usage() const {
  Usage usage = usage_;
  if (usage.reported) return usage;
  usage.counts.input = static_cast<int64_t>(input_estimate_) + 1;
  usage.counts.output = std::max(text_events_, (text_bytes_ + 3) / 4);
  return usage;
}

bool OpenAiDecoder::usage_event(const SseEvent& event, ReplyBatch& batch) {
  const size_t value = find_key(event.data, "\"usage\"");
  if (value == std::string_view::npos) return false;
  const size_t open = event.data.find_first_not_of(" \t", value);
  if (open == std::string_view::npos || event.data[open] != '{') return false;
  PaddedJson& json = padded_json();
  od::object root;
  od::object object;
  if (!json.parse(event.data) || json.document.get_object().get(root) != SUCCESS ||
      root.find_field_unordered("usage").get_object().get(object) != SUCCESS)
    return false;
  if (const auto counts = read_usage(object)) {
    usage_.raise(*counts);
    usage_.reported = true;
  }
  od::array choices;
  bool empty = true;
  if (!json.document.is_alive()) return false;  // what follows the usage is no JSON: it goes on as it is
  json.document.rewind();
  if (json.document.get_object().get(root) == SUCCESS &&
      root.find_field_unordered("choices").get_array().get(choices) == SUCCESS &&
      choices.is_empty().get(empty) != SUCCESS)
    empty = false;
  Segment segment{Segment::Kind::usage, event.raw};
  // The data may be joined from several lines and then is not a part of the raw bytes: such an event stays untouched.
  const bool in_place =
      event.data.data() >= event.raw.data() && event.data.data() < event.raw.data() + event.raw.size();
  if (!in_place && !empty) return false;
  segment.usage_object = in_place ? static_cast<uint32_t>(event.data.data() - event.raw.data() + open + 1) : 0;
  const size_t first = event.data.find_first_not_of(" \t\r\n", open + 1);
  segment.usage_empty = first != std::string_view::npos && event.data[first] == '}';
  segment.usage_only = empty;
  batch.segments.push_back(segment);
  return true;
}

bool OpenAiDecoder::error_event(const SseEvent& event, ReplyBatch& batch) {
  if (find_key(event.data, "\"error\"") == std::string_view::npos) return false;
  PaddedJson& json = padded_json();
  od::object root;
  if (!json.parse(event.data) || json.document.get_object().get(root) != SUCCESS) return false;
  od::value value;
  bool is_null = true;
  if (root.find_field_unordered("error").get(value) != SUCCESS || value.is_null().get(is_null) != SUCCESS || is_null)
    return false;
  od::object object;
  std::string message = "the upstream reported an error inside its stream";
  std::string code;
  if (value.get_object().get(object) == SUCCESS) {
    Members members(object);
    if (const std::string_view text = members.text("message"); !text.empty()) message = text;
    code = members.text("code");
    if (code.empty()) code = members.text("type");
  }
  const ErrorKind kind = classify_code(0, code, message);
  batch.error = Error{kind, "upstream", retry_of(kind), 502, std::move(message), "upstream_error"};
  batch.segments.push_back({Segment::Kind::error, event.raw});
  return true;
}

void OpenAiDecoder::event(const SseEvent& event, ReplyBatch& batch) {
  if (!begun_ && event.data.empty() && event.type.empty()) {
    // Comments and blank lines may come first; anything else without a field is no event stream at all.
    const size_t text = event.raw.find_first_not_of(" \t\r\n");
    if (text != std::string_view::npos && event.raw[text] != ':' && !event.raw.substr(text).starts_with("id:") &&
        !event.raw.substr(text).starts_with("retry:")) {
      batch.error = Error{ErrorKind::upstream,
                          "upstream",
                          Retry::other_target,
                          502,
                          "the upstream answered a streaming request with something that is no event stream",
                          "upstream_error"};
      return;
    }
  } else {
    begun_ = true;
  }
  if (event.data == "[DONE]") {
    done_ = true;
    batch.segments.push_back({Segment::Kind::done, event.raw});
    return;
  }
  if (error_event(event, batch)) return;
  std::string_view text = string_after(event.data, "\"content\"");
  if (text.empty()) text = string_after(event.data, "\"arguments\"");
  if (text.empty()) text = string_after(event.data, "\"reasoning_content\"");
  const bool finish = !string_after(event.data, "\"finish_reason\"").empty();
  finished_ = finished_ || finish;
  if (usage_event(event, batch)) {
    count(text);
    return;
  }
  if (!text.empty() && !finish) learn(event, text);
  add_data(event.raw, text, batch);
}

void OpenAiDecoder::count(std::string_view text) {
  text_bytes_ += static_cast<int64_t>(text.size());
  text_events_ += text.empty() ? 0 : 1;
}

void OpenAiDecoder::add_data(std::string_view raw, std::string_view text, ReplyBatch& batch) {
  count(text);
  if (!batch.segments.empty()) {
    Segment& last = batch.segments.back();
    if (last.kind == Segment::Kind::data && last.bytes.data() + last.bytes.size() == raw.data()) {
      last.bytes = {last.bytes.data(), last.bytes.size() + raw.size()};
      return;
    }
  }
  batch.segments.push_back({Segment::Kind::data, raw});
}

/// The events of a stream mostly differ in nothing but their text: what stands before and after it is kept, and an
/// event with the same surroundings has the same meaning without another look.
void OpenAiDecoder::learn(const SseEvent& event, std::string_view text) {
  if (text.data() < event.raw.data() || text.data() + text.size() > event.raw.data() + event.raw.size()) return;
  head_.assign(event.raw.data(), text.data());
  tail_.assign(text.data() + text.size(), event.raw.data() + event.raw.size());
}

void OpenAiDecoder::feed(std::string_view bytes, ReplyBatch& batch) {
  scanner_.feed(bytes);
  SseEvent next;
  std::string_view raw;
  std::string_view text;
  while (!batch.error) {
    if (!head_.empty() && scanner_.next_like(head_, tail_, raw, text))
      add_data(raw, text, batch);
    else if (scanner_.next(next))
      event(next, batch);
    else
      break;
  }
  if (scanner_.too_large() && !batch.error)
    batch.error = Error{ErrorKind::upstream,
                        "upstream",
                        Retry::other_target,
                        502,
                        "the upstream sent a stream event larger than 16 MiB",
                        "upstream_error"};
}

void OpenAiDecoder::finish(ReplyBatch& batch) {
  // Some compatible servers end without [DONE], after a finish_reason: that answer is whole. Without either it is not.
  SseEvent last;
  if (scanner_.flush(last)) event(last, batch);
  if (batch.error) return;
  if (done_ || finished_) {
    batch.end = true;
    return;
  }
  batch.error = Error{
      ErrorKind::upstream, "upstream", Retry::other_target, 502, "the upstream's stream ended before its end mark",
      "upstream_error"};
}

void OpenAiDecoder::whole(std::string_view body, ReplyBatch& batch) {
  PaddedJson& json = padded_json();
  od::object root;
  if (!json.parse(body) || json.document.get_object().get(root) != SUCCESS) {
    batch.error =
        Error{ErrorKind::upstream, "upstream", Retry::other_target, 502, "the upstream's answer is not a JSON object",
              "upstream_error"};
    return;
  }
  od::array choices;
  if (root.find_field_unordered("choices").get_array().get(choices) != SUCCESS) {
    batch.error = hollow_answer("choices");
    return;
  }
  od::object usage;
  if (root.find_field_unordered("usage").get_object().get(usage) == SUCCESS) {
    if (const auto counts = read_usage(usage)) {
      usage_.raise(*counts);
      usage_.reported = true;
    }
  }
  if (!usage_.reported) {
    text_bytes_ = static_cast<int64_t>(string_after(body, "\"content\"").size());
    text_events_ = text_bytes_ > 0 ? 1 : 0;
  }
  batch.segments.push_back({Segment::Kind::data, body});
  batch.end = true;
}

}  // namespace

std::optional<config::TokenCounts> openai_usage_counts(std::string_view usage) {
  PaddedJson& json = padded_json();
  od::object object;
  if (!json.parse(usage) || json.document.get_object().get(object) != SUCCESS) return {};
  return read_usage(object);
}

std::unique_ptr<ReplyDecoder> make_openai_decoder(const Attempt& attempt) {
  return std::make_unique<OpenAiDecoder>(attempt);
}

}  // namespace weir::providers
