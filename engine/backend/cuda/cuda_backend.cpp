#include "engine/backend/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>
#include <vector>

#include "engine/backend/cpu/plan_check.h"
#include "engine/backend/cuda/decoder_walk.h"
#include "engine/backend/cuda/host_tier.h"
#include "engine/backend/cuda/memory_budget.h"

namespace weir::engine::cuda {
namespace {

constexpr size_t kGraphsMax = 128;
/// A step copies in no more: 2.7 ms over PCIe 5 (50 GB/s), less than a step takes that reads 16 GB of weights.
constexpr uint64_t kCopiesInBytes = uint64_t{128} << 20;
/// A shorter prefix on the host is computed anew: so few tokens multiply while a step reads the weights anyway (an H200
/// does 183 operations a byte), and to fetch them would cost a step of waiting. docs/performance.md.
constexpr int32_t kFetchTokensMin = 128;

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(const Place& place) : place_(place) {}
  ~CudaBackend() override {
    cudaSetDevice(place_.device);
    recorded_.clear();  // before end(), as it asks
    if (rank_has_failed()) place_.together->end();
    cudaStreamSynchronize(stream_.get());
  }
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  static Result<std::unique_ptr<Backend>> make(const Model& model, const config::EngineConfig& config,
                                               MakeProduct make_product, const LoadProgress& progress,
                                               const Place& place) {
    auto backend = std::make_unique<CudaBackend>(place);
    if (auto set_up = backend->set_up(model, config, make_product, progress); !set_up.ok()) return set_up.error();
    return std::unique_ptr<Backend>(std::move(backend));
  }

  const BackendInfo& info() const override { return info_; }

  Result<void> submit(const StepPlan& plan) override {
    if (static_cast<int64_t>(plan.tokens.size()) > limits_.tokens || plan.rows() > limits_.rows) {
      return broken_plan("has more tokens or rows than the config allows");
    }
    if (rank_has_failed()) return rank_failed();
    if (auto added = under_way_.add(plan, info_); !added.ok()) return added;
    WEIR_CUDA_TRY(cudaSetDevice(place_.device), "opening it");
    newest_ = 1 - newest_;
    Outcome& outcome = outcomes_[newest_];
    if (info_.host_blocks > 0) {
      if (auto copied = host_tier_.before_step(plan.copies_out, stream_.get()); !copied.ok()) return copied;
    }
    outcome.rows.clear();
    if (plan.rows() > 0) {
      if (auto queued = queue_rows(plan, outcome); !queued.ok()) return queued;
    }
    WEIR_CUDA_TRY(cudaEventRecord(outcome.done.get(), stream_.get()), "ending a step");
    if (info_.host_blocks == 0) return {};
    return host_tier_.after_step(plan.copies_in, outcomes_[1 - newest_].done.get());
  }

  Result<StepResult> wait() override {
    const StepPlan* newest = under_way_.newest();
    const StepPlan* plan = under_way_.take();
    if (plan == nullptr) return broken_plan("waited for, and never submitted");
    const Outcome& outcome = outcomes_[plan == newest ? newest_ : 1 - newest_];
    WEIR_CUDA_TRY(cudaSetDevice(place_.device), "opening it");
    if (auto waited = until_done(outcome.done.get()); !waited.ok()) return waited.error();
    if (!chooses()) return StepResult{.step = plan->step, .sampled = {}, .faults = {}, .logprobs = {}};
    return result_of(*plan, outcome);
  }

 private:
  int ranks() const { return place_.together != nullptr ? place_.together->ranks() : 1; }
  bool chooses() const { return place_.together == nullptr || place_.together->rank() == 0; }
  bool rank_has_failed() const { return place_.together != nullptr && place_.together->aborted(); }

  /// Of a part, no longer than every rank is well: for one that fails, the device waits for ever.
  template <class Query>
  Result<void> until(Query query) const {
    while (true) {
      const cudaError_t state = query();
      if (state == cudaSuccess) return {};
      if (state != cudaErrorNotReady) return device_error(state, "a step");
      if (rank_has_failed()) return rank_failed();
      std::this_thread::yield();
    }
  }
  Result<void> until_done(cudaEvent_t event) const {
    if (place_.together != nullptr) return until([&] { return cudaEventQuery(event); });
    WEIR_CUDA_TRY(cudaEventSynchronize(event), "a step");
    return {};
  }
  Result<void> until_idle() const {
    if (place_.together != nullptr) return until([&] { return cudaStreamQuery(stream_.get()); });
    WEIR_CUDA_TRY(cudaStreamSynchronize(stream_.get()), "a step");
    return {};
  }

