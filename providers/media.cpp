#include "providers/media.h"

#include <array>

namespace weir::providers {
namespace {

struct AudioType {
  std::string_view format;
  std::string_view mime;
};
constexpr auto kAudioTypes = std::to_array<AudioType>({{"mp3", "audio/mpeg"},
                                                       {"mp3", "audio/mp3"},
                                                       {"wav", "audio/wav"},
                                                       {"wav", "audio/x-wav"},
                                                       {"flac", "audio/flac"},
                                                       {"ogg", "audio/ogg"},
                                                       {"opus", "audio/opus"},
                                                       {"aac", "audio/aac"},
                                                       {"aiff", "audio/aiff"},
                                                       {"m4a", "audio/mp4"},
                                                       {"pcm16", "audio/pcm"},
                                                       {"webm", "audio/webm"}});

constexpr std::string_view kWrap = "weir:";

std::string_view signer_name(Signer signer) {
  switch (signer) {
    case Signer::anthropic:
      return "anthropic:";
    case Signer::gemini:
      return "gemini:";
    case Signer::openai:
      return "openai:";
    case Signer::none:
      break;
  }
  return ":";
}

}  // namespace

Media media_of_url(std::string_view url) {
  Media media;
  constexpr std::string_view kScheme = "data:";
  constexpr std::string_view kBase64 = ";base64";
  const size_t comma = url.find(',');
  if (!url.starts_with(kScheme) || comma == std::string_view::npos || !url.substr(0, comma).ends_with(kBase64)) {
    media.url = std::string(url);
    return media;
  }
  std::string_view mime = url.substr(kScheme.size(), comma - kScheme.size() - kBase64.size());
  mime = mime.substr(0, mime.find(';'));
  media.mime = mime == "image/jpg" ? "image/jpeg" : std::string(mime);  // OpenAI takes the first, others the name alone
  media.data = std::string(url.substr(comma + 1));
  return media;
}

std::string url_of_media(const Media& media) {
  if (media.data.empty()) return media.url;
  return "data:" + (media.mime.empty() ? std::string("application/octet-stream") : media.mime) + ";base64," +
         media.data;
}

std::string_view audio_format_of_mime(std::string_view mime) {
  for (const AudioType& type : kAudioTypes)
    if (type.mime == mime) return type.format;
  return {};
}

std::string mime_of_audio_format(std::string_view format) {
  for (const AudioType& type : kAudioTypes)
    if (type.format == format) return std::string(type.mime);
  return "audio/" + std::string(format);
}

Signer owner_of_file(std::string_view file_id) {
  const auto begins = [&](std::string_view beginning) { return file_id.starts_with(beginning); };
  if (begins("gs://") || begins("https://") || begins("files/")) return Signer::gemini;
  if (begins("file_")) return Signer::anthropic;
  return begins("file-") ? Signer::openai : Signer::none;
}

std::string wrap_signature(std::string_view signature, Signer signer, Signer own) {
  if (signature.empty() || signer == own || signer == Signer::none) return std::string(signature);
  return std::string(kWrap).append(signer_name(signer)).append(signature);
}

std::string unwrap_signature(std::string_view signature, Signer own, Signer& signer) {
  signer = signature.empty() ? Signer::none : own;
  if (!signature.starts_with(kWrap)) return std::string(signature);
  const std::string_view rest = signature.substr(kWrap.size());
  for (const Signer candidate : {Signer::anthropic, Signer::gemini, Signer::openai}) {
    const std::string_view name = signer_name(candidate);
    if (!rest.starts_with(name)) continue;
    signer = candidate;
    return std::string(rest.substr(name.size()));
  }
  return std::string(signature);
}

}  // namespace weir::providers
