// The anthropic codec's requests: bodies that pass, headers, paths. Translation is in anthropic_encode.cpp, answers in
// anthropic_decode.cpp.
#include "providers/anthropic.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>
#include "config/base/json.h"

#include "providers/classify.h"
#include "providers/json_scan.h"
#include "providers/json_text.h"
#include "providers/media.h"
#include "providers/native_item.h"

namespace weir::providers {
namespace {

constexpr std::string_view kApiVersion = "2023-06-01";
constexpr std::string_view kVertexVersion = "vertex-2023-10-16";
constexpr std::string_view kBedrockVersion = "bedrock-2023-05-31";

/// A range of the body and what stands there instead.
struct Splice {
  size_t begin;
  size_t end;
  std::string_view text;
};

void apply(std::string_view json, std::vector<Splice> splices, std::vector<std::string_view>& out) {
  std::sort(splices.begin(), splices.end(), [](const Splice& a, const Splice& b) { return a.begin < b.begin; });
  size_t at = 0;
  for (const Splice& splice : splices) {
    out.push_back(json.substr(at, splice.begin - at));
    out.push_back(splice.text);
    at = splice.end;
  }
  out.push_back(json.substr(at));
}

bool foreign_thinking(const nlohmann::ordered_json& block) {
  if (!block.is_object()) return false;
  // Thinking of a family that signs none, as we gave it to the client.
  if (const auto signature = block.find("signature");
      signature != block.end() && signature->is_string() && signature->get_ref<const std::string&>().empty())
    return true;
  for (const char* key : {"signature", "data"}) {
    const auto found = block.find(key);
    if (found == block.end() || !found->is_string()) continue;
    Signer signer = Signer::none;
    unwrap_signature(found->get_ref<const std::string&>(), Signer::anthropic, signer);
    if (signer != Signer::anthropic && signer != Signer::none) return true;
  }
  return false;
}

/// The body without the thinking blocks that are unsigned or whose wrapped signature is another family's: they came
/// from us, and Claude refuses signatures that are not its own. Unset: there are none, which three searches tell of
/// nearly every body.
std::optional<std::string> without_foreign_thinking(std::string_view json) {
  constexpr auto kMarks = std::to_array<std::string_view>({"\"weir:", R"("signature":"")", R"("signature": "")"});
  if (std::none_of(kMarks.begin(), kMarks.end(),
                   [&](std::string_view mark) { return json.find(mark) != std::string_view::npos; }))
    return {};
  auto body = parse_written(json);
  if (!body.is_object() || !body.contains("messages") || !body["messages"].is_array()) return {};
  nlohmann::ordered_json turns = nlohmann::ordered_json::array();
  for (auto& message : body["messages"]) {
    bool emptied = false;  // Claude takes no turn of nothing
    if (message.is_object() && message.contains("content") && message["content"].is_array()) {
      nlohmann::ordered_json kept = nlohmann::ordered_json::array();
      for (auto& block : message["content"])
        if (!foreign_thinking(block)) kept.push_back(std::move(block));
      emptied = kept.empty() && !message["content"].empty();
      message["content"] = std::move(kept);
    }
    if (!emptied) turns.push_back(std::move(message));
  }
  body["messages"] = std::move(turns);
  return json_text(body);
}

/// A header of the client's that goes into ours: nothing that could end the line.
bool header_safe(std::string_view value) {
  return value.size() <= 4096 && std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c < 127; });
}

std::string_view client_header(const Attempt& attempt, std::string_view name) {
  const std::string_view value = attempt.client_header ? attempt.client_header(name) : std::string_view{};
  return header_safe(value) ? value : std::string_view{};
}

/// Adds the betas that a body names itself, where a host has them in the body, to the header's: "a, b".
void add_betas(const nlohmann::ordered_json& own, std::string& beta) {
  if (!own.is_array()) return;
  for (const auto& one : own) {
    if (!one.is_string()) continue;
    const auto& name = one.get_ref<const std::string&>();
    if (name.empty() || !header_safe(name) || name.find_first_of(", ") != std::string::npos) continue;
    std::string known = "," + beta + ",";
    std::erase(known, ' ');
    if (known.find("," + name + ",") == std::string::npos) beta += (beta.empty() ? "" : ",") + name;
  }
}

