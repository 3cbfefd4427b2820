// The bedrock codec: which operation a call becomes, its path, its signature. Bodies are in bedrock_encode.cpp and
// bedrock_embeddings.cpp, answers in bedrock_decode.cpp and bedrock_invoke.cpp.
#include "providers/bedrock.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "providers/anthropic.h"
#include "providers/base64.h"
#include "providers/classify.h"
#include "providers/json_text.h"
#include "providers/net/http_client.h"
#include "providers/net/percent.h"
#include "providers/net/sigv4.h"

namespace weir::providers {
namespace {

/// What a call becomes at the service.
enum class Operation : uint8_t { converse, invoke_claude, count, embed, none };

Operation operation_of(const Attempt& attempt) {
  const bool claude = bedrock_family(attempt.model) == BedrockFamily::claude;
  switch (attempt.body.protocol) {
    case Protocol::anthropic_messages:
      return claude ? Operation::invoke_claude : Operation::converse;
    case Protocol::anthropic_count:
      return Operation::count;
    case Protocol::openai_embeddings:
      return Operation::embed;
    default:
      return generates_chat(attempt.body.protocol) ? Operation::converse : Operation::none;
  }
}

/// CountTokens knows foundation models, not the inference profiles that stand before them ("us.anthropic.…").
std::string_view foundation_model(std::string_view model) {
  for (const std::string_view prefix : {"us.", "eu.", "apac.", "jp.", "au.", "ca.", "us-gov.", "global."})
    if (model.starts_with(prefix)) return model.substr(prefix.size());
  return model;
}

/// A Messages body whose tokens are to be counted, as InvokeModel takes it. That requires max_tokens, over any budget
/// to think with; it is not counted.
std::string counted_body(const Attempt& attempt, EncodedCall& out) {
  anthropic_pass(attempt, AnthropicHost::bedrock, out);
  std::string limit;
  std::string thinking;
  std::string body = without_members(
      out.body.back(), {"max_tokens", "thinking"},
      [&](std::string_view name, std::string_view value) { (name == "thinking" ? thinking : limit) = value; });
  out.body.clear();
  const Json asked = thinking.empty() ? Json() : parse_json(thinking);
  int64_t budget = 0;
  if (asked.is_object() && asked.value("budget_tokens", Json()).is_number_integer())
    budget = std::clamp<int64_t>(asked["budget_tokens"].get<int64_t>(), 0, INT32_MAX);
  if (limit.empty()) limit = std::to_string(budget + 1);
  std::string head = "\"max_tokens\":" + limit + ",";
  if (!thinking.empty()) head += "\"thinking\":" + thinking + ",";
  return body.insert(body.find('{') + 1, head);
}

class BedrockCodec final : public Codec {
 public:
  BedrockCodec(const config::AccountConfig& account, std::string base_path);

  Result<void> encode(const Attempt& attempt, EncodedCall& out) const override;
  std::unique_ptr<ReplyDecoder> decoder(const Attempt& attempt) const override;
  Error classify(int status, const HeaderLookup& header, std::string_view body) const override;

 private:
  Result<void> body(const Attempt& attempt, Operation operation, EncodedCall& out) const;
  Result<void> count_body(const Attempt& attempt, EncodedCall& out) const;
  void sign(const Attempt& attempt, EncodedCall& out) const;
  std::string_view target(const Attempt& attempt, Operation operation, EncodedCall& out) const;

