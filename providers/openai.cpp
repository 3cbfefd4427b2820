// The openai codec: OpenAI's API, Azure's form of it, and everything compatible. A client that speaks the same protocol
// has its request and answer passed byte for byte; only the model name, the credential, an output limit and
// stream_options.include_usage are ours. Clients of other protocols are translated into chat completions.
// https://platform.openai.com/docs/api-reference, https://learn.microsoft.com/azure/ai-foundry/openai/reference.
#include "providers/openai.h"

#include <array>
#include "config/base/json.h"

#include "providers/classify.h"
#include "providers/json_text.h"
#include "providers/native_item.h"
#include "providers/net/percent.h"
#include "providers/openai_unary.h"
#include "providers/refusals.h"

namespace weir::providers {
namespace {

/// `{"include_usage":true}` merged into what the client sent (there it was absent, null or false).
std::string with_usage(std::string_view stream_options) {
  auto options = parse_json(stream_options);
  if (!options.is_object()) options = nlohmann::ordered_json::object();
  options["include_usage"] = true;
  return options.dump();
}

std::string_view path_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::openai_completions:
      return "/completions";
    case Protocol::openai_responses:
      return "/responses";
    case Protocol::openai_embeddings:
      return "/embeddings";
    case Protocol::openai_images:
      return "/images/generations";
    case Protocol::openai_speech:
      return "/audio/speech";
    case Protocol::openai_transcriptions:
      return "/audio/transcriptions";
    case Protocol::openai_moderations:
      return "/moderations";
    case Protocol::rerank:
      return "/rerank";
    default:
      return "/chat/completions";
  }
}

/// The first of Azure's dated versions with /responses.
constexpr std::string_view kAzureResponsesSince = "2025-03-01";

/// The few places of a body that change, kept in the order of the body.
class Edits {
 public:
  void add(ByteRange where, std::string_view text) {
    size_t at = count_++;
    for (; at > 0 && edits_[at - 1].where.begin > where.begin; --at) edits_[at] = edits_[at - 1];
    edits_[at] = {where, text};
  }
  /// `json` in pieces, with the texts in place of the ranges.
  void apply(std::string_view json, std::vector<std::string_view>& pieces) const {
    pieces.reserve(2 * count_ + 1);
    uint32_t at = 0;
    for (size_t i = 0; i < count_; ++i) {
      pieces.push_back(json.substr(at, edits_[i].where.begin - at));
      pieces.push_back(edits_[i].text);
      at = edits_[i].where.end;
    }
    pieces.push_back(json.substr(at));
  }

 private:
  struct Edit {
    ByteRange where;
    std::string_view text;
  };
  std::array<Edit, 6> edits_;  // model, stream_options or store, two maxima, a maximum's name, one insertion
  size_t count_ = 0;
};

/// Of a body that passes: `json` is it where it was written anew already, and becomes it where this changes something.
/// What other providers' tools said, which these APIs would refuse.
void leave_out_items(const Attempt& attempt, std::optional<std::string>& json, EncodedCall& out) {
  if (!attempt.body.items) return;
  auto items = with_own_items(json ? *json : attempt.body.json, attempt.body.protocol, "openai");
  if (!items) return;
  json = std::move(items->json);
  out.drop(kItemsOfOthers);
}

/// Fields that would steer past what was decided. Another limit of the output goes where there is one in the protocol's
/// own word, or the policy's; other models and more answers never travel.
void leave_out_steering(const Attempt& attempt, std::optional<std::string>& json, EncodedCall& out) {
  const CallBody& call = attempt.body;
  if (call.steering.empty()) return;
  const bool limited =
      attempt.output_tokens_cap || !call.max_tokens_value.empty() || !call.max_completion_tokens_value.empty();
  nlohmann::ordered_json body = parse_written(json ? std::string_view(*json) : call.json);
  bool changed = false;
  for (const CallBody::Steering& field : call.steering) {
    if ((field.limit && !limited) || !body.is_object() || body.erase(field.name) == 0) continue;
    out.drop(field.name);
    changed = true;
  }
  if (changed) json = json_text(body);
}

class OpenAiCodec final : public Codec {
 public:
  OpenAiCodec(const config::AccountConfig& account, const std::string& base_path);

  Result<void> encode(const Attempt& attempt, EncodedCall& out) const override;
  std::unique_ptr<ReplyDecoder> decoder(const Attempt& attempt) const override {
    if (!passes(attempt.body)) return make_openai_event_decoder(attempt);
    if (attempt.body.protocol == Protocol::openai_chat) return make_openai_decoder(attempt);
    return make_openai_unary_decoder(attempt.body, attempt.prompt_tokens);
  }
  Error classify(int status, const HeaderLookup& header, std::string_view body) const override {
    return classify_answer(status, header, body);
  }

