// A backend without weights: it proves the bookkeeping. Each KV slot holds a token and hash(hash of the slot before it,
// token), seeded by the salt; "attention" walks the row's block table over context_length positions and recomputes the
// chain, so a wrong table, a stale or shared block, an early free or a skipped position is an Error that names row,
// position and block. Host blocks hold the same, and a copy that reads what a step under way writes, or goes where the
// step's rows read or write, is an Error too. The token sampled is a function of the chain alone (and of the mask,
// where a grammar has one), so a run under any schedule must equal sim_generate(). Owned and called by the engine
// thread (or a test's only thread).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "engine/backend/backend.h"

namespace weir::engine {

/// The hash before the first token of a sequence under `salt`.
uint64_t sim_root(uint64_t salt);
/// The hash after one more token.
uint64_t sim_chain(uint64_t previous, TokenId token);

/// The token that follows `history`, whose last hash is `chain`.
using SimModel = std::function<TokenId(std::span<const TokenId> history, uint64_t chain)>;

/// A step's virtual duration: a fixed cost, then a cost for each prefill token (rows of more than one token), each
/// decode row and each KV entry attended to.
struct SimTiming {
  Duration step{};
  Duration prefill_token{};
  Duration decode_row{};
  Duration context_token{};
};

struct SimOptions {
  int32_t blocks = 64;
  int32_t host_blocks = 0;
  int32_t block_tokens = 16;
  int32_t context_tokens = 1024;
  int32_t vocab_size = 256;
  SimTiming timing;
  SimModel model;                              // empty: chain modulo vocab_size
  std::function<void(uint64_t step)> on_wait;  // called in wait() before the work: tests hold a step in flight with it
  std::optional<uint64_t> fail_at_step;        // wait() of this step gives an Error
  std::optional<TokenId> poison;               // a sequence with this token gets no finite logits
  bool overlaps = false;                       // says so of itself, as a GPU does
};

class SimBackend final : public Backend {
 public:
  /// REQUIRES: every size ≥ 1, blocks * block_tokens < 2^31.
  explicit SimBackend(SimOptions options);

  const BackendInfo& info() const override { return info_; }
  /// Checks the plan's shape. The work is done in wait(), so that a block given away while the step is in flight shows;
  /// a step that overlaps the one before must leave it whole.
  Result<void> submit(const StepPlan& plan) override;
  Result<StepResult> wait() override;

  /// The virtual time that all steps so far took.
  Duration elapsed() const { return elapsed_; }

 private:
  struct Slot {
    uint64_t chain = 0;
    TokenId token = -1;

    bool operator==(const Slot&) const = default;
  };

  struct UnderWay {
    const StepPlan* plan;
    StepPlan copy;             // what it was at submit(): it must not change while in flight
    std::vector<Slot> leaves;  // what lay in the blocks that it copies out
  };

  Result<void> check_shape(const StepPlan& plan) const;
  Result<void> check_copies(const StepPlan& plan) const;
  std::span<Slot> block_of(std::vector<Slot>& slots, int32_t block) const;
  Result<void> copy_out(const UnderWay& step);
  void spoil(const StepPlan& plan);
  Result<void> copy_in(const StepPlan& plan);
  Result<TokenId> input(const StepPlan& plan, int32_t row, size_t at) const;
  Result<void> write_row(const StepPlan& plan, int32_t row);
  Result<uint64_t> attend(const StepPlan& plan, int32_t row) const;
  void sample(const StepPlan& plan, size_t row, uint64_t chain, StepResult& result) const;
  void charge(const StepPlan& plan);

  SimOptions options_;
  BackendInfo info_;
  std::vector<Slot> slots_;           // [blocks * block_tokens]
  std::vector<Slot> host_slots_;      // [host_blocks * block_tokens]
  std::vector<uint64_t> written_at_;  // [slots] the step that last wrote it: two writes in one step are an error
  std::deque<UnderWay> under_way_;    // at most two, the oldest first
  std::vector<TokenId> sampled_;      // of the step before
  Duration elapsed_{};
};

/// The tokens an uncached, unbatched run gives after `prompt`: what every schedule must reproduce.
std::vector<TokenId> sim_generate(const std::vector<TokenId>& prompt, uint64_t salt, int32_t output_tokens,
                                  int32_t vocab_size, const SimModel& model = {});

}  // namespace weir::engine
