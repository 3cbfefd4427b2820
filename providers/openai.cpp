// The openai codec: OpenAI's Chat Completions and everything compatible with it. Requests and answers pass byte for
// byte; only the model name, the credential and stream_options.include_usage are ours. References:
// https://platform.openai.com/docs/api-reference/chat, …/chat-streaming, …/docs/guides/error-codes.
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "providers/classify.h"
#include "providers/codec.h"
#include "providers/json_scan.h"
#include "providers/net/sse.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

int64_t count_of(od::object& object, std::string_view key) {
  int64_t value = 0;
  return object.find_field_unordered(key).get_int64().get(value) == SUCCESS ? std::max<int64_t>(value, 0) : 0;
}

int64_t nested_count(od::object& object, std::string_view outer, std::string_view key) {
  od::object inner;
  return object.find_field_unordered(outer).get_object().get(inner) == SUCCESS ? count_of(inner, key) : 0;
}

/// OpenAI's usage object, with DeepSeek's name for cached tokens beside OpenAI's.
config::TokenCounts read_usage(od::object& usage) {
  config::TokenCounts counts;
  counts.input = count_of(usage, "prompt_tokens");
  counts.output = count_of(usage, "completion_tokens");
  counts.cached_input = nested_count(usage, "prompt_tokens_details", "cached_tokens");
  if (counts.cached_input == 0) counts.cached_input = count_of(usage, "prompt_cache_hit_tokens");
  counts.reasoning = nested_count(usage, "completion_tokens_details", "reasoning_tokens");
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
  usage_.raise(read_usage(object));
  usage_.reported = true;
  json.document.rewind();
  od::array choices;
  bool empty = true;
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
  std::string_view message = "the upstream reported an error inside its stream";
  od::object object;
  if (value.get_object().get(object) == SUCCESS) {
    std::string_view text;
    if (object.find_field_unordered("message").get_string().get(text) == SUCCESS && !text.empty()) message = text;
  }
  batch.error =
      Error{ErrorKind::upstream, "upstream", Retry::other_target, 502, std::string(message), "upstream_error"};
  batch.segments.push_back({Segment::Kind::error, event.raw});
  return true;
}

void OpenAiDecoder::event(const SseEvent& event, ReplyBatch& batch) {
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
  od::object usage;
  if (root.find_field_unordered("usage").get_object().get(usage) == SUCCESS) {
    usage_.raise(read_usage(usage));
    usage_.reported = true;
  } else {
    text_bytes_ = static_cast<int64_t>(string_after(body, "\"content\"").size());
    text_events_ = text_bytes_ > 0 ? 1 : 0;
  }
  batch.segments.push_back({Segment::Kind::data, body});
  batch.end = true;
}

/// `{"include_usage":true}` merged into what the client sent (there it was absent, null or false).
std::string with_usage(std::string_view stream_options) {
  auto options = nlohmann::ordered_json::parse(stream_options, nullptr, false);
  if (!options.is_object()) options = nlohmann::ordered_json::object();
  options["include_usage"] = true;
  return options.dump();
}

class OpenAiCodec final : public Codec {
 public:
  OpenAiCodec(const config::AccountConfig& account, const std::string& base_path)
      : target_(base_path + "/chat/completions") {
    common_ = "Content-Type: application/json\r\n";
    if (!account.api_key.empty()) common_ += "Authorization: Bearer " + account.api_key.reveal() + "\r\n";
    const auto option = [&](const char* key, const char* header) {
      if (const auto found = account.options.find(key); found != account.options.end())
        common_ += std::string(header) + ": " + found->second + "\r\n";
    };
    option("organization", "OpenAI-Organization");
    option("project", "OpenAI-Project");
    whole_headers_ = common_ + "Accept: application/json\r\n";
    stream_headers_ = common_ + "Accept: text/event-stream\r\n";
  }

  Result<void> encode(const Attempt& attempt, EncodedCall& out) const override;
  std::unique_ptr<ReplyDecoder> decoder(const Attempt& attempt) const override {
    return std::make_unique<OpenAiDecoder>(attempt);
  }
  Error classify(int status, const HeaderLookup& header, std::string_view body) const override;

 private:
  std::string target_;
  std::string common_;
  std::string whole_headers_;
  std::string stream_headers_;
};

/// The few places of a body that change, kept in the order of the body.
class Edits {
 public:
  void add(ByteRange where, std::string_view text) {
    size_t at = count_++;
    for (; at > 0 && edits_[at - 1].where.begin > where.begin; --at) edits_[at] = edits_[at - 1];
    edits_[at] = {where, text};
  }
  /// `json` in pieces, with the texts in place of the ranges.
  void apply(std::string_view json, std::vector<std::string_view>& pieces) const {
    pieces.reserve(2 * count_ + 1);
    uint32_t at = 0;
    for (size_t i = 0; i < count_; ++i) {
      pieces.push_back(json.substr(at, edits_[i].where.begin - at));
      pieces.push_back(edits_[i].text);
      at = edits_[i].where.end;
    }
    pieces.push_back(json.substr(at));
  }

 private:
  struct Edit {
    ByteRange where;
    std::string_view text;
  };
  std::array<Edit, 5> edits_;  // model, stream_options, two maxima, one insertion
  size_t count_ = 0;
};

Result<void> OpenAiCodec::encode(const Attempt& attempt, EncodedCall& out) const {
  const CallBody& body = attempt.body;
  out.target = target_;
  out.header_lines = body.stream ? stream_headers_ : whole_headers_;
  Edits edits;
  if (attempt.model != body.model) edits.add(body.model_value, out.keep(quoted(attempt.model)));
  std::string inserted;
  if (body.stream && !body.include_usage) {
    if (body.stream_options_value.empty()) {
      inserted += R"("stream_options":{"include_usage":true},)";
    } else {
      const ByteRange range = body.stream_options_value;
      edits.add(range, out.keep(with_usage(body.json.substr(range.begin, range.end - range.begin))));
    }
  }
  if (attempt.output_tokens_cap) {
    const std::string_view cap = out.keep(std::to_string(*attempt.output_tokens_cap));
    if (!body.max_tokens_value.empty()) edits.add(body.max_tokens_value, cap);
    if (!body.max_completion_tokens_value.empty()) edits.add(body.max_completion_tokens_value, cap);
    if (body.max_tokens_value.empty() && body.max_completion_tokens_value.empty())
      inserted.append("\"max_tokens\":").append(cap).append(",");
  }
  if (!inserted.empty()) edits.add({body.object_open, body.object_open}, out.keep(std::move(inserted)));
  edits.apply(body.json, out.body);
  return {};
}

Error OpenAiCodec::classify(int status, const HeaderLookup& header, std::string_view body) const {
  return classify_answer(status, header, body);
}

}  // namespace

std::unique_ptr<Codec> make_openai_codec(const config::AccountConfig& account, const std::string& base_path) {
  return std::make_unique<OpenAiCodec>(account, base_path);
}

}  // namespace weir::providers