 private:
  bool passes(const CallBody& body) const;
  std::string_view target(const Attempt& attempt, Protocol protocol, EncodedCall& out) const;
  std::string_view headers(const Attempt& attempt, EncodedCall& out) const;
  void pass(const CallBody& body, const Attempt& attempt, EncodedCall& out) const;
  Result<void> pass_cleaned(const Attempt& attempt, EncodedCall& out) const;

  config::AccountConfig account_;
  const OpenAiDialect& dialect_;
  std::string base_path_;
  std::string azure_version_;            // Azure's api-version where the deployment stands in the path; else empty
  std::array<std::string, 12> targets_;  // by protocol
  std::string common_;
  std::string whole_headers_;
  std::string stream_headers_;
};

OpenAiCodec::OpenAiCodec(const config::AccountConfig& account, const std::string& base_path)
    : account_(account), dialect_(openai_dialect(account.provider)), base_path_(base_path) {
  const auto option = [&](const char* key) {
    const auto found = account.options.find(key);
    return found == account.options.end() ? std::string{} : found->second;
  };
  const bool azure = dialect_.name == "azure";
  std::string query;
  if (azure) {
    // Azure's newer API (…/openai/v1) has OpenAI's own paths, and words for versions (v1, preview, latest); the older
    // one has dates for them, and names the deployment in the path.
    const std::string version = option("api_version");
    const bool dated = version.empty() || version.front() == '2';
    if (!dated) query = "?api-version=" + version;
    if (!base_path_.ends_with("/openai/v1")) {
      if (!base_path_.ends_with("/openai")) base_path_ += "/openai";
      if (dated)
        azure_version_ = version.empty() ? "2024-10-21" : version;
      else
        base_path_ += "/v1";
    }
  }
  for (size_t i = 0; i < targets_.size(); ++i)
    targets_[i] = base_path_ + std::string(path_of(static_cast<Protocol>(i))) + query;
  if (dialect_.beta_completions && !base_path_.ends_with("/beta")) {
    const std::string_view base = base_path_;
    const std::string_view before = base.ends_with("/v1") ? base.substr(0, base.size() - 3) : base;
    targets_[static_cast<size_t>(Protocol::openai_completions)] = std::string(before) + "/beta/completions";
  }
  if (!account.api_key.empty())
    common_ = (azure ? "api-key: " : "Authorization: Bearer ") + account.api_key.reveal() + "\r\n";
  if (const auto value = option("organization"); !value.empty()) common_ += "OpenAI-Organization: " + value + "\r\n";
  if (const auto value = option("project"); !value.empty()) common_ += "OpenAI-Project: " + value + "\r\n";
  const std::string json = "Content-Type: application/json\r\n";
  whole_headers_ = json + common_ + "Accept: application/json\r\n";
  stream_headers_ = json + common_ + "Accept: text/event-stream\r\n";
}

/// Whether this upstream speaks the client's protocol itself.
bool OpenAiCodec::passes(const CallBody& body) const {
  switch (body.protocol) {
    case Protocol::anthropic_messages:
    case Protocol::anthropic_count:
    case Protocol::gemini_generate:
      return false;
    case Protocol::openai_responses:
      return dialect_.responses && (azure_version_.empty() || azure_version_ >= kAzureResponsesSince);
    case Protocol::openai_completions:
      return dialect_.completions;
    default:
      return true;
  }
}

std::string_view OpenAiCodec::target(const Attempt& attempt, Protocol protocol, EncodedCall& out) const {
  // Responses name their deployment in the body; it alone has no deployment in its path.
  if (azure_version_.empty()) return targets_[static_cast<size_t>(protocol)];
  const std::string query = "?api-version=" + azure_version_;
  if (protocol == Protocol::openai_responses) return out.keep(base_path_ + "/responses" + query);
  return out.keep(base_path_ + "/deployments/" + percent_encoded(attempt.model) + std::string(path_of(protocol)) +
                  query);
}

std::string_view OpenAiCodec::headers(const Attempt& attempt, EncodedCall& out) const {
  const CallBody& body = attempt.body;
  const bool json = body.content_type == "application/json" || !passes(body);
  if (json && out.credential.empty()) return body.stream ? stream_headers_ : whole_headers_;
  std::string lines = "Content-Type: " + std::string(json ? "application/json" : body.content_type) + "\r\n" + common_;
  if (!out.credential.empty()) lines += "Authorization: Bearer " + std::string(out.credential) + "\r\n";
  return out.keep(std::move(lines));
}

