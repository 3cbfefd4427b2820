// The one seam for all hardware: a backend takes a StepPlan (flat arrays) and gives a StepResult. The engine thread is
// the only caller. A backend owns the KV memory; the scheduler owns which block means what. CPU, CUDA and Sim live in
// the folders below; none of them knows a request, a radix tree or text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/core/sampling.h"
#include "engine/core/token_counts.h"
#include "engine/core/types.h"

namespace weir::engine {

/// An input token that is not known yet: the one that row `row` of the step before samples, which is still under way.
/// Only the single input of a row that samples without a mask can be such. The row's history lacks it at submit(), and
/// has it at wait().
constexpr TokenId sampled_by(int32_t row) {
  return -2 - row;
}
constexpr bool is_sampled(TokenId token) {
  return token < -1;
}
/// The row of a sampled_by().
constexpr int32_t row_sampling(TokenId token) {
  return -2 - token;
}

/// One step of R rows (sequences) over T input tokens in all. Row r's input tokens are
/// tokens[row_begin[r] .. row_begin[r+1]); one token a row is decode, more is (a chunk of) prefill.
/// All arrays are owned by the plan and stay untouched from submit() until the matching wait() returned.
struct StepPlan {
  uint64_t step = 0;
  std::vector<TokenId> tokens;             // [T] or a sampled_by()
  std::vector<int32_t> positions;          // [T] position of each token in its sequence, from 0
  std::vector<int32_t> slots;              // [T] KV slot to write: block * block_tokens + offset
  std::vector<int32_t> row_begin;          // [R+1] into tokens
  std::vector<int32_t> context_length;     // [R] KV entries the row's last token attends to, itself included
  std::vector<int32_t> block_table;        // [Σ blocks] physical blocks of each row in sequence order
  std::vector<int32_t> block_table_begin;  // [R+1] into block_table
  std::vector<uint8_t> samples;            // [R] 1: sample a token from the logits of the row's last input token
  std::vector<uint64_t> sequence;          // [R] sequence ids, for diagnosis
  std::vector<uint64_t> salt;              // [R] the cache salt the row's KV is keyed by

  /// What the sampler needs of row r; null where samples[r] == 0. `history` is prompt then output, `prompt_length`
  /// parts them; `output_index` is the position of the token to be drawn among the outputs, from 0.
  struct SampleRow {
    const SamplingParams* params = nullptr;
    const std::vector<TokenId>* history = nullptr;
    int32_t prompt_length = 0;
    int32_t output_index = 0;
    /// [(vocab_size + 31) / 32] bit t of word t / 32: token t may be drawn, at least one of them; null: every token.
    const std::vector<uint32_t>* mask = nullptr;
    const TokenCounts* counts = nullptr;  // of `history`, where a penalty asks for them; null: whoever asks counts it
  };
  std::vector<SampleRow> sampling;  // [R]

  /// Between the device's blocks and the host's (BackendInfo::host_blocks). `copies_out` are done, in their order,
  /// before the step's rows write; no step under way writes what they read. `copies_in` follow them and are done before
  /// the next step: this step's rows neither read nor write where they go, but those of the step before may still read
  /// it.
  std::vector<BlockCopy> copies_out;  // device to host
  std::vector<BlockCopy> copies_in;   // host to device

  int32_t rows() const { return static_cast<int32_t>(context_length.size()); }
  bool copies() const { return !copies_out.empty() || !copies_in.empty(); }
  /// Nothing to do. A step may be copies alone.
  bool empty() const { return rows() == 0 && !copies(); }
  void clear();
};

struct StepResult {
  uint64_t step = 0;
  std::vector<TokenId> sampled;        // [R] -1 where samples[r] == 0
  std::vector<SampleFault> faults;     // [R] why row r has no token: `sampled` is 0 there, which a step under way reads
  std::vector<TokenLogprob> logprobs;  // [R] filled where asked for; `bytes` stays empty
};

/// What the owner of a row with a fault is told; the other rows are none the worse for it.
Error sampling_error(SampleFault fault);

struct BackendInfo {
  std::string name;              // "cpu", "sim", "cuda:0 NVIDIA H200"
  int32_t blocks = 0;            // KV blocks the backend holds
  int32_t host_blocks = 0;       // and in host memory: the second tier of the prefix cache
  int32_t copies_in_max = 64;    // blocks that a step can copy from there without being late for it
  int32_t fetch_tokens_min = 1;  // of a prefix there: a shorter one is sooner computed anew
  int32_t block_tokens = 16;
  int32_t context_tokens = 0;  // the longest sequence: the config's, else the model's; `blocks` may hold less
  int32_t vocab_size = 0;
  uint64_t kv_bytes = 0;
  uint64_t weight_bytes = 0;
  bool overlaps = false;    // it works between submit() and wait(): a second step under way keeps it busy
  std::string reason = {};  // why this backend: "device: auto; no NVIDIA driver …"

  /// The longest sequence that can be computed.
  int32_t context_held() const {
    return static_cast<int32_t>(std::min<int64_t>(context_tokens, int64_t{blocks} * block_tokens));
  }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const BackendInfo& info() const = 0;
  /// Starts a step. REQUIRES: at most one is under way. Steps are carried out in the order of their submission, so a
  /// block may be given to a later step while an earlier one still names it. An Error means the backend is broken: the
  /// engine fails every sequence and reports itself down.
  virtual Result<void> submit(const StepPlan& plan) = 0;
  /// Waits for the oldest step under way. Same meaning of Error.
  virtual Result<StepResult> wait() = 0;
};

}  // namespace weir::engine
