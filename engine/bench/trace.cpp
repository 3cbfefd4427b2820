#include "engine/bench/trace.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "config/base/json.h"
#include "config/base/rng.h"

namespace weir::engine::bench {
namespace {

constexpr uint64_t kSystemPrompts = 40;
constexpr uint64_t kSystemBlocksMax = 8;
constexpr uint64_t kTurnBlocksMax = 10;  // of a question and the answer before it
constexpr size_t kChatsMax = 300;        // that may go on
constexpr int32_t kOutputTokens = 256;   // where a trace does not say
constexpr double kGoesOn = 0.55;         // of the calls begin or continue a chat that may go on again

Error bad_line(const std::string& file, size_t line, const std::string& what) {
  return {.kind = ErrorKind::bad_request,
          .source = "engine",
          .detail = file + ":" + std::to_string(line) + ": " + what +
                    "; a line is a JSON object with hash_ids, a list of block ids from 0 to 4294967295"};
}

/// A length that is there and makes sense, or `instead`.
int32_t length_of(const nlohmann::json& object, const char* key, uint64_t most, int32_t instead) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return instead;
  const auto length = found->get<uint64_t>();
  return length > 0 && length <= most ? static_cast<int32_t>(length) : instead;
}

int32_t tokens_of(const std::vector<uint32_t>& blocks) {
  return static_cast<int32_t>(std::min<size_t>(blocks.size(), 1 << 20)) * kTraceBlockTokens;
}

}  // namespace

uint64_t Trace::blocks() const {
  uint64_t blocks = 0;
  for (const auto& request : requests) blocks += request.size();
  return blocks;
}

Result<Trace> read_trace(const std::string& file) {
  std::ifstream in(file);
  if (!in) return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = file + ": cannot be read"};
  Trace trace{.name = file, .requests = {}, .lengths = {}};
  std::string text;
  for (size_t line = 1; std::getline(in, text); ++line) {
    if (text.empty()) continue;
    const auto object = read_json<nlohmann::json>(text);
    if (!object.is_object() || !object.contains("hash_ids")) return bad_line(file, line, "no hash_ids");
    const auto& ids = object["hash_ids"];
    if (!ids.is_array()) return bad_line(file, line, "hash_ids is no list");
    std::vector<uint32_t> blocks;
    for (const auto& id : ids) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() > UINT32_MAX) return bad_line(file, line, "a strange id");
      blocks.push_back(id.get<uint32_t>());
    }
    const int32_t whole = tokens_of(blocks);
    trace.lengths.push_back({.input = length_of(object, "input_length", static_cast<uint64_t>(whole), whole),
                             .output = length_of(object, "output_length", 1 << 20, kOutputTokens)});
    trace.requests.push_back(std::move(blocks));
  }
  if (trace.blocks() == 0) return bad_line(file, 1, "no block in the whole file");
  return trace;
}

Trace synthetic_trace(uint64_t seed, int32_t requests) {
  Rng rng(seed);
  Trace trace{.name = "synthetic", .requests = {}, .lengths = {}};
  uint32_t next = 0;
  const auto extend = [&](std::vector<uint32_t>& blocks, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) blocks.push_back(next++);
  };
  std::vector<std::vector<uint32_t>> systems(kSystemPrompts);
  for (auto& system : systems) extend(system, 1 + rng.below(kSystemBlocksMax));
  std::vector<std::vector<uint32_t>> chats;
  for (int32_t i = 0; i < requests; ++i) {
    std::vector<uint32_t> blocks;
    if (!chats.empty() && rng.uniform() < 0.5) {
      const size_t chat = rng.below(chats.size());
      std::swap(chats[chat], chats.back());
      blocks = std::move(chats.back());
      chats.pop_back();
    } else {
      // The product of two uniform draws: the first system prompts are by far the most popular.
      blocks = systems[rng.below(1 + rng.below(kSystemPrompts))];
    }
    extend(blocks, 1 + rng.below(kTurnBlocksMax));
    if (rng.uniform() < kGoesOn && chats.size() < kChatsMax) chats.push_back(blocks);
    trace.lengths.push_back({.input = tokens_of(blocks), .output = kOutputTokens});
    trace.requests.push_back(std::move(blocks));
  }
  return trace;
}

}  // namespace weir::engine::bench
