#include "engine/ops/cuda/sampler.h"

#include "engine/ops/cuda/device/warp.cuh"
#include "engine/ops/cuda/launch.h"

namespace weir::engine::cuda {
namespace {

using Weight = unsigned long long;

constexpr unsigned kThreadsMax = 1024;
constexpr int kBins = 256;  // of one step of selection: eight bits of the key
constexpr float kLogitMax = 1e30F;
constexpr float kNothing = -__builtin_huge_valf();
constexpr float kWeightOne = 0x1p40F;

/// Order of floats as order of whole numbers.
__device__ unsigned key_of(float x) {
  const unsigned bits = __float_as_uint(x);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// Which tokens are left: those above `key`, and the first `equal` at it.
struct Cut {
  unsigned key;
  int equal;
};

struct Shared {
  Weight bins[kBins];
  Weight weights[kReduceWords];
  unsigned long long words[kReduceWords];
  float floats[kReduceWords];
  int ints[kReduceWords];
  unsigned key;  // what one thread found for all
  Weight before;
  int token;
};

/// What each phase works on.
struct Row {
  float* logits;
  const SampleRow* params;
  int vocab;
  float largest;
  Shared& shared;

  __device__ Weight weight(float logit) const {
    return static_cast<Weight>(expf((logit - largest) / params->temperature) * kWeightOne);
  }
  /// The tokens of this thread, side by side.
  __device__ int begin() const { return static_cast<int>(threadIdx.x) * share(); }
  __device__ int end() const { return begin() + share() < vocab ? begin() + share() : vocab; }
  __device__ int share() const { return (vocab + static_cast<int>(blockDim.x) - 1) / static_cast<int>(blockDim.x); }
};

__device__ float bounded(float logit) {
  return fminf(fmaxf(logit, -kLogitMax), kLogitMax);
}

/// False if a logit is not a finite number.
__device__ bool check_and_mask(const Row& row, const uint32_t* mask) {
  int fine = 1;
  for (int i = static_cast<int>(threadIdx.x); i < row.vocab; i += static_cast<int>(blockDim.x)) {
    const float logit = row.logits[i];
    if (!(fabsf(logit) <= 3.4e38F)) fine = 0;
    if (mask != nullptr && (mask[i / 32] >> i % 32 & 1U) == 0) row.logits[i] = kNothing;
  }
  return block_reduce<Sum>(fine, row.shared.ints) == static_cast<int>(blockDim.x);
}

__device__ void change_one(const Row& row, const LogitChange& c) {
  const SampleRow& p = *row.params;
  float logit = row.logits[c.token];
  if (logit == kNothing) return;  // masked
  if (c.bias != 0.0F) logit = bounded(logit + c.bias);
  if (c.seen != 0 && p.repetition_penalty != 1.0F) {
    logit = logit > 0.0F ? logit / p.repetition_penalty : logit * p.repetition_penalty;
  }
  if (c.count > 0) logit -= p.presence_penalty + p.frequency_penalty * static_cast<float>(c.count);
  row.logits[c.token] = bounded(logit);
}

__device__ void change(const SampleArgs& args, const Row& row) {
  const SampleRow& p = *row.params;
  const int newest = p.newest < 0 ? -1 : args.ids[p.newest];
  int counted = 0;
  for (int i = p.change_begin + static_cast<int>(threadIdx.x); i < p.change_end; i += static_cast<int>(blockDim.x)) {
    LogitChange c = args.changes[i];
    if (c.token == newest) {
      c.seen = 1;
      ++c.count;
      counted = 1;
    }
    change_one(row, c);
  }
  if (newest >= 0 && block_reduce<Sum>(counted, row.shared.ints) == 0 && threadIdx.x == 0) {
    change_one(row, {newest, 1, 1, 0.0F});
  }
  __syncthreads();
}

/// A logit and its token as a number: the larger logit first, then the lower token.
__device__ unsigned long long rank_of(float logit, int token) {
  return static_cast<unsigned long long>(key_of(logit)) << 32 | (0xffffffffU - static_cast<unsigned>(token));
}
__device__ int token_of(unsigned long long rank) {
  return static_cast<int>(0xffffffffU - static_cast<unsigned>(rank));
}

/// The highest rank below `below`; 0 if there is none.
__device__ unsigned long long best_below(const Row& row, unsigned long long below) {
  unsigned long long best = 0;
  for (int i = static_cast<int>(threadIdx.x); i < row.vocab; i += static_cast<int>(blockDim.x)) {
    const unsigned long long rank = rank_of(row.logits[i], i);
    if (rank < below && row.logits[i] != kNothing) best = Largest::of(best, rank);
  }
  return block_reduce<Largest>(best, row.shared.words);
}

/// The cut at which what is above stays below `wanted` and what is at it reaches it, by eight bits of the key at a
/// time. `measure`(logit): what a token counts. Tokens below `least`, or at it beyond the first `least.equal`, do not
/// count. REQUIRES: all that counts reaches `wanted`.
template <class Measure>
__device__ Cut select(const Row& row, Weight wanted, const Cut& least, Measure measure) {
  Shared& shared = row.shared;
  unsigned prefix = 0;
  Weight above = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = static_cast<int>(threadIdx.x); i < kBins; i += static_cast<int>(blockDim.x)) shared.bins[i] = 0;
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < row.vocab; i += static_cast<int>(blockDim.x)) {
      const float logit = row.logits[i];
      const unsigned key = key_of(logit);
      if (key <= least.key || (shift < 24 && key >> (shift + 8) != prefix >> (shift + 8))) continue;
      atomicAdd(&shared.bins[key >> shift & 0xffU], measure(logit));
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      const bool least_is_here = shift == 24 || least.key >> (shift + 8) == prefix >> (shift + 8);
      if (least_is_here && least.equal > 0) {
        const unsigned bits = (least.key & 0x80000000U) != 0 ? least.key & 0x7fffffffU : ~least.key;
        shared.bins[least.key >> shift & 0xffU] += measure(__uint_as_float(bits)) * static_cast<Weight>(least.equal);
      }
      int bin = kBins - 1;
      while (bin > 0 && above + shared.bins[bin] < wanted) above += shared.bins[bin--];
      shared.key = prefix | static_cast<unsigned>(bin) << shift;
      shared.before = above;
    }
    __syncthreads();
    prefix = shared.key;
    above = shared.before;
  }
  const unsigned bits = (prefix & 0x80000000U) != 0 ? prefix & 0x7fffffffU : ~prefix;
  const Weight each = measure(__uint_as_float(bits));
  int equal = each == 0 ? 1 : static_cast<int>((wanted - above + each - 1) / each);
  if (prefix == least.key && equal > least.equal) equal = least.equal;
  return {prefix, equal};
}

