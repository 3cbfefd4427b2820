#include "engine/bench/bench.h"
#include "config/device.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <utility>

#include "config/base/rng.h"
#include "engine/backend/choose.h"
#include "engine/backend/gpu_rates.h"
#include "engine/bench/clients.h"
#include "engine/bench/quantile.h"
#include "engine/engine.h"
#include "engine/ops/isa.h"

namespace weir::engine::bench {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr int kTriesMax = 5;  // a busy machine may let the first clients end before the last has asked

Figure figure_of(const std::vector<double>& values, const std::vector<double>& floors) {
  std::vector<double> shares;
  for (size_t i = 0; i < values.size(); ++i) shares.push_back(floors[i] > 0 ? values[i] / floors[i] : 0);
  return {median(values), median(floors), median(shares)};
}

class Bench {
 public:
  Bench(std::shared_ptr<const Model> model, const Plan& plan, std::function<void(const std::string&)> progress)
      : model_(std::move(model)),
        plan_(plan),
        progress_(std::move(progress)),
        machine_(plan.threads, static_cast<int64_t>(model_->weights.bytes)) {}

  Result<Report> run() {
    report_.plan = plan_;
    report_.isa = isa_name(best_isa());
    report_.threads = machine_.threads();
    report_.weight_bytes = model_->weights.bytes;
    count_parameters();
    if (auto done = start(); !done.ok()) return done.error();
    if (auto done = measure_prefill(); !done.ok()) return done.error();
    for (const int32_t clients : plan_.batches) {
      if (auto done = measure_batch(clients); !done.ok()) return done.error();
    }
    if (auto done = measure_newcomer(); !done.ok()) return done.error();
    if (auto done = measure_prefix(); !done.ok()) return done.error();
    engine_.reset();
    if (!on_gpu_) say("products by themselves");
    if (!on_gpu_) measure_kernels(*model_, report_);
    say("scheduler");
    measure_scheduler(report_);
    report_.machine = {.read_bytes_per_s = median(read_),
                       .int8_ops_per_s = median(int8_),
                       .float_ops_per_s = median(float_),
                       .fp8_ops_per_s = median(fp8_)};
    return std::move(report_);
  }

 private:
  void say(const std::string& what) const {
    if (progress_) progress_(what);
  }

  void count_parameters() {
    const DecoderWeights& w = model_->weights;
    const auto size = [](const Tensor& t) { return static_cast<double>(t.rows) * static_cast<double>(t.cols); };
    for (const DecoderLayer& l : w.layers) {
      for (const Tensor* t : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) layers_ += size(*t);
    }
    head_ = size(w.lm_head);
    report_.parameters = static_cast<uint64_t>(layers_ + head_ + (w.tied() ? 0 : size(w.embedding)));
    products_ = w.layers.empty() ? w.lm_head.dtype : w.layers.front().q.dtype;
    head_type_ = w.lm_head.dtype;
  }

  Result<void> start() {
    const ModelSpec& spec = model_->spec;
    const int32_t widest = *std::max_element(plan_.batches.begin(), plan_.batches.end());
    const int64_t context = spec.context_tokens;
    prompt_tokens_ = static_cast<int32_t>(std::min<int64_t>(plan_.prompt_tokens, context - plan_.output_tokens - 1));
    prefix_tokens_ = static_cast<int32_t>(std::min<int64_t>(plan_.prefix_tokens, context - 2));
    if (prompt_tokens_ < 1) {
      return Error{.kind = ErrorKind::bad_request, .source = "engine", .detail = "the model's context is too short"};
    }
    config::EngineConfig config;
    config.name = "bench";
    config.kv_cache.dtype = plan_.kv_dtype;
    config.threads = static_cast<uint32_t>(plan_.threads);
    config.max_sequences = static_cast<uint32_t>(widest + 1);
    step_tokens_ = std::max(512, prompt_tokens_);
    config.step_tokens_max = static_cast<uint32_t>(step_tokens_);
    const int64_t tokens = int64_t{widest + 2} * (plan_.decode_prompt + plan_.output_tokens + ahead(widest) + 64) +
                           3 * (prompt_tokens_ + plan_.output_tokens) + 2 * prefix_tokens_ + 1024;
    auto backend = make_for(config, tokens);
    if (!backend.ok()) return backend.error();
    const BackendInfo& info = (*backend)->info();
    report_.device = info.name;
    report_.weight_bytes = info.weight_bytes;
    on_gpu_ = info.name.rfind("cuda", 0) == 0;
    kv_token_bytes_ = static_cast<double>(info.kv_bytes) / info.blocks / info.block_tokens;
    auto engine = make_engine(config, *std::move(backend), nullptr, nullptr, {});
    if (!engine.ok()) return engine.error();
    engine_ = *std::move(engine);
    engine_->on_step([this](const StepSeen& step) {
      const std::lock_guard lock(steps_mutex_);
      steps_.push_back({step, now()});
    });
    return {};
  }

