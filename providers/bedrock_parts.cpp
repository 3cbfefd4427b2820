// The neutral messages as Converse's.
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html and the blocks it names.
#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <utility>

#include "config/base/secret.h"
#include "providers/base64.h"
#include "providers/bedrock.h"
#include "providers/block_turns.h"
#include "providers/native_item.h"

namespace weir::providers {
namespace {

constexpr size_t kToolIdBytesMax = 64;
constexpr size_t kDocumentNameBytesMax = 200;

struct Format {
  std::string_view mime;
  std::string_view name;
};
constexpr auto kImageFormats = std::to_array<Format>({{"image/png", "png"},
                                                      {"image/jpeg", "jpeg"},
                                                      {"image/jpg", "jpeg"},
                                                      {"image/gif", "gif"},
                                                      {"image/webp", "webp"}});
// The first letters of base64 that the formats' magic numbers give.
constexpr auto kImageMagic =
    std::to_array<Format>({{"iVBORw", "png"}, {"/9j/", "jpeg"}, {"R0lGOD", "gif"}, {"UklGR", "webp"}});
constexpr auto kDocumentFormats =
    std::to_array<Format>({{"application/pdf", "pdf"},
                           {"text/csv", "csv"},
                           {"application/msword", "doc"},
                           {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"},
                           {"application/vnd.ms-excel", "xls"},
                           {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"},
                           {"text/html", "html"},
                           {"text/plain", "txt"},
                           {"text/markdown", "md"}});
constexpr auto kAudioFormats = std::to_array<Format>({{"audio/mpeg", "mp3"},
                                                      {"audio/mp3", "mp3"},
                                                      {"audio/wav", "wav"},
                                                      {"audio/x-wav", "wav"},
                                                      {"audio/flac", "flac"},
                                                      {"audio/ogg", "ogg"},
                                                      {"audio/opus", "opus"},
                                                      {"audio/aac", "aac"},
                                                      {"audio/mp4", "m4a"},
                                                      {"audio/webm", "webm"}});

std::string_view format_of(const auto& table, std::string_view mime) {
  mime = mime.substr(0, mime.find(';'));
  for (const Format& format : table)
    if (format.mime == mime) return format.name;
  return {};
}

std::string_view image_format(const Media& media) {
  if (const auto format = format_of(kImageFormats, media.mime); !format.empty()) return format;
  for (const Format& magic : kImageMagic)
    if (media.data.starts_with(magic.mime)) return magic.name;
  const std::string ending = media.url.substr(std::min(media.url.rfind('.') + 1, media.url.size()));
  return format_of(kImageFormats, "image/" + ending.substr(0, 8));
}

/// By type, else by the ending of the file's name.
std::string_view document_format(const Media& media) {
  if (const auto format = format_of(kDocumentFormats, media.mime); !format.empty()) return format;
  const size_t dot = media.name.rfind('.');
  if (dot != std::string::npos)
    for (const Format& format : kDocumentFormats)
      if (media.name.substr(dot + 1) == format.name) return format.name;
  return media.mime.starts_with("text/") ? std::string_view("txt") : std::string_view{};
}

bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

/// At most 64 bytes. Longer ones end in a hash, so that a call and its result still meet.
std::string tool_id(const std::string& id) {
  std::string out = block_tool_id(id);
  if (out.size() <= kToolIdBytesMax) return out;
  constexpr std::string_view kDigits = "0123456789abcdef";
  out.resize(kToolIdBytesMax - 16);
  const Sha256 digest = sha256(id);
  for (size_t i = 0; i < 8; ++i) {
    out.push_back(kDigits[digest[i] >> 4]);
    out.push_back(kDigits[digest[i] & 15]);
  }
  return out;
}

/// Base64 in the media, or an object of S3's.
bool source_of(const Media& media, Json& source) {
  if (media.url.starts_with("s3://"))
    source["s3Location"]["uri"] = media.url;
  else if (!media.data.empty())
    source["bytes"] = media.data;
  else
    return false;
  return true;
}

class Turns final : public BlockTurns {
 public:
  Turns(const ChatRequest& request, BedrockFamily family, Refusals& refusals)
      : BlockTurns(request, refusals, "Bedrock"), family_(family) {}
  ConverseMessages run();

 private:
  void system(const Message& message) override;
  void user(const Message& message) override { turn(message, "user"); }
  void assistant(const Message& message) override { turn(message, "assistant"); }
  void tool(const Message& message) override;
  void turn(const Message& message, std::string_view role);
  /// Null where the part has no block of its own.
  Json block(const Part& part, const std::string& where);
  Json image(const Media& media, const std::string& where);
  Json document(const Media& media, const std::string& where);
  Json audio(const Media& media, const std::string& where);
  Json reasoning(const Part& part) const;
  Json call(const ToolCall& call, const std::string& where);
  std::string document_name(const Media& media);
  Json cache_point(const Json& cache);
  void add_cache_point(std::string_view role, const Json& cache);

  BedrockFamily family_;
  ConverseMessages out_;
  std::set<std::string> document_names_;
};

Json Turns::cache_point(const Json& cache) {
  return converse_cache_point(cache, family_, refusals_);
}

void Turns::add_cache_point(std::string_view role, const Json& cache) {
  if (Json point = cache_point(cache); !point.is_null()) add(role, std::move(point));
}

Json Turns::image(const Media& media, const std::string& where) {
  Json block;
  const std::string_view format = image_format(media);
  block["image"]["format"] = format;
  if (!source_of(media, block["image"]["source"])) {
    refusals_.must_say(where, "Bedrock fetches no images; send them in base64");
    return nullptr;
  }
  if (format.empty()) {
    refusals_.must_say(where, "Bedrock takes PNG, JPEG, GIF and WebP images");
    return nullptr;
  }
  if (media.detail == "low") refusals_.cannot_say(where + ".image_url.detail");
  if (media.detail == "high") refusals_.leave_out("image_url.detail");
  return block;
}

/// Letters, digits, single spaces, hyphens, parentheses and brackets, and each name once: the service's rules.
std::string Turns::document_name(const Media& media) {
  std::string name;
  for (const char c : media.name.substr(0, media.name.rfind('.'))) {
    const bool fine =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '(' || c == ')' || c == '[' || c == ']';
    if (fine)
      name.push_back(c);
    else if (!name.empty() && name.back() != ' ')
      name.push_back(' ');
  }
  name.resize(std::min(name.size(), kDocumentNameBytesMax));
  while (!name.empty() && name.back() == ' ') name.pop_back();
  if (name.empty()) name = "document";
  std::string unique = name;
  for (size_t i = 2; !document_names_.insert(unique).second; ++i) unique = name + " " + std::to_string(i);
  return unique;
}

Json Turns::document(const Media& media, const std::string& where) {
  const std::string_view format = document_format(media);
  Json block;
  block["document"]["format"] = format;
  block["document"]["name"] = document_name(media);
  if (!source_of(media, block["document"]["source"])) {
    refusals_.must_say(where, "Bedrock fetches no files; send them in base64");
    return nullptr;
  }
  if (format.empty()) {
    refusals_.must_say(where, "Bedrock takes PDF, Office, HTML, Markdown, CSV and text documents");
    return nullptr;
  }
  return block;
}

Json Turns::audio(const Media& media, const std::string& where) {
  const std::string_view format = format_of(kAudioFormats, media.mime);
  Json block;
  block["audio"]["format"] = format;
  if (family_ == BedrockFamily::claude || format.empty() || !source_of(media, block["audio"]["source"])) {
    refusals_.must_say(where, "audio goes to Bedrock in base64, and not to Claude");
    return nullptr;
  }
  return block;
}

/// Claude wants its own signed thinking back; the other models were made to go on without theirs.
Json Turns::reasoning(const Part& part) const {
  if (family_ != BedrockFamily::claude || part.signer != Signer::anthropic) return nullptr;
  Json block;
  if (!part.redacted.empty()) {
    block["reasoningContent"]["redactedContent"] = encode_base64(part.redacted);
    return block;
  }
  if (part.signature.empty()) return nullptr;
  block["reasoningContent"]["reasoningText"]["text"] = part.text;
  block["reasoningContent"]["reasoningText"]["signature"] = part.signature;
  return block;
}

Json Turns::call(const ToolCall& call, const std::string& where) {
  Json input = arguments_of(call, where);
  if (input.is_null()) return nullptr;
  out_.uses_tools = true;
  Json block;
  block["toolUse"]["toolUseId"] = tool_id(call.id);
  block["toolUse"]["name"] = call.name;
  block["toolUse"]["input"] = std::move(input);
  return block;
}

Json Turns::block(const Part& part, const std::string& where) {
  switch (part.kind) {
    case Part::Kind::text:
    case Part::Kind::refusal: {
      if (blank(part.text)) return nullptr;  // a block of white space alone is refused
      Json text;
      text["text"] = part.text;
      return text;
    }
    case Part::Kind::image:
      return image(part.media, where);
    case Part::Kind::file:
      return document(part.media, where);
    case Part::Kind::audio:
      return audio(part.media, where);
    case Part::Kind::reasoning: {
      Json thought = reasoning(part);
      if (thought.is_null()) refusals_.leave_out(kReasoningOfOthers);
      return thought;
    }
    case Part::Kind::tool_call:
      return call(part.call, where);
    case Part::Kind::native: {
      Json item = item_of_family(part.native, "bedrock");
      if (item.is_null()) refusals_.leave_out(kItemsOfOthers);
      return item;
    }
  }
  return nullptr;
}

void Turns::system(const Message& message) {
  for (size_t i = 0; i < message.parts.size(); ++i) {
    const Part& part = message.parts[i];
    if (part.kind != Part::Kind::text) {
      refusals_.must_say(where(i), "Bedrock's system prompt is text");
      continue;
    }
    if (blank(part.text)) continue;
    Json text;
    text["text"] = part.text;
    out_.system.push_back(std::move(text));
    if (Json point = cache_point(part.cache); !point.is_null()) out_.system.push_back(std::move(point));
  }
}

void Turns::turn(const Message& message, std::string_view role) {
  refuse_name(message);
  for (size_t i = 0; i < message.parts.size(); ++i) {
    Json one = block(message.parts[i], where(i));
    if (one.is_null()) continue;
    add(role, std::move(one));
    add_cache_point(role, message.parts[i].cache);
  }
}

void Turns::tool(const Message& message) {
  out_.uses_tools = true;
  Json block_of_result;
  Json& result = block_of_result["toolResult"];
  result["toolUseId"] = tool_id(message.tool_call_id);
  result["content"] = Json::array();
  Json cache;
  for (size_t i = 0; i < message.parts.size(); ++i) {
    const Part& part = message.parts[i];
    if (!part.cache.is_null()) cache = part.cache;
    if (Json one = block(part, where(i)); !one.is_null()) result["content"].push_back(std::move(one));
  }
  if (message.tool_failed) result["status"] = "error";
  add("user", std::move(block_of_result));
  add_cache_point("user", cache);
}

/// As Anthropic's Messages: instructions alone are what the user says.
ConverseMessages Turns::run() {
  walk();
  if (turns_.empty())
    for (Json& text : std::exchange(out_.system, Json::array())) add("user", std::move(text));
  require_turn();
  out_.messages = std::move(turns_);
  return std::move(out_);
}

}  // namespace

Json converse_cache_point(const Json& cache, BedrockFamily family, Refusals& refusals) {
  if (cache.is_null()) return nullptr;
  // A hint: elsewhere the answer is the same without it, and a cache point would be refused.
  const bool known = family == BedrockFamily::claude || family == BedrockFamily::nova;
  if (!cache.is_object() || !known) {
    refusals.leave_out("cache_control");
    return nullptr;
  }
  Json point;
  point["cachePoint"]["type"] = "default";
  const auto ttl = cache.find("ttl");
  const bool hour = ttl != cache.end() && *ttl == "1h";
  if (hour && family == BedrockFamily::claude)
    point["cachePoint"]["ttl"] = "1h";
  else if (hour)
    refusals.leave_out("cache_control.ttl");
  return point;
}

ConverseMessages converse_messages(const ChatRequest& request, BedrockFamily family, Refusals& refusals) {
  return Turns(request, family, refusals).run();
}

}  // namespace weir::providers