  /// What a step under way will have given.
  struct Outcome {
    PinnedMemory sampled;       // SampleOut of each row that samples
    std::vector<int32_t> rows;  // which they are
    Event done;
  };
  struct Recorded {
    StepShape shape;
    GraphInstance graph;  // none: met once, and not recorded
  };

  Result<void> set_up(const Model& model, const config::EngineConfig& config, MakeProduct make_product,
                      const LoadProgress& progress) {
    const Result<DeviceInfo> device = open_device(place_.device);
    if (!device.ok()) return device.error();
    if (const std::string why = unsupported_on_gpu(model.spec); !why.empty()) {
      return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = "the model has " + why};
    }
    spec_ = model.spec;
    const Result<MemoryBudget> budget = budget_memory(model, config, *device, ranks());
    if (!budget.ok()) return budget.error();
    limits_ = budget->limits;
    windows_ = budget->attention.windows;
    WEIR_CUDA_TRY(cudaStreamCreateWithFlags(stream_.slot(), cudaStreamNonBlocking), "making a stream");
    auto products = make_product(*device);
    if (!products.ok()) return products.error();
    products_ = *std::move(products);
    auto uploaded = upload(model, budget->context_tokens, stream_.get(), progress);
    if (!uploaded.ok()) return uploaded.error();
    model_ = *std::move(uploaded);
    if (auto reserved = reserve(*budget, config); !reserved.ok()) return reserved;
    const uint64_t block_bytes = budget->kv_bytes / static_cast<uint64_t>(budget->blocks);
    info_ = {.name = "cuda:" + std::to_string(place_.device) + " " + device->name,
             .blocks = budget->blocks,
             .host_blocks = budget->host_blocks,
             .copies_in_max = static_cast<int32_t>(std::clamp<uint64_t>(kCopiesInBytes / block_bytes, 1, 1 << 16)),
             .fetch_tokens_min = kFetchTokensMin,
             .block_tokens = 1 << budget->kv.block_shift,
             .context_tokens = budget->context_tokens,
             .vocab_size = static_cast<int32_t>(spec_.vocab),
             .kv_bytes = budget->kv_bytes,
             .weight_bytes = model_.bytes,
             .overlaps = true};
    return {};
  }

  Result<void> reserve(const MemoryBudget& budget, const config::EngineConfig& config) {
    if (auto made = scratch_memory_.allocate(budget.scratch_bytes, "a step's buffers"); !made.ok()) return made;
    lay_out(scratch_, spec_, limits_, scratch_memory_.as<unsigned char>());
    if (auto made = kv_memory_.allocate(budget.kv_bytes, "keys and values"); !made.ok()) return made;
    for (Outcome& outcome : outcomes_) {
      const size_t bytes = static_cast<size_t>(limits_.rows) * sizeof(SampleOut);
      if (auto made = outcome.sampled.allocate(bytes, "results"); !made.ok()) return made;
      WEIR_CUDA_TRY(cudaEventCreateWithFlags(outcome.done.slot(), cudaEventDisableTiming), "making an event");
    }
    kv_ = budget.kv;
    layer_numbers_ = budget.blocks * kv_.block_numbers();
    layer_scales_ = budget.blocks * kv_.block_scales();
    kv_.numbers = kv_memory_.as<void>();
    const auto numbers_bytes = static_cast<size_t>(spec_.layers * layer_numbers_ * kv_.number_bytes());
    if (layer_scales_ > 0) kv_.scales = kv_memory_.as<float>(numbers_bytes);
    WEIR_CUDA_TRY(cudaMemsetAsync(kv_memory_.as<void>(), 0, budget.kv_bytes, stream_.get()),
                  "clearing keys and values");
    if (budget.host_blocks > 0) {
      const PagedKv paged{.kv = kv_, .layers = static_cast<int32_t>(spec_.layers), .blocks = budget.blocks};
      if (auto made = host_tier_.allocate(config, paged, budget.host_blocks); !made.ok()) return made;
    }
    return inputs_.allocate(limits_, budget.attention);
  }

  Result<void> queue_rows(const StepPlan& plan, Outcome& outcome) {
    const Result<StepShape> shape = inputs_.build(plan, [this] { return until_idle(); });
    if (!shape.ok()) return shape.error();
    if (auto copied = inputs_.copy(stream_.get()); !copied.ok()) return copied;
    if (auto run = run_step(*shape); !run.ok()) return run;
    outcome.rows = inputs_.sample_rows();
    const size_t bytes = chooses() ? outcome.rows.size() * sizeof(SampleOut) : 0;
    if (bytes > 0) {
      WEIR_CUDA_TRY(
          cudaMemcpyAsync(outcome.sampled.as<void>(), scratch_.sampled, bytes, cudaMemcpyDeviceToHost, stream_.get()),
          "copying results");
    }
    return {};
  }

