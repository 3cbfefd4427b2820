#include "providers/gemini_contents.h"
#include "providers/json_text.h"
#include "providers/media.h"
#include "providers/native_item.h"

#include <array>
#include <map>

namespace weir::providers {
namespace {

struct Ending {
  std::string_view suffix;
  std::string_view mime;
};
// The types that https://ai.google.dev/gemini-api/docs/vision, …/audio, …/document-processing list.
constexpr auto kEndings = std::to_array<Ending>(
    {{".png", "image/png"},   {".jpg", "image/jpeg"},      {".jpeg", "image/jpeg"}, {".webp", "image/webp"},
     {".gif", "image/gif"},   {".heic", "image/heic"},     {".heif", "image/heif"}, {".pdf", "application/pdf"},
     {".mp4", "video/mp4"},   {".mov", "video/quicktime"}, {".webm", "video/webm"}, {".mp3", "audio/mpeg"},
     {".wav", "audio/wav"},   {".flac", "audio/flac"},     {".ogg", "audio/ogg"},   {".aac", "audio/aac"},
     {".aiff", "audio/aiff"}, {".txt", "text/plain"},      {".html", "text/html"},  {".csv", "text/csv"},
     {".md", "text/markdown"}});

// How files of these types begin, in base64.
constexpr auto kBeginnings = std::to_array<Ending>({{"iVBORw", "image/png"},
                                                    {"/9j/", "image/jpeg"},
                                                    {"R0lGOD", "image/gif"},
                                                    {"UklGR", "image/webp"},
                                                    {"JVBERi", "application/pdf"},
                                                    {"SUQz", "audio/mpeg"}});

std::string mime_of(const Part& part) {
  const Media& media = part.media;
  if (!media.mime.empty()) return media.mime;
  for (const Ending& beginning : kBeginnings)
    if (media.data.starts_with(beginning.suffix)) return std::string(beginning.mime);
  const std::string_view url(media.url);
  for (const std::string_view name : {url.substr(0, url.find_first_of("?#")), std::string_view(media.name)})
    for (const Ending& ending : kEndings)
      if (name.ends_with(ending.suffix)) return std::string(ending.mime);
  switch (part.kind) {
    case Part::Kind::image:
      return media.data.empty() ? "image/jpeg" : "image/png";
    case Part::Kind::audio:
      return "audio/wav";
    default:
      return media.data.empty() ? "" : "application/pdf";
  }
}

class Contents {
 public:
  Contents(const ChatRequest& request, const GeminiModel& model, Refusals& refusals)
      : request_(request), model_(model), refusals_(refusals) {}
  void build(Json& body);

 private:
  Json parts_of(const Message& message, const std::string& where);
  void add_part(const Part& part, const std::string& where, Json& parts);
  void sign(const Part& part, Json& out);
  Json media_part(const Part& part, const std::string& where);
  Json call_part(const Part& part, bool first);
  void tool_result(const Message& message, const std::string& where, Json& parts);
  void add(std::string_view role, Json parts);

