#include "providers/gemini.h"

#include <algorithm>

#include "providers/classify.h"
#include "providers/gemini_contents.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"
#include "providers/native_item.h"
#include "providers/net/percent.h"
#include "providers/refusals.h"

namespace weir::providers {
namespace {

using simdjson::SUCCESS;

class GeminiCodec final : public Codec {
 public:
  GeminiCodec(const config::AccountConfig& account, const std::string& base_path)
      : account_(account), base_(has_api_version(base_path) ? base_path : base_path + "/v1beta") {
    headers_ = "Content-Type: application/json\r\n";
    if (!account.api_key.empty()) headers_ += "x-goog-api-key: " + account.api_key.reveal() + "\r\n";
    whole_headers_ = headers_ + "Accept: application/json\r\n";
    stream_headers_ = headers_ + "Accept: text/event-stream\r\n";
  }

  Result<void> encode(const Attempt& attempt, EncodedCall& out) const override;
  std::unique_ptr<ReplyDecoder> decoder(const Attempt& attempt) const override;
  Error classify(int status, const HeaderLookup& header, std::string_view body) const override {
    return classify_google(status, header, body);
  }

 private:
  Result<void> generate(const Attempt& attempt, EncodedCall& out) const;
  Result<void> count(const Attempt& attempt, EncodedCall& out) const;
  Result<void> embed(const Attempt& attempt, EncodedCall& out) const;
  std::string target(const Attempt& attempt, std::string_view method) const {
    const std::string_view model = attempt.model;
    const bool placed = model.starts_with("models/") || model.starts_with("tunedModels/");
    return base_ + (placed ? "/" : "/models/") + model_path(model) + ":" + std::string(method);
  }

