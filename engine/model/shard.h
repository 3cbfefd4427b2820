// A decoder cut into parts that compute one model together (Megatron-LM, Shoeybi et al. 2019,
// https://arxiv.org/abs/1909.08053, section 3): q, k, v, gate and up by their outputs, a part having whole heads; o and
// down by the inputs that those make, so that a part's product is a summand of the whole's; embedding and vocabulary by
// rows. Norms are every part's. Cut before anything is quantized: each part's scales are its own. Start-up work.
#pragma once

#include <string>

#include "config/base/result.h"
#include "engine/model/decoder.h"
#include "engine/model/spec.h"

namespace weir::engine {

/// Why the model cannot be cut into so many parts, and into how many it can; empty if it can.
std::string uncuttable(const ModelSpec& spec, int parts);

/// A part's share of the vocabulary begins here, and ends where the next one's begins.
int64_t vocab_begin(int64_t vocab, int part, int parts);

/// The shapes of one part: its heads, its part of the MLP; the vocabulary and everything else stay the whole's.
/// REQUIRES: uncuttable() is empty.
ModelSpec part_of(const ModelSpec& spec, int parts);

/// Rows are used in place, `whole`'s memory living on with the part; columns are copied. Where there are more parts
/// than heads of keys and values, neighbours share one. Errors: no memory. REQUIRES: not quantized here (i8).
Result<DecoderWeights> part_of(const ModelSpec& spec, const DecoderWeights& whole, int part, int parts);

}  // namespace weir::engine