  const ChatRequest& request_;
  const GeminiModel& model_;
  Refusals& refusals_;
  Json contents_ = Json::array();
  std::map<std::string, std::string, std::less<>> function_of_;  // a call's id: its function
  bool calls_seen_ = false;                                      // in the message under way
};

Json Contents::media_part(const Part& part, const std::string& where) {
  const Media& media = part.media;
  const std::string mime = mime_of(part);
  Json out = Json::object();
  if (!media.data.empty()) {
    out["inlineData"] = {{"mimeType", mime}, {"data", media.data}};
    // The Gemini API refuses names, which Vertex AI takes.
    if (!media.name.empty() && model_.vertex)
      out["inlineData"]["displayName"] = media.name;
    else if (!media.name.empty())
      refusals_.leave_out("filename");
    return out;
  }
  std::string uri = media.url;
  if (uri.empty()) {
    uri = media.file_id;
    if (owner_of_file(uri) != Signer::gemini) refusals_.must_say(where, kFileOfOthers);
    if (uri.starts_with("files/")) uri = std::string(kGeminiUrl) + "/v1beta/" + uri;
  }
  if (!mime.empty()) out["fileData"]["mimeType"] = mime;
  out["fileData"]["fileUri"] = std::move(uri);
  return out;
}

void Contents::sign(const Part& part, Json& out) {
  if (part.signer == Signer::gemini && !part.signature.empty()) out["thoughtSignature"] = part.signature;
}

Json Contents::call_part(const Part& part, bool first) {
  Json call = {{"name", part.call.name}};
  if (!part.call.id.empty()) call["id"] = part.call.id;
  Json arguments = parse_written(part.call.arguments.empty() ? "{}" : part.call.arguments);
  // What a model wrote in place of an object is shown to the next one as it was.
  if (!arguments.is_object()) arguments = {{"arguments", part.call.arguments}};
  call["args"] = std::move(arguments);
  Json out = {{"functionCall", std::move(call)}};
  sign(part, out);
  if (first && model_.version >= 30 && !out.contains("thoughtSignature")) out["thoughtSignature"] = kNoSignature;
  return out;
}

void Contents::add_part(const Part& part, const std::string& where, Json& parts) {
  Json out = Json::object();
  if (!part.cache.is_null()) refusals_.leave_out("cache_control");
  switch (part.kind) {
    case Part::Kind::text:
    case Part::Kind::refusal:
      if (part.text.empty() && (part.signer != Signer::gemini || part.signature.empty())) return;
      out["text"] = part.text;
      sign(part, out);
      break;
    case Part::Kind::reasoning:
      // What another family encrypted only that family can read.
      if (part.text.empty() && (part.signer != Signer::gemini || part.signature.empty()))
        return refusals_.leave_out(kReasoningOfOthers);
      out["text"] = part.text;
      out["thought"] = true;
      sign(part, out);
      break;
    case Part::Kind::tool_call:
      function_of_[part.call.id] = part.call.name;
      out = call_part(part, !calls_seen_);
      calls_seen_ = true;
      break;
    case Part::Kind::image:
    case Part::Kind::audio:
    case Part::Kind::file:
      out = media_part(part, where);
      break;
    case Part::Kind::native:
      out = item_of_family(part.native, "gemini");
      if (out.is_null()) return refusals_.leave_out(kItemsOfOthers);
      break;
  }
  parts.push_back(std::move(out));
}

Json Contents::parts_of(const Message& message, const std::string& where) {
  if (!message.name.empty()) refusals_.cannot_say(where + ".name");
  Json parts = Json::array();
  calls_seen_ = false;
  for (size_t i = 0; i < message.parts.size(); ++i)
    add_part(message.parts[i], where + ".content[" + std::to_string(i) + "]", parts);
  return parts;
}

/// The result as an object: as it is where the tool gave one, else under the key that Google names for it.
void Contents::tool_result(const Message& message, const std::string& where, Json& parts) {
  const auto found = function_of_.find(message.tool_call_id);
  const std::string name = found != function_of_.end() ? found->second : message.name;
  if (name.empty())
    refusals_.must_say(where + ".tool_call_id",
                       "Gemini knows a result by its function's name, and no earlier call has this id");
  const std::string text = message.text();
  Json response = text.starts_with("{") ? parse_written(text) : Json();
  if (message.tool_failed)
    response = {{"error", response.is_object() ? response : Json(text)}};
  else if (!response.is_object())
    response = {{"result", text}};
  Json result = {{"name", name}};
  if (!message.tool_call_id.empty()) result["id"] = message.tool_call_id;
  result["response"] = std::move(response);
  Json beside = Json::array();
  for (size_t i = 0; i < message.parts.size(); ++i) {
    const Part& part = message.parts[i];
    if (!part.cache.is_null()) refusals_.leave_out("cache_control");
    if (part.kind != Part::Kind::image && part.kind != Part::Kind::audio && part.kind != Part::Kind::file) continue;
    Json media = media_part(part, where + ".content[" + std::to_string(i) + "]");
    // Gemini 3 takes pictures within a result; older ones see them beside it.
    if (model_.version >= 30 && media.contains("inlineData"))
      result["parts"].push_back(std::move(media));
    else
      beside.push_back(std::move(media));
  }
  parts.push_back({{"functionResponse", std::move(result)}});
  for (Json& media : beside) parts.push_back(std::move(media));
}

void Contents::add(std::string_view role, Json parts) {
  if (parts.empty()) return;
  contents_.push_back({{"role", role}, {"parts", std::move(parts)}});
}

void Contents::build(Json& body) {
  Json system = Json::array();
  bool after_result = false;
  for (size_t i = 0; i < request_.messages.size(); ++i) {
    const Message& message = request_.messages[i];
    const std::string where = "messages[" + std::to_string(i) + "]";
    if (message.role == Role::tool) {
      // All results of one turn stand in one content.
      Json parts = after_result ? std::move(contents_.back()["parts"]) : Json::array();
      if (after_result) contents_.erase(contents_.size() - 1);
      tool_result(message, where, parts);
      add("user", std::move(parts));
      after_result = true;
      continue;
    }
    after_result = false;
    Json parts = parts_of(message, where);
    if (message.role == Role::system || message.role == Role::developer)
      for (Json& part : parts) system.push_back(std::move(part));
    else
      add(message.role == Role::assistant ? "model" : "user", std::move(parts));
  }
  if (model_.gemma && !system.empty() && !contents_.empty()) {
    Json first = {{"role", "user"}, {"parts", std::move(system)}};
    contents_.insert(contents_.begin(), std::move(first));
    system = Json::array();
  }
  // Contents are required: instructions alone are what the user says, and an empty message is a blank.
  if (contents_.empty()) {
    if (system.empty()) system.push_back({{"text", " "}});
    add("user", std::exchange(system, Json::array()));
  }
  if (!system.empty()) body["systemInstruction"] = {{"parts", std::move(system)}};
  body["contents"] = std::move(contents_);
}

}  // namespace

void encode_gemini_contents(const ChatRequest& request, const GeminiModel& model, Refusals& refusals, Json& body) {
  Contents(request, model, refusals).build(body);
}

}  // namespace weir::providers