  config::AccountConfig account_;
  std::string base_path_;
  std::string host_;
  std::string region_;
  AwsCredentials credentials_;
};

BedrockCodec::BedrockCodec(const config::AccountConfig& account, std::string base_path)
    : account_(account), base_path_(std::move(base_path)) {
  if (auto url = parse_url(account.base_url)) host_ = url->host_header();
  const auto option = [&](const char* key) {
    const auto found = account.options.find(key);
    return found == account.options.end() ? std::string{} : found->second;
  };
  const auto secret = [&](const char* key) {
    const auto found = account.secrets.find(key);
    return found == account.secrets.end() ? Secret{} : found->second;
  };
  region_ = option("region");
  credentials_ = {option("access_key_id"), secret("secret_access_key"), secret("session_token")};
}

std::string_view BedrockCodec::target(const Attempt& attempt, Operation operation, EncodedCall& out) const {
  const bool stream = attempt.body.stream;
  std::string_view model = attempt.model;
  std::string_view name = stream ? "/converse-stream" : "/converse";
  if (operation == Operation::invoke_claude) name = stream ? "/invoke-with-response-stream" : "/invoke";
  if (operation == Operation::embed) name = "/invoke";
  if (operation == Operation::count) {
    name = "/count-tokens";
    model = foundation_model(model);
  }
  return out.keep(base_path_ + "/model/" + percent_encoded(model) + std::string(name));
}

/// The input to be counted, as InvokeModel's body in base64 or as Converse's.
Result<void> BedrockCodec::count_body(const Attempt& attempt, EncodedCall& out) const {
  Json input;
  if (bedrock_family(attempt.model) == BedrockFamily::claude) {
    input["invokeModel"]["body"] = encode_base64(counted_body(attempt, out));
  } else {
    auto request = attempt.neutral();
    if (!request) return std::move(request).error();
    Refusals refusals(account_);
    auto body = converse_body(**request, attempt, refusals);
    if (!body) return std::move(body).error();
    if (auto said = refusals.finish("Bedrock", out); !said) return said;
    for (const char* key : {"messages", "system", "toolConfig", "additionalModelRequestFields"})
      if (body->contains(key)) input["converse"][key] = std::move((*body)[key]);
  }
  Json whole;
  whole["input"] = std::move(input);
  out.body.push_back(out.keep(json_text(whole)));
  return {};
}

Result<void> BedrockCodec::body(const Attempt& attempt, Operation operation, EncodedCall& out) const {
  if (operation == Operation::invoke_claude) {
    anthropic_pass(attempt, AnthropicHost::bedrock, out);  // betas go in the body here
    return {};
  }
  if (operation == Operation::count) return count_body(attempt, out);
  Refusals refusals(account_);
  if (operation == Operation::embed) {
    auto text = bedrock_embedding_body(attempt, refusals);
    if (!text) return std::move(text).error();
    out.body.push_back(out.keep(std::move(*text)));
    return refusals.finish("Bedrock", out);
  }
  auto request = attempt.neutral();
  if (!request) return std::move(request).error();
  auto body = converse_body(**request, attempt, refusals);
  if (!body) return std::move(body).error();
  out.body.push_back(out.keep(json_text(*body)));
  return refusals.finish("Bedrock", out);
}

void BedrockCodec::sign(const Attempt& attempt, EncodedCall& out) const {
  const bool stream = attempt.body.stream;
  std::string lines = "Content-Type: application/json\r\nAccept: ";
  lines += stream ? "application/vnd.amazon.eventstream\r\n" : "application/json\r\n";
  if (!account_.api_key.empty()) {
    lines += "Authorization: Bearer " + account_.api_key.reveal() + "\r\n";
  } else {
    const std::array<SignedHeader, 1> headers = {{{"Content-Type", "application/json"}}};
    Sigv4Request request;
    request.host = host_;
    request.target = out.target;
    request.headers = headers;
    request.body = out.body;
    request.region = region_;
    request.service = "bedrock";
    lines += sign_v4(request, credentials_, attempt.wall).header_lines;
  }
  out.header_lines = out.keep(std::move(lines));
}

Result<void> BedrockCodec::encode(const Attempt& attempt, EncodedCall& out) const {
  const Operation operation = operation_of(attempt);
  if (operation == Operation::none)
    return Error{ErrorKind::bad_request,
                 "gateway",
                 Retry::other_target,
                 400,
                 "Bedrock has no operation like " + std::string(to_string(attempt.body.protocol)),
                 "unsupported_operation"};
  out.target = target(attempt, operation, out);
  if (auto made = body(attempt, operation, out); !made) return made;
  sign(attempt, out);
  return {};
}

std::unique_ptr<ReplyDecoder> BedrockCodec::decoder(const Attempt& attempt) const {
  switch (operation_of(attempt)) {
    case Operation::invoke_claude:
      return make_bedrock_claude_decoder(attempt);
    case Operation::count:
      return make_bedrock_count_decoder(attempt);
    case Operation::embed:
      return make_bedrock_embedding_decoder(attempt);
    default:
      return make_converse_decoder(attempt);
  }
}

/// Bedrock calls a model that it does not have a wrong request.
Error BedrockCodec::classify(int status, const HeaderLookup& header, std::string_view body) const {
  Error error = classify_answer(status, header, body);
  for (const char* said : {"model identifier is invalid", "model ID is invalid", "model version has reached the end"})
    if (status / 100 == 4 && error.detail.find(said) != std::string::npos) error.kind = ErrorKind::not_found;
  error.retry = retry_of(error.kind);
  return error;
}

}  // namespace

std::string bedrock_base_url(std::string_view region) {
  return "https://bedrock-runtime." + std::string(region) +
         (region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
}

std::unique_ptr<Codec> make_bedrock_codec(const config::AccountConfig& account, const std::string& base_path) {
  return std::make_unique<BedrockCodec>(account, base_path);
}

}  // namespace weir::providers
