#include "tests/providers/wire_corpus.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "providers/anthropic.h"
#include "providers/bedrock.h"
#include "providers/cohere.h"
#include "providers/gemini.h"
#include "providers/net/percent.h"
#include "providers/openai.h"
#include "providers/vertex.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void read_url(std::string_view url, Recording& out) {
  url = url.substr(0, url.find('#'));
  if (const size_t scheme = url.find("://"); scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  const size_t slash = std::min(url.find('/'), url.size());
  out.host = url.substr(0, slash);
  url.remove_prefix(slash);
  const size_t question = std::min(url.find('?'), url.size());
  out.path = percent_decoded(url.substr(0, question));
  if (question < url.size()) out.query = url.substr(question + 1);
}

void read_request(const fs::path& path, Recording& out) {
  const Json json = read_json<Json>(read_file(path));
  if (!json.is_object() || !json.contains("url") || !json["url"].is_string()) {
    out.fault = path.string() + " is no JSON object with a url";
    return;
  }
  read_url(json["url"].get<std::string>(), out);
  out.method = json.value("method", "POST");
  if (json.contains("body")) out.request = json["body"];
}

void read_meta(const fs::path& path, Recording& out) {
  const Json json = read_json<Json>(read_file(path));
  if (!json.is_object() || !json.contains("status") || !json["status"].is_number_integer()) {
    out.fault = path.string() + " is no JSON object with a status";
    return;
  }
  out.status = json["status"];
  if (!json.contains("headers") || !json["headers"].is_object()) return;
  for (const auto& [name, value] : json["headers"].items())
    if (value.is_string()) out.headers[lower(name)] = value.get<std::string>();
}

Recording load_one(const fs::path& meta) {
  constexpr std::string_view kMeta = ".response.meta.json";
  Recording out;
  out.provider = meta.parent_path().filename().string();
  out.name = meta.filename().string();
  out.name.resize(out.name.size() - kMeta.size());
  read_meta(meta, out);
  for (const fs::path& file : files_of(meta.parent_path(), out.name + ".response.", ""))
    if (file != meta) out.file = file;
  if (out.file.empty()) {
    out.fault = meta.string() + " has no " + out.name + ".response.* beside it";
    out.file = meta;
    return out;
  }
  const std::string file = out.file.filename().string();
  if (file.ends_with(".sse")) out.form = Recording::Form::sse;
  if (file.ends_with(".bin")) out.form = Recording::Form::event_stream;
  out.response = read_file(out.file);
  read_request(meta.parent_path() / (out.name + ".request.json"), out);
  return out;
}

/// What the end of a path asks for, and of whose API.
struct Route {
  std::string_view ending;
  std::string_view api;  // the codec's family, where the path alone tells; empty: OpenAI's or any
  std::optional<Protocol> native;
  std::optional<Protocol> translate;
};

const std::vector<Route>& routes() {
  using P = Protocol;
  static const std::vector<Route> all = {
      {"/messages/count_tokens", "anthropic", P::anthropic_count, {}},
      {"/messages", "anthropic", P::anthropic_messages, P::openai_chat},
      {":generateContent", "gemini", P::gemini_generate, P::openai_chat},
      {":streamGenerateContent", "gemini", P::gemini_generate, P::openai_chat},
      {":rawPredict", "vertex", P::anthropic_messages, P::openai_chat},
      {":streamRawPredict", "vertex", P::anthropic_messages, P::openai_chat},
      {":countTokens", "gemini", {}, P::anthropic_count},
      {":batchEmbedContents", "gemini", {}, P::openai_embeddings},
      {":embedContent", "vertex", {}, P::openai_embeddings},
      {":predict", "vertex", {}, P::openai_embeddings},
      {"/converse", "bedrock", {}, P::openai_chat},
      {"/converse-stream", "bedrock", {}, P::openai_chat},
      {"/invoke", "bedrock", {}, {}},
      {"/invoke-with-response-stream", "bedrock", {}, {}},
      {"/v2/chat", "cohere", {}, P::openai_chat},
      {"/v2/embed", "cohere", {}, P::openai_embeddings},
      {"/chat/completions", "", P::openai_chat, P::anthropic_messages},
      {"/completions", "", P::openai_completions, {}},
      {"/responses", "", P::openai_responses, {}},
      {"/embeddings", "", P::openai_embeddings, {}},
      {"/images/generations", "", P::openai_images, {}},
      {"/audio/speech", "", P::openai_speech, {}},
      {"/audio/transcriptions", "", P::openai_transcriptions, {}},
      {"/moderations", "", P::openai_moderations, {}},
      {"/rerank", "", P::rerank, {}},
  };
  return all;
}

const Route* route_of(const Recording& recording) {
  if (recording.method != "POST") return nullptr;
  for (const Route& route : routes())
    if (recording.path.ends_with(route.ending)) return &route;
  return nullptr;
}

