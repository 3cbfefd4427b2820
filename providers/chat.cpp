#include "providers/chat.h"

#include <algorithm>

namespace weir::providers {

std::string Message::text() const {
  std::string all;
  for (const Part& part : parts)
    if (part.kind == Part::Kind::text || part.kind == Part::Kind::refusal) all += part.text;
  return all;
}

void Usage::raise(const config::TokenCounts& other) {
  counts.input = std::max(counts.input, other.input);
  counts.output = std::max(counts.output, other.output);
  // A part is never more than its whole, whatever an upstream reports: prices rely on it.
  counts.cached_input = std::min(std::max(counts.cached_input, other.cached_input), counts.input);
  counts.reasoning = std::min(std::max(counts.reasoning, other.reasoning), counts.output);
}

}  // namespace weir::providers
