// Answers of generateContent on their way to a client of the same protocol: the bytes as they came, in whole pieces, so
// that an error can still follow; only usage and the end are read.
#include <algorithm>
#include <map>

#include "providers/gemini.h"
#include "providers/gemini_wire.h"
#include "providers/json_scan.h"
#include "providers/opening.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

class GeminiNativeDecoder final : public ReplyDecoder {
 public:
  explicit GeminiNativeDecoder(const Attempt& attempt)
      : opening_(attempt.body.protocol), usage_(attempt.body, attempt.prompt_tokens) {}
  bool native() const override { return true; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override { return usage_.usage(complete_); }

 private:
  void piece(const GeminiPiece& piece, ReplyBatch& batch);
  bool read(std::string_view json, ReplyBatch& batch);
  void error_event(const GeminiPiece& piece, ReplyBatch& batch);
  void ends(dom::object answer);
  bool finished() const;

  GeminiStream stream_;
  Opening opening_;
  GeminiUsage usage_;
  std::string error_;
  std::map<int64_t, bool> finished_;  // by candidate: its finish reason was seen
  bool blocked_ = false;              // the prompt was
  bool complete_ = false;
};

/// The words may stand elsewhere too, in a call's arguments.
void GeminiNativeDecoder::ends(dom::object answer) {
  std::string_view blocked;
  if (answer["promptFeedback"]["blockReason"].get(blocked) == SUCCESS && !blocked.empty()) blocked_ = true;
  dom::array candidates;
  if (answer["candidates"].get(candidates) != SUCCESS) return;
  int64_t position = 0;
  for (const dom::element element : candidates) {
    dom::object candidate;
    if (element.get(candidate) != SUCCESS) continue;
    int64_t index = position++;
    if (candidate["index"].get(index) != SUCCESS) index = position - 1;
    bool& finished = finished_[index];
    finished = finished || !finish_reason_of(candidate).empty();
  }
}

bool GeminiNativeDecoder::finished() const {
  return blocked_ || (!finished_.empty() && std::all_of(finished_.begin(), finished_.end(),
                                                        [](const auto& candidate) { return candidate.second; }));
}

/// False: an error, or no JSON.
bool GeminiNativeDecoder::read(std::string_view json, ReplyBatch& batch) {
  usage_.saw_text(string_after(json, "\"text\"").size());
  const auto has = [&](std::string_view key) { return find_key(json, key) != std::string_view::npos; };
  const bool error = has("\"error\"");
  if (!error && !has("\"usageMetadata\"") && !has("\"finishReason\"") && !has("\"blockReason\"")) return true;
  dom::element root;
  dom::object object;
  if (!parse_gemini(json, root) || root.get(object) != SUCCESS) {
    batch.error = upstream_fault("the upstream's answer is not a JSON object");
    return false;
  }
  usage_.read(object);
  ends(object);
  if (error) batch.error = gemini_error(object);  // or the word stands elsewhere, in a call's arguments
  return !batch.error;
}

/// The upstream's own error as the stream's last piece. Where it stands bare between the events it becomes one, and the
/// array that it stands in is closed behind it.
void GeminiNativeDecoder::error_event(const GeminiPiece& piece, ReplyBatch& batch) {
  if (stream_.open()) {
    error_ = std::string(piece.raw) + "]";
  } else if (piece.json.data() == piece.raw.data() + piece.raw.find('{') && !piece.raw.starts_with("data:")) {
    dom::element root;
    if (!parse_gemini(piece.json, root)) return;
    error_ = "data: " + simdjson::to_string(root) + "\r\n\r\n";
  }
  batch.segments.push_back({Segment::Kind::error, error_.empty() ? piece.raw : std::string_view(error_)});
}

void GeminiNativeDecoder::piece(const GeminiPiece& piece, ReplyBatch& batch) {
  if (!piece.json.empty() && !read(piece.json, batch)) {
    if (batch.error->code != "upstream_error") error_event(piece, batch);
    return;
  }
  if (!opening_.takes({.raw = piece.raw, .data = piece.json, .type = {}}, batch)) pass_data(piece.raw, batch);
}

void GeminiNativeDecoder::feed(std::string_view bytes, ReplyBatch& batch) {
  stream_.feed(bytes);
  GeminiPiece next;
  while (!batch.error && stream_.next(next)) piece(next, batch);
  if (batch.error) return;
  if (stream_.too_large()) batch.error = stream_event_too_large();
  if (stream_.garbage()) batch.error = upstream_fault("the upstream's stream is not a JSON array");
}

void GeminiNativeDecoder::finish(ReplyBatch& batch) {
  GeminiPiece last;
  if (stream_.flush(last)) piece(last, batch);
  if (batch.error) return;
  if (!finished() || stream_.open()) {
    batch.error = stream_cut_off();
    return;
  }
  complete_ = batch.end = true;
}

void GeminiNativeDecoder::whole(std::string_view body, ReplyBatch& batch) {
  dom::element root;
  dom::object object;
  if (!parse_gemini(body, root) || root.get(object) != SUCCESS) {
    batch.error = upstream_fault("the upstream's answer is not a JSON object");
    return;
  }
  if (!read(body, batch)) return;
  if (root["candidates"].error() != SUCCESS && root["promptFeedback"].error() != SUCCESS) {
    batch.error = hollow_answer("candidates");
    return;
  }
  batch.segments.push_back({Segment::Kind::data, body});
  complete_ = batch.end = true;
}

}  // namespace

std::unique_ptr<ReplyDecoder> make_gemini_native_decoder(const Attempt& attempt) {
  return std::make_unique<GeminiNativeDecoder>(attempt);
}

}  // namespace weir::providers