std::string provider_of(const Recording& recording, const Route* route) {
  const CatalogEntry* entry = find_provider(recording.provider);
  if (entry != nullptr && entry->network) return recording.provider;
  for (const CatalogEntry& other : catalog()) {
    const std::string_view url = other.default_base_url;
    const size_t host = url.find("://");
    if (host == std::string_view::npos) continue;
    const std::string_view behind = url.substr(host + 3);
    if (behind.substr(0, behind.find('/')) == recording.host) return std::string(other.name);
  }
  if (route == nullptr || route->api.empty()) return "openai";
  const bool vertex = recording.path.find("/publishers/") != std::string::npos;
  return vertex ? "vertex" : std::string(route->api);
}

/// The segment of the path behind `label`: "/projects/P/locations/…".
std::string behind(const std::string& path, std::string_view label) {
  const size_t at = path.find(label);
  if (at == std::string::npos) return {};
  const std::string rest = path.substr(at + label.size());
  return rest.substr(0, rest.find('/'));
}

MakeCodec maker_of(std::string_view provider) {
  if (provider == "anthropic") return make_anthropic_codec;
  if (provider == "gemini") return make_gemini_codec;
  if (provider == "vertex") return make_vertex_codec;
  if (provider == "bedrock") return make_bedrock_codec;
  if (provider == "cohere") return make_cohere_codec;
  return make_openai_codec;
}

std::unique_ptr<Codec> codec_of(const std::string& provider, const Recording& recording, const Route* route) {
  config::AccountConfig account;
  account.name = account.provider = provider;
  account.api_key = Secret("key");
  account.base_url = "https://" + recording.host;
  std::string base = recording.path;
  if (route != nullptr) base.resize(base.size() - route->ending.size());
  if (provider == "azure") {
    account.options["api_version"] = recording.query.substr(std::min(recording.query.find('=') + 1, size_t{64}));
    if (!base.ends_with("/openai/v1")) base.clear();
  } else if (provider == "vertex") {
    account.options = {{"project", behind(base, "/projects/")}, {"location", behind(base, "/locations/")}};
    base = base.substr(0, base.find("/projects/"));
  } else if (provider == "gemini") {
    base = base.substr(0, base.find("/models/"));
  } else if (provider == "bedrock") {
    base.clear();
    account.options["region"] = "us-east-1";
  } else if (provider == "cohere") {
    base = recording.path.starts_with("/v2/") ? "/v2" : base;
  }
  return maker_of(provider)(account, base);
}

/// In the path of Google's and Amazon's calls, else in the body.
std::string model_of(const Recording& recording) {
  if (std::string model = behind(recording.path, "/model/"); !model.empty()) return model;
  if (std::string model = behind(recording.path, "/models/"); model.find(':') != std::string::npos)
    return model.substr(0, model.rfind(':'));
  if (recording.request.is_object() && recording.request.contains("model") && recording.request["model"].is_string())
    return recording.request["model"];
  return "m";
}

}  // namespace

std::string Recording::content_type() const {
  const auto found = headers.find("content-type");
  return found == headers.end() ? std::string() : found->second;
}

fs::path corpus_folder() {
  const char* set = std::getenv("WEIR_WIRE_DIR");
  return set != nullptr && *set != '\0' ? fs::path(set) : shared_wire() / "best";
}

std::vector<Recording> load_corpus(const fs::path& folder) {
  std::vector<Recording> out;
  if (!fs::is_directory(folder)) return out;
  std::set<fs::path> providers;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory()) providers.insert(entry.path());
  for (const fs::path& provider : providers)
    for (const fs::path& meta : files_of(provider, "", ".response.meta.json")) out.push_back(load_one(meta));
  return out;
}

RecordedCall call_of(const Recording& recording) {
  RecordedCall call;
  const Route* route = route_of(recording);
  call.provider = provider_of(recording, route);
  call.codec = codec_of(call.provider, recording, route);
  call.model = model_of(recording);
  call.stream = recording.form != Recording::Form::json || recording.path.ends_with(":streamGenerateContent");
  if (route == nullptr) return call;
  call.native = route->native;
  call.translate = route->translate;
  if (!route->ending.starts_with("/invoke")) return call;
  // InvokeModel's body is the model's own: Claude's Messages, embeddings, or what Weir does not speak.
  const bool messages = recording.request.is_object() && recording.request.contains("messages");
  call.is_claude_on_bedrock = messages && bedrock_family(call.model) == BedrockFamily::claude;
  if (call.is_claude_on_bedrock) call.native = Protocol::anthropic_messages;
  if (call.model.find("embed") != std::string::npos) call.translate = Protocol::openai_embeddings;
  return call;
}

}  // namespace weir::providers