/// Sums `measure` over all tokens that a cut leaves.
struct Left {
  int equal_before;  // tokens at the cut before this thread's
  Scan<Weight> weights;
};
__device__ Left sum_left(const Row& row, const Cut& cut) {
  int equal = 0;
  for (int i = row.begin(); i < row.end(); ++i) equal += key_of(row.logits[i]) == cut.key ? 1 : 0;
  const int before = block_scan(equal, row.shared.ints).before;
  Weight sum = 0;
  int at = before;
  for (int i = row.begin(); i < row.end(); ++i) {
    const unsigned key = key_of(row.logits[i]);
    if (key > cut.key || (key == cut.key && at++ < cut.equal)) sum += row.weight(row.logits[i]);
  }
  return {before, block_scan(sum, row.shared.weights)};
}

__device__ Cut truncate(const Row& row) {
  const SampleRow& p = *row.params;
  Cut cut{key_of(kNothing), 0};
  if (p.min_p > 0.0F) {  // the most likely token weighs 1
    cut = {key_of(row.largest + p.temperature * logf(p.min_p)), row.vocab};
  }
  if (p.top_k > 0 && p.top_k < row.vocab) {
    const auto one = [](float) { return Weight{1}; };
    int possible = 0;
    for (int i = row.begin(); i < row.end(); ++i) possible += key_of(row.logits[i]) > key_of(kNothing) ? 1 : 0;
    if (block_scan(possible, row.shared.ints).all > p.top_k) {
      const Cut by_count = select(row, static_cast<Weight>(p.top_k), {key_of(kNothing), 0}, one);
      if (by_count.key >= cut.key) cut = by_count;
    }
  }
  if (p.top_p < 1.0F) {
    if (cut.equal == row.vocab) {  // all at min_p's edge stay: how many are there?
      int equal = 0;
      for (int i = row.begin(); i < row.end(); ++i) equal += key_of(row.logits[i]) == cut.key ? 1 : 0;
      cut.equal = block_scan(equal, row.shared.ints).all;
    }
    const Weight total = sum_left(row, cut).weights.all;
    const double share = static_cast<double>(total) * static_cast<double>(p.top_p);
    const Weight wanted = share < 1.0 ? 1 : static_cast<Weight>(ceil(share));
    cut = select(row, wanted, cut, [&](float logit) { return row.weight(logit); });
  }
  return cut;
}

