#include "providers/cohere.h"

#include "config/base/json.h"

#include "providers/classify.h"
#include "providers/json_fields.h"
#include "providers/json_text.h"
#include "providers/openai_unary.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

class CohereCodec final : public Codec {
 public:
  CohereCodec(const config::AccountConfig& account, const std::string& base_path)
      : account_(account), chat_(base_path + "/chat"), embed_(base_path + "/embed"), rerank_(base_path + "/rerank") {
    const std::string common = "Content-Type: application/json\r\nAuthorization: Bearer " + account.api_key.reveal() +
                               "\r\nX-Client-Name: weir\r\n";
    whole_headers_ = common + "Accept: application/json\r\n";
    stream_headers_ = common + "Accept: text/event-stream\r\n";
  }

  Result<void> encode(const Attempt& attempt, EncodedCall& out) const override;
  std::unique_ptr<ReplyDecoder> decoder(const Attempt& attempt) const override;
  Error classify(int status, const HeaderLookup& header, std::string_view body) const override {
    return classify_answer(status, header, body);
  }

 private:
  config::AccountConfig account_;
  std::string chat_;
  std::string embed_;
  std::string rerank_;
  std::string whole_headers_;
  std::string stream_headers_;
};

Result<void> CohereCodec::encode(const Attempt& attempt, EncodedCall& out) const {
  const CallBody& body = attempt.body;
  out.header_lines = body.stream ? stream_headers_ : whole_headers_;
  if (body.protocol == Protocol::rerank) {
    out.target = rerank_;
    out.header_lines = whole_headers_;
    if (attempt.model == body.model) {
      out.body = {body.json};
      return {};
    }
    const ByteRange at = body.model_value;
    out.body = {body.json.substr(0, at.begin), out.keep(providers::quoted(attempt.model)), body.json.substr(at.end)};
    return {};
  }
  if (body.protocol == Protocol::openai_embeddings) {
    out.target = embed_;
    Refusals refusals(account_);
    auto text = encode_cohere_embed(body.json, attempt.model, refusals);
    if (!text) return std::move(text).error();
    out.body = {out.keep(std::move(*text))};
    return refusals.finish("Cohere", out);
  }
  if (!generates_chat(body.protocol))
    return Error{ErrorKind::bad_request,
                 "gateway",
                 Retry::other_target,
                 400,
                 "Cohere has no " + std::string(to_string(body.protocol)),
                 "unsupported_operation"};
  auto request = attempt.neutral();
  if (!request) return std::move(request).error();
  out.target = chat_;
  auto text = encode_cohere_chat(account_, attempt, **request, out);
  if (!text) return std::move(text).error();
  out.body = {out.keep(std::move(*text))};
  return {};
}

std::unique_ptr<ReplyDecoder> CohereCodec::decoder(const Attempt& attempt) const {
  if (attempt.body.protocol == Protocol::rerank) return make_openai_unary_decoder(attempt.body, attempt.prompt_tokens);
  if (attempt.body.protocol == Protocol::openai_embeddings) return make_cohere_embed_decoder(attempt.body);
  return make_cohere_chat_decoder(attempt.body, attempt.prompt_tokens);
}

// --- embed ----------------------------------------------------------------------------------------------------------

class EmbedDecoder final : public ReplyDecoder {
 public:
  explicit EmbedDecoder(const CallBody& call) : call_(call) {}
  bool native() const override { return true; }
  void feed(std::string_view, ReplyBatch& batch) override {
    batch.error = upstream_fault("the upstream streamed an answer that has no stream");
  }
  void finish(ReplyBatch& batch) override {
    if (!batch.end) batch.error = upstream_fault("the upstream's answer broke off");
  }
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override { return usage_; }

 private:
  const CallBody& call_;
  Usage usage_;
  std::string text_;
};

/// {"embeddings":{"float":[[…]]}} or "base64" as {"object":"list","data":[{"object":"embedding",…}]}.
void EmbedDecoder::whole(std::string_view body, ReplyBatch& batch) {
  Json answer = parse_json(body);
  const auto embeddings = answer.is_object() ? answer.find("embeddings") : answer.end();
  if (!answer.is_object() || embeddings == answer.end() || !embeddings->is_object()) {
    batch.error = upstream_fault("the upstream's answer holds no embeddings");
    return;
  }
  Json data = Json::array();
  for (const char* type : {"float", "base64"}) {
    const auto list = embeddings->find(type);
    if (list == embeddings->end() || !list->is_array()) continue;
    for (size_t i = 0; i < list->size(); ++i) {
      Json one = {{"object", "embedding"}, {"index", i}};
      one["embedding"] = std::move((*list)[i]);
      data.push_back(std::move(one));
    }
    break;
  }
  if (auto error = miscounted_embeddings(call_, data.size())) {
    batch.error = std::move(error);
    return;
  }
  int64_t tokens = 0;
  if (const Json* meta = object_of(answer, "meta"))
    if (const Json* billed = object_of(*meta, "billed_units"); billed != nullptr && billed->contains("input_tokens")) {
      tokens = count_of(*billed, "input_tokens");
      usage_.reported = true;
    }
  if (!usage_.reported) tokens = static_cast<int64_t>(call_.json.size() / 4) + 1;
  usage_.counts.input = tokens;
  const Json usage = {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  text_ = R"({"object":"list","data":)" + data.dump() + R"(,"model":)" + providers::quoted(call_.model) +
          R"(,"usage":)" + usage.dump() + "}";
  batch.segments.push_back({.kind = Segment::Kind::data, .bytes = text_});
  batch.end = true;
}

}  // namespace

Result<std::string> encode_cohere_embed(std::string_view body, std::string_view model, Refusals& refusals) {
  const auto bad = [](const char* param, std::string detail) {
    Error error{ErrorKind::bad_request, "gateway", Retry::other_target, 400, std::move(detail),
                "unsupported_parameter"};
    error.param = param;
    return error;
  };
  Json call = parse_json(body);
  if (!call.is_object()) return bad("", "the request body is not a JSON object");
  Json out = {{"model", std::string(model)}};
  Json texts = Json::array();
  const Json input = call.contains("input") ? call["input"] : Json(nullptr);
  if (input.is_string()) texts.push_back(input);
  if (input.is_array()) texts = input;
  if (texts.empty()) return bad("input", "input: must be a string or an array of strings");
  for (const Json& text : texts)
    if (!text.is_string()) return bad("input", "input: Cohere takes texts, not token ids");
  out["texts"] = std::move(texts);
  const Json asked = call.contains("input_type") ? call["input_type"] : Json(nullptr);
  out["input_type"] = asked.is_string() ? asked : Json("search_document");
  const bool base64 = text_of(call, "encoding_format") == "base64";
  out["embedding_types"] = Json::array({base64 ? "base64" : "float"});
  if (call.contains("dimensions") && call["dimensions"].is_number_integer())
    out["output_dimension"] = call["dimensions"];
  for (const auto& [key, value] : call.items()) {
    const bool ours = key == "model" || key == "input" || key == "input_type" || key == "encoding_format" ||
                      key == "dimensions" || value.is_null();
    if (key == "truncate" || key == "max_tokens" || key == "priority")
      out[key] = value;
    else if (!ours)
      refusals.cannot_say(key);
  }
  return json_text(out);
}

std::unique_ptr<ReplyDecoder> make_cohere_embed_decoder(const CallBody& call) {
  return std::make_unique<EmbedDecoder>(call);
}

std::unique_ptr<Codec> make_cohere_codec(const config::AccountConfig& account, const std::string& base_path) {
  return std::make_unique<CohereCodec>(account, base_path);
}

}  // namespace weir::providers
