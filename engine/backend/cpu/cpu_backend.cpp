#include "engine/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "engine/backend/cpu/plan_check.h"
#include "engine/backend/engine_limits.h"
#include "engine/model/family.h"
#include "engine/ops/ops.h"
#include "engine/parallel/local_communicator.h"
#include "engine/parallel/rank_threads.h"
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

KvLayout layout_of(const ModelSpec& spec, int64_t block_tokens, KvType type) {
  return {block_tokens, spec.kv_heads, spec.head_dim, type};
}

/// The threads that the config gives to all ranks, or the machine has, divided.
int threads_of_rank(uint32_t configured, size_t ranks) {
  const auto all = static_cast<int>(std::min<uint32_t>(configured, 1024));
  if (ranks == 1) return all;
  const int machine = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 16);
  return std::max(1, (all == 0 ? machine : all) / static_cast<int>(ranks));
}

/// A plan as the walk reads it: what each token sees, and which tokens need logits.
struct FlatPlan {
  std::vector<TokenId> tokens;
  std::vector<int32_t> row_of_token;
  std::vector<int32_t> attends;
  std::vector<int32_t> sample_tokens;
  std::vector<int32_t> sample_rows;

  void build(const StepPlan& plan) {
    tokens = plan.tokens;
    row_of_token.resize(plan.tokens.size());
    attends.resize(plan.tokens.size());
    sample_tokens.clear();
    sample_rows.clear();
    for (int32_t row = 0; row < plan.rows(); ++row) {
      const int32_t begin = plan.row_begin[static_cast<size_t>(row)];
      const int32_t end = plan.row_begin[static_cast<size_t>(row) + 1];
      const int32_t context = plan.context_length[static_cast<size_t>(row)];
      for (int32_t t = begin; t < end; ++t) {
        row_of_token[static_cast<size_t>(t)] = row;
        attends[static_cast<size_t>(t)] = context - (end - 1 - t);
      }
      if (plan.samples[static_cast<size_t>(row)] == 0) continue;
      if (is_sampled(plan.tokens[static_cast<size_t>(begin)])) {  // it has been committed meanwhile
        tokens[static_cast<size_t>(begin)] = plan.sampling[static_cast<size_t>(row)].history->back();
      }
      sample_tokens.push_back(end - 1);
      sample_rows.push_back(row);
    }
  }
};

/// One part of the model with its keys and values: the whole of it, where there is one.
class CpuRank {
 public:
  CpuRank(std::shared_ptr<const Model> model, const KvSizes& sizes, KvMemory kv, KvMemory host, int threads,
          const Ops& ops, std::unique_ptr<Communicator> together)
      : model_(std::move(model)),
        ops_(ops),
        kv_(std::move(kv)),
        host_(std::move(host)),
        layout_(layout_of(model_->spec, sizes.block_tokens, sizes.type)),
        layer_bytes_(sizes.blocks * layout_.block_bytes()),
        rope_(rope_frequencies(model_->spec.rope, sizes.context_tokens)),
        together_(std::move(together)),
        pool_(threads) {}

  /// A host block is its layers, one behind the other.
  void copy_blocks(const StepPlan& plan) {
    const auto bytes = static_cast<size_t>(layout_.block_bytes());
    const auto layers = static_cast<size_t>(model_->spec.layers);
    const auto device = [&](int32_t block, size_t layer) {
      return kv_.first + layer * static_cast<size_t>(layer_bytes_) + static_cast<size_t>(block) * bytes;
    };
    const auto host = [&](int32_t block, size_t layer) {
      return host_.first + (static_cast<size_t>(block) * layers + layer) * bytes;
    };
    for (const BlockCopy& copy : plan.copies_out) {
      for (size_t l = 0; l < layers; ++l) std::memcpy(host(copy.to, l), device(copy.from, l), bytes);
    }
    for (const BlockCopy& copy : plan.copies_in) {
      for (size_t l = 0; l < layers; ++l) std::memcpy(device(copy.to, l), host(copy.from, l), bytes);
    }
  }

