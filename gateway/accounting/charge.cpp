#include "gateway/accounting/charge.h"

#include <algorithm>
#include <cstring>

namespace weir::gateway {
namespace {

using Wide = __int128;

constexpr size_t kBlobBytesMin = 1024;  // shorter base64 counts as text

bool is_base64(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
         c == '=' || c == '-' || c == '_' || c == '\\';  // JSON may write '/' as "\/"
}

/// Bytes above 127. The compiler turns it into vector code.
int64_t count_non_ascii(std::string_view text) {
  int64_t count = 0;
  for (const char c : text) count += static_cast<unsigned char>(c) >> 7;
  return count;
}

int64_t text_tokens(std::string_view text) {
  const int64_t other = count_non_ascii(text);
  const int64_t ascii = static_cast<int64_t>(text.size()) - other;
  return (ascii + 2) / 3 + (other + 1) / 2;
}

/// memmem is quicker than string_view::find, whose first byte is everywhere in JSON.
size_t find(std::string_view text, std::string_view what) {
  const void* at = ::memmem(text.data(), text.size(), what.data(), what.size());
  return at == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

/// Members named "image_url": an image by its address costs as much as one that is sent along.
int64_t count_image_fields(std::string_view body) {
  constexpr std::string_view kName = "\"image_url\"";
  int64_t count = 0;
  for (size_t at = find(body, kName); at != std::string_view::npos; at = find(body, kName)) {
    body.remove_prefix(at + kName.size());
    while (!body.empty() && (body.front() == ' ' || body.front() == '\n')) body.remove_prefix(1);
    count += !body.empty() && body.front() == ':';
  }
  return count;
}

/// Where base64 may begin: behind ";base64," of a data: URL, or in a member "data" (Anthropic, Gemini, OpenAI's audio).
size_t find_blob(std::string_view body) {
  constexpr std::string_view kUrl = ";base64,";
  constexpr std::string_view kName = "\"data\"";
  size_t url = find(body, kUrl);
  size_t name = find(body.substr(0, std::min(url, body.size())), kName);
  if (name != std::string_view::npos) {
    name += kName.size();
    while (name < body.size() && (body[name] == ' ' || body[name] == ':' || body[name] == '"')) ++name;
    return name;
  }
  return url == std::string_view::npos ? url : url + kUrl.size();
}

int64_t clamp64(Wide value) {
  return value > INT64_MAX ? INT64_MAX : static_cast<int64_t>(value);
}

/// Larger numbers come from a client's body alone; with these, no product below leaves 128 bits.
constexpr int64_t kTokensMax = 1'000'000'000'000;
constexpr int64_t kChoicesMax = 1'000'000;

int64_t choices(const Ask& ask) {
  return std::clamp<int64_t>(ask.choices, 1, kChoicesMax);
}

/// Picos of the ask with that many output tokens a choice.
Wide picos(const Ask& ask, int64_t output_tokens) {
  return Wide{std::clamp<int64_t>(ask.prompt_tokens, 0, kTokensMax)} * ask.price.dearest_input().picos +
         Wide{std::min(output_tokens, kTokensMax)} * choices(ask) * ask.price.dearest_output().picos;
}

/// Rounded up: a hold must never be smaller than config::charge() of the same counts, which rounds half up.
NanoUsd nanos_up(Wide value) {
  return {clamp64((value + 999) / 1000)};
}

}  // namespace

int64_t estimate_prompt_tokens(std::string_view body) {
  constexpr int64_t kEnvelopeTokens = 8;
  const int64_t named_images = count_image_fields(body);
  int64_t tokens = kEnvelopeTokens;
  int64_t blobs = 0;
  while (body.size() >= kBlobBytesMin) {
    const size_t begin = find_blob(body);
    if (begin == std::string_view::npos) break;
    size_t end = begin;
    while (end < body.size() && is_base64(body[end])) ++end;
    const bool blob = end - begin >= kBlobBytesMin;
    blobs += blob;
    tokens += text_tokens(body.substr(0, blob ? begin : end));
    body.remove_prefix(end);
  }
  return tokens + text_tokens(body) + std::max(blobs, named_images) * kBlobTokens;
}

int64_t estimate_input(const providers::CallBody& body) {
  constexpr uint64_t kAudioBytesASecond = 2'000;
  constexpr uint64_t kDocumentsASearch = 100;
  switch (body.protocol) {
    case providers::Protocol::openai_speech:
      return static_cast<int64_t>(body.units);
    case providers::Protocol::rerank:
      return static_cast<int64_t>((body.units + kDocumentsASearch - 1) / kDocumentsASearch);
    case providers::Protocol::openai_transcriptions:
      return static_cast<int64_t>(body.json.size() / kAudioBytesASecond * 10);
    default:
      return estimate_prompt_tokens(body.json);
  }
}

int64_t estimate_output_tokens(uint64_t text_bytes) {
  return static_cast<int64_t>((text_bytes + 2) / 3);
}

int64_t output_tokens_max(const Ask& ask) {
  if (ask.max_tokens) return std::max<int64_t>(*ask.max_tokens, 0);
  if (ask.output_tokens_max) return *ask.output_tokens_max;
  return ask.price.output_tokens_max.value_or(kOutputTokensMaxUnknown);
}

AskBounds bounds(const Ask& ask) {
  const int64_t all = output_tokens_max(ask);
  const int64_t few = ask.max_tokens ? all : std::min<int64_t>(all, 1);
  return {nanos_up(picos(ask, few)), nanos_up(picos(ask, all))};
}

int64_t output_tokens_for(const Ask& ask, NanoUsd amount) {
  const int64_t all = output_tokens_max(ask);
  const Wide left = Wide{amount.nanos} * 1000 - picos(ask, 0);
  if (left < 0) return 0;
  const Wide each = Wide{choices(ask)} * ask.price.dearest_output().picos;
  if (each == 0) return all;
  return std::min(all, clamp64(left / each));
}

}  // namespace weir::gateway
