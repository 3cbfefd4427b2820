// Base64 with the standard alphabet and padding (RFC 4648 §4), as JSON protocols carry bytes. Pure.
#pragma once

#include <string>
#include <string_view>

namespace weir::providers {

std::string encode_base64(std::string_view bytes);
/// False: not base64; `out` is then unspecified. Padding may be missing; white space may not stand inside.
bool decode_base64(std::string_view text, std::string& out);

}  // namespace weir::providers