  /// On the GPU, whose keys and values take 16 bits, where the plan asks for it or leaves the choice; else on the CPU.
  Result<std::unique_ptr<Backend>> make_for(config::EngineConfig config, int64_t tokens) const {
    const auto numbers = static_cast<uint64_t>(model_->spec.layers * 2 * model_->spec.kv_width() * tokens);
    if (plan_.device != "cpu") {
      config.device = plan_.device == "auto" ? "cuda" : plan_.device;
      config.kv_cache.memory_bytes = numbers * sizeof(uint16_t);
      auto backend = make_backend({model_}, config);
      if (backend.ok() || plan_.device != "auto") return backend;
    }
    config.device = "cpu";
    config.kv_cache.memory_bytes = numbers * sizeof(float);
    return make_backend({model_}, config);
  }

  /// What the machine allows just now.
  Result<MachineRates> rates() {
    MachineRates r;
    if (on_gpu_) {
      const auto gpu = measure_gpu(config::device_of(plan_.device).value_or(config::Device{}).gpu);
      if (!gpu.ok()) return gpu.error();
      r = {gpu->copy_bytes_per_s, gpu->int8_ops_per_s, gpu->bf16_ops_per_s, gpu->fp8_ops_per_s};
    } else {
      r = machine_.measure();
    }
    read_.push_back(r.read_bytes_per_s);
    int8_.push_back(r.int8_ops_per_s);
    float_.push_back(r.float_ops_per_s);
    fp8_.push_back(r.fp8_ops_per_s);
    return r;
  }

  /// Of all that a step reads.
  double weight_bytes() const {
    // On a GPU floats become bf16.
    const auto size = [&](DType type) {
      return std::min(static_cast<double>(bytes_of(type, 8)) / 8, on_gpu_ ? 2.0 : 4.0);
    };
    return layers_ * size(products_) + head_ * size(head_type_);
  }

  double product_rate(const MachineRates& r) const {
    if (products_ == DType::i8 && r.int8_ops_per_s > 0) return r.int8_ops_per_s;
    if (products_ == DType::f8e4m3 && r.fp8_ops_per_s > 0) return r.fp8_ops_per_s;
    return r.float_ops_per_s;
  }

  /// Seconds that `tokens` of prefill cannot go below: products at the peak, attention at the float peak.
  double prefill_floor(const MachineRates& r, double tokens) const {
    const ModelSpec& spec = model_->spec;
    const double attention = 2.0 * tokens * tokens * static_cast<double>(spec.q_width() * spec.layers);
    const double operations = 2.0 * (layers_ * tokens + head_);
    const double reading = weight_bytes() / r.read_bytes_per_s;
    return std::max(reading, operations / product_rate(r) + attention / r.float_ops_per_s);
  }

  /// Seconds a decode step cannot go below: every weight read once, every client's keys and values, or the products.
  double decode_floor(const MachineRates& r, double clients, double context) const {
    const double kv = clients * context * kv_token_bytes_;
    const double reading = (weight_bytes() + kv) / r.read_bytes_per_s;
    return std::max(reading, clients * 2.0 * (layers_ + head_) / product_rate(r));
  }

  std::vector<TokenId> prompt_of(int32_t tokens) { return random_prompt(rng_, model_->spec.vocab, tokens); }