/// "a, b" as ["a","b"].
std::string beta_array(std::string_view beta) {
  nlohmann::json list = nlohmann::json::array();
  while (!beta.empty()) {
    const size_t comma = std::min(beta.find(','), beta.size());
    std::string_view one = beta.substr(0, comma);
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
    if (!one.empty()) list.push_back(one);
    beta.remove_prefix(std::min(comma + 1, beta.size()));
  }
  return list.dump();
}

}  // namespace

int claude_generation(std::string_view model) {
  std::string name(model.substr(0, 256));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const size_t claude = name.rfind("claude");
  if (claude == std::string::npos) return 0;
  int major = 0;
  for (size_t at = claude; at < name.size();) {
    if (name[at] < '0' || name[at] > '9') {
      if (major != 0 && name[at] != '-' && name[at] != '.') break;
      ++at;
      continue;
    }
    size_t end = at;
    while (end < name.size() && name[end] >= '0' && name[end] <= '9') ++end;
    const bool date = end - at > 2;
    const int number = date ? 0 : std::stoi(name.substr(at, end - at));
    if (major != 0) return major * 100 + (date ? 0 : number);
    if (!date) major = number;
    at = end;
  }
  if (major == 0) return name.find("preview", claude) != std::string::npos ? 500 : 0;
  return major * 100;
}

std::string anthropic_pass(const Attempt& attempt, AnthropicHost host, EncodedCall& out) {
  CallBody body = attempt.body;
  std::string beta(client_header(attempt, "anthropic-beta"));
  const auto instead = [&](std::string json) {
    if (auto marked = mark_call(body.protocol, out.keep(std::move(json)))) body = std::move(*marked);
  };
  if (auto cleaned = without_foreign_thinking(body.json)) {
    instead(std::move(*cleaned));
    out.drop(kReasoningOfOthers);
  }
  if (auto items = body.items ? with_own_items(body.json, body.protocol, "anthropic") : std::nullopt) {
    instead(std::move(items->json));
    if (items->left_out) out.drop(kItemsOfOthers);
  }
  if (!body.steering.empty()) {  // OpenRouter answers Messages too
    nlohmann::ordered_json tree = parse_written(body.json);
    for (const CallBody::Steering& field : body.steering)
      if (tree.is_object() && tree.erase(field.name) > 0) out.drop(field.name);
    if (tree.is_object()) instead(json_text(tree));
  }
  std::string head;  // new members, behind the opening brace
  std::vector<Splice> splices;
  // Counting on Vertex has the model in the body: its URL names no model.
  const bool counts = body.protocol == Protocol::anthropic_count;
  const bool model_in_url = host == AnthropicHost::bedrock || (host == AnthropicHost::vertex && !counts);
  if (!model_in_url && attempt.model != body.model)
    splices.push_back({body.model_value.begin, body.model_value.end, out.keep(quoted(attempt.model))});
  if (attempt.output_tokens_cap && !counts) {
    std::string cap = std::to_string(*attempt.output_tokens_cap);
    if (body.max_tokens_value.empty())
      head += "\"max_tokens\":" + cap + ",";
    else
      splices.push_back({body.max_tokens_value.begin, body.max_tokens_value.end, out.keep(std::move(cap))});
  }
  if (!model_in_url) {
    if (!head.empty()) splices.push_back({body.object_open, body.object_open, out.keep(std::move(head))});
    apply(body.json, std::move(splices), out.body);
    return beta;
  }
  std::vector<std::string_view> pieces;
  apply(body.json, std::move(splices), pieces);
  std::string text;
  for (const std::string_view piece : pieces) text += piece;
  const auto took = [&](std::string_view name, std::string_view value) {
    if (name == "anthropic_beta") add_betas(parse_json(value), beta);
  };
  const bool bedrock = host == AnthropicHost::bedrock;
  text = bedrock ? without_members(text, {"model", "stream", "anthropic_version", "anthropic_beta"}, took)
                 : without_members(text, {"model", "anthropic_version", "anthropic_beta"}, took);
  std::string version = "\"anthropic_version\":" + quoted(bedrock ? kBedrockVersion : kVertexVersion) + ",";
  if (bedrock && !beta.empty()) version += "\"anthropic_beta\":" + beta_array(std::exchange(beta, {})) + ",";
  text.insert(text.find('{') + 1, version + head);
  out.body.push_back(out.keep(std::move(text)));
  return beta;
}

