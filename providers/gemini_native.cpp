// Answers of generateContent on their way to a client of the same protocol: the bytes as they came, in whole pieces, so
// that an error can still follow; only usage and the end are read.
#include "providers/gemini.h"
#include "providers/gemini_wire.h"
#include "providers/json_scan.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

class GeminiNativeDecoder final : public ReplyDecoder {
 public:
  explicit GeminiNativeDecoder(const Attempt& attempt) : usage_(attempt.body, attempt.prompt_tokens) {}
  bool native() const override { return true; }
  void feed(std::string_view bytes, ReplyBatch& batch) override;
  void finish(ReplyBatch& batch) override;
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override { return usage_.usage(complete_); }

 private:
  void piece(const GeminiPiece& piece, ReplyBatch& batch);
  bool read(std::string_view json, ReplyBatch& batch);
  void error_event(const GeminiPiece& piece, ReplyBatch& batch);

  GeminiStream stream_;
  GeminiUsage usage_;
  std::string error_;
  bool finished_ = false;  // a finish or block reason was seen
  bool complete_ = false;
};

/// False: an error, or no JSON.
bool GeminiNativeDecoder::read(std::string_view json, ReplyBatch& batch) {
  usage_.saw_text(string_after(json, "\"text\"").size());
  if (find_key(json, "\"finishReason\"") != std::string_view::npos ||
      find_key(json, "\"blockReason\"") != std::string_view::npos)
    finished_ = true;
  const bool error = find_key(json, "\"error\"") != std::string_view::npos;
  if (!error && find_key(json, "\"usageMetadata\"") == std::string_view::npos) return true;
  dom::element root;
  dom::object object;
  if (gemini_parser().parse(json.data(), json.size()).get(root) != SUCCESS || root.get(object) != SUCCESS) {
    batch.error = upstream_fault("the upstream's answer is not a JSON object");
    return false;
  }
  usage_.read(object);
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
    if (gemini_parser().parse(piece.json.data(), piece.json.size()).get(root) != SUCCESS) return;
    error_ = "data: " + simdjson::to_string(root) + "\r\n\r\n";
  }
  batch.segments.push_back({Segment::Kind::error, error_.empty() ? piece.raw : std::string_view(error_)});
}

void GeminiNativeDecoder::piece(const GeminiPiece& piece, ReplyBatch& batch) {
  if (!piece.json.empty() && !read(piece.json, batch)) {
    if (batch.error->code != "upstream_error") error_event(piece, batch);
    return;
  }
  pass_data(piece.raw, batch);
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
  if (!finished_ || stream_.open()) {
    batch.error = stream_cut_off();
    return;
  }
  complete_ = batch.end = true;
}

void GeminiNativeDecoder::whole(std::string_view body, ReplyBatch& batch) {
  dom::element root;
  dom::object object;
  if (gemini_parser().parse(body.data(), body.size()).get(root) != SUCCESS || root.get(object) != SUCCESS) {
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
