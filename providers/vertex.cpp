#include "providers/vertex.h"

#include "providers/anthropic.h"
#include "providers/classify.h"
#include "providers/gemini.h"
#include "providers/json_text.h"

namespace weir::providers {
namespace {

constexpr std::string_view kGlobal = "global";

enum class Publisher : uint8_t { google, anthropic, other };

struct Named {
  Publisher publisher = Publisher::google;
  std::string_view model;  // without the publisher
  bool endpoint = false;   // "endpoints/123": a tuned model of the project's own
};

/// "anthropic/claude-sonnet-4-5", "claude-sonnet-4-5@20250929", "publishers/google/models/gemini-2.5-pro", …
Named named(std::string_view name) {
  Named out;
  out.endpoint = name.starts_with("endpoints/");
  if (name.starts_with("publishers/")) name.remove_prefix(11);
  out.model = name;
  if (const size_t slash = name.find('/'); slash != std::string_view::npos && !out.endpoint) {
    const std::string_view publisher = name.substr(0, slash);
    out.model = name.substr(slash + 1);
    if (out.model.starts_with("models/")) out.model.remove_prefix(7);
    if (publisher == "anthropic")
      out.publisher = Publisher::anthropic;
    else if (publisher != "google" && publisher != "models")
      out.publisher = Publisher::other;
  } else if (name.starts_with("claude")) {
    out.publisher = Publisher::anthropic;
  }
  return out;
}

std::string option_of(const config::AccountConfig& account, const char* key) {
  const auto found = account.options.find(key);
  return found == account.options.end() ? std::string() : found->second;
}

class VertexCodec final : public Codec {
 public:
  VertexCodec(const config::AccountConfig& account, const std::string& base_path)
      : account_(account), base_(base_path), versioned_(has_api_version(base_path)) {
    const std::string project = option_of(account, "project");
    std::string location = option_of(account, "location");
    if (location.empty()) location = kGlobal;
    if (!project.empty()) place_ = "/projects/" + model_path(project) + "/locations/" + model_path(location);
    if (const auto token = account.secrets.find("access_token"); token != account.secrets.end())
      credential_ = "Authorization: Bearer " + token->second.reveal() + "\r\n";
    else if (!account.api_key.empty())
      credential_ = "x-goog-api-key: " + account.api_key.reveal() + "\r\n";
    // https://cloud.google.com/docs/quotas/set-quota-project: whom a user's own credentials are billed to.
    if (const std::string payer = option_of(account, "quota_project"); !payer.empty())
      payer_ = "x-goog-user-project: " + model_path(payer) + "\r\n";
  }

  Result<void> encode(const Attempt& attempt, EncodedCall& out) const override;
  std::unique_ptr<ReplyDecoder> decoder(const Attempt& attempt) const override;
  Error classify(int status, const HeaderLookup& header, std::string_view body) const override {
    return classify_google(status, header, body);
  }

 private:
  Result<void> gemini(const Attempt& attempt, const Named& model, EncodedCall& out) const;
  Result<void> count(const Attempt& attempt, const Named& model, EncodedCall& out) const;
  Result<void> embed(const Attempt& attempt, const Named& model, EncodedCall& out) const;
  Result<void> claude(const Attempt& attempt, const Named& model, EncodedCall& out) const;
  void address(const Named& model, std::string_view method, bool events, std::string_view more, EncodedCall& out) const;