__device__ int draw(const Row& row) {
  const Cut cut = truncate(row);
  const Left left = sum_left(row, cut);
  const auto total = static_cast<double>(left.weights.all);
  auto target = static_cast<Weight>(static_cast<double>(row.params->uniform) * total);
  if (target >= left.weights.all) target = left.weights.all - 1;
  Weight sum = left.weights.before;
  int at = left.equal_before;
  for (int i = row.begin(); i < row.end() && sum <= target; ++i) {
    const unsigned key = key_of(row.logits[i]);
    if (key < cut.key || (key == cut.key && at++ >= cut.equal)) continue;
    const Weight weight = row.weight(row.logits[i]);
    if (target < sum + weight) row.shared.token = i;  // exactly one thread comes here
    sum += weight;
  }
  __syncthreads();
  return row.shared.token;
}

__device__ void fill_logprobs(const Row& row, int token, unsigned long long best, SampleOut& out) {
  float sum = 0.0F;
  for (int i = static_cast<int>(threadIdx.x); i < row.vocab; i += static_cast<int>(blockDim.x)) {
    sum += expf(row.logits[i] - row.largest);
  }
  const float log_sum = logf(block_reduce<Sum>(sum, row.shared.floats)) + row.largest;
  const int wanted = row.params->logprobs < kSampleLogprobsMax ? row.params->logprobs : kSampleLogprobsMax;
  int count = 0;
  for (; count < wanted && best != 0; ++count) {
    if (threadIdx.x == 0) {
      out.top_tokens[count] = token_of(best);
      out.top_logprobs[count] = row.logits[token_of(best)] - log_sum;
    }
    best = best_below(row, best);
  }
  if (threadIdx.x != 0) return;
  out.logprob = row.logits[token] - log_sum;
  out.top_count = count;
}

__global__ void __launch_bounds__(kThreadsMax) sample_kernel(SampleArgs args) {
  SampleOut& out = args.out[blockIdx.x];
  const int64_t stride = args.stride == 0 ? args.vocab : args.stride;
  Row row{args.logits + blockIdx.x * stride, args.params + blockIdx.x, args.vocab, 0.0F, *shared_memory<Shared>()};
  const uint32_t* mask =
      row.params->mask < 0 ? nullptr : args.masks + static_cast<int64_t>(row.params->mask) * ((args.vocab + 31) / 32);
  const bool finite = check_and_mask(row, mask);
  SampleFault fault = finite ? SampleFault::none : SampleFault::not_finite;
  int token = 0;
  if (finite) {
    change(args, row);
    const unsigned long long best = best_below(row, ~0ULL);
    if (best == 0) {
      fault = SampleFault::all_masked;
    } else {
      row.largest = row.logits[token_of(best)];
      token = row.params->temperature == 0.0F ? token_of(best) : draw(row);
      if (row.params->logprobs >= 0) fill_logprobs(row, token, best, out);
    }
  }
  if (threadIdx.x != 0) return;
  out.token = token;
  out.fault = fault;
  if (args.tokens != nullptr) args.tokens[blockIdx.x] = token;
}

}  // namespace

cudaError_t sample(cudaStream_t stream, const SampleArgs& args) {
  const unsigned threads = args.vocab >= 8 * static_cast<int32_t>(kThreadsMax) ? kThreadsMax : 256;
  return launch(stream, dim3(static_cast<unsigned>(args.rows)), threads, sizeof(Shared), sample_kernel, args);
}

}  // namespace weir::engine::cuda