namespace {

class AnthropicCodec final : public Codec {
 public:
  AnthropicCodec(const config::AccountConfig& account, std::string base_path) : account_(account) {
    if (base_path.ends_with("/v1")) base_path.resize(base_path.size() - 3);
    messages_ = base_path + "/v1/messages";
    count_ = messages_ + "/count_tokens";
    common_ = "Content-Type: application/json\r\n";
    const auto token = account.secrets.find("auth_token");
    if (token != account.secrets.end() && !token->second.empty())
      common_ += "Authorization: Bearer " + token->second.reveal() + "\r\n";
    else if (!account.api_key.empty())
      common_ += "x-api-key: " + account.api_key.reveal() + "\r\n";
    whole_headers_ = common_ + "Accept: application/json\r\nanthropic-version: 2023-06-01\r\n";
    stream_headers_ = common_ + "Accept: text/event-stream\r\nanthropic-version: 2023-06-01\r\n";
  }

  Result<void> encode(const Attempt& attempt, EncodedCall& out) const override;
  std::unique_ptr<ReplyDecoder> decoder(const Attempt& attempt) const override {
    return make_anthropic_decoder(attempt);
  }
  Error classify(int status, const HeaderLookup& header, std::string_view body) const override {
    return classify_answer(status, header, body);
  }

 private:
  std::string_view headers(const Attempt& attempt, std::string_view beta, EncodedCall& out) const;

  config::AccountConfig account_;
  std::string messages_;
  std::string count_;
  std::string common_;
  std::string whole_headers_;
  std::string stream_headers_;
};

std::string_view AnthropicCodec::headers(const Attempt& attempt, std::string_view beta, EncodedCall& out) const {
  const std::string_view version = client_header(attempt, "anthropic-version");
  if (beta.empty() && (version.empty() || version == kApiVersion))
    return attempt.body.stream ? stream_headers_ : whole_headers_;
  std::string lines = common_;
  lines.append("Accept: ").append(attempt.body.stream ? "text/event-stream" : "application/json");
  lines.append("\r\nanthropic-version: ").append(version.empty() ? kApiVersion : version).append("\r\n");
  if (!beta.empty()) lines.append("anthropic-beta: ").append(beta).append("\r\n");
  return out.keep(std::move(lines));
}

Result<void> AnthropicCodec::encode(const Attempt& attempt, EncodedCall& out) const {
  const Protocol protocol = attempt.body.protocol;
  out.target = protocol == Protocol::anthropic_count ? count_ : messages_;
  if (speaks_anthropic(protocol)) {
    const std::string beta = anthropic_pass(attempt, AnthropicHost::api, out);
    out.header_lines = headers(attempt, beta, out);
    return {};
  }
  if (!generates_chat(protocol))
    return Error{ErrorKind::bad_request,
                 "gateway",
                 Retry::other_target,
                 400,
                 "Anthropic has no operation like " + std::string(to_string(protocol)),
                 "unsupported_operation"};
  auto request = attempt.neutral();
  if (!request) return std::move(request).error();
  Refusals refusals(account_);
  auto body = anthropic_body(**request, attempt, AnthropicHost::api, refusals);
  if (!body) return std::move(body).error();
  if (auto said = refusals.finish("Anthropic", out); !said) return said;
  out.header_lines = headers(attempt, body->beta, out);
  out.body.push_back(out.keep(std::move(body->json)));
  return {};
}

}  // namespace

std::unique_ptr<Codec> make_anthropic_codec(const config::AccountConfig& account, const std::string& base_path) {
  return std::make_unique<AnthropicCodec>(account, base_path);
}

}  // namespace weir::providers