  const config::AccountConfig account_;
  std::string base_;
  bool versioned_;
  std::string place_;       // "/projects/P/locations/L", or empty with an API key
  std::string credential_;  // header line
  std::string payer_;       // header line, or empty
};

void VertexCodec::address(const Named& model, std::string_view method, bool events, std::string_view more,
                          EncodedCall& out) const {
  const bool anthropic = model.publisher == Publisher::anthropic;
  std::string target = base_;
  if (!versioned_) target += anthropic ? "/v1" : "/v1beta1";
  target += place_;
  if (!model.endpoint) target += anthropic ? "/publishers/anthropic/models" : "/publishers/google/models";
  target += "/" + model_path(model.model) + ":" + std::string(method);
  out.target = out.keep(std::move(target));
  std::string headers = "Content-Type: application/json\r\n";
  if (!out.credential.empty())
    headers += "Authorization: Bearer " + std::string(out.credential) + "\r\n";
  else
    headers += credential_;
  headers += payer_;
  headers += events ? "Accept: text/event-stream\r\n" : "Accept: application/json\r\n";
  headers += more;
  out.header_lines = out.keep(std::move(headers));
}

Result<void> VertexCodec::gemini(const Attempt& attempt, const Named& model, EncodedCall& out) const {
  const CallBody& body = attempt.body;
  const bool native = body.protocol == Protocol::gemini_generate;
  const bool events = body.stream && (!native || body.sse);
  std::string method = body.stream ? "streamGenerateContent" : "generateContent";
  if (events) method += "?alt=sse";
  if (native) {
    address(model, method, events, "", out);
    pass_gemini(body, attempt.output_tokens_cap, out);
    return {};
  }
  const auto request = attempt.neutral();
  if (!request) return request.error();
  const ChatRequest& neutral = **request;
  Refusals refusals(account_);
  const Json json = encode_gemini(neutral, gemini_model(model.model, true), attempt.output_tokens_cap, refusals);
  // https://cloud.google.com/vertex-ai/generative-ai/docs/flex-paygo, …/priority-paygo
  const bool tiered = neutral.service_tier == "flex" || neutral.service_tier == "priority";
  const std::string tier =
      tiered ? "X-Vertex-AI-LLM-Shared-Request-Type: " + neutral.service_tier + "\r\n" : std::string();
  address(model, method, events, tier, out);
  out.body.push_back(out.keep(json_text(json)));
  return refusals.finish("Gemini", out);
}

Result<void> VertexCodec::count(const Attempt& attempt, const Named& model, EncodedCall& out) const {
  const auto request = attempt.neutral();
  if (!request) return request.error();
  Refusals refusals(account_);
  Json json = encode_gemini(**request, gemini_model(model.model, true), {}, refusals);
  for (const char* unknown : {"toolConfig", "labels", "safetySettings", "cachedContent"}) json.erase(unknown);
  address(model, "countTokens", false, "", out);
  out.body.push_back(out.keep(json_text(json)));
  return refusals.finish("Gemini", out);
}

/// gemini-embedding-001 and the older models answer predict; what came after them embedContent, one text a call.
Result<void> VertexCodec::embed(const Attempt& attempt, const Named& model, EncodedCall& out) const {
  const bool content = model.model.starts_with("gemini-embedding-") && !model.model.starts_with("gemini-embedding-0");
  Refusals refusals(account_);
  auto body =
      encode_gemini_embedding(attempt, content ? GeminiEmbedding::content : GeminiEmbedding::instances, refusals);
  if (!body) return std::move(body).error();
  address(model, content ? "embedContent" : "predict", false, "", out);
  out.body.push_back(out.keep(std::move(*body)));
  return refusals.finish("Vertex AI", out);
}

/// The count of a prompt for Claude is a model of its own, count-tokens, and names the real one in the body.
Result<void> VertexCodec::claude(const Attempt& attempt, const Named& model, EncodedCall& out) const {
  const bool counts = attempt.body.protocol == Protocol::anthropic_count;
  const bool events = attempt.body.stream && !counts;
  Named where = model;
  if (counts) where.model = "count-tokens";
  std::string beta;
  Refusals refusals(account_);
  if (speaks_anthropic(attempt.body.protocol)) {
    Attempt bare = attempt;
    bare.model = model.model;
    beta = anthropic_pass(bare, AnthropicHost::vertex, out);
  } else {
    const auto request = attempt.neutral();
    if (!request) return request.error();
    auto body = anthropic_body(**request, attempt, AnthropicHost::vertex, refusals);
    if (!body) return std::move(body).error();
    beta = std::move(body->beta);
    out.body.push_back(out.keep(std::move(body->json)));
  }
  const std::string more = beta.empty() ? std::string() : "anthropic-beta: " + beta + "\r\n";
  address(where, events ? "streamRawPredict" : "rawPredict", events, more, out);
  return refusals.finish("Anthropic", out);
}

Result<void> VertexCodec::encode(const Attempt& attempt, EncodedCall& out) const {
  const Protocol protocol = attempt.body.protocol;
  const Named model = named(attempt.model);
  const bool chat = generates_chat(protocol);
  if (model.publisher == Publisher::anthropic && (chat || protocol == Protocol::anthropic_count))
    return claude(attempt, model, out);
  if (model.publisher == Publisher::google) {
    if (chat) return gemini(attempt, model, out);
    if (protocol == Protocol::anthropic_count) return count(attempt, model, out);
    if (protocol == Protocol::openai_embeddings) return embed(attempt, model, out);
  }
  return unsupported_call("Vertex AI (" + std::string(attempt.model) + ")", protocol);
}

std::unique_ptr<ReplyDecoder> VertexCodec::decoder(const Attempt& attempt) const {
  if (named(attempt.model).publisher == Publisher::anthropic) return make_anthropic_decoder(attempt);
  return make_gemini_reply_decoder(attempt);
}

}  // namespace

std::string vertex_url(const config::AccountConfig& account) {
  const std::string location = option_of(account, "location");
  if (location.empty() || location == kGlobal) return std::string(kVertexUrl);
  // Whole continents have hosts of their own.
  if (location == "us" || location == "eu") return "https://aiplatform." + location + ".rep.googleapis.com";
  return "https://" + location + "-aiplatform.googleapis.com";
}

std::unique_ptr<Codec> make_vertex_codec(const config::AccountConfig& account, const std::string& base_path) {
  return std::make_unique<VertexCodec>(account, base_path);
}

}  // namespace weir::providers