  const config::AccountConfig account_;
  std::string base_;
  std::string headers_;
  std::string whole_headers_;
  std::string stream_headers_;
};

Result<void> GeminiCodec::generate(const Attempt& attempt, EncodedCall& out) const {
  const CallBody& body = attempt.body;
  const bool native = body.protocol == Protocol::gemini_generate;
  const bool events = body.stream && (!native || body.sse);
  std::string method = body.stream ? "streamGenerateContent" : "generateContent";
  if (events) method += "?alt=sse";
  out.target = out.keep(target(attempt, method));
  out.header_lines = events ? stream_headers_ : whole_headers_;
  if (native) {
    pass_gemini(body, attempt.output_tokens_cap, out);
    return {};
  }
  const auto request = attempt.neutral();
  if (!request) return request.error();
  Refusals refusals(account_);
  const Json json = encode_gemini(**request, gemini_model(attempt.model, false), attempt.output_tokens_cap, refusals);
  out.body.push_back(out.keep(json_text(json)));
  return refusals.finish("Gemini", out);
}

Result<void> GeminiCodec::count(const Attempt& attempt, EncodedCall& out) const {
  const auto request = attempt.neutral();
  if (!request) return request.error();
  Refusals refusals(account_);
  Json inner = {{"model", "models/" + std::string(attempt.model)}};
  inner.update(encode_gemini(**request, gemini_model(attempt.model, false), {}, refusals));
  const Json json = {{"generateContentRequest", std::move(inner)}};
  out.target = out.keep(target(attempt, "countTokens"));
  out.header_lines = whole_headers_;
  out.body.push_back(out.keep(json_text(json)));
  return refusals.finish("Gemini", out);
}

Result<void> GeminiCodec::embed(const Attempt& attempt, EncodedCall& out) const {
  Refusals refusals(account_);
  auto body = encode_gemini_embedding(attempt, GeminiEmbedding::batch, refusals);
  if (!body) return std::move(body).error();
  out.target = out.keep(target(attempt, "batchEmbedContents"));
  out.header_lines = whole_headers_;
  out.body.push_back(out.keep(std::move(*body)));
  return refusals.finish("Gemini", out);
}

Result<void> GeminiCodec::encode(const Attempt& attempt, EncodedCall& out) const {
  const Protocol protocol = attempt.body.protocol;
  if (generates_chat(protocol)) return generate(attempt, out);
  if (protocol == Protocol::openai_embeddings) return embed(attempt, out);
  if (protocol == Protocol::anthropic_count) return count(attempt, out);
  return unsupported_call("Gemini", protocol);
}

std::unique_ptr<ReplyDecoder> GeminiCodec::decoder(const Attempt& attempt) const {
  return make_gemini_reply_decoder(attempt);
}

/// Offset behind the brace that opens generationConfig, or npos.
size_t generation_config_open(std::string_view json) {
  PaddedJson& padded = padded_json();
  od::object root;
  if (!padded.parse(json) || padded.document.get_object().get(root) != SUCCESS) return std::string_view::npos;
  for (auto member : root) {
    std::string_view key;
    od::value value;
    if (member.unescaped_key().get(key) != SUCCESS || member.value().get(value) != SUCCESS) break;
    if (key != "generationConfig" && key != "generation_config") continue;
    const std::string_view token = value.raw_json_token();
    if (!token.starts_with("{")) break;
    return static_cast<size_t>(token.data() - padded.text.data()) + 1;
  }
  return std::string_view::npos;
}

/// Does the text end with the key of a signature and its colon? A file may begin with the same letters.
bool follows_signature_key(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto without_blanks = [&] { text = text.substr(0, text.find_last_not_of(kBlank) + 1); };
  without_blanks();
  if (!text.ends_with(':')) return false;
  text.remove_suffix(1);
  without_blanks();
  return text.ends_with("\"thoughtSignature\"") || text.ends_with("\"thought_signature\"");
}

/// Where a string begins that is another family's signature as gateway/api/gemini_fields.h gives it to clients: base64
/// of "weir:…" or "weir-redacted:…". npos: none.
size_t foreign_signature(std::string_view text, size_t from) {
  for (size_t at = from; (at = text.find("\"d2Vpc", at)) != std::string_view::npos; ++at) {
    const std::string_view value = text.substr(at);
    const bool ours = value.starts_with("\"d2Vpcjp") || value.starts_with("\"d2Vpci1");
    if (ours && follows_signature_key(text.substr(0, at))) return at;
  }
  return std::string_view::npos;
}

/// Gemini refuses a signature that it did not make; this word takes its place, as Google's documentation says.
void replace_foreign_signatures(EncodedCall& out) {
  std::vector<std::string_view> pieces;
  bool any = false;
  for (std::string_view piece : out.body) {
    for (size_t at = foreign_signature(piece, 0); at != std::string_view::npos; at = foreign_signature(piece, 0)) {
      const size_t end = piece.find('"', at + 1);
      if (end == std::string_view::npos) break;
      pieces.push_back(piece.substr(0, at + 1));
      pieces.push_back(kNoSignature);
      piece.remove_prefix(end);
      any = true;
    }
    pieces.push_back(piece);
  }
  if (any) out.drop(kReasoningOfOthers);
  out.body = std::move(pieces);
}

void pass_members(const CallBody& body, std::optional<int64_t> cap, EncodedCall& out) {
  const std::string_view json = body.json;
  if (!cap) {
    out.body.push_back(json);
    return;
  }
  const auto put = [&](size_t begin, size_t end, std::string text) {
    out.body.push_back(json.substr(0, begin));
    out.body.push_back(out.keep(std::move(text)));
    out.body.push_back(json.substr(end));
  };
  const std::string number = std::to_string(*cap);
  if (!body.max_tokens_value.empty()) return put(body.max_tokens_value.begin, body.max_tokens_value.end, number);
  size_t at = generation_config_open(json);
  const bool inside = at != std::string_view::npos;
  if (!inside) at = std::max<size_t>(body.object_open, json.find('{') + 1);
  const size_t next = json.find_first_not_of(" \t\r\n", at);
  const bool last = next != std::string_view::npos && json[next] == '}';
  std::string text = "\"maxOutputTokens\":" + number;
  if (!inside) text = "\"generationConfig\":{" + text + "}";
  put(at, at, text + (last ? "" : ","));
}

}  // namespace

std::unique_ptr<ReplyDecoder> make_gemini_reply_decoder(const Attempt& attempt) {
  switch (attempt.body.protocol) {
    case Protocol::gemini_generate:
      return make_gemini_native_decoder(attempt);
    case Protocol::openai_embeddings:
      return make_gemini_embedding_decoder(attempt);
    case Protocol::anthropic_count:
      return make_gemini_count_decoder(attempt);
    default:
      return make_gemini_decoder(attempt);
  }
}

void pass_gemini(const CallBody& body, std::optional<int64_t> cap, EncodedCall& out) {
  const bool foreign = foreign_signature(body.json, 0) != std::string_view::npos;
  // An item comes back as one, or as the signature of a thought.
  auto items = body.items || foreign ? with_own_items(body.json, Protocol::gemini_generate, "gemini") : std::nullopt;
  if (items && items->left_out) out.drop(kItemsOfOthers);
  const auto marked = items ? mark_call(body.protocol, out.keep(std::move(items->json))) : Result<CallBody>(CallBody());
  pass_members(items && marked ? *marked : body, cap, out);
  if (foreign) replace_foreign_signatures(out);
}

Error classify_google(int status, const HeaderLookup& header, std::string_view body) {
  // A streaming call's error may come as its one event.
  if (body.starts_with("data:")) {
    body.remove_prefix(5);
    body = body.substr(0, body.find("\n\n"));
  }
  Error error = classify_answer(status, header, body);
  // FAILED_PRECONDITION speaks of the account: its country, its billing.
  if (error.code == "FAILED_PRECONDITION") {
    error.kind = ErrorKind::permission;
    error.retry = Retry::other_target;
  }
  error.retry = error.kind == ErrorKind::permission ? Retry::other_target : retry_of(error.kind);
  return error;
}

std::string model_path(std::string_view model) {
  return percent_encoded(model, "/@:");
}

bool has_api_version(std::string_view base_path) {
  const std::string_view last = base_path.substr(base_path.rfind('/') + 1);
  return last.size() >= 2 && last[0] == 'v' && last[1] >= '1' && last[1] <= '9';
}

Error unsupported_call(std::string_view upstream, Protocol protocol) {
  Error error{ErrorKind::bad_request,
              "gateway",
              Retry::other_target,
              400,
              std::string(upstream) + " has no call for " + std::string(to_string(protocol)),
              "unsupported_operation"};
  error.param = "model";
  return error;
}

std::unique_ptr<Codec> make_gemini_codec(const config::AccountConfig& account, const std::string& base_path) {
  return std::make_unique<GeminiCodec>(account, base_path);
}

}  // namespace weir::providers
