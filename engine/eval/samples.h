// Texts that a model is judged by, or calibrated on: a file of one a line, as tokens. FILE.jsonl holds objects,
//   {"messages": […], "expected": "…"}   a conversation and the answer that is right (so engine/builtin/eval.jsonl)
//   {"messages": […]}                    a conversation; all of it counts
//   {"prompt": "…", "expected": "…"}     the same without a chat template
//   {"text": "…"}                        a text; all of it counts
// and any other file plain text, a text a line. Keys that are not named here are ignored. Plain values.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/core/types.h"
#include "engine/load.h"

namespace weir::engine {

struct Sample {
  size_t line = 0;                  // of the file, from 1
  std::vector<TokenId> prompt;      // what is given: through the chat template, up to the assistant's turn
  std::vector<TokenId> completion;  // what is judged; with an end token behind an expected answer
  std::optional<std::string> expected;
  bool chat = false;  // the prompt is a conversation's

  /// Prompt and completion.
  std::vector<TokenId> all() const;
};

/// At most `samples_max` samples (0: all). Errors name file and line: not readable, no JSON, no such keys, a template
/// that fails; a file without any sample.
Result<std::vector<Sample>> read_samples(const std::string& path, const LoadedModel& model, size_t samples_max = 0);

}  // namespace weir::engine
