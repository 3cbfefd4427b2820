#include "engine/backend/cuda/step_inputs.h"

#include <algorithm>

#include "engine/sample/sampler.h"

namespace weir::engine::cuda {
namespace {

constexpr size_t kAlign = 256;
constexpr size_t kChangesMin = 4096;
constexpr size_t kChangesBytesMin = kChangesMin * sizeof(LogitChange);

/// The next of 1, 2, 4, 8, 16, 32, then whole sixteens.
int32_t rounded_up(int32_t rows) {
  int32_t size = 1;
  while (size < rows && size < 32) size *= 2;
  return rows <= size ? size : (rows + 15) / 16 * 16;
}

/// Works, so that few numbers of them are met: at most a quarter of them are empty.
int32_t rounded_works(int32_t works) {
  int32_t step = 1;
  while (step * 8 <= works) step *= 2;
  return (works + step - 1) / step * step;
}

template <class T>
size_t place(size_t& at, int32_t count) {
  const size_t begin = at;
  at += (static_cast<size_t>(count) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
  return begin;
}

/// Copies what there is and fills up with `rest`.
template <class T>
void write(T* to, const std::vector<T>& values, int32_t count, const T& rest) {
  std::fill(std::copy(values.begin(), values.end(), to), to + count, rest);
}

}  // namespace

StepInputs::Offsets StepInputs::offsets_of(const StepShape& shape) {
  Offsets o{};
  size_t at = 0;
  o.ids = place<int32_t>(at, shape.tokens);
  o.positions = place<int32_t>(at, shape.tokens);
  o.slots = place<int32_t>(at, shape.tokens);
  o.sample_tokens = place<int32_t>(at, shape.samples);
  o.params = place<SampleRow>(at, shape.samples);
  for (size_t w = 0; w < kWindowsMax; ++w) {
    o.works[w].decode = place<AttentionWork>(at, shape.works[w].decode);
    o.works[w].prefill = place<AttentionWork>(at, shape.works[w].prefill);
    o.works[w].merges = place<MergeWork>(at, shape.works[w].merges);
  }
  o.block_table = at;
  return o;
}

/// Of the largest step there can be.
size_t StepInputs::arrays_bytes(const StepLimits& limits, const AttentionShape& attention) {
  const int32_t rows = rounded_up(limits.rows);
  StepShape largest{.tokens = std::max(limits.tokens, rows), .samples = rows, .works = {}};
  for (size_t w = 0; w < attention.windows.size(); ++w) {
    largest.works[w] = {.decode = rounded_works(rows * kDecodePartsMax),
                        .prefill = limits.tokens * attention.group / kPrefillRows + limits.rows,
                        .merges = largest.tokens};
  }
  return offsets_of(largest).block_table +
         static_cast<size_t>(limits.rows) * static_cast<size_t>(limits.row_blocks) * sizeof(int32_t);
}

uint64_t StepInputs::device_bytes(const StepLimits& limits, const AttentionShape& attention) {
  return arrays_bytes(limits, attention) + limits.masks_bytes() + kChangesBytesMin;
}

Result<void> StepInputs::allocate(const StepLimits& limits, const AttentionShape& attention) {
  limits_ = limits;
  attention_ = attention;
  const size_t bytes = arrays_bytes(limits, attention);
  if (auto made = device_.allocate(bytes, "a step's inputs"); !made.ok()) return made;
  if (auto made = masks_device_.allocate(limits.masks_bytes(), "grammar masks"); !made.ok()) return made;
  for (Side& side : sides_) {
    if (auto made = side.arrays.allocate(bytes, "a step's inputs"); !made.ok()) return made;
    if (auto made = side.masks.allocate(limits.masks_bytes(), "grammar masks"); !made.ok()) return made;
    if (auto made = side.changes.allocate(kChangesBytesMin, "penalties"); !made.ok()) return made;
  }
  return changes_device_.allocate(kChangesBytesMin, "penalties");
}

StepShape StepInputs::shape_of(const StepPlan& plan) const {
  StepShape shape{.tokens = static_cast<int32_t>(plan.tokens.size()),
                  .samples = static_cast<int32_t>(sample_rows_.size()),
                  .works = {}};
  bool prefills = false;
  for (size_t w = 0; w < attention_.windows.size(); ++w) {
    shape.works[w] = {.decode = static_cast<int32_t>(plans_[w].decode.size()),
                      .prefill = static_cast<int32_t>(plans_[w].prefill.size()),
                      .merges = static_cast<int32_t>(plans_[w].merges.size())};
    prefills = prefills || shape.works[w].prefill > 0;
  }
  if (shape.tokens != plan.rows() || shape.samples != plan.rows() || prefills) return shape;
  shape.decoding = true;
  shape.tokens = rounded_up(shape.tokens);
  shape.samples = shape.tokens;
  for (size_t w = 0; w < attention_.windows.size(); ++w) {
    shape.works[w].decode = rounded_works(shape.works[w].decode);
    if (shape.works[w].merges > 0) shape.works[w].merges = shape.tokens;
  }
  return shape;
}

Result<StepShape> StepInputs::build(const StepPlan& plan, const std::function<Result<void>()>& idle) {
  side_ = 1 - side_;
  for (AttentionPlan& works : plans_) works.clear();
  sample_of_row_.assign(sample_rows_.empty() ? 0 : static_cast<size_t>(sample_rows_.back()) + 1, -1);
  for (size_t i = 0; i < sample_rows_.size(); ++i) {
    sample_of_row_[static_cast<size_t>(sample_rows_[i])] = static_cast<int32_t>(i);
  }
  sample_rows_.clear();
  for (int32_t r = 0; r < plan.rows(); ++r) {
    const auto row = static_cast<size_t>(r);
    const int32_t begin = plan.row_begin[row];
    const AttentionRow attending{plan.block_table_begin[row], begin, plan.row_begin[row + 1] - begin,
                                 plan.context_length[row]};
    for (size_t w = 0; w < attention_.windows.size(); ++w) {
      plan_row(plans_[w], attending, attention_.group, attention_.windows[w]);
    }
    if (plan.samples[row] != 0) sample_rows_.push_back(r);
  }
  shape_ = shape_of(plan);
  write_tokens(plan);
  write_samples(plan);
  if (auto done = lay_out_changes(idle); !done.ok()) return done.error();
  return shape_;
}

/// What it reads of the step before, by sample and no longer by row.
std::vector<TokenId> StepInputs::ids_of(const StepPlan& plan) const {
  std::vector<TokenId> ids = plan.tokens;
  for (TokenId& id : ids) {
    if (is_sampled(id)) id = sampled_by(sample_of_row_[static_cast<size_t>(row_sampling(id))]);
  }
  return ids;
}

void StepInputs::write_tokens(const StepPlan& plan) {
  const Offsets o = offsets_of(shape_);
  const PinnedMemory& host = sides_[side_].arrays;
  write(host.as<int32_t>(o.ids), ids_of(plan), shape_.tokens, 0);
  write(host.as<int32_t>(o.positions), plan.positions, shape_.tokens, 0);
  write(host.as<int32_t>(o.slots), plan.slots, shape_.tokens, -1);
  for (size_t w = 0; w < kWindowsMax; ++w) {
    const StepShape::Works& works = shape_.works[w];
    write(host.as<AttentionWork>(o.works[w].decode), plans_[w].decode, works.decode, AttentionWork{});
    write(host.as<AttentionWork>(o.works[w].prefill), plans_[w].prefill, works.prefill, AttentionWork{});
    write(host.as<MergeWork>(o.works[w].merges), plans_[w].merges, works.merges, MergeWork{});
  }
  table_bytes_ = plan.block_table.size() * sizeof(int32_t);
  std::copy(plan.block_table.begin(), plan.block_table.end(), host.as<int32_t>(o.block_table));
}

void StepInputs::write_samples(const StepPlan& plan) {
  const Offsets o = offsets_of(shape_);
  const PinnedMemory& host = sides_[side_].arrays;
  changes_.clear();
  masks_ = 0;
  std::vector<int32_t> tokens;
  std::vector<SampleRow> rows;
  for (const int32_t r : sample_rows_) {
    const StepPlan::SampleRow& row = plan.sampling[static_cast<size_t>(r)];
    const SamplingParams& p = *row.params;
    SampleRow to{.temperature = p.temperature,
                 .top_p = p.top_p,
                 .min_p = p.min_p,
                 .top_k = p.top_k,
                 .repetition_penalty = p.repetition_penalty,
                 .presence_penalty = p.presence_penalty,
                 .frequency_penalty = p.frequency_penalty,
                 .uniform = static_cast<float>(uniform_of(p.seed, row.output_index)),
                 .logprobs = p.logprobs};
    add_changes(row, to);
    if (row.mask != nullptr) {
      to.mask = static_cast<int32_t>(masks_);
      std::copy(row.mask->begin(), row.mask->end(),
                sides_[side_].masks.as<uint32_t>(masks_ * limits_.mask_words() * sizeof(uint32_t)));
      ++masks_;
    }
    tokens.push_back(plan.row_begin[static_cast<size_t>(r) + 1] - 1);
    if (wants_counts(p) && is_sampled(plan.tokens[static_cast<size_t>(tokens.back())])) to.newest = tokens.back();
    rows.push_back(to);
  }
  write(host.as<int32_t>(o.sample_tokens), tokens, shape_.samples, 0);
  write(host.as<SampleRow>(o.params), rows, shape_.samples, SampleRow{.temperature = 0.0F});
}

/// As Sampler::apply_bias_and_penalties counts them.
void StepInputs::add_changes(const StepPlan::SampleRow& row, SampleRow& to) {
  const SamplingParams& p = *row.params;
  bias_.clear();
  for (const auto& [token, bias] : p.logit_bias) bias_[token] += bias;
  to.change_begin = static_cast<int32_t>(changes_.size());
  if (wants_counts(p)) {
    if (row.counts == nullptr) {
      counts_.clear();
      counts_.extend(*row.history, row.prompt_length, p);
    }
    for (const auto& [token, count] : (row.counts != nullptr ? *row.counts : counts_).entries()) {
      changes_.push_back({.token = token, .count = count, .seen = 1});
      if (bias_.empty()) continue;
      const auto biased = bias_.find(token);
      if (biased == bias_.end()) continue;
      changes_.back().bias = biased->second;
      bias_.erase(biased);
    }
  }
  for (const auto& [token, bias] : bias_) changes_.push_back({.token = token, .bias = bias});
  to.change_end = static_cast<int32_t>(changes_.size());
}

Result<void> StepInputs::lay_out_changes(const std::function<Result<void>()>& idle) {
  const size_t bytes = changes_.size() * sizeof(LogitChange);
  PinnedMemory& host = sides_[side_].changes;
  if (bytes > host.bytes() || bytes > changes_device_.bytes()) {  // what is freed, the device may still read
    if (auto waited = idle(); !waited.ok()) return waited;
  }
  if (bytes > host.bytes()) {
    if (auto made = host.allocate(2 * bytes, "penalties"); !made.ok()) return made;
  }
  if (bytes > changes_device_.bytes()) {
    ++generation_;
    if (auto made = changes_device_.allocate(2 * bytes, "penalties"); !made.ok()) return made;
  }
  std::copy(changes_.begin(), changes_.end(), host.as<LogitChange>());
  return {};
}

Result<void> StepInputs::copy(cudaStream_t stream) {
  const Side& side = sides_[side_];
  const size_t bytes = offsets_of(shape_).block_table + table_bytes_;
  WEIR_CUDA_TRY(cudaMemcpyAsync(device_.as<void>(), side.arrays.as<void>(), bytes, cudaMemcpyHostToDevice, stream),
                "copying a step's inputs");
  if (masks_ > 0) {
    WEIR_CUDA_TRY(cudaMemcpyAsync(masks_device_.as<void>(), side.masks.as<void>(),
                                  masks_ * limits_.mask_words() * sizeof(uint32_t), cudaMemcpyHostToDevice, stream),
                  "copying grammar masks");
  }
  if (changes_.empty()) return {};
  WEIR_CUDA_TRY(cudaMemcpyAsync(changes_device_.as<void>(), side.changes.as<void>(),
                                changes_.size() * sizeof(LogitChange), cudaMemcpyHostToDevice, stream),
                "copying penalties");
  return {};
}

StepArrays StepInputs::arrays() const {
  const Offsets o = offsets_of(shape_);
  StepArrays arrays{.ids = device_.as<int32_t>(o.ids),
                    .positions = device_.as<int32_t>(o.positions),
                    .slots = device_.as<int32_t>(o.slots),
                    .sample_tokens = device_.as<int32_t>(o.sample_tokens),
                    .params = device_.as<SampleRow>(o.params),
                    .works = {},
                    .block_table = device_.as<int32_t>(o.block_table),
                    .changes = changes_device_.as<LogitChange>(),
                    .masks = masks_device_.as<uint32_t>()};
  for (size_t w = 0; w < kWindowsMax; ++w) {
    arrays.works[w] = {.decode = device_.as<AttentionWork>(o.works[w].decode),
                       .prefill = device_.as<AttentionWork>(o.works[w].prefill),
                       .merges = device_.as<MergeWork>(o.works[w].merges)};
  }
  return arrays;
}

}  // namespace weir::engine::cuda
