#include "engine/backend/cuda/decoder_walk.h"

#include <algorithm>
#include <cmath>

#include "engine/model/shard.h"
#include "engine/ops/cuda/rope_kv.h"
#include "engine/ops/cuda/rows.h"

namespace weir::engine::cuda {
namespace {

/// The row that the next product reads, in the format that its weight asks for.
Rows rows_for(const Walk& step, const Weight& w, int64_t rows) {
  const RowFormat format = input_format(step.products, w.format, rows);
  return {step.scratch.x, format == RowFormat::bf16 ? nullptr : step.scratch.x_scales, format};
}

Result<void> product(const Walk& step, const Rows& x, const Weight& w, void* y, int64_t rows, bool floats = false) {
  return multiply(step.products, step.stream,
                  {.x = x,
                   .w = w,
                   .y = y,
                   .floats = floats,
                   .rows = rows,
                   .wide = step.scratch.wide,
                   .wide_numbers = step.scratch.wide_numbers});
}

/// delta = the product, where each rank has a share of the inputs.
Result<void> summed_product(const Walk& step, const Rows& x, const Weight& w) {
  Bf16* delta = step.scratch.delta;
  if (auto done = product(step, x, w, delta, step.shape.tokens); !done.ok()) return done;
  if (step.together == nullptr) return {};
  return step.together->all_reduce(delta, step.shape.tokens * w.outputs, Element::bf16, step.stream);
}

/// Logits of a row in a rank's share of the vocabulary, of the rank that has most.
int64_t widest_share(int64_t vocab, int ranks) {
  return padded_outputs(vocab / ranks + 1);
}

/// The ranks' shares of the vocabulary, put together.
Result<void> vocabulary_product(const Walk& step, const Rows& x, int64_t samples) {
  const Scratch& s = step.scratch;
  if (step.together == nullptr) return product(step, x, step.model.lm_head, s.logits, samples, true);
  if (auto done = product(step, x, step.model.lm_head, s.part, samples, true); !done.ok()) return done;
  const int ranks = step.together->ranks();
  const int64_t vocab = step.spec.vocab;
  const int64_t widest = widest_share(vocab, ranks);
  if (auto done = step.together->all_gather(s.part, s.parts, samples * widest, Element::f32, step.stream); !done.ok()) {
    return done;
  }
  if (step.together->rank() != 0) return {};
  for (int rank = 0; rank < ranks; ++rank) {
    const int64_t begin = vocab_begin(vocab, rank, ranks);
    const int64_t share = vocab_begin(vocab, rank + 1, ranks) - begin;
    const auto bytes = [](int64_t logits) { return static_cast<size_t>(logits) * sizeof(float); };
    WEIR_CUDA_TRY(cudaMemcpy2DAsync(s.logits + begin, bytes(padded_outputs(vocab)), s.parts + rank * samples * widest,
                                    bytes(padded_outputs(share)), bytes(share), static_cast<size_t>(samples),
                                    cudaMemcpyDeviceToDevice, step.stream),
                  "putting the vocabulary together");
  }
  return {};
}

KvCache layer_cache(const Walk& step, int64_t layer) {
  KvCache kv = step.kv;
  kv.numbers = static_cast<unsigned char*>(kv.numbers) + layer * step.layer_numbers * kv.number_bytes();
  if (kv.scales != nullptr) kv.scales += layer * step.layer_scales;
  return kv;
}

Result<void> attend(const Walk& step, const KvCache& kv, int32_t window) {
  const Scratch& s = step.scratch;
  const auto w =
      static_cast<size_t>(std::find(step.windows.begin(), step.windows.end(), window) - step.windows.begin());
  const StepShape::Works& counts = step.shape.works[w];
  const WorkArrays& works = step.arrays.works[w];
  AttentionArgs args{.q = s.q,
                     .kv = kv,
                     .block_table = step.arrays.block_table,
                     .works = works.prefill,
                     .out = s.attended,
                     .partials = s.partials,
                     .work_count = counts.prefill,
                     .heads = static_cast<int32_t>(step.spec.heads),
                     .window = window,
                     .scale = 1.0F / std::sqrt(static_cast<float>(step.spec.head_dim)),
                     .prefill = true};
  WEIR_CUDA_TRY(attention(step.stream, args), "attention of prompts");
  args.works = works.decode;
  args.work_count = counts.decode;
  args.prefill = false;
  WEIR_CUDA_TRY(attention(step.stream, args), "attention of decoding rows");
  const MergeArgs merge{.partials = s.partials,
                        .works = works.merges,
                        .out = s.attended,
                        .work_count = counts.merges,
                        .heads = args.heads,
                        .kv_heads = kv.kv_heads,
                        .head_dim = kv.head_dim};
  WEIR_CUDA_TRY(merge_attention(step.stream, merge), "merging attention");
  return {};
}

/// delta = O · attention(rope(norm(Q x)), rope(norm(K x)), V x),  x = norm(hidden + the delta before)
Result<void> attention_block(const Walk& step, const DeviceLayer& layer, int64_t index, const Bf16* delta,
                             const float* bias) {
  const Scratch& s = step.scratch;
  const int64_t tokens = step.shape.tokens;
  Rows x = rows_for(step, layer.qkv, tokens);
  WEIR_CUDA_TRY(add_rms_norm(step.stream, {.hidden = s.hidden,
                                           .delta = delta,
                                           .bias = bias,
                                           .weight = layer.input_norm,
                                           .out = x,
                                           .rows = tokens,
                                           .width = step.spec.hidden,
                                           .epsilon = step.spec.rms_epsilon}),
                "a norm");
  if (auto done = product(step, x, layer.qkv, s.qkv, tokens); !done.ok()) return done;
  const KvCache kv = layer_cache(step, index);
  WEIR_CUDA_TRY(rope_kv(step.stream, {.qkv = s.qkv,
                                      .bias = layer.qkv_bias,
                                      .q_norm = layer.q_norm,
                                      .k_norm = layer.k_norm,
                                      .epsilon = step.spec.rms_epsilon,
                                      .turns = s.turns,
                                      .turning = static_cast<int32_t>(step.spec.rope.width / 2),
                                      .slots = step.arrays.slots,
                                      .q = s.q,
                                      .kv = kv,
                                      .tokens = tokens,
                                      .heads = static_cast<int32_t>(step.spec.heads)}),
                "rotary embedding");
  const auto window = static_cast<int32_t>(step.spec.window_of(index));
  if (auto done = attend(step, kv, window); !done.ok()) return done;
  x = rows_for(step, layer.o, tokens);
  if (x.format == RowFormat::bf16) {
    x.values = s.attended;
  } else {
    WEIR_CUDA_TRY(quantize_rows(step.stream, {s.attended, x, tokens, step.spec.q_width()}), "quantizing");
  }
  return summed_product(step, x, layer.o);
}

/// delta = D (silu(G x) ∘ U x),  x = norm(hidden + the delta before)
Result<void> mlp_block(const Walk& step, const DeviceLayer& layer) {
  const Scratch& s = step.scratch;
  const int64_t tokens = step.shape.tokens;
  Rows x = rows_for(step, layer.gate_up, tokens);
  WEIR_CUDA_TRY(add_rms_norm(step.stream, {.hidden = s.hidden,
                                           .delta = s.delta,
                                           .bias = layer.o_bias,
                                           .weight = layer.attention_norm,
                                           .out = x,
                                           .rows = tokens,
                                           .width = step.spec.hidden,
                                           .epsilon = step.spec.rms_epsilon}),
                "a norm");
  if (auto done = product(step, x, layer.gate_up, s.gate_up, tokens); !done.ok()) return done;
  x = rows_for(step, layer.down, tokens);
  WEIR_CUDA_TRY(silu_mul(step.stream, {s.gate_up, layer.gate_up_bias, x, tokens, step.spec.intermediate}), "the gate");
  return summed_product(step, x, layer.down);
}

/// Only tokens that sample need the vocabulary.
Result<void> choose_tokens(const Walk& step) {
  const Scratch& s = step.scratch;
  const int64_t samples = step.shape.samples;
  if (samples == 0) return {};
  const Rows x = rows_for(step, step.model.lm_head, samples);
  WEIR_CUDA_TRY(add_rms_norm(step.stream, {.hidden = s.hidden,
                                           .delta = s.delta,
                                           .bias = step.model.layers.back().down_bias,
                                           .weight = step.model.norm,
                                           .index = step.arrays.sample_tokens,
                                           .out = x,
                                           .rows = samples,
                                           .width = step.spec.hidden,
                                           .epsilon = step.spec.rms_epsilon}),
                "the last norm");
  if (auto done = vocabulary_product(step, x, samples); !done.ok()) return done;
  if (step.together == nullptr || step.together->rank() == 0) {
    WEIR_CUDA_TRY(sample(step.stream, {.logits = s.logits,
                                       .params = step.arrays.params,
                                       .changes = step.arrays.changes,
                                       .ids = s.ids,
                                       .masks = step.arrays.masks,
                                       .out = s.sampled,
                                       .tokens = s.tokens,
                                       .rows = samples,
                                       .vocab = static_cast<int32_t>(step.spec.vocab),
                                       .stride = padded_outputs(step.spec.vocab)}),
                  "sampling");
  }
  if (step.together == nullptr) return {};
  return step.together->all_gather(s.tokens, s.together, samples, Element::f32, step.stream);  // bits, as they are
}

template <class T>
void take(T*& to, unsigned char* memory, size_t& at, int64_t count) {
  constexpr size_t kAlign = 256;
  if (memory != nullptr) to = reinterpret_cast<T*>(memory + at);
  at += (static_cast<size_t>(count) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
}

}  // namespace

size_t lay_out(Scratch& s, const ModelSpec& spec, const StepLimits& limits, unsigned char* memory) {
  const int64_t tokens = limits.tokens;
  const int64_t rows = limits.rows;
  const int64_t partial_rows = int64_t{StepInputs::partials_max(limits)} * spec.kv_heads * kDecodeRows;
  size_t at = 0;
  Bf16* x = nullptr;
  take(s.hidden, memory, at, tokens * spec.hidden);
  take(x, memory, at, tokens * std::max({spec.hidden, spec.q_width(), spec.intermediate}));
  s.x = x;
  take(s.x_scales, memory, at, tokens);
  take(s.qkv, memory, at, tokens * (spec.q_width() + 2 * spec.kv_width()));
  take(s.q, memory, at, tokens * spec.q_width());
  take(s.attended, memory, at, tokens * spec.q_width());
  take(s.gate_up, memory, at, tokens * 2 * spec.intermediate);
  take(s.delta, memory, at, tokens * spec.hidden);
  take(s.turns, memory, at, tokens * spec.rope.width / 2);
  take(s.partials.numbers, memory, at, partial_rows * spec.head_dim);
  take(s.partials.largest_and_sum, memory, at, partial_rows);
  take(s.logits, memory, at, rows * padded_outputs(spec.vocab));
  if (limits.ranks > 1) {
    take(s.part, memory, at, rows * widest_share(spec.vocab, limits.ranks));
    take(s.parts, memory, at, rows * widest_share(spec.vocab, limits.ranks) * limits.ranks);
  }
  take(s.sampled, memory, at, rows);
  take(s.ids, memory, at, tokens);
  take(s.tokens, memory, at, rows);
  if (limits.ranks > 1) take(s.together, memory, at, rows * limits.ranks);
  if (limits.wide_numbers > 0) take(s.wide, memory, at, limits.wide_numbers);
  s.wide_numbers = limits.wide_numbers;
  return at;
}

Result<void> walk(const Walk& step) {
  const Scratch& s = step.scratch;
  const int64_t tokens = step.shape.tokens;
  WEIR_CUDA_TRY(embed(step.stream, {.table = step.model.embedding,
                                    .ids = step.arrays.ids,
                                    .hidden = s.hidden,
                                    .tokens = tokens,
                                    .width = step.spec.hidden,
                                    .first = step.model.first_token,
                                    .rows = step.model.embedding_rows,
                                    .sampled = step.together == nullptr ? s.tokens : s.together,
                                    .taken = s.ids}),
                "the embedding");
  if (step.together != nullptr) {
    auto summed = step.together->all_reduce(s.hidden, tokens * step.spec.hidden, Element::f32, step.stream);
    if (!summed.ok()) return summed;
  }
  WEIR_CUDA_TRY(rope_table(step.stream, {step.arrays.positions, step.model.inverse_frequency, s.turns, tokens,
                                         static_cast<int32_t>(step.spec.rope.width / 2), step.model.rotary_factor}),
                "the rotary table");
  const Bf16* delta = nullptr;
  const float* bias = nullptr;
  for (size_t i = 0; i < step.model.layers.size(); ++i) {
    const DeviceLayer& layer = step.model.layers[i];
    if (auto done = attention_block(step, layer, static_cast<int64_t>(i), delta, bias); !done.ok()) return done;
    if (auto done = mlp_block(step, layer); !done.ok()) return done;
    delta = s.delta;
    bias = layer.down_bias;
  }
  return choose_tokens(step);
}

}  // namespace weir::engine::cuda
