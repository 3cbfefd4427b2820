#include "gateway/api/openai_responses.h"

#include "gateway/api/errors.h"
#include "gateway/api/openai_fields.h"
#include "providers/json_text.h"

namespace weir::gateway {
namespace {

using providers::CallBody;
using providers::ChatRequest;
using providers::Json;
using providers::json_text;
using providers::Protocol;

class OpenAiResponses final : public ClientApi {
 public:
  Protocol protocol() const override { return Protocol::openai_responses; }
  Result<CallBody> mark(const Request& request, std::string_view) const override {
    return providers::mark_call(Protocol::openai_responses, request.body);
  }
  Result<ChatRequest> decode(const CallBody& body) const override { return decode_responses(body.json); }
  std::unique_ptr<AnswerEncoder> encoder(const AnswerContext& context) const override {
    return make_responses_encoder(context);
  }
  std::string error_body(const Error& error) const override { return gateway::error_body(error); }
  /// For a stream whose answer has no encoder (bytes passed through): how many events went before is not known here.
  std::string error_event(const Error& error) const override {
    const auto text_or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
    Json event = {{"type", "error"}, {"sequence_number", 0}};
    event["code"] = text_or_null(error.code);
    event["message"] = error.detail;
    event["param"] = text_or_null(error.param);
    const std::string body = gateway::error_body(error);
    std::string text = json_text(event);
    text.pop_back();
    return "event: error\ndata: " + text + "," + body.substr(1) + "\n\n";
  }
};

}  // namespace

const ClientApi& openai_responses_api() {
  static const OpenAiResponses api;
  return api;
}

}  // namespace weir::gateway
