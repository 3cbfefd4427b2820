#include "engine/sample/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "config/base/rng.h"

namespace weir::engine {
namespace {

// Far beyond any model's logits and far below what overflows: one request's penalty must not look like broken weights.
constexpr float kLogitMax = 1e30F;
constexpr float kMasked = -std::numeric_limits<float>::infinity();

float bounded(float logit) {
  return std::clamp(logit, -kLogitMax, kLogitMax);
}

void apply_mask(std::span<float> logits, std::span<const uint32_t> mask) {
  for (size_t begin = 0; begin < logits.size(); begin += 32) {
    const uint32_t word = begin / 32 < mask.size() ? mask[begin / 32] : 0;
    if (word == UINT32_MAX) continue;
    const size_t end = std::min(begin + 32, logits.size());
    for (size_t i = begin; i < end; ++i) {
      if ((word >> (i - begin) & 1U) == 0) logits[i] = kMasked;
    }
  }
}

/// Most likely first, ties to the lowest id.
struct Better {
  template <class T>
  bool operator()(const T& a, const T& b) const {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  }
};

}  // namespace

double uniform_of(uint64_t seed, int32_t output_index) {
  // SplitMix64 inside Rng separates neighbouring seeds.
  uint64_t mixed = seed ^ (0x9e3779b97f4a7c15ULL * (static_cast<uint64_t>(output_index) + 1));
  mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93ULL;
  return Rng(mixed ^ (mixed >> 32)).uniform();
}

Sampled Sampler::sample(std::span<float> logits, const SampleContext& context) {
  for (const float logit : logits) {
    if (!std::isfinite(logit)) return {.fault = SampleFault::not_finite};
  }
  if (!context.mask.empty()) apply_mask(logits, context.mask);
  apply_bias_and_penalties(logits, context);
  const auto best = std::max_element(logits.begin(), logits.end());
  if (best == logits.end() || *best == kMasked) return {.fault = SampleFault::all_masked};
  const float max = *best;
  Sampled result;
  result.token = context.params->temperature == 0.0F ? static_cast<TokenId>(best - logits.begin())
                                                     : draw(logits, *context.params, max, context.output_index);
  const TokenId forced = context.params->forced;
  if (forced >= 0 && static_cast<size_t>(forced) < logits.size()) result.token = forced;
  if (context.params->logprobs >= 0) fill_logprobs(logits, max, context.params->logprobs, result);
  return result;
}

void Sampler::apply_bias_and_penalties(std::span<float> logits, const SampleContext& context) {
  const SamplingParams& params = *context.params;
  const auto known = [&](TokenId id) {
    return id >= 0 && static_cast<size_t>(id) < logits.size() && logits[static_cast<size_t>(id)] != kMasked;
  };
  for (const auto& [id, bias] : params.logit_bias) {
    if (known(id)) logits[static_cast<size_t>(id)] = bounded(logits[static_cast<size_t>(id)] + bias);
  }
  if (!wants_counts(params)) return;
  const bool repetition = params.repetition_penalty != 1.0F;
  if (context.counts == nullptr) {
    counts_.clear();
    counts_.extend(context.history, context.prompt_length, params);
  }
  for (const auto& [id, count] : (context.counts != nullptr ? *context.counts : counts_).entries()) {
    if (!known(id)) continue;
    float& logit = logits[static_cast<size_t>(id)];
    if (repetition) logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    if (count > 0) logit -= params.presence_penalty + params.frequency_penalty * static_cast<float>(count);
    logit = bounded(logit);
  }
}

/// Fills candidates_ with the `count` most likely tokens in order, or with all of them in the order of ids; without
/// those that are masked.
void Sampler::keep_top(std::span<const float> logits, size_t count) {
  candidates_.clear();
  candidates_.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] != kMasked) candidates_.push_back({static_cast<TokenId>(i), logits[i], 0.0});
  }
  if (count >= candidates_.size()) return;
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(candidates_.begin(), end, candidates_.end(), Better());
  candidates_.erase(end, candidates_.end());
  std::sort(candidates_.begin(), candidates_.end(), Better());
}

/// Keeps the fewest most likely candidates whose share of the weight reaches top_p. Candidates are sorted piece by
/// piece, since with a trained model a few dozen of a hundred thousand suffice.
void Sampler::cut_top_p(float top_p) {
  double total = 0.0;
  for (const Candidate& c : candidates_) total += c.weight;
  const double wanted = total * static_cast<double>(top_p);
  double sum = 0.0;
  size_t sorted = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (i == sorted) {
      sorted = std::min(candidates_.size(), sorted == 0 ? size_t{64} : sorted * 4);
      std::partial_sort(candidates_.begin() + static_cast<std::ptrdiff_t>(i),
                        candidates_.begin() + static_cast<std::ptrdiff_t>(sorted), candidates_.end(), Better());
    }
    sum += candidates_[i].weight;
    if (sum >= wanted) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

TokenId Sampler::draw(std::span<const float> logits, const SamplingParams& params, float max, int32_t output_index) {
  keep_top(logits, params.top_k > 0 ? static_cast<size_t>(params.top_k) : logits.size());
  const double inverse = 1.0 / static_cast<double>(params.temperature);
  for (Candidate& c : candidates_) {
    c.weight = std::exp((static_cast<double>(c.logit) - static_cast<double>(max)) * inverse);
  }
  if (params.min_p > 0.0F) {  // the most likely token weighs 1
    std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < static_cast<double>(params.min_p); });
  }
  if (params.top_p < 1.0F) cut_top_p(params.top_p);
  double total = 0.0;
  for (const Candidate& c : candidates_) total += c.weight;
  double left = uniform_of(params.seed, output_index) * total;
  for (const Candidate& c : candidates_) {
    left -= c.weight;
    if (left < 0.0) return c.token;
  }
  // Rounding ate the last sliver: the last token that can be drawn at all.
  for (auto it = candidates_.rbegin(); it != candidates_.rend(); ++it) {
    if (it->weight > 0.0) return it->token;
  }
  return candidates_.front().token;
}

void Sampler::fill_logprobs(std::span<const float> logits, float max, int32_t count, Sampled& result) {
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - static_cast<double>(max));
  const double log_sum = std::log(sum) + static_cast<double>(max);
  const auto logprob = [&](float logit) { return static_cast<float>(static_cast<double>(logit) - log_sum); };
  result.logprob.token = result.token;
  result.logprob.logprob = logprob(logits[static_cast<size_t>(result.token)]);
  const auto wanted = std::min(static_cast<size_t>(std::clamp(count, 0, kLogprobsMax)), logits.size());
  if (wanted == 0) return;
  keep_top(logits, wanted);
  std::sort(candidates_.begin(), candidates_.end(), Better());
  for (const Candidate& c : candidates_) result.logprob.top.push_back({c.token, logprob(c.logit), {}});
}

}  // namespace weir::engine
