// How a model's rotary embedding is stretched beyond the context it was trained with: "rope_scaling" (transformers 5:
// "rope_parameters") of config.json, checked, and the frequencies that follow from it. The rules, and the float32
// arithmetic they are computed in, are those of transformers' modeling_rope_utils.py
// (https://github.com/huggingface/transformers/blob/main/src/transformers/modeling_rope_utils.py). Plain values; any
// thread.
//
// transformers chooses dynamic's and longrope's frequencies anew by the length of each sequence, and computes all keys
// again when the choice changes. Keys that are kept and shared between sequences cannot change theirs, so one choice
// holds for all sequences of an engine: that of its context (`context:` in the configuration). It is transformers' own
// for the sequences that fill it, and, where the context is no more than the trained one, for every sequence.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/json_fields.h"

namespace weir::engine {

struct RopeScaling {
  enum class Kind { none, linear, dynamic, llama3, yarn, longrope };
  Kind kind = Kind::none;
  double theta = 10000.0;
  int64_t width = 0;           // numbers of a head that turn, even: head_dim × partial_rotary_factor
  int64_t trained_tokens = 0;  // original_max_position_embeddings; where that is absent, max_position_embeddings
  double factor = 1.0;
  double attention_factor = 1.0;  // on cosines and sines: yarn and longrope
  double low_freq_factor = 1.0;   // llama3, as the next
  double high_freq_factor = 4.0;
  double beta_fast = 32.0;  // yarn, as the next two: turns over the trained context above which nothing is stretched,
  double beta_slow = 1.0;   // and below which all is
  bool truncate = true;
  std::vector<float> short_factors, long_factors;  // longrope: [width / 2] within the trained context, and beyond
};

/// Reads rope_theta, partial_rotary_factor and the object. Mistakes, unknown keys of the object among them, go to
/// fields.fail(). `context_tokens` is max_position_embeddings.
RopeScaling read_rope_scaling(JsonFields& fields, int64_t head_dim, int64_t context_tokens);

/// The longest context that the scaling is made for, at least `context_tokens` (max_position_embeddings). linear and
/// dynamic: factor times that; yarn: factor times the trained one.
int64_t scaled_context_tokens(const RopeScaling& scaling, int64_t context_tokens);

struct RopeFrequencies {
  std::vector<float> inverse;     // [width / 2]
  float attention_factor = 1.0F;  // on cosines and sines
};

/// For an engine whose sequences reach `context_tokens`.
/// linear: Chen et al. 2023, https://arxiv.org/abs/2306.15595, section 2.3. dynamic ("NTK-aware"): the base grows so
/// that the slowest frequency is stretched by the whole factor and the fastest by none. llama3: the wavelength rule
/// published with Llama 3.1. yarn: Peng et al. 2023, https://arxiv.org/abs/2309.00071, equations 13 to 22. longrope:
/// Ding et al. 2024, https://arxiv.org/abs/2402.13753, equation 4 with searched factors.
RopeFrequencies rope_frequencies(const RopeScaling& scaling, int64_t context_tokens);

}  // namespace weir::engine
