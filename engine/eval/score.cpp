#include "engine/eval/score.h"

#include <algorithm>
#include <string>

namespace weir::engine {
namespace {

constexpr size_t kStepTokens = 256;  // of a prefix that is only run through
constexpr size_t kStepScores = 64;   // rows of logits at once

Error bad(const std::string& what) {
  return Error{.kind = ErrorKind::bad_request, .source = "engine", .detail = what};
}

Result<void> check(const BackendInfo& info, std::span<const TokenId> tokens) {
  const auto context = static_cast<size_t>(info.context_held());
  if (tokens.size() > context) {
    return bad("a text of " + std::to_string(tokens.size()) + " tokens; the context holds " + std::to_string(context));
  }
  for (const TokenId token : tokens) {
    if (token < 0 || token >= info.vocab_size)
      return bad("token " + std::to_string(token) + " is not in the vocabulary");
  }
  return {};
}

/// One sequence in blocks 0, 1, 2, …
class Run {
 public:
  Run(Backend& backend, std::span<const TokenId> tokens)
      : backend_(backend), history_(tokens.begin(), tokens.end()), block_tokens_(backend.info().block_tokens) {}

  /// A row of the tokens [begin, end).
  void add_row(size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      plan_.tokens.push_back(history_[i]);
      plan_.positions.push_back(static_cast<int32_t>(i));
      plan_.slots.push_back(static_cast<int32_t>(i));
    }
    plan_.row_begin.push_back(static_cast<int32_t>(plan_.tokens.size()));
    plan_.context_length.push_back(static_cast<int32_t>(end));
    const int32_t blocks = (static_cast<int32_t>(end) + block_tokens_ - 1) / block_tokens_;
    for (int32_t b = 0; b < blocks; ++b) plan_.block_table.push_back(b);
    plan_.block_table_begin.push_back(static_cast<int32_t>(plan_.block_table.size()));
    plan_.samples.push_back(0);
    plan_.sampling.emplace_back();
    plan_.sequence.push_back(0);
    plan_.salt.push_back(0);
  }

  void begin() {
    plan_.clear();
    plan_.row_begin = plan_.block_table_begin = {0};
  }

  /// The last row tells of the token `next`.
  void ask(SamplingParams& params, size_t next) {
    params.temperature = 0.0F;
    params.logprobs = 0;
    params.forced = history_[next];
    plan_.samples.back() = 1;
    plan_.sampling.back() = {.params = &params,
                             .history = &history_,
                             .prompt_length = static_cast<int32_t>(history_.size()),
                             .output_index = 0};
  }

  Result<StepResult> step() {
    ++plan_.step;
    if (auto submitted = backend_.submit(plan_); !submitted.ok()) return submitted.error();
    return backend_.wait();
  }

  Result<void> run(size_t begin, size_t end) {
    for (; begin < end; begin += kStepTokens) {
      this->begin();
      add_row(begin, std::min(end, begin + kStepTokens));
      if (auto done = step(); !done.ok()) return done.error();
    }
    return {};
  }

 private:
  Backend& backend_;
  const std::vector<TokenId> history_;
  const int32_t block_tokens_;
  StepPlan plan_;
};

}  // namespace

Result<std::vector<float>> score(Backend& backend, std::span<const TokenId> tokens, size_t first) {
  if (auto checked = check(backend.info(), tokens); !checked.ok()) return checked.error();
  std::vector<float> scores;
  if (first >= tokens.size()) return scores;
  Run run(backend, tokens);
  // The token before the first that is asked for tells of it.
  if (auto done = run.run(0, first - 1); !done.ok()) return done.error();
  for (size_t begin = first - 1; begin + 1 < tokens.size(); begin += kStepScores) {
    const size_t end = std::min(tokens.size() - 1, begin + kStepScores);
    // A row each over the same blocks: keys and values of a step are written before any of it attends to them.
    std::vector<SamplingParams> params(end - begin);
    run.begin();
    for (size_t i = begin; i < end; ++i) {
      run.add_row(i, i + 1);
      run.ask(params[i - begin], i + 1);
    }
    const auto result = run.step();
    if (!result.ok()) return result.error();
    for (const SampleFault fault : result->faults) {
      if (fault != SampleFault::none) return sampling_error(fault);
    }
    for (const TokenLogprob& logprob : result->logprobs) scores.push_back(logprob.logprob);
  }
  return scores;
}

Result<void> run_through(Backend& backend, std::span<const TokenId> tokens) {
  if (auto checked = check(backend.info(), tokens); !checked.ok()) return checked.error();
  return Run(backend, tokens).run(0, tokens.size());
}

}  // namespace weir::engine
