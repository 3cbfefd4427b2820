// OpenAI-style embedding calls as InvokeModel calls of Amazon's and Cohere's models, and their answers in OpenAI's
// form. https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
// …-titan-embed-mm.html, …-embed.html (Cohere v3), …-embed-v4.html.
#include <bit>
#include <utility>
#include <vector>

#include "providers/base64.h"
#include "providers/bedrock.h"
#include "providers/json_fields.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

Error bad_input(std::string param, std::string detail) {
  Error error{ErrorKind::bad_request, "gateway", Retry::no, 400, std::move(detail), "invalid_request_error"};
  error.param = std::move(param);
  return error;
}

/// The texts of `input`: one or a list.
Result<std::vector<std::string>> texts_of(const Json& body, Refusals& refusals) {
  std::vector<std::string> texts;
  const auto input = body.find("input");
  if (input == body.end()) return bad_input("input", "input is missing");
  if (input->is_string()) {
    texts.push_back(input->get<std::string>());
    return texts;
  }
  if (!input->is_array() || input->empty()) return bad_input("input", "input must be a text or a list of texts");
  for (const Json& one : *input) {
    if (one.is_string()) {
      texts.push_back(one.get<std::string>());
    } else {
      refusals.must_say("input", "Bedrock takes text, not token numbers");
      break;
    }
  }
  return texts;
}

/// Whether a model is told the field: OpenAI's own, and those of its own that a client may add by name.
bool takes(std::string_view field, const Json& body, std::string_view model) {
  const auto is = [&](std::string_view part) { return model.find(part) != std::string_view::npos; };
  const Json& value = body.at(std::string(field));
  if (field == "model" || field == "input" || field == "dimensions" || field == "encoding_format") return true;
  if (field == "normalize") return is("embed-text-v2") && value.is_boolean();
  if (field == "input_type" || field == "truncate") return is("cohere.embed") && value.is_string();
  return field == "max_tokens" && is("cohere.embed-v4") && value.is_number_integer();
}

Json titan_body(const Json& body, const std::vector<std::string>& texts, std::string_view model, Refusals& refusals) {
  Json out;
  if (texts.size() > 1) refusals.must_say("input", "Titan embeds one text a call");
  out["inputText"] = texts.empty() ? std::string{} : texts[0];
  const auto dimensions = body.find("dimensions");
  const bool given = dimensions != body.end() && !dimensions->is_null();
  if (model.find("embed-text-v2") != std::string_view::npos) {
    if (given) out["dimensions"] = *dimensions;
    const auto normalize = body.find("normalize");
    out["normalize"] = normalize != body.end() && normalize->is_boolean() ? *normalize : Json(true);  // as OpenAI's are
  } else if (model.find("embed-image") != std::string_view::npos) {
    if (given) out["embeddingConfig"]["outputEmbeddingLength"] = *dimensions;
  } else if (given) {
    refusals.must_say("dimensions", "this model has one size only");
  }
  return out;
}

Json cohere_body(const Json& body, const std::vector<std::string>& texts, std::string_view model, Refusals& refusals) {
  Json out;
  out["texts"] = texts;
  const std::string type = text_of(body, "input_type");
  out["input_type"] = type.empty() ? "search_document" : type;
  out["embedding_types"] = Json::array({"float"});
  if (const auto dimensions = body.find("dimensions"); dimensions != body.end() && !dimensions->is_null()) {
    if (model.find("embed-v4") != std::string_view::npos)
      out["output_dimension"] = *dimensions;
    else
      refusals.must_say("dimensions", "this model has one size only");
  }
  if (const std::string truncate = text_of(body, "truncate"); !truncate.empty()) out["truncate"] = truncate;
  if (body.contains("max_tokens") && takes("max_tokens", body, model)) out["max_tokens"] = body["max_tokens"];
  return out;
}

/// Little-endian float32s in base64: what OpenAI's own client libraries ask for.
std::string packed(const Json& vector) {
  std::string bytes;
  for (const Json& number : vector) {
    const auto value = number.is_number() ? static_cast<float>(number.get<double>()) : 0.0F;
    const auto word = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(word >> shift & 0xFF));
  }
  return encode_base64(bytes);
}

