// Images, audio and files as the protocols write them. Pure.
#pragma once

#include <string>
#include <string_view>

#include "providers/chat.h"

namespace weir::providers {

/// "data:image/png;base64,…" (RFC 2397) becomes mime and data; any other text is an url.
Media media_of_url(std::string_view url);
/// The opposite: the URL, or data with its mime type as a data: URL.
std::string url_of_media(const Media& media);
/// "mp3" for audio/mpeg, "wav" for audio/wav, …: OpenAI's input_audio.format. Empty: unknown.
std::string_view audio_format_of_mime(std::string_view mime);
std::string mime_of_audio_format(std::string_view format);

/// Whose files API gave a file its id, as far as its form tells; none: any that has one.
Signer owner_of_file(std::string_view file_id);

/// An identifier's signature in a protocol that is not its signer's: "weir:gemini:…". `own` is left as it is.
std::string wrap_signature(std::string_view signature, Signer signer, Signer own);
/// The opposite; `own` is assumed where nothing else is said.
std::string unwrap_signature(std::string_view signature, Signer own, Signer& signer);

}  // namespace weir::providers
