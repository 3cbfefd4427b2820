// One prompt run to its end on the caller's thread: what `weir generate` and tests need. The engine does the work on
// its own thread; the caller sleeps in between.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/engine.h"

namespace weir::engine {

struct Generated {
  std::vector<TokenId> token_ids;  // the end-of-sequence token included, where one ended it
  std::string text;
  std::vector<TokenLogprob> logprobs;
  Finish finish = Finish::stop;
  SequenceUsage usage;
};

/// `on_text` is given each piece as it comes and may return false to stop (Finish::cancelled). Errors: those of
/// Engine::submit, and the sequence's own.
Result<Generated> generate(Engine& engine, GenerateRequest request,
                           const std::function<bool(std::string_view)>& on_text = {});

/// The prompt of one user message (after a system message, if that is not empty) through the model's chat template.
/// Errors: not_found (the model has no template), and those of rendering and encoding.
Result<std::vector<TokenId>> chat_prompt(const Engine& engine, const std::string& user, const std::string& system = {});

}  // namespace weir::engine
