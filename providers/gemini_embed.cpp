// Embeddings in OpenAI's protocol and token counts in Anthropic's, both of whose answers are made here in the client's
// shape, since the neutral language has no words for them.
#include <bit>
#include <cstring>

#include "providers/base64.h"
#include "providers/gemini.h"
#include "providers/gemini_wire.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"
#include "providers/reply_parts.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

constexpr size_t kInputsMax = 2048;  // as OpenAI's

Error bad_input(std::string param, std::string detail) {
  Error error{ErrorKind::bad_request, "request", Retry::no, 400, std::move(detail), "invalid_request_error"};
  error.param = std::move(param);
  return error;
}

/// `input`: a text or several. Tokens have no meaning beyond one tokenizer.
Result<std::vector<std::string>> inputs_of(const Json& call, Refusals& refusals) {
  const auto found = call.find("input");
  if (found == call.end()) return bad_input("input", "input: is missing");
  std::vector<std::string> texts;
  if (found->is_string()) texts.push_back(found->get<std::string>());
  if (found->is_array())
    for (const Json& one : *found) {
      if (one.is_string())
        texts.push_back(one.get<std::string>());
      else if (one.is_number_integer() || one.is_array())
        return (refusals.must_say("input", "token numbers mean something only to OpenAI's tokenizers"), texts);
      else
        return bad_input("input", "input: must be a string or an array of strings");
    }
  if (texts.empty() || texts.size() > kInputsMax)
    return bad_input("input", "input: must be a string or an array of 1 to 2048 strings");
  return texts;
}

/// What OpenAI's field says in each of the three forms, and Google's own fields, which clients add by name.
struct Wishes {
  Json dimensions;
  Json task_type;
  Json title;
  bool base64 = false;
};

Result<Wishes> wishes_of(const Json& call, Refusals& refusals) {
  Wishes wishes;
  for (const auto& [key, value] : call.items()) {
    if (key == "model" || key == "input" || value.is_null()) continue;
    if (key == "dimensions") {
      if (!value.is_number_integer() || value.get<int64_t>() < 1)
        return bad_input(key, "dimensions: must be an integer ≥ 1");
      wishes.dimensions = value;
    } else if (key == "encoding_format") {
      if (value != "float" && value != "base64") return bad_input(key, "encoding_format: must be float or base64");
      wishes.base64 = value == "base64";
    } else if (key == "taskType" || key == "task_type") {
      wishes.task_type = value;
    } else if (key == "title") {
      wishes.title = value;
    } else {
      refusals.cannot_say(key);
    }
  }
  return wishes;
}

class EmbeddingDecoder final : public ReplyDecoder {
 public:
  explicit EmbeddingDecoder(const Attempt& attempt) : call_(attempt.body), model_(attempt.body.model) {
    const Json call = parse_json(attempt.body.json);
    base64_ = call.is_object() && call.value("encoding_format", Json()) == "base64";
    size_t bytes = 0;
    if (call.is_object() && call.contains("input")) bytes = json_text(call["input"]).size();
    usage_.counts.input = static_cast<int64_t>(bytes / 4 + 1);
  }
  bool native() const override { return true; }
  void feed(std::string_view, ReplyBatch& batch) override { batch.error = upstream_fault("embeddings are no stream"); }
  void finish(ReplyBatch& batch) override { feed({}, batch); }
  void whole(std::string_view body, ReplyBatch& batch) override;
  Usage usage() const override { return usage_; }

 private:
  bool add(dom::object embedding);
  bool add_all(dom::object answer);
  void read_usage(dom::object answer);

  const CallBody& call_;
  std::string model_;
  bool base64_ = false;
  Usage usage_;  // an estimate until the answer tells
  int64_t count_ = 0;
  std::string out_;
};

/// {"values":[…]} as one entry of OpenAI's list.
bool EmbeddingDecoder::add(dom::object embedding) {
  dom::array values;
  if (embedding["values"].get(values) != SUCCESS) return false;
  if (count_ > 0) out_ += ",";
  out_ += R"({"object":"embedding","index":)" + std::to_string(count_++) + R"(,"embedding":)";
  if (!base64_) {
    out_ += simdjson::to_string(values) + "}";
    return true;
  }
  // Single precision, least byte first, as OpenAI's.
  static_assert(std::endian::native == std::endian::little);
  std::string bytes;
  bytes.reserve(values.size() * sizeof(float));
  for (const dom::element value : values) {
    double number = 0;
    if (value.get(number) != SUCCESS) return false;
    const auto single = static_cast<float>(number);
    char four[sizeof(float)];
    std::memcpy(four, &single, sizeof(float));
    bytes.append(four, sizeof(float));
  }
  out_ += "\"" + encode_base64(bytes) + "\"}";
  return true;
}

/// {"embeddings":[…]}, {"embedding":…} of the Gemini API; {"predictions":[{"embeddings":…}]} of Vertex AI's predict.
bool EmbeddingDecoder::add_all(dom::object answer) {
  dom::array list;
  dom::object one;
  if (answer["embedding"].get(one) == SUCCESS) return add(one);
  const bool predictions = answer["predictions"].get(list) == SUCCESS;
  if (!predictions && answer["embeddings"].get(list) != SUCCESS) return false;
  for (const dom::element element : list) {
    if (element.get(one) != SUCCESS) return false;
    if (predictions && one["embeddings"].get(one) != SUCCESS) return false;
    if (!add(one)) return false;
  }
  return true;
}

