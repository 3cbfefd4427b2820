// The Response object and its items as JSON, apart from the order of events that tells of them: what the request said
// is echoed, items and usage are put in. Pure; one of each an answer.
// https://platform.openai.com/docs/api-reference/responses/object
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/api/citations.h"
#include "gateway/api/client_api.h"

namespace weir::gateway {

/// One piece of a message item.
struct ResponseContent {
  bool refusal = false;
  std::string text;
  providers::Json annotations = providers::Json::array();
  providers::Json logprobs = providers::Json::array();
  CitedStretch cited;
  size_t counted = 0;  // bytes of `text` whose characters `cited` knows
};

struct ResponseItem {
  enum class Kind { message, reasoning, call, native };
  Kind kind = Kind::message;
  std::string id;
  std::vector<ResponseContent> contents;  // message
  std::string summary;                    // reasoning
  std::string encrypted;
  providers::ToolCall call;
  int32_t tool_index = 0;
  providers::Json native = {};  // what the provider alone can say (native_item.h)
};

/// {"type":"output_text",…} or {"type":"refusal",…}.
providers::Json content_json(const ResponseContent& content);
/// `status`: in_progress, completed, incomplete.
providers::Json item_json(const ResponseItem& item, std::string_view status);
/// Responses' form of log-probabilities.
providers::Json response_logprobs(const std::vector<providers::TokenLogprobs>& tokens);
/// What the content's citations are about begins behind the text that it has.
void open_block(ResponseContent& content);
/// A citation of any protocol as annotations of `content`: a source with a URL becomes a url_citation, any other a
/// file_citation that keeps the original under "citation".
providers::Json annotations_json(const providers::ChatEvent& event, ResponseContent& content);
providers::Json response_usage(const providers::Usage& usage);

class ResponseObject {
 public:
  explicit ResponseObject(const AnswerContext& context);
  const std::string& id() const { return id_; }
  /// JSON text. `usage`: JSON text or "null"; `output` an array; `details`: of an incomplete answer, or null; `error`:
  /// of a failed one, or null.
  std::string text(std::string_view status, const providers::Json& output, std::string_view usage,
                   const providers::Json& details, const providers::Json& error) const;

 private:
  std::string id_;
  std::string head_;    // up to created_at
  std::string echo_a_;  // between incomplete_details and output
  std::string echo_b_;  // between output and usage
};

}  // namespace weir::gateway