  /// Seconds from asking to the first token of `prompt`, alone.
  Result<double> first_token(std::vector<TokenId> prompt) {
    std::vector<Client> one;
    auto client = ask(*engine_, std::move(prompt), 1);
    if (!client.ok()) return client.error();
    one.push_back(*std::move(client));
    if (auto done = finish(one); !done.ok()) return done.error();
    return one[0].first_token_s();
  }

  Result<void> measure_prefill() {
    say("prefill of " + std::to_string(prompt_tokens_) + " tokens");
    if (auto warm = first_token(prompt_of(prompt_tokens_)); !warm.ok()) return warm.error();
    std::vector<double> values, floors, seconds;
    for (int32_t round = 0; round < plan_.rounds; ++round) {
      const auto r = rates();
      if (!r.ok()) return r.error();
      const auto taken = first_token(prompt_of(prompt_tokens_));
      if (!taken.ok()) return taken.error();
      seconds.push_back(*taken);
      values.push_back(prompt_tokens_ / *taken);
      floors.push_back(prompt_tokens_ / prefill_floor(*r, prompt_tokens_));
    }
    report_.prompt_tokens = prompt_tokens_;
    report_.prefill = figure_of(values, floors);
    report_.newcomer_prefill_ms = median(seconds) * 1e3;
    return {};
  }

  /// Tokens that the first clients of a batch have had when the last one's prompt is in.
  int32_t ahead(int32_t clients) const {
    const int64_t prompts = int64_t{clients} * plan_.decode_prompt;
    const int32_t at_once = std::max(1, step_tokens_ - clients);
    return static_cast<int32_t>((prompts + at_once - 1) / at_once) + 1;
  }

  /// All at once; each goes on for `output_tokens` at least while all of them decode.
  Result<std::vector<Client>> begin_batch(int32_t clients) {
    std::vector<Client> batch;
    for (int32_t c = 0; c < clients; ++c) {
      auto client = ask(*engine_, prompt_of(plan_.decode_prompt), plan_.output_tokens + ahead(clients));
      if (!client.ok()) return client.error();
      batch.push_back(*std::move(client));
    }
    const auto all_begun = [&] { return std::ranges::none_of(batch, [](const Client& c) { return c.came.empty(); }); };
    if (auto done = drive(batch, all_begun); !done.ok()) return done.error();
    return batch;
  }

  /// When the last prompt was in.
  static TimePoint began(const std::vector<Client>& batch) {
    return std::ranges::max_element(batch, {}, [](const Client& c) { return c.came.front(); })->came.front();
  }

  /// By the steps in which all of them decode and nothing else is done.
  Result<void> measure_batch(int32_t clients) {
    say("batch of " + std::to_string(clients));
    std::vector<double> values, floors, first, between;
    for (int32_t round = 0; round < plan_.rounds; ++round) {
      const auto r = rates();
      if (!r.ok()) return r.error();
      std::vector<Client> batch;
      double step = 0;
      for (int tries = 0; step == 0; ++tries) {
        if (tries == kTriesMax) return never_together(clients);
        forget_steps();
        auto begun = begin_batch(clients);
        if (!begun.ok()) return begun.error();
        batch = *std::move(begun);
        if (auto done = finish(batch); !done.ok()) return done;
        step = median(seconds_of_decoding(clients));
      }
      for (const Client& c : batch) first.push_back(c.first_token_s() * 1e3);
      const double context = plan_.decode_prompt + (ahead(clients) + plan_.output_tokens) / 2.0;
      values.push_back(clients / step);
      floors.push_back(clients / decode_floor(*r, clients, context));
      append_gaps(batch, began(batch), kNever, between);
    }
    report_.batches.push_back({.clients = clients,
                               .tokens_per_s = figure_of(values, floors),
                               .first_token_ms_p50 = median(first),
                               .first_token_ms_p99 = quantile(first, 0.99),
                               .inter_token_ms_p50 = median(between) * 1e3,
                               .inter_token_ms_p99 = quantile(between, 0.99) * 1e3});
    return {};
  }

  static Error never_together(int32_t clients) {
    return {.kind = ErrorKind::bad_request,
            .source = "engine",
            .detail = "there was no moment at which all of " + std::to_string(clients) +
                      " clients decoded; ask for a longer --output"};
  }

