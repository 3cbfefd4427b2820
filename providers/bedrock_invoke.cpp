// What InvokeModel and CountTokens answer to clients of Anthropic's protocol: chunks of an event stream become
// server-sent events, counts change their name.
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_PayloadPart.html.
#include <string>
#include <utility>

#include "providers/anthropic.h"
#include "providers/base64.h"
#include "providers/bedrock.h"
#include "providers/bedrock_frames.h"
#include "providers/json_scan.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

class ClaudeDecoder final : public ReplyDecoder {
 public:
  explicit ClaudeDecoder(const Attempt& attempt) : events_(make_anthropic_decoder(attempt)) {}

  bool native() const override { return events_->native(); }
  Usage usage() const override { return events_->usage(); }
  void whole(std::string_view body, ReplyBatch& batch) override { events_->whole(body, batch); }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;

 private:
  void message(const EventStreamMessage& message, ReplyBatch& batch);

  std::unique_ptr<AnthropicDecoder> events_;
  EventStreamDecoder frames_;
  std::string chunk_;
};

void ClaudeDecoder::message(const EventStreamMessage& message, ReplyBatch& batch) {
  if (message.text(":event-type") != "chunk") return;
  PaddedJson& json = padded_json();
  simdjson::ondemand::object root;
  std::string_view bytes;
  const bool good = json.parse(message.payload) && json.document.get_object().get(root) == SUCCESS &&
                    root.find_field_unordered("bytes").get_string().get(bytes) == SUCCESS &&
                    decode_base64(bytes, chunk_);
  if (!good) {
    batch.error = upstream_fault("the upstream sent a chunk without bytes in base64");
    return;
  }
  events_->event(chunk_, batch);
}

void ClaudeDecoder::feed(std::string_view bytes, ReplyBatch& batch) {
  feed_bedrock(frames_, bytes, batch, [&](const EventStreamMessage& next) { message(next, batch); });
}

void ClaudeDecoder::finish(ReplyBatch& batch) {
  if (auto done = frames_.finish(); !done)
    batch.error = std::move(done).error();
  else
    events_->finish(batch);
}

class CountDecoder final : public ReplyDecoder {
 public:
  bool native() const override { return true; }
  /// Counting is free.
  Usage usage() const override { return {.counts = {}, .reported = true}; }
  void feed(std::string_view, ReplyBatch& batch) override { batch.error = upstream_fault("a count came as a stream"); }
  void finish(ReplyBatch& batch) override { batch.error = upstream_fault("a count came as a stream"); }
  void whole(std::string_view body, ReplyBatch& batch) override {
    const Json answer = bedrock_json(body);
    const auto count = answer.is_object() ? answer.find("inputTokens") : answer.end();
    if (!answer.is_object() || count == answer.end() || !count->is_number_integer()) {
      batch.error = upstream_fault("the upstream's answer has no inputTokens");
      return;
    }
    text_ = "{\"input_tokens\":" + count->dump() + "}";
    batch.segments.push_back({Segment::Kind::data, text_});
    batch.end = true;
  }

 private:
  std::string text_;
};

}  // namespace

std::unique_ptr<ReplyDecoder> make_bedrock_claude_decoder(const Attempt& attempt) {
  return std::make_unique<ClaudeDecoder>(attempt);
}

std::unique_ptr<ReplyDecoder> make_bedrock_count_decoder(const Attempt&) {
  return std::make_unique<CountDecoder>();
}

}  // namespace weir::providers
