#include "gateway/accounting/text_sample.h"

#include <algorithm>

#include "providers/json_scan.h"
#include "providers/json_text.h"

namespace weir::gateway {
namespace {

constexpr size_t kPieceBytes = 1024;
static_assert(kTextSampleBytes % (2 * kPieceBytes) == 0);

/// `text` begins with '{': the object, as far as it is there.
std::string_view object_at(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      in_string = !in_string;
    else if (!in_string && text[i] == '{')
      ++depth;
    else if (!in_string && text[i] == '}' && --depth == 0)
      return text.substr(0, i + 1);
  }
  return text;
}

/// The texts (and, of `objects`, the JSON of the objects) that are called so. True: there was one.
bool add_all(std::string_view json, std::string_view quoted_key, bool objects, TextSample& sample) {
  bool found = false;
  std::string plain;
  while (true) {
    const size_t at = providers::find_key(json, quoted_key);
    if (at == std::string_view::npos) return found;
    json.remove_prefix(at);
    const size_t value = json.find_first_not_of(" \t");
    if (value == std::string_view::npos) return found;
    std::string_view text;
    if (json[value] == '"') {
      size_t end = value + 1;
      while (end < json.size() && json[end] != '"') end += json[end] == '\\' ? 2 : 1;
      text = json.substr(value + 1, std::min(end, json.size()) - value - 1);
      if (text.find('\\') != std::string_view::npos) {
        plain.clear();
        providers::append_unescaped(text, plain);
        text = plain;
      }
      json.remove_prefix(std::min(end, json.size()));
    } else if (objects && json[value] == '{') {
      text = object_at(json.substr(value));
      json.remove_prefix(value + text.size());
    }
    sample.add(text);
    found = found || !text.empty();
  }
}

}  // namespace

void TextSample::add(std::string_view text) {
  while (!text.empty()) {
    const size_t room = kPieceBytes - bytes_ % kPieceBytes;
    const std::string_view piece = text.substr(0, room);
    const bool new_piece = room == kPieceBytes;
    if (new_piece && kept_.size() == kTextSampleBytes && bytes_ / kPieceBytes % stride_ == 0) thin_out();
    if (bytes_ / kPieceBytes % stride_ == 0) kept_ += piece;
    bytes_ += piece.size();
    text.remove_prefix(piece.size());
  }
}

/// Every second piece stays.
void TextSample::thin_out() {
  for (size_t i = 1; 2 * i * kPieceBytes < kept_.size(); ++i)
    kept_.replace(i * kPieceBytes, kPieceBytes, kept_, 2 * i * kPieceBytes, kPieceBytes);
  kept_.resize(kept_.size() / 2);
  stride_ *= 2;
}

void add_answer_text(providers::Protocol protocol, bool stream, std::string_view json, TextSample& sample) {
  using providers::Protocol;
  const auto add = [&](std::string_view key, bool objects = false) { return add_all(json, key, objects, sample); };
  switch (protocol) {
    case Protocol::openai_chat: {
      bool some = add("\"content\"");
      // Some servers write their reasoning under two names.
      some |= add("\"reasoning_content\"") || add("\"reasoning\"");
      some |= add("\"arguments\"");
      some |= add("\"refusal\"");
      if (!some) add("\"text\"");  // content in parts
      break;
    }
    case Protocol::openai_completions:
      add("\"text\"");
      break;
    case Protocol::openai_responses:
      if (stream) {  // the last events repeat it all under other names
        add("\"delta\"");
      } else {
        add("\"text\"");
        add("\"arguments\"");
        add("\"refusal\"");
      }
      break;
    case Protocol::anthropic_messages:
      add("\"text\"");
      add("\"thinking\"");
      add("\"partial_json\"");
      if (!stream) add("\"input\"", true);
      break;
    case Protocol::gemini_generate:
      add("\"text\"");
      add("\"args\"", true);
      break;
    default:
      break;
  }
}

}  // namespace weir::gateway
