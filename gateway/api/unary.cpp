#include "gateway/api/unary.h"

#include <algorithm>
#include <optional>

#include "gateway/api/errors.h"
#include "gateway/api/openai_fields.h"
#include "providers/json_scan.h"

namespace weir::gateway {
namespace {

namespace od = providers::od;
using providers::CallBody;
using providers::ChatRequest;
using providers::Protocol;
using simdjson::SUCCESS;

constexpr uint64_t kEmbeddingInputsMax = 2048;  // OpenAI's limit
constexpr uint64_t kDocumentsMax = 10'000;      // Cohere's limit
constexpr int64_t kSpeechCharactersMax = 4096;  // OpenAI's limit

Error wrong(const std::string& param, std::string_view expected) {
  return bad_request(param, param + ": must be " + std::string(expected));
}

/// What one field may be: a text, a list, a whole number in a range, one of some words.
struct Rule {
  Protocol protocol;
  std::string_view field;
  bool required = false;
  bool text = false;
  bool list = false;
  uint64_t items_max = 0;
  int64_t least = 0;
  int64_t most = -1;            // least > most: no number
  std::string_view words = {};  // "a|b"
  std::string_view expected;
};

constexpr Rule kRules[] = {
    {.protocol = Protocol::openai_embeddings,
     .field = "input",
     .required = true,
     .text = true,
     .list = true,
     .items_max = 0,
     .expected = "a string, an array of 1 to 2048 texts, or an array of tokens"},
    {.protocol = Protocol::openai_embeddings,
     .field = "dimensions",
     .least = 1,
     .most = INT32_MAX,
     .expected = "an integer of at least 1"},
    {.protocol = Protocol::openai_embeddings,
     .field = "encoding_format",
     .words = "float|base64",
     .expected = "one of float, base64"},
    {.protocol = Protocol::openai_images, .field = "prompt", .required = true, .text = true, .expected = "a string"},
    {.protocol = Protocol::openai_images,
     .field = "n",
     .least = 1,
     .most = 10,
     .expected = "an integer between 1 and 10"},
    {.protocol = Protocol::openai_images,
     .field = "partial_images",
     .least = 0,
     .most = 3,
     .expected = "an integer between 0 and 3"},
    {.protocol = Protocol::openai_images,
     .field = "response_format",
     .words = "url|b64_json",
     .expected = "one of url, b64_json"},
    {.protocol = Protocol::openai_speech, .field = "input", .required = true, .text = true, .expected = "a string"},
    {.protocol = Protocol::openai_speech,
     .field = "stream_format",
     .words = "sse|audio",
     .expected = "one of sse, audio"},
    {.protocol = Protocol::openai_moderations,
     .field = "input",
     .required = true,
     .text = true,
     .list = true,
     .expected = "a string or an array that is not empty"},
    {.protocol = Protocol::rerank, .field = "query", .required = true, .text = true, .expected = "a string"},
    {.protocol = Protocol::rerank,
     .field = "documents",
     .required = true,
     .list = true,
     .items_max = kDocumentsMax,
     .expected = "an array of 1 to 10000 documents"},
    {.protocol = Protocol::rerank,
     .field = "top_n",
     .least = 1,
     .most = INT32_MAX,
     .expected = "an integer of at least 1"},
};

bool is_word(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const size_t bar = words.find('|');
    if (words.substr(0, bar) == word) return true;
    words = bar == std::string_view::npos ? std::string_view() : words.substr(bar + 1);
  }
  return false;
}

/// Whether a value is as its rule asks. Embeddings take 2048 texts, or any number of tokens of one text.
bool fits(const Rule& rule, od::value value) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return false;
  if (type == od::json_type::number) {
    int64_t number = 0;
    return rule.least <= rule.most && value.get_int64().get(number) == SUCCESS && number >= rule.least &&
           number <= rule.most;
  }
  if (type == od::json_type::string) {
    std::string_view text;
    if (value.get_string().get(text) != SUCCESS) return false;
    if (!rule.words.empty()) return is_word(rule.words, text);
    if (rule.protocol == Protocol::openai_speech) return code_points(text) <= kSpeechCharactersMax;
    return rule.text;
  }
  if (type != od::json_type::array || !rule.list) return false;
  od::array array;
  if (value.get_array().get(array) != SUCCESS) return false;
  uint64_t items = 0;
  bool numbers = true;
  for (auto element : array) {
    od::json_type kind{};
    if (element.type().get(kind) != SUCCESS) return false;
    numbers = numbers && kind == od::json_type::number;
    ++items;
  }
  if (rule.protocol == Protocol::openai_embeddings && !numbers && items > kEmbeddingInputsMax) return false;
  return items > 0 && (rule.items_max == 0 || items <= rule.items_max);
}

