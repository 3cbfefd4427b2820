#include "gateway/accounting/named_context.h"

#include "providers/json_scan.h"

namespace weir::gateway {
namespace {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;

constexpr size_t kKeptBytesMax = 1024 * 1024;  // what a thread keeps for its next body

std::string_view text_of(dom::object object, std::string_view name) {
  std::string_view text;
  return object[name].get(text) == SUCCESS ? text : std::string_view();
}

bool is_address(std::string_view text) {
  return text.starts_with("http://") || text.starts_with("https://") || text.starts_with("gs://");
}

bool is_image(std::string_view mime) {
  return mime.starts_with("image/");
}

/// One member of a part: where it is how some protocol names something, that is counted.
void count_member(std::string_view type, std::string_view name, dom::element value, NamedContext& out) {
  dom::object inner;
  const bool object = value.get(inner) == SUCCESS;
  std::string_view text;
  const bool image = type.find("image") != std::string_view::npos;
  if (name == "file_id" || name == "file_url") {
    if (value.get(text) == SUCCESS && type.starts_with("input_")) ++(image ? out.images : out.files);
  } else if (name == "file" && object) {
    if (!text_of(inner, "file_id").empty() || is_address(text_of(inner, "file_data"))) ++out.files;
  } else if (name == "source" && object) {
    if (!text_of(inner, "file_id").empty())
      ++(image ? out.images : out.files);
    else if (!image && is_address(text_of(inner, "url")))
      ++out.files;
  } else if ((name == "fileData" || name == "file_data") && object) {
    const bool of_image = is_image(text_of(inner, "mimeType")) || is_image(text_of(inner, "mime_type"));
    const bool named = !text_of(inner, "fileUri").empty() || !text_of(inner, "file_uri").empty();
    if (named && !of_image) ++out.files;
  } else if (name == "document_url" || name == "video_url" || name == "audio_url") {
    if (is_address(object ? text_of(inner, "url") : value.get(text) == SUCCESS ? text : std::string_view()))
      ++out.files;
  }
}

void walk(dom::element value, NamedContext& out) {
  dom::array array;
  dom::object object;
  if (value.get(array) == SUCCESS) {
    for (const dom::element element : array) walk(element, out);
  } else if (value.get(object) == SUCCESS) {
    const std::string_view type = text_of(object, "type");
    const bool call = type.ends_with("tool_use");
    for (const auto [name, member] : object) {
      if ((call && name == "input") || name == "functionCall" || name == "function_call" || name == "response")
        continue;
      count_member(type, name, member, out);
      walk(member, out);
    }
  }
}

}  // namespace

NamedContext named_context(std::string_view json) {
  static thread_local dom::parser parser;
  dom::element root;
  dom::object call;
  NamedContext out;
  if (providers::parse_dom(parser, json, root) && root.get(call) == SUCCESS)
    for (const auto [name, value] : call) {
      dom::object stored;
      const bool prompt = name == "prompt" && value.get(stored) == SUCCESS;  // Responses: written beforehand
      if (prompt || name == "cachedContent" || name == "cached_content") ++out.files;
      if (prompt || name == "messages" || name == "system" || name == "input" || name == "contents") walk(value, out);
    }
  if (parser.capacity() > kKeptBytesMax) parser = dom::parser();
  return out;
}

}  // namespace weir::gateway