void EmbeddingDecoder::read_usage(dom::object answer) {
  dom::object usage;
  dom::array predictions;
  int64_t tokens = 0;
  if (answer["usageMetadata"].get(usage) == SUCCESS && usage["promptTokenCount"].get(tokens) == SUCCESS) {
    usage_.reported = true;
  } else if (answer["predictions"].get(predictions) == SUCCESS) {
    for (const dom::element element : predictions) {
      double count = 0;  // Vertex AI writes these as 7.0
      if (element["embeddings"]["statistics"]["token_count"].get(count) != SUCCESS) return;
      tokens += static_cast<int64_t>(std::min(std::max(count, 0.0), 1e12));
    }
    usage_.reported = true;
  }
  if (usage_.reported) usage_.counts.input = std::max<int64_t>(tokens, 0);
}

void EmbeddingDecoder::whole(std::string_view body, ReplyBatch& batch) {
  dom::element root;
  dom::object answer;
  if (!parse_gemini(body, root) || root.get(answer) != SUCCESS) {
    batch.error = upstream_fault("the upstream's answer is not a JSON object");
    return;
  }
  out_ = R"({"object":"list","data":[)";
  if (!add_all(answer)) {
    batch.error = upstream_fault("the upstream's answer holds no embeddings");
    return;
  }
  if (auto error = miscounted_embeddings(call_, static_cast<size_t>(count_))) {
    batch.error = std::move(error);
    return;
  }
  read_usage(answer);
  const std::string tokens = std::to_string(usage_.counts.input);
  out_ += R"(],"model":)" + ::weir::providers::quoted(model_) + R"(,"usage":{"prompt_tokens":)" + tokens +
          R"(,"total_tokens":)" + tokens + "}}";
  batch.segments.push_back({Segment::Kind::data, out_});
  batch.end = true;
}

/// Free of charge: nothing is used.
class CountDecoder final : public ReplyDecoder {
 public:
  bool native() const override { return true; }
  void feed(std::string_view, ReplyBatch& batch) override { batch.error = upstream_fault("a count is no stream"); }
  void finish(ReplyBatch& batch) override { feed({}, batch); }
  void whole(std::string_view body, ReplyBatch& batch) override {
    dom::element root;
    int64_t total = 0;
    if (!parse_gemini(body, root) || !root.is_object() || root["totalTokens"].get(total) != SUCCESS) {
      batch.error = upstream_fault("the upstream's answer holds no token count");
      return;
    }
    out_ = R"({"input_tokens":)" + std::to_string(total) + "}";
    batch.segments.push_back({Segment::Kind::data, out_});
    batch.end = true;
  }
  Usage usage() const override {
    Usage usage;
    usage.reported = true;
    return usage;
  }

 private:
  std::string out_;
};

}  // namespace

Result<std::string> encode_gemini_embedding(const Attempt& attempt, GeminiEmbedding form, Refusals& refusals) {
  const Json call = parse_json(attempt.body.json);
  if (!call.is_object()) return bad_input("", "the request body is not a JSON object");
  auto texts = inputs_of(call, refusals);
  if (!texts) return std::move(texts).error();
  auto wishes = wishes_of(call, refusals);
  if (!wishes) return std::move(wishes).error();
  if (form == GeminiEmbedding::content && texts->size() > 1)
    refusals.must_say("input", "this model takes one text a call");
  Json body = Json::object();
  const auto content_of = [](const std::string& text) {
    Json content = Json::object();
    content["parts"].push_back({{"text", text}});
    return content;
  };
  const auto wish = [](Json& to, const char* key, const Json& value) {
    if (!value.is_null()) to[key] = value;
  };
  for (const std::string& text : *texts) {
    if (form == GeminiEmbedding::instances) {
      Json instance = {{"content", text}};
      wish(instance, "task_type", wishes->task_type);
      wish(instance, "title", wishes->title);
      body["instances"].push_back(std::move(instance));
      continue;
    }
    Json one = Json::object();
    if (form == GeminiEmbedding::batch) one["model"] = "models/" + std::string(attempt.model);
    one["content"] = content_of(text);
    wish(one, "taskType", wishes->task_type);
    wish(one, "title", wishes->title);
    wish(one, "outputDimensionality", wishes->dimensions);
    if (form == GeminiEmbedding::batch)
      body["requests"].push_back(std::move(one));
    else
      body = std::move(one);
  }
  if (form == GeminiEmbedding::instances && !wishes->dimensions.is_null())
    body["parameters"]["outputDimensionality"] = wishes->dimensions;
  return json_text(body);
}

std::unique_ptr<ReplyDecoder> make_gemini_embedding_decoder(const Attempt& attempt) {
  return std::make_unique<EmbeddingDecoder>(attempt);
}

std::unique_ptr<ReplyDecoder> make_gemini_count_decoder(const Attempt&) {
  return std::make_unique<CountDecoder>();
}

}  // namespace weir::providers