class UnaryApi : public ClientApi {
 public:
  explicit UnaryApi(Protocol protocol) : protocol_(protocol) {}
  Protocol protocol() const override { return protocol_; }
  Result<CallBody> mark(const Request& request, std::string_view) const override {
    auto marked = providers::mark_call(protocol_, request.body);
    if (!marked) return marked;
    if (auto fine = check_unary(protocol_, request.body); !fine) return std::move(fine).error();
    return marked;
  }
  Result<ChatRequest> decode(const CallBody&) const override {
    return bad_request("", "this route's calls have no neutral form");
  }
  /// Null: every answer of this protocol is passed through.
  std::unique_ptr<AnswerEncoder> encoder(const AnswerContext&) const override { return nullptr; }
  std::string error_body(const Error& error) const override { return gateway::error_body(error); }
  std::string error_event(const Error& error) const override {
    return "event: error\ndata: " + gateway::error_body(error) + "\n\n";
  }

 private:
  Protocol protocol_;
};

/// The one whose body is a form.
class TranscriptionsApi final : public UnaryApi {
 public:
  TranscriptionsApi() : UnaryApi(Protocol::openai_transcriptions) {}
  Result<CallBody> mark(const Request& request, std::string_view) const override {
    return providers::mark_multipart_call(protocol(), request.header("content-type"), request.body);
  }
};

}  // namespace

Result<void> check_unary(Protocol protocol, std::string_view json) {
  providers::PaddedJson& padded = providers::padded_json();
  od::object root;
  if (!padded.parse(json) || padded.document.get_object().get(root) != SUCCESS)
    return bad_request("", "the request body is not a JSON object");
  std::vector<std::string_view> seen;
  for (auto member : root) {
    std::string_view key;
    od::value value;
    if (member.unescaped_key().get(key) != SUCCESS) return bad_request("", "the request body is not valid JSON");
    const auto rule = std::find_if(std::begin(kRules), std::end(kRules),
                                   [&](const Rule& one) { return one.protocol == protocol && one.field == key; });
    if (member.value().get(value) != SUCCESS) return bad_request("", "the request body is not valid JSON");
    if (rule == std::end(kRules)) continue;
    bool is_null = false;
    if (!rule->required && value.is_null().get(is_null) == SUCCESS && is_null) continue;
    if (!fits(*rule, value)) {
      const bool spoken = protocol == Protocol::openai_speech && rule->field == "input";
      return wrong(std::string(rule->field), spoken ? "a string of at most 4096 characters" : rule->expected);
    }
    seen.push_back(rule->field);
  }
  for (const Rule& rule : kRules)
    if (rule.protocol == protocol && rule.required && std::find(seen.begin(), seen.end(), rule.field) == seen.end())
      return bad_request(std::string(rule.field), std::string(rule.field) + ": is missing");
  return {};
}

const ClientApi& openai_embeddings_api() {
  static const UnaryApi api(Protocol::openai_embeddings);
  return api;
}
const ClientApi& openai_images_api() {
  static const UnaryApi api(Protocol::openai_images);
  return api;
}
const ClientApi& openai_speech_api() {
  static const UnaryApi api(Protocol::openai_speech);
  return api;
}
const ClientApi& openai_transcriptions_api() {
  static const TranscriptionsApi api;
  return api;
}
const ClientApi& openai_moderations_api() {
  static const UnaryApi api(Protocol::openai_moderations);
  return api;
}
const ClientApi& rerank_api() {
  static const UnaryApi api(Protocol::rerank);
  return api;
}

}  // namespace weir::gateway