  /// A client with a prompt of its own arrives while the largest batch decodes.
  Result<void> measure_newcomer() {
    const int32_t clients = *std::max_element(plan_.batches.begin(), plan_.batches.end());
    say("a newcomer beside " + std::to_string(clients));
    std::vector<double> first, steps;
    for (int32_t round = 0; round < plan_.rounds; ++round) {
      auto batch = begin_batch(clients);
      if (!batch.ok()) return batch.error();
      const size_t had = batch->back().came.size();
      const auto half_way = [&] {
        return (batch->back().came.size() - had) * 2 >= static_cast<size_t>(plan_.output_tokens);
      };
      forget_steps();
      if (auto done = drive(*batch, half_way); !done.ok()) return done;
      steps.push_back(median(seconds_of_decoding(clients)) * 1e3);
      auto newcomer = ask(*engine_, prompt_of(prompt_tokens_), 1);
      if (!newcomer.ok()) return newcomer.error();
      batch->push_back(*std::move(newcomer));
      if (auto done = finish(*batch); !done.ok()) return done;
      first.push_back(batch->back().first_token_s() * 1e3);
    }
    report_.newcomer_first_token_ms = median(first);
    report_.newcomer_decode_step_ms = median(steps);
    return {};
  }

  Result<void> measure_prefix() {
    const int32_t own = prefix_tokens_ / 10;
    if (own < 1) return {};
    say("shared prefix of " + std::to_string(prefix_tokens_ - own) + " tokens");
    std::vector<double> cold, shared;
    for (int32_t round = 0; round < std::min(plan_.rounds, 3); ++round) {
      std::vector<TokenId> prompt = prompt_of(prefix_tokens_);
      const auto without = first_token(prompt);
      if (!without.ok()) return without.error();
      const std::vector<TokenId> mine = prompt_of(own);
      std::copy(mine.begin(), mine.end(), prompt.end() - own);
      const auto with = first_token(prompt);
      if (!with.ok()) return with.error();
      cold.push_back(*without * 1e3);
      shared.push_back(*with * 1e3);
    }
    report_.prefix_tokens = prefix_tokens_;
    report_.prefix_cold_first_token_ms = median(cold);
    report_.prefix_shared_first_token_ms = median(shared);
    return {};
  }

  void forget_steps() {
    const std::lock_guard lock(steps_mutex_);
    steps_.clear();
  }

  /// From step to step, what is told between them included: of those since they were forgotten, where `clients` decoded
  /// and no prompt was taken in.
  std::vector<double> seconds_of_decoding(int32_t clients) {
    const std::lock_guard lock(steps_mutex_);
    std::vector<double> seconds;
    const auto decodes = [clients](const Step& s) { return s.seen.sequences == clients && s.seen.tokens == clients; };
    for (size_t i = 1; i < steps_.size(); ++i) {
      if (!decodes(steps_[i - 1]) || !decodes(steps_[i])) continue;
      seconds.push_back(Seconds(steps_[i].ended - steps_[i - 1].ended).count());
    }
    return seconds;
  }

  std::shared_ptr<const Model> model_;
  const Plan& plan_;
  std::function<void(const std::string&)> progress_;
  Machine machine_;
  Report report_;
  double layers_ = 0;  // parameters that every token is multiplied by
  double head_ = 0;    // and those of the vocabulary, for tokens that sample
  DType head_type_ = DType::f32;
  DType products_ = DType::f32;  // what the weights are kept in
  double kv_token_bytes_ = 0;
  bool on_gpu_ = false;
  int32_t prompt_tokens_ = 0;
  int32_t prefix_tokens_ = 0;
  int32_t step_tokens_ = 0;  // a step takes at most
  Rng rng_{1};
  std::vector<double> read_, int8_, float_, fp8_;
  std::mutex steps_mutex_;
  struct Step {
    StepSeen seen;
    TimePoint ended;
  };
  std::vector<Step> steps_;
  std::unique_ptr<Engine> engine_;  // last: its thread reports steps
};

}  // namespace

Result<Report> run_bench(const std::shared_ptr<const Model>& model, const Plan& plan,
                         const std::function<void(const std::string&)>& progress) {
  return Bench(model, plan, progress).run();
}

}  // namespace weir::engine::bench
