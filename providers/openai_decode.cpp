// Passing an OpenAI answer through: usage, errors and the end are found in it, and nothing is changed.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include "config/base/json.h"

#include "providers/json_scan.h"
#include "providers/net/sse.h"
#include "providers/openai.h"
#include "providers/opening.h"
#include "providers/reply_parts.h"
#include "providers/service_tier.h"

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
    od::number number;
    if (!find(key, value) || value.get_number().get(number) != SUCCESS) return {};
    if (number.is_int64()) return number.get_int64();
    // "10.0", as servers write whose numbers have no type.
    const double real = number.is_double() ? number.get_double() : -1.0;
    if (real < 0 || real > static_cast<double>(kPlausibleTokensMax) || real != std::floor(real)) return {};
    return static_cast<int64_t>(real);
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

/// Empty where the object does not say, in numbers that make sense, what was used: that is then estimated. Of two
/// counts and their sum one may be missing. No prompt is empty: an input of 0 is none that was counted, and beside it
/// an output of 0 neither.
std::optional<OpenAiUsage> read_usage(od::object& usage) {
  Members members(usage);
  auto input = members.count("prompt_tokens");
  auto output = members.count("completion_tokens");
  const auto total = members.count("total_tokens");
  if (total && output && !input && *output >= 0) input = *total - *output;
  if (total && input && !output && *input >= 0) output = *total - *input;
  const bool has_input = input && *input > 0;
  const Told told{.input = has_input, .output = output && *output >= (has_input ? 0 : 1)};
  if (!told.input && !told.output) return {};
  config::TokenCounts counts;
  if (told.input) counts.input = *input;
  if (told.output) counts.output = *output;
  counts.cached_input = members.nested_count("prompt_tokens_details", "cached_tokens");
  if (counts.cached_input == 0)
    counts.cached_input = std::max<int64_t>(members.count("prompt_cache_hit_tokens").value_or(0), 0);
  if (counts.cached_input == 0)  // Moonshot
    counts.cached_input = std::max<int64_t>(members.count("cached_tokens").value_or(0), 0);
  counts.cache_write_5m = members.nested_count("prompt_tokens_details", "cache_write_tokens");  // OpenRouter
  counts.audio_input = members.nested_count("prompt_tokens_details", "audio_tokens");
  counts.reasoning = members.nested_count("completion_tokens_details", "reasoning_tokens");
  counts.audio_output = members.nested_count("completion_tokens_details", "audio_tokens");
  // xAI's completion_tokens leave out reasoning; its sum tells: https://docs.x.ai/docs/guides/reasoning.
  if (told.input && told.output && total && *total == counts.input + counts.output + counts.reasoning)
    counts.output += counts.reasoning;
  if (members.broken() || !plausible(counts)) return {};
  return OpenAiUsage{counts, told};
}

/// How many choices an event ends.
int64_t count_finishes(std::string_view event) {
  constexpr std::string_view kName = "\"finish_reason\"";
  int64_t count = 0;
  for (size_t at = find_key(event, kName); at != std::string_view::npos; at = find_key(event, kName)) {
    event.remove_prefix(at);
    const size_t value = event.find_first_not_of(' ');
    count += value != std::string_view::npos && event[value] == '"' && event.substr(value, 2) != "\"\"";
  }
  return count;
}

class OpenAiDecoder final : public ReplyDecoder {
 public:
  explicit OpenAiDecoder(const Attempt& attempt)
      : opening_(attempt.body.protocol),
        usage_(attempt.body, attempt.prompt_tokens),
        unfinished_(std::max<int64_t>(attempt.body.n, 1)) {}