  Result<void> forward(const StepPlan& plan, const FlatPlan& flat) {
    DecoderPass pass{.ops = ops_,
                     .pool = pool_,
                     .spec = model_->spec,
                     .scratch = scratch_,
                     .tokens = static_cast<int64_t>(plan.tokens.size()),
                     .token_ids = flat.tokens.data(),
                     .positions = plan.positions.data(),
                     .slots = plan.slots.data(),
                     .row_of_token = flat.row_of_token.data(),
                     .attends = flat.attends.data(),
                     .block_table = plan.block_table.data(),
                     .block_table_begin = plan.block_table_begin.data(),
                     .samples = static_cast<int64_t>(flat.sample_tokens.size()),
                     .sample_tokens = flat.sample_tokens.data(),
                     .kv = kv_.first,
                     .layout = layout_,
                     .layer_bytes = layer_bytes_,
                     .rope = rope_,
                     .together = together_.get()};
    model_->spec.family->forward(model_->weights, pass);
    if (pass.error) return *pass.error;
    return {};
  }

  float* logits() { return scratch_.logits.data(); }
  ThreadPool& pool() { return pool_; }

 private:
  std::shared_ptr<const Model> model_;
  const Ops& ops_;
  KvMemory kv_;
  KvMemory host_;
  KvLayout layout_;
  int64_t layer_bytes_;
  RopeFrequencies rope_;
  std::unique_ptr<Communicator> together_;  // null: the model is whole
  DecoderScratch scratch_;
  ThreadPool pool_;
};

class CpuBackend : public Backend {
 public:
  CpuBackend(std::vector<std::unique_ptr<CpuRank>> ranks, BackendInfo info)
      : ranks_(std::move(ranks)), threads_(static_cast<int>(ranks_.size())), info_(std::move(info)) {}

  const BackendInfo& info() const override { return info_; }

  Result<void> submit(const StepPlan& plan) override { return under_way_.add(plan, info_); }

  Result<StepResult> wait() override {
    const StepPlan* oldest = under_way_.take();
    if (oldest == nullptr) return broken_plan("waited for, and never submitted");
    const StepPlan& plan = *oldest;
    flat_.build(plan);
    std::vector<Result<void>> done(ranks_.size());
    threads_.run([&](int rank) {
      const auto r = static_cast<size_t>(rank);
      ranks_[r]->copy_blocks(plan);
      if (plan.rows() > 0) done[r] = ranks_[r]->forward(plan, flat_);
    });
    for (const Result<void>& one : done) {
      if (!one.ok()) return one.error();
    }
    return sample(plan);
  }

 private:
  StepResult sample(const StepPlan& plan) {
    const size_t count = flat_.sample_rows.size();
    if (samplers_.size() < count) samplers_.resize(count);
    drawn_.resize(count);
    const auto vocab = static_cast<size_t>(info_.vocab_size);
    float* logits = ranks_.front()->logits();
    ranks_.front()->pool().run(static_cast<int64_t>(count), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        const StepPlan::SampleRow& row = plan.sampling[static_cast<size_t>(flat_.sample_rows[i])];
        SampleContext context{.params = row.params,
                              .history = *row.history,
                              .prompt_length = row.prompt_length,
                              .output_index = row.output_index,
                              .mask = {},
                              .counts = row.counts};
        if (row.mask != nullptr) context.mask = *row.mask;
        drawn_[i] = samplers_[i].sample({logits + i * vocab, vocab}, context);
      }
    });
    StepResult result;
    result.step = plan.step;
    result.sampled.assign(static_cast<size_t>(plan.rows()), -1);
    result.faults.resize(static_cast<size_t>(plan.rows()));
    result.logprobs.resize(static_cast<size_t>(plan.rows()));
    for (size_t i = 0; i < count; ++i) {
      const auto row = static_cast<size_t>(flat_.sample_rows[i]);
      result.sampled[row] = drawn_[i].token;
      result.faults[row] = drawn_[i].fault;
      result.logprobs[row] = std::move(drawn_[i].logprob);
    }
    return result;
  }

  std::vector<std::unique_ptr<CpuRank>> ranks_;
  RankThreads threads_;
  BackendInfo info_;
  FlatPlan flat_;
  PlansUnderWay under_way_;
  std::vector<Sampler> samplers_;
  std::vector<Sampled> drawn_;
};

}  // namespace

