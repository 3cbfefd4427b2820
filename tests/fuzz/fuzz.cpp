#include "tests/fuzz/fuzz.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "config/base/rng.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {

namespace fs = std::filesystem;

std::span<const Target* const> targets() {
  static const Target* const all[] = {
      &kSse,         &kEventStream,    &kHttpHead,        &kHttpChunks,    &kMultipart,    &kMarks,
      &kOpenAiReply, &kAnthropicReply, &kGeminiReply,     &kBedrockReply,  &kCohereReply,  &kPassedReply,
      &kErrorReply,  &kChatCall,       &kCompletionsCall, &kResponsesCall, &kMessagesCall, &kGeminiCall,
      &kUnaryCall,   &kLoadConfig,     &kChatTemplate,    &kToolCalls,     &kTokenizer,    &kSafetensors,
      &kModelConfig, &kGrammar,
  };
  return all;
}

void check(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

void check_equal(std::string_view split, std::string_view whole, std::string_view what) {
  if (split == whole) return;
  const auto at = std::mismatch(split.begin(), split.end(), whole.begin(), whole.end()).first - split.begin();
  const size_t from = static_cast<size_t>(at) < 100 ? 0 : static_cast<size_t>(at) - 100;
  const auto show = [&](const char* name, std::string_view text) {
    const std::string_view part = text.substr(std::min(from, text.size()), 300);
    std::fprintf(stderr, "%s, %zu bytes, from %zu: %.*s\n", name, text.size(), from, static_cast<int>(part.size()),
                 part.data());
  };
  show("split", split);
  show("whole", whole);
  check(false, what);
}

uint64_t hash(std::string_view input) {
  uint64_t value = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : input) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return value ^ value >> 32;
}

std::vector<std::string> pieces(std::string_view input) {
  Rng rng(hash(input));
  // A byte at a time now and then; else from a few cuts to many.
  const bool bytewise = input.size() <= 2048 && rng.next() % 4 == 0;
  const size_t longest = bytewise ? 1 : 2 + rng.next() % std::max<size_t>(2, input.size());
  std::vector<std::string> out;
  while (!input.empty()) {
    const size_t length = std::min<size_t>(input.size(), 1 + rng.next() % longest);
    out.emplace_back(input.substr(0, length)).shrink_to_fit();
    input.remove_prefix(length);
  }
  return out;
}

std::vector<std::string> corpus(const Target& target) {
  std::vector<std::string> out = target.seeds;
  const fs::path data = fs::path(WEIR_SOURCE_DIR) / "../shared/data";
  if (target.recordings.empty() || !fs::is_directory(data)) return out;
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(data)) {
    if (!entry.is_regular_file() || entry.file_size() > target.bytes_max) continue;
    const std::string path = entry.path().lexically_relative(data).string();
    if (std::any_of(target.recordings.begin(), target.recordings.end(),
                    [&](const char* pattern) { return fnmatch(pattern, path.c_str(), 0) == 0; }))
      found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  for (const fs::path& path : found) {
    std::ifstream in(path, std::ios::binary);
    out.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return out;
}

}  // namespace weir::fuzz