  Walk walk_of(const StepShape& shape) {
    return {.stream = stream_.get(),
            .spec = spec_,
            .model = model_,
            .products = *products_,
            .scratch = scratch_,
            .kv = kv_,
            .layer_numbers = layer_numbers_,
            .layer_scales = layer_scales_,
            .windows = windows_,
            .together = place_.together,
            .shape = shape,
            .arrays = inputs_.arrays()};
  }

  /// A shape met for the first time runs as it is, which also loads its kernels; for the second time it is recorded.
  /// Where that fails on one GPU, no step is recorded any more: all run as they are, and what is wrong with the device
  /// they say.
  Result<void> run_step(const StepShape& shape) {
    if (!shape.decoding || !records_) return walk(walk_of(shape));
    if (inputs_.generation() != recorded_generation_ || recorded_.size() > kGraphsMax) {
      if (auto waited = until_idle(); !waited.ok()) return waited;
      recorded_.clear();
      recorded_generation_ = inputs_.generation();
    }
    const auto found =
        std::find_if(recorded_.begin(), recorded_.end(), [&](const Recorded& r) { return r.shape == shape; });
    if (found == recorded_.end()) {
      recorded_.push_back({shape, {}});
      return walk(walk_of(shape));
    }
    if (found->graph.get() == nullptr) {
      const auto made = record(*found);
      if (!made.ok() && place_.together != nullptr) return made;  // the other ranks have recorded: NCCL wants all alike
      if (!made.ok()) {
        cudaGetLastError();
        records_ = false;
        return walk(walk_of(shape));
      }
    }
    WEIR_CUDA_TRY(cudaGraphLaunch(found->graph.get(), stream_.get()), "starting a step");
    return {};
  }

  Result<void> record(Recorded& to) {
    WEIR_CUDA_TRY(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), "recording a step");
    const Result<void> walked = walk(walk_of(to.shape));
    Graph graph;
    const cudaError_t ended = cudaStreamEndCapture(stream_.get(), graph.slot());
    if (!walked.ok()) return walked;
    WEIR_CUDA_TRY(ended, "recording a step");
    WEIR_CUDA_TRY(cudaGraphInstantiate(to.graph.slot(), graph.get(), 0), "recording a step");
    return {};
  }

  static StepResult result_of(const StepPlan& plan, const Outcome& outcome) {
    StepResult result;
    result.step = plan.step;
    result.sampled.assign(static_cast<size_t>(plan.rows()), -1);
    result.faults.resize(static_cast<size_t>(plan.rows()));
    result.logprobs.resize(static_cast<size_t>(plan.rows()));
    const auto* out = outcome.sampled.as<SampleOut>();
    for (const int32_t r : outcome.rows) {
      const SampleOut& sampled = *out++;
      const auto row = static_cast<size_t>(r);
      result.sampled[row] = sampled.token;
      result.faults[row] = sampled.fault;
      if (sampled.fault != SampleFault::none) continue;
      if (plan.sampling[row].params->logprobs < 0) continue;
      TokenLogprob& logprob = result.logprobs[row];
      logprob.token = sampled.token;
      logprob.logprob = sampled.logprob;
      for (int32_t i = 0; i < sampled.top_count; ++i)
        logprob.top.push_back({sampled.top_tokens[i], sampled.top_logprobs[i], {}});
    }
    return result;
  }

  Place place_;
  DeviceModel model_;
  DeviceMemory scratch_memory_;
  DeviceMemory kv_memory_;
  HostTier host_tier_;
  StepInputs inputs_;
  std::unique_ptr<MatrixProduct> products_;
  std::vector<Recorded> recorded_;
  uint64_t recorded_generation_ = 0;
  bool records_ = true;
  std::array<Outcome, 2> outcomes_;
  size_t newest_ = 0;  // of the step submitted last
  Stream stream_;

  ModelSpec spec_;
  std::vector<int32_t> windows_;
  BackendInfo info_;
  StepLimits limits_;
  Scratch scratch_;
  KvCache kv_;
  int64_t layer_numbers_ = 0;
  int64_t layer_scales_ = 0;
  PlansUnderWay under_way_;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_cuda_backend(const Model& model, const config::EngineConfig& config,
                                                   MakeProduct make_product, const LoadProgress& progress,
                                                   const Place& place) {
  return CudaBackend::make(model, config, make_product, progress, place);
}

}  // namespace weir::engine::cuda