  bool native() const override { return true; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override { return usage_.usage(whole_ || done_ || unfinished_ <= 0); }

 private:
  void event(const SseEvent& event, ReplyBatch& batch);
  void add_data(std::string_view raw, std::string_view text, ReplyBatch& batch);
  void learn_tier(std::string_view json);
  void learn_usage(od::object& object);
  bool usage_event(const SseEvent& event, ReplyBatch& batch);
  bool error_event(const SseEvent& event, ReplyBatch& batch);

  SseScanner scanner_;
  Opening opening_;
  UsageMeter usage_;
  bool whole_ = false;      // no stream
  bool tier_seen_ = false;  // the answer said at which it is served
  bool done_ = false;
  int64_t unfinished_;  // choices whose finish_reason was not seen
  AlikeEvents alike_;   // to the last event of text
};

/// Each chunk says it; the first is looked at and, where nobody was sure by then, the one with the usage.
void OpenAiDecoder::learn_tier(std::string_view json) {
  if (find_key(json, "\"service_tier\"") == std::string_view::npos) return;
  const auto word = top_text(json, "service_tier");
  if (!word) return;
  tier_seen_ = true;
  usage_.served(service_tier(*word));
}

void OpenAiDecoder::learn_usage(od::object& object) {
  if (const auto read = read_usage(object)) usage_.report(read->counts, read->told);
}

bool OpenAiDecoder::usage_event(const SseEvent& event, ReplyBatch& batch) {
  const size_t value = find_key(event.data, "\"usage\"");
  if (value == std::string_view::npos) return false;
  const size_t open = event.data.find_first_not_of(" \t", value);
  if (open == std::string_view::npos || event.data[open] != '{') return false;
  PaddedJson& json = padded_json();
  od::object root;
  od::object object;
  if (!json.parse(event.data) || json.document.get_object().get(root) != SUCCESS) return false;
  if (root.find_field_unordered("usage").get_object().get(object) != SUCCESS) {
    // Groq tells a stream's usage within a member of its own, which has no place for a cost.
    if (!json.document.is_alive()) return false;
    json.document.rewind();
    od::object groq;
    if (json.document.get_object().get(root) == SUCCESS &&
        root.find_field_unordered("x_groq").get_object().get(groq) == SUCCESS &&
        groq.find_field_unordered("usage").get_object().get(object) == SUCCESS)
      learn_usage(object);
    return false;
  }
  learn_usage(object);
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

/// The outermost "error" that says something: of an event, or of a whole body.
std::optional<Error> error_in(std::string_view text) {
  if (find_key(text, "\"error\"") == std::string_view::npos || is_silent(text, "error")) return {};
  PaddedJson& json = padded_json();
  od::object root;
  if (!json.parse(text) || json.document.get_object().get(root) != SUCCESS) return {};
  od::value value;
  if (root.find_field_unordered("error").get(value) != SUCCESS) return {};
  od::object object;
  std::string message;
  std::string code;
  if (value.get_object().get(object) == SUCCESS) {
    Members members(object);
    message = members.text("message");
    code = members.text("code");
    if (const auto number = members.count("code"); number && *number > 0) code = std::to_string(*number);
    if (code.empty()) code = members.text("type");
  }
  Error error = stream_error(std::move(code), std::move(message));
  error.code = "upstream_error";
  return error;
}

bool OpenAiDecoder::error_event(const SseEvent& event, ReplyBatch& batch) {
  auto error = error_in(event.data);
  if (!error) return false;
  batch.error = std::move(error);
  batch.segments.push_back({Segment::Kind::error, event.raw});
  return true;
}

void OpenAiDecoder::event(const SseEvent& event, ReplyBatch& batch) {
  if (error_event(event, batch)) return;
  if (opening_.takes(event, batch)) return;
  if (event.data == "[DONE]") {
    done_ = true;
    batch.segments.push_back({Segment::Kind::done, event.raw});
    return;
  }
  std::string_view text = string_after(event.data, "\"content\"");
  if (text.empty()) text = string_after(event.data, "\"arguments\"");
  if (text.empty()) text = string_after(event.data, "\"reasoning_content\"");
  const int64_t finishes = count_finishes(event.data);
  unfinished_ -= finishes;
  const bool tells_usage = usage_event(event, batch);
  if (!tier_seen_ || tells_usage) learn_tier(event.data);
  if (tells_usage) {
    usage_.saw_text(text);
    return;
  }
  if (!text.empty() && finishes == 0) alike_.learn(event, text);
  add_data(event.raw, text, batch);
}

void OpenAiDecoder::add_data(std::string_view raw, std::string_view text, ReplyBatch& batch) {
  usage_.saw_text(text);
  pass_data(raw, batch);
}

void OpenAiDecoder::feed(std::string_view bytes, ReplyBatch& batch) {
  alike_.feed(
      scanner_, bytes, batch, [&](std::string_view raw, std::string_view text) { add_data(raw, text, batch); },
      [&](const SseEvent& next) { event(next, batch); }, [] { return true; });
}

void OpenAiDecoder::finish(ReplyBatch& batch) {
  // Some compatible servers end without [DONE], after a finish_reason of each choice: that answer is whole. Without
  // either it is not.
  SseEvent last;
  if (flush_whole(scanner_, last)) event(last, batch);
  if (batch.error) return;
  if (done_ || unfinished_ <= 0)
    batch.end = true;
  else
    batch.error = stream_cut_off();
}

void OpenAiDecoder::whole(std::string_view body, ReplyBatch& batch) {
  whole_ = true;
  PaddedJson& json = padded_json();
  od::object root;
  if (!json.parse(body) || json.document.get_object().get(root) != SUCCESS) {
    batch.error = upstream_fault("the upstream's answer is not a JSON object");
    return;
  }
  od::array choices;
  if (root.find_field_unordered("choices").get_array().get(choices) != SUCCESS) {
    // Azure's content filter and OpenRouter put an error into a good answer's place.
    batch.error = error_in(body);
    if (!batch.error) batch.error = hollow_answer("choices");
    return;
  }
  od::object usage;
  if (root.find_field_unordered("usage").get_object().get(usage) == SUCCESS) learn_usage(usage);
  if (!usage_.reported()) {
    batch.error = error_in(body);
    if (batch.error) return;
    usage_.saw_text(string_after(body, "\"content\""));
  }
  learn_tier(body);
  batch.segments.push_back({Segment::Kind::data, body});
  batch.end = true;
}

}  // namespace

std::optional<OpenAiUsage> openai_usage_counts(std::string_view usage) {
  PaddedJson& json = padded_json();
  od::object object;
  if (!json.parse(usage) || json.document.get_object().get(object) != SUCCESS) return {};
  return read_usage(object);
}

std::unique_ptr<ReplyDecoder> make_openai_decoder(const Attempt& attempt) {
  return std::make_unique<OpenAiDecoder>(attempt);
}

}  // namespace weir::providers
