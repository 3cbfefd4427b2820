#include "engine/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "engine/backend/cpu/plan_check.h"
#include "engine/model/family.h"
#include "engine/ops/ops.h"
#include "engine/sample/sampler.h"

namespace weir::engine {
namespace {

constexpr size_t kAlignment = 64;  // of the first block: a cache line

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

/// Zeros, which cost nothing until they are touched.
struct KvMemory {
  explicit KvMemory(size_t bytes) : whole(std::calloc(bytes + kAlignment, 1)) {
    size_t room = bytes + kAlignment;
    void* at = whole.get();
    if (at != nullptr) first = static_cast<std::byte*>(std::align(kAlignment, bytes, at, room));
  }
  std::unique_ptr<void, Free> whole;
  std::byte* first = nullptr;
};

Error config_error(const config::EngineConfig& config, const std::string& key, const std::string& what) {
  return Error{
      .kind = ErrorKind::config, .source = "engine", .detail = "engines." + config.name + "." + key + ": " + what};
}

KvLayout layout_of(const ModelSpec& spec, int64_t block_tokens, KvType type) {
  return {block_tokens, spec.kv_heads, spec.head_dim, type};
}

class CpuBackend : public Backend {
 public:
  CpuBackend(std::shared_ptr<const Model> model, const KvSizes& sizes, KvMemory kv, uint32_t threads, const Ops& ops)
      : model_(std::move(model)),
        ops_(ops),
        kv_(std::move(kv)),
        pool_(static_cast<int>(std::min<uint32_t>(threads, 1024))) {
    const ModelSpec& spec = model_->spec;
    info_ = {.name = "cpu",
             .blocks = sizes.blocks,
             .block_tokens = sizes.block_tokens,
             .context_tokens = sizes.context_tokens,
             .vocab_size = static_cast<int32_t>(spec.vocab),
             .kv_bytes = sizes.bytes,
             .weight_bytes = model_->weights.bytes};
    layout_ = layout_of(spec, sizes.block_tokens, sizes.type);
    rope_ = rope_frequencies(spec.rope, sizes.context_tokens);
  }

  const BackendInfo& info() const override { return info_; }

  Result<void> submit(const StepPlan& plan) override {
    if (plan_ != nullptr) return broken_plan("submitted while another step is under way");
    if (auto checked = check_plan(plan, info_); !checked.ok()) return checked;
    plan_ = &plan;
    return {};
  }

  Result<StepResult> wait() override {
    if (plan_ == nullptr) return broken_plan("waited for, and never submitted");
    const StepPlan& plan = *std::exchange(plan_, nullptr);
    flatten(plan);
    forward(plan);
    return sample(plan);
  }

 private:
  /// What each token sees, and which tokens need logits.
  void flatten(const StepPlan& plan) {
    row_of_token_.resize(plan.tokens.size());
    attends_.resize(plan.tokens.size());
    sample_tokens_.clear();
    sample_rows_.clear();
    for (int32_t row = 0; row < plan.rows(); ++row) {
      const int32_t begin = plan.row_begin[static_cast<size_t>(row)];
      const int32_t end = plan.row_begin[static_cast<size_t>(row) + 1];
      const int32_t context = plan.context_length[static_cast<size_t>(row)];
      for (int32_t t = begin; t < end; ++t) {
        row_of_token_[static_cast<size_t>(t)] = row;
        attends_[static_cast<size_t>(t)] = context - (end - 1 - t);
      }
      if (plan.samples[static_cast<size_t>(row)] == 0) continue;
      sample_tokens_.push_back(end - 1);
      sample_rows_.push_back(row);
    }
  }

  void forward(const StepPlan& plan) {
    DecoderPass pass{.ops = ops_,
                     .pool = pool_,
                     .spec = model_->spec,
                     .scratch = scratch_,
                     .tokens = static_cast<int64_t>(plan.tokens.size()),
                     .token_ids = plan.tokens.data(),
                     .positions = plan.positions.data(),
                     .slots = plan.slots.data(),
                     .row_of_token = row_of_token_.data(),
                     .attends = attends_.data(),
                     .block_table = plan.block_table.data(),
                     .block_table_begin = plan.block_table_begin.data(),
                     .samples = static_cast<int64_t>(sample_tokens_.size()),
                     .sample_tokens = sample_tokens_.data(),
                     .kv = kv_.first,
                     .layout = layout_,
                     .layer_bytes = static_cast<int64_t>(info_.blocks) * layout_.block_bytes(),
                     .rope = rope_};
    model_->spec.family->forward(model_->weights, pass);
  }

