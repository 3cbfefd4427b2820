// Traces of requests as a prefix cache sees them: each a chain of blocks, equal ids where the prefixes are equal. Read
// from a file of Mooncake's form (Qin et al., FAST 2025; github.com/kvcache-ai/Mooncake), or made here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/result.h"

namespace weir::engine::bench {

inline constexpr int32_t kTraceBlockTokens = 512;  // of Mooncake's traces

/// Of one request, in tokens.
struct TraceLengths {
  int32_t input = 0;
  int32_t output = 0;
};

struct Trace {
  std::string name;
  std::vector<std::vector<uint32_t>> requests;  // block ids in order; an id implies every id before it
  std::vector<TraceLengths> lengths;            // as many; what the file does not say is whole blocks, and 256

  uint64_t blocks() const;  // of all requests
};

/// One JSON object a line, of which `hash_ids`, `input_length` and `output_length` are read: the blocks of one prompt,
/// each id the hash of it and all before it. Errors: not_found, bad_request (file, line and what is wrong).
Result<Trace> read_trace(const std::string& file);

/// `requests` calls of chats that go on for some turns, beside calls that come once, under system prompts of unequal
/// popularity.
Trace synthetic_trace(uint64_t seed, int32_t requests);

}  // namespace weir::engine::bench
