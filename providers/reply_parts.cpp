#include "providers/reply_parts.h"

#include <cctype>
#include <utility>
#include "config/base/json.h"

#include "providers/retry_after.h"

namespace weir::providers {
namespace {

constexpr size_t kDetailBytesMax = 2048;

}  // namespace

Error upstream_fault(std::string detail) {
  return {ErrorKind::upstream, "upstream", Retry::other_target, 502, std::move(detail), "upstream_error"};
}

Error hollow_answer(std::string_view member) {
  return upstream_fault("the upstream's answer has no \"" + std::string(member) + "\"");
}

Error unsayable_answer(std::string_view what) {
  Error error = upstream_fault("the upstream's answer has " + std::string(what) +
                               ", which cannot be said in this client's protocol; in the upstream's own it passes as "
                               "it is");
  error.retry = Retry::no;
  error.kind = ErrorKind::unusable;
  return error;
}

Error too_many_calls() {
  return unsayable_answer("more than " + std::to_string(kCallsMax) + " tool calls");
}

Error spoiled_answer(std::string detail) {
  Error error = upstream_fault(std::move(detail));
  error.kind = ErrorKind::unusable;
  return error;
}

Error stream_cut_off() {
  return upstream_fault("the upstream's stream ended before its end mark");
}

Error stream_event_too_large() {
  return upstream_fault("the upstream sent a stream event larger than 16 MiB");
}

std::string call_id_prefix(std::string_view request_id) {
  if (const size_t dash = request_id.find('-'); dash != std::string_view::npos) request_id.remove_prefix(dash + 1);
  return "call_" + std::string(request_id) + "_";
}

std::optional<Error> miscounted_embeddings(const CallBody& call, size_t vectors) {
  if (call.units == vectors || call.units == 0) return {};
  return upstream_fault("the upstream's answer has " + std::to_string(vectors) + " embeddings for " +
                        std::to_string(call.units) + " inputs");
}

Error stream_error(std::string code, std::string message) {
  if (message.empty()) message = "the upstream reported an error inside its stream";
  if (message.size() > kDetailBytesMax) message.resize(kDetailBytesMax);
  // OpenRouter and others give a status' number as the code.
  const bool number = code.size() == 3 && code >= "400" && code <= "599" &&
                      std::isdigit(static_cast<unsigned char>(code[1])) != 0 &&
                      std::isdigit(static_cast<unsigned char>(code[2])) != 0;
  const ErrorKind kind = classify_code(number ? std::stoi(code) : 0, number ? std::string_view() : code, message);
  const Retry retry = retry_of(kind);
  Error error{kind, "upstream", retry, retry == Retry::no ? 400 : 502, std::move(message), std::move(code)};
  if (kind == ErrorKind::rate_limit) error.limit = limit_in_words(error.detail + " " + error.code, {error.code});
  return error;
}

bool flush_whole(SseScanner& scanner, SseEvent& event) {
  if (!scanner.flush(event)) return false;
  if (!event.data.empty()) return event.data == "[DONE]" || nlohmann::json::accept(event.data);
  // No field at all: an error page, or an error as bare JSON. A letter may be the beginning of a field.
  const size_t first = event.raw.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && event.type.empty() &&
         std::isalpha(static_cast<unsigned char>(event.raw[first])) == 0;
}

void pass_data(std::string_view raw, ReplyBatch& batch) {
  if (!batch.segments.empty()) {
    Segment& last = batch.segments.back();
    if (last.kind == Segment::Kind::data && last.bytes.data() + last.bytes.size() == raw.data()) {
      last.bytes = {last.bytes.data(), last.bytes.size() + raw.size()};
      return;
    }
  }
  batch.segments.push_back({Segment::Kind::data, raw});
}

}  // namespace weir::providers
