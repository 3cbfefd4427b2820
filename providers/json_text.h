// JSON text: of a tree, and strings without a tree, which the pieces of a stream are made of. Pure.
#pragma once

#include <functional>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace weir::providers {

/// The tree of a JSON text, as nlohmann reads it, but that escapes of lone surrogates (JavaScript's clients send them)
/// and bytes that are no UTF-8 (half a character, where a server cut one) become U+FFFD, and numbers beyond all doubles
/// the largest; discarded where it is no JSON.
nlohmann::ordered_json parse_json(std::string_view text);

/// The same with every number as it is written (json_numbers.h): for what is written again and not calculated with.
nlohmann::ordered_json parse_written(std::string_view text);

/// A JSON text in which every escape of a surrogate that is not half of a pair is written as that of U+FFFD, bytes that
/// are no UTF-8 are one, and numbers are such as any reader takes (round_numbers()). Empty: there was nothing to mend.
std::string mended_json(std::string_view json);

/// The text without the byte order mark that some clients put before it (RFC 8259 section 8.1 lets a reader ignore it).
std::string_view without_byte_order_mark(std::string_view text);

/// Behind the closing quote of the string that opens at `at`.
size_t skip_string(std::string_view json, size_t at);

/// Compact JSON text; invalid UTF-8 becomes U+FFFD. Values of the type `binary` are numbers as written
/// (json_numbers.h).
std::string json_text(const nlohmann::ordered_json& json);
void append_json(const nlohmann::ordered_json& json, std::string& out);

/// Appends what the inside of a JSON string (`inside`, without its quotes, as written) stands for, as UTF-8. A lone
/// surrogate and bytes that are no UTF-8 become U+FFFD. False: not the inside of a JSON string (RFC 8259 §7); then
/// `out` holds what came before.
bool append_unescaped(std::string_view inside, std::string& out);

/// Appends `text` as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD.
void append_quoted(std::string_view text, std::string& out);
inline std::string quoted(std::string_view text) {
  std::string out;
  append_quoted(text, out);
  return out;
}

/// The outermost object of `json` without the members of these names, found in one walk over it; what stands between
/// the others stays as it is. The values of those go to `took(name, value)`, in order. Keys written with escapes are
/// not found. REQUIRES: `json` is a valid JSON object.
std::string without_members(std::string_view json, std::initializer_list<std::string_view> names,
                            const std::function<void(std::string_view name, std::string_view value)>& took = {});

}  // namespace weir::providers