  Result<StepResult> sample(const StepPlan& plan) {
    const size_t count = sample_rows_.size();
    if (samplers_.size() < count) samplers_.resize(count);
    drawn_.assign(count, std::nullopt);
    const auto vocab = static_cast<size_t>(info_.vocab_size);
    pool_.run(static_cast<int64_t>(count), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        const StepPlan::SampleRow& row = plan.sampling[static_cast<size_t>(sample_rows_[i])];
        const std::span<const TokenId> history(*row.history);
        const auto prompt = static_cast<size_t>(row.prompt_length);
        const SampleContext context{row.params, history.first(prompt), history.subspan(prompt), row.output_index};
        drawn_[i] = samplers_[i].sample({scratch_.logits.data() + i * vocab, vocab}, context);
      }
    });
    StepResult result;
    result.step = plan.step;
    result.sampled.assign(static_cast<size_t>(plan.rows()), -1);
    result.logprobs.resize(static_cast<size_t>(plan.rows()));
    for (size_t i = 0; i < count; ++i) {
      if (!drawn_[i]->ok()) return drawn_[i]->error();
      const auto row = static_cast<size_t>(sample_rows_[i]);
      result.sampled[row] = drawn_[i]->value().token;
      result.logprobs[row] = std::move(drawn_[i]->value().logprob);
    }
    return result;
  }

  std::shared_ptr<const Model> model_;
  const Ops& ops_;
  KvMemory kv_;
  KvLayout layout_;
  RopeFrequencies rope_;
  BackendInfo info_;
  ThreadPool pool_;
  DecoderScratch scratch_;
  const StepPlan* plan_ = nullptr;  // the step under way
  std::vector<int32_t> row_of_token_;
  std::vector<int32_t> attends_;
  std::vector<int32_t> sample_tokens_;
  std::vector<int32_t> sample_rows_;
  std::vector<Sampler> samplers_;
  std::vector<std::optional<Result<Sampled>>> drawn_;
};

}  // namespace

Result<KvSizes> size_kv(const ModelSpec& spec, const config::EngineConfig& config) {
  const uint32_t block_tokens = config.kv_cache.block_tokens;
  if (block_tokens < 1 || block_tokens > kBlockTokensMax) {
    return config_error(config, "kv_cache.block_size", "must be between 1 and " + std::to_string(kBlockTokensMax));
  }
  uint64_t context = static_cast<uint64_t>(spec.context_tokens);
  if (config.context_tokens) {
    const auto most = static_cast<uint64_t>(spec.context_tokens_max);
    if (*config.context_tokens < 2 || *config.context_tokens > most) {
      return config_error(config, "context", "must be between 2 and the model's " + std::to_string(most));
    }
    context = *config.context_tokens;
  }
  const std::optional<KvType> type = kv_type_of(config.kv_cache.dtype);
  if (!type && config.kv_cache.dtype != "auto") {
    return config_error(config, "kv_cache.dtype",
                        "must be auto, f32, bf16, f16, int8 or fp8, is '" + config.kv_cache.dtype + "'");
  }
  const KvLayout layout = layout_of(spec, block_tokens, type.value_or(KvType::f32));
  const uint64_t one = static_cast<uint64_t>(spec.layers) * static_cast<uint64_t>(layout.block_bytes());
  const uint64_t blocks_of_context = (context + block_tokens - 1) / block_tokens;
  const uint64_t sequences = std::max<uint64_t>(1, config.max_sequences);
  uint64_t blocks = std::min(sequences * blocks_of_context, kKvBytesDefaultMax / one);
  if (config.kv_cache.memory_bytes) blocks = *config.kv_cache.memory_bytes / one;
  blocks = std::min<uint64_t>(blocks, static_cast<uint64_t>(INT32_MAX) / block_tokens);  // slots are 32 bits
  if (blocks * block_tokens < 2) {
    return config_error(config, "kv_cache.memory",
                        "too small: a block of " + std::to_string(block_tokens) + " tokens takes " +
                            std::to_string(one) + " bytes for this model");
  }
  context = std::min(context, blocks * block_tokens);
  return KvSizes{.blocks = static_cast<int32_t>(blocks),
                 .block_tokens = static_cast<int32_t>(block_tokens),
                 .context_tokens = static_cast<int32_t>(context),
                 .type = layout.type,
                 .bytes = blocks * one};
}

Result<std::unique_ptr<Backend>> make_cpu_backend(std::shared_ptr<const Model> model,
                                                  const config::EngineConfig& config, const Ops& ops) {
  const Result<KvSizes> sizes = size_kv(model->spec, config);
  if (!sizes.ok()) return sizes.error();
  KvMemory kv(sizes->bytes);
  if (kv.first == nullptr) {
    return config_error(config, "kv_cache.memory", "cannot reserve " + std::to_string(sizes->bytes) + " bytes");
  }
  return std::unique_ptr<Backend>(
      std::make_unique<CpuBackend>(std::move(model), *sizes, std::move(kv), config.threads, ops));
}

}  // namespace weir::engine