class EmbeddingDecoder final : public ReplyDecoder {
 public:
  explicit EmbeddingDecoder(const Attempt& attempt)
      : call_(attempt.body),
        model_(attempt.body.model),
        input_estimate_(static_cast<int64_t>(attempt.body.json.size() / 4) + 1) {
    base64_ = string_after(attempt.body.json, "\"encoding_format\"") == "base64";
  }
  bool native() const override { return true; }
  void feed(std::string_view, ReplyBatch& batch) override {
    batch.error = upstream_fault("embeddings came as a stream");
  }
  void finish(ReplyBatch& batch) override { batch.error = upstream_fault("embeddings came as a stream"); }
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override {
    Usage usage = usage_;
    if (!usage.reported) usage.counts.input = input_estimate_;
    return usage;
  }

 private:
  void add(const Json& vector, Json& data) const;

  const CallBody& call_;
  std::string model_;
  int64_t input_estimate_;
  bool base64_ = false;
  Usage usage_;
  std::string text_;
};

void EmbeddingDecoder::add(const Json& vector, Json& data) const {
  Json one;
  one["object"] = "embedding";
  one["index"] = data.size();
  one["embedding"] = base64_ ? Json(packed(vector)) : vector;
  data.push_back(std::move(one));
}

void EmbeddingDecoder::whole(std::string_view body, ReplyBatch& batch) {
  const Json answer = bedrock_json(body);
  Json data = Json::array();
  if (answer.is_object()) {
    const Json* typed = object_of(answer, "embeddings");
    const Json* list = typed != nullptr ? array_of(*typed, "float") : array_of(answer, "embeddings");
    if (const Json* single = array_of(answer, "embedding"))
      add(*single, data);
    else if (list != nullptr)
      for (const Json& vector : *list)
        if (vector.is_array()) add(vector, data);
    const auto tokens = answer.find("inputTextTokenCount");
    if (tokens != answer.end() && tokens->is_number_integer() && tokens->get<int64_t>() >= 0 &&
        tokens->get<int64_t>() <= kPlausibleTokensMax) {
      usage_.counts.input = tokens->get<int64_t>();
      usage_.reported = true;
    }
  }
  if (data.empty()) {
    batch.error = upstream_fault("the upstream's answer has no embeddings");
    return;
  }
  if (auto error = miscounted_embeddings(call_, data.size())) {
    batch.error = std::move(error);
    return;
  }
  Json out;
  out["object"] = "list";
  out["data"] = std::move(data);
  out["model"] = model_;
  const int64_t input = usage().counts.input;
  out["usage"]["prompt_tokens"] = input;
  out["usage"]["total_tokens"] = input;
  text_ = json_text(out);
  batch.segments.push_back({Segment::Kind::data, text_});
  batch.end = true;
}

}  // namespace

Result<std::string> bedrock_embedding_body(const Attempt& attempt, Refusals& refusals) {
  const std::string_view model = attempt.model;
  const bool titan = model.find("titan-embed") != std::string_view::npos;
  const bool cohere = model.find("cohere.embed") != std::string_view::npos;
  if (!titan && !cohere)
    return Error{ErrorKind::bad_request,
                 "gateway",
                 Retry::other_target,
                 400,
                 "on Bedrock, embeddings are made by Titan's and Cohere's embedding models",
                 "unsupported_operation"};
  const Json body = parse_json(attempt.body.json);
  if (!body.is_object()) return bad_input("", "the body must be a JSON object");
  auto texts = texts_of(body, refusals);
  if (!texts) return std::move(texts).error();
  const Json* format = member_of(body, "encoding_format");
  if (format != nullptr && *format != "float" && *format != "base64")
    return bad_input("encoding_format", "encoding_format: must be float or base64");
  for (const auto& [field, value] : body.items()) {
    const bool nothing = value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty());
    if (!nothing && !takes(field, body, model)) refusals.cannot_say(field);
  }
  const Json out = titan ? titan_body(body, *texts, model, refusals) : cohere_body(body, *texts, model, refusals);
  return json_text(out);
}

std::unique_ptr<ReplyDecoder> make_bedrock_embedding_decoder(const Attempt& attempt) {
  return std::make_unique<EmbeddingDecoder>(attempt);
}

}  // namespace weir::providers