Result<KvSizes> size_kv(const ModelSpec& spec, const config::EngineConfig& config, size_t parts) {
  const uint32_t block_tokens = config.kv_cache.block_tokens;
  if (block_tokens < 1 || block_tokens > kBlockTokensMax) {
    return config_error(config, "kv_cache.block_size", "must be between 1 and " + std::to_string(kBlockTokensMax));
  }
  const std::optional<KvType> type = kv_type_of(config.kv_cache.dtype);
  if (!type && config.kv_cache.dtype != "auto") {
    return config_error(config, "kv_cache.dtype",
                        "must be auto, f32, bf16, f16, fp8 or int8, is '" + config.kv_cache.dtype + "'");
  }
  const auto asked = context_of(spec, config);
  if (!asked.ok()) return asked.error();
  const KvLayout layout = layout_of(spec, block_tokens, type.value_or(KvType::f32));
  const uint64_t one = parts * static_cast<uint64_t>(spec.layers) * static_cast<uint64_t>(layout.block_bytes());
  const uint64_t blocks_of_context = (*asked + block_tokens - 1) / block_tokens;
  const uint64_t sequences = std::max<uint64_t>(1, config.max_sequences);
  uint64_t blocks = std::min(sequences * blocks_of_context, kKvBytesDefaultMax / one);
  if (config.kv_cache.memory_bytes) blocks = *config.kv_cache.memory_bytes / one;
  blocks = std::min<uint64_t>(blocks, static_cast<uint64_t>(INT32_MAX) / block_tokens);  // slots are 32 bits
  if (blocks * block_tokens < 2) {
    return config_error(config, "kv_cache.memory",
                        "too small: a block of " + std::to_string(block_tokens) + " tokens takes " +
                            std::to_string(one) + " bytes for this model");
  }
  const auto host_blocks = host_blocks_of(config, one, static_cast<int32_t>(blocks));
  if (!host_blocks.ok()) return host_blocks.error();
  return KvSizes{.blocks = static_cast<int32_t>(blocks),
                 .host_blocks = *host_blocks,
                 .block_tokens = static_cast<int32_t>(block_tokens),
                 .context_tokens = static_cast<int32_t>(*asked),
                 .type = layout.type,
                 .bytes = blocks * one};
}

Result<std::unique_ptr<Backend>> make_cpu_backend(std::shared_ptr<const Model> model,
                                                  const config::EngineConfig& config, std::string reason,
                                                  const Ops& ops) {
  return make_cpu_backend(std::vector{std::move(model)}, config, std::move(reason), ops);
}

Result<std::unique_ptr<Backend>> make_cpu_backend(std::vector<std::shared_ptr<const Model>> parts,
                                                  const config::EngineConfig& config, std::string reason,
                                                  const Ops& ops) {
  const Result<KvSizes> sizes = size_kv(parts.front()->spec, config, parts.size());
  if (!sizes.ok()) return sizes.error();
  BackendInfo info{.name = "cpu",
                   .blocks = sizes->blocks,
                   .host_blocks = sizes->host_blocks,
                   .block_tokens = sizes->block_tokens,
                   .context_tokens = sizes->context_tokens,
                   .vocab_size = static_cast<int32_t>(parts.front()->spec.vocab),
                   .kv_bytes = sizes->bytes,
                   .reason = std::move(reason)};
  if (parts.size() > 1) info.name += " × " + std::to_string(parts.size());
  std::vector<std::unique_ptr<Communicator>> together(1);
  if (parts.size() > 1) together = make_local_communicators(static_cast<int>(parts.size()));
  const int threads = threads_of_rank(config.threads, parts.size());
  std::vector<std::unique_ptr<CpuRank>> ranks;
  for (size_t r = 0; r < parts.size(); ++r) {
    KvMemory kv(sizes->bytes / parts.size());
    if (kv.first == nullptr) {
      return config_error(config, "kv_cache.memory", "cannot reserve " + std::to_string(sizes->bytes) + " bytes");
    }
    const uint64_t host_bytes =
        sizes->bytes / static_cast<uint64_t>(sizes->blocks) / parts.size() * static_cast<uint64_t>(sizes->host_blocks);
    KvMemory host(host_bytes);
    if (host.first == nullptr) {
      return config_error(config, "kv_cache.host_memory", "cannot reserve " + std::to_string(host_bytes) + " bytes");
    }
    info.weight_bytes += parts[r]->weights.bytes;
    ranks.push_back(std::make_unique<CpuRank>(std::move(parts[r]), *sizes, std::move(kv), std::move(host), threads, ops,
                                              std::move(together[r])));
  }
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(std::move(ranks), std::move(info)));
}

}  // namespace weir::engine