void OpenAiCodec::pass(const CallBody& body, const Attempt& attempt, EncodedCall& out) const {
  const bool multipart = body.content_type != "application/json";
  Edits edits;
  std::string inserted;
  if (attempt.model != body.model) {
    const std::string_view model = out.keep(multipart ? std::string(attempt.model) : quoted(attempt.model));
    if (!body.model_value.empty())
      edits.add(body.model_value, model);
    else
      inserted.append("\"model\":").append(model).append(",");
  }
  const bool usage_option = body.protocol == Protocol::openai_chat || body.protocol == Protocol::openai_completions;
  if (usage_option && body.stream && !body.include_usage && dialect_.stream_usage) {
    if (body.stream_options_value.empty()) {
      inserted += R"("stream_options":{"include_usage":true},)";
    } else {
      const ByteRange range = body.stream_options_value;
      edits.add(range, out.keep(with_usage(body.json.substr(range.begin, range.end - range.begin))));
    }
  }
  // Who does not read the newer name has no limit where the older one is not there.
  if (!body.max_completion_tokens_key.empty() && dialect_.limit == OpenAiDialect::Limit::max_tokens) {
    const auto said = [&](ByteRange range) { return body.json.substr(range.begin, range.end - range.begin); };
    if (body.max_tokens_value.empty())
      edits.add(body.max_completion_tokens_key, "\"max_tokens\"");
    else if (!attempt.output_tokens_cap && said(body.max_tokens_value) == "null")
      edits.add(body.max_tokens_value, said(body.max_completion_tokens_value));
  }
  // What keeps no answers refuses to be asked for it: ours are in the gateway's store.
  if (body.store && !body.store_value.empty() && !dialect_.keeps_responses) edits.add(body.store_value, "false");
  if (attempt.output_tokens_cap) {
    const std::string_view cap = out.keep(std::to_string(*attempt.output_tokens_cap));
    if (!body.max_tokens_value.empty()) edits.add(body.max_tokens_value, cap);
    if (!body.max_completion_tokens_value.empty()) edits.add(body.max_completion_tokens_value, cap);
    std::string_view name = "\"max_tokens\":";
    if (body.protocol == Protocol::openai_responses) name = "\"max_output_tokens\":";
    // OpenAI's reasoning models refuse the older name.
    if (body.protocol == Protocol::openai_chat && dialect_.limit == OpenAiDialect::Limit::max_completion_tokens)
      name = "\"max_completion_tokens\":";
    if (body.max_tokens_value.empty() && body.max_completion_tokens_value.empty())
      inserted.append(name).append(cap).append(",");
  }
  if (!inserted.empty()) edits.add({body.object_open, body.object_open}, out.keep(std::move(inserted)));
  edits.apply(body.json, out.body);
}

/// Without what would steer past the policy, and without the reasoning that another family signed and what its tools
/// said, for which this one would refuse the call. Mistral has its own words.
Result<void> OpenAiCodec::pass_cleaned(const Attempt& attempt, EncodedCall& out) const {
  const CallBody& body = attempt.body;
  std::optional<std::string> json;  // the client's body with other words for something that stands deep in it
  if (body.protocol == Protocol::openai_responses) {
    out.kept_upstream = dialect_.keeps_responses;
    json = without_foreign_reasoning(body.json);
    if (json) out.drop(kReasoningOfOthers);
  }
  if (generates_chat(body.protocol)) leave_out_items(attempt, json, out);
  leave_out_steering(attempt, json, out);
  if (dialect_.mistrals_words && generates_chat(body.protocol))
    if (auto reworded = in_mistrals_words(json ? *json : body.json)) json = std::move(*reworded);
  if (!json) {
    pass(body, attempt, out);
    return {};
  }
  auto anew = mark_call(body.protocol, out.keep(std::move(*json)));
  if (!anew) return std::move(anew).error();
  pass(*anew, attempt, out);
  return {};
}

Result<void> OpenAiCodec::encode(const Attempt& attempt, EncodedCall& out) const {
  const CallBody& body = attempt.body;
  if (body.protocol == Protocol::anthropic_count)
    return Error{ErrorKind::bad_request,
                 "gateway",
                 Retry::other_target,
                 400,
                 "the API of " + std::string(dialect_.name) + " does not count tokens",
                 "unsupported_operation"};
  out.header_lines = headers(attempt, out);
  if (passes(body)) {
    out.target = target(attempt, body.protocol, out);
    return pass_cleaned(attempt, out);
  }
  auto request = attempt.neutral();
  if (!request) return std::move(request).error();
  Refusals refusals(account_);
  auto text = openai_chat_body(**request, attempt, dialect_, refusals);
  if (!text) return std::move(text).error();
  out.target = target(attempt, Protocol::openai_chat, out);
  out.body.push_back(out.keep(std::move(*text)));
  return refusals.finish("the API of " + std::string(dialect_.name), out);
}

}  // namespace

std::unique_ptr<Codec> make_openai_codec(const config::AccountConfig& account, const std::string& base_path) {
  return std::make_unique<OpenAiCodec>(account, base_path);
}

}  // namespace weir::providers
