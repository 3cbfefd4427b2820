#include "engine/ops/cuda/sampler.h"

#include "engine/ops/cuda/device/warp.cuh"
#include "engine/ops/cuda/launch.h"

namespace weir::engine::cuda {
namespace {

using Weight = unsigned long long;

constexpr unsigned kThreadsMax = 1024;
constexpr int kBins = 256;  // of one step of selection: eight bits of the key
constexpr int kPieces = 4;  // that a weight is counted in, 11 bits each: whole numbers of 32 bits are added at once
constexpr int kPieceBits = 11;
constexpr float kWeightless = 28.0F;  // a logit so many temperatures below the largest weighs nothing
constexpr float kLogitMax = 1e30F;
constexpr float kNothing = -__builtin_huge_valf();
constexpr float kWeightOne = 0x1p40F;

/// Order of floats as order of whole numbers.
__device__ unsigned key_of(float x) {
  const unsigned bits = __float_as_uint(x);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

__device__ float logit_of(unsigned key) {
  return __uint_as_float((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key);
}

/// Which tokens are left: those above `key`, and the first `equal` at it.
struct Cut {
  unsigned key;
  int equal;
};

struct Shared {
  Weight bins[kBins];
  unsigned pieces[kBins][kPieces];
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
  /// The tokens of this warp, side by side: each lane takes every 32nd.
  __device__ int begin() const { return static_cast<int>(threadIdx.x) / kWarpThreads * share(); }
  __device__ int end() const { return begin() + share() < vocab ? begin() + share() : vocab; }
  __device__ int share() const {
    const int threads = static_cast<int>(blockDim.x);
    return (vocab + threads - 1) / threads * kWarpThreads;
  }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarpThreads; }
};

/// Which of a warp's tokens at a cut are left, in the order of their ids.
struct AtCut {
  const Row& row;
  const Cut& cut;
  int equal;  // tokens at the cut so far

  /// Of the lane's token, all lanes together; those beyond the end have none.
  __device__ bool leaves(int token) {
    const unsigned key = token < row.end() ? key_of(row.logits[token]) : 0;
    const bool at_cut = token < row.end() && key == cut.key;
    const unsigned votes = __ballot_sync(kAll, at_cut);
    const int before = equal + static_cast<int>(__popc(votes & ((1U << Row::lane()) - 1)));
    equal += static_cast<int>(__popc(votes));
    return token < row.end() && (key > cut.key || (at_cut && before < cut.equal));
  }
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

/// The weights of many tokens by bin.
__device__ void clear_bins(Shared& shared) {
  for (int i = static_cast<int>(threadIdx.x); i < kBins * kPieces; i += static_cast<int>(blockDim.x)) {
    shared.pieces[i / kPieces][i % kPieces] = 0;
  }
  __syncthreads();
}
__device__ void add_to_bin(Shared& shared, int bin, Weight weight) {
  for (int i = 0; weight != 0; ++i, weight >>= kPieceBits) {
    const auto piece = static_cast<unsigned>(weight) & ((1U << kPieceBits) - 1);
    if (piece != 0) atomicAdd(&shared.pieces[bin][i], piece);
  }
}
__device__ void sum_bins(Shared& shared) {
  __syncthreads();
  for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += static_cast<int>(blockDim.x)) {
    Weight sum = 0;
    for (int i = kPieces - 1; i >= 0; --i) sum = (sum << kPieceBits) + shared.pieces[bin][i];
    shared.bins[bin] = sum;
  }
  __syncthreads();
}

/// The cut at which what is above stays below `wanted` and what is at it reaches it: first among even steps of the
/// logit, over which tokens spread, then in one of them by eight bits of the key at a time. `measure`(logit): what a
/// token counts. Tokens below `least`, or at it beyond the first `least.equal`, do not count. REQUIRES: all that counts
/// reaches `wanted`.
template <class Measure>
__device__ Cut select(const Row& row, Weight wanted, const Cut& least, Measure measure) {
  constexpr int kEven = 32;  // for a shift: no bits yet
  Shared& shared = row.shared;
  const float scale = fminf(static_cast<float>(kBins) / (kWeightless * row.params->temperature), kLogitMax);
  const auto even_bin = [&](float logit) {
    return kBins - 1 - static_cast<int>(fminf((row.largest - logit) * scale, static_cast<float>(kBins - 1)));
  };
  const float least_logit = logit_of(least.key);
  int even = 0;
  unsigned prefix = 0;
  Weight above = 0;
  for (int shift = kEven; shift >= 0; shift -= 8) {
    const auto counts = [&](float logit, unsigned key) {
      if (shift == kEven) return true;
      return even_bin(logit) == even && (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8));
    };
    const auto bin_of = [&](float logit, unsigned key) {
      return shift == kEven ? even_bin(logit) : static_cast<int>(key >> shift & 0xffU);
    };
    clear_bins(shared);
    for (int i = static_cast<int>(threadIdx.x); i < row.vocab; i += static_cast<int>(blockDim.x)) {
      const float logit = row.logits[i];
      const unsigned key = key_of(logit);
      if (key > least.key && counts(logit, key)) add_to_bin(shared, bin_of(logit, key), measure(logit));
    }
    sum_bins(shared);
    if (threadIdx.x == 0) {
      if (least.equal > 0 && counts(least_logit, least.key)) {
        shared.bins[bin_of(least_logit, least.key)] += measure(least_logit) * static_cast<Weight>(least.equal);
      }
      int bin = kBins - 1;
      while (bin > 0 && above + shared.bins[bin] < wanted) above += shared.bins[bin--];
      shared.key = static_cast<unsigned>(bin);
      shared.before = above;
    }
    __syncthreads();
    if (shift == kEven) {
      even = static_cast<int>(shared.key);
    } else {
      prefix |= shared.key << shift;
    }
    above = shared.before;
  }
  const Weight each = measure(logit_of(prefix));
  int equal = each == 0 ? 1 : static_cast<int>((wanted - above + each - 1) / each);
  if (prefix == least.key && equal > least.equal) equal = least.equal;
  return {prefix, equal};
}

/// How many tokens are at a key, or above it.
__device__ int count_at(const Row& row, unsigned least, unsigned most) {
  int count = 0;
  for (int i = static_cast<int>(threadIdx.x); i < row.vocab; i += static_cast<int>(blockDim.x)) {
    const unsigned key = key_of(row.logits[i]);
    count += key >= least && key <= most ? 1 : 0;
  }
  return block_reduce<Sum>(count, row.shared.ints);
}

/// What a cut leaves.
struct Left {
  int equal_before;  // tokens at the cut before this warp's
  Weight before;     // the weights of all before this warp's
  Weight warp;       // of this warp's
  Weight all;
};
__device__ Left sum_left(const Row& row, const Cut& cut) {
  int equal = 0;
  for (int i = row.begin() + Row::lane(); i < row.end(); i += kWarpThreads) {
    equal += key_of(row.logits[i]) == cut.key ? 1 : 0;
  }
  Left left{};
  left.equal_before = __shfl_sync(kAll, block_scan(equal, row.shared.ints).before, 0);
  AtCut at{row, cut, left.equal_before};
  Weight sum = 0;
  for (int base = row.begin(); base < row.end(); base += kWarpThreads) {
    const int token = base + Row::lane();
    if (at.leaves(token)) sum += row.weight(row.logits[token]);
  }
  left.warp = warp_reduce<Sum>(sum);
  const Scan<Weight> scan = block_scan(sum, row.shared.weights);
  left.before = __shfl_sync(kAll, scan.before, 0);
  left.all = scan.all;
  return left;
}

__device__ Cut truncate(const Row& row) {
  const SampleRow& p = *row.params;
  Cut cut{key_of(kNothing), 0};
  if (p.min_p > 0.0F) {  // the most likely token weighs 1
    cut = {key_of(row.largest + p.temperature * logf(p.min_p)), row.vocab};
  }
  if (p.top_k > 0 && p.top_k < row.vocab) {
    const auto one = [](float) { return Weight{1}; };
    if (count_at(row, key_of(kNothing) + 1, ~0U) > p.top_k) {
      const Cut by_count = select(row, static_cast<Weight>(p.top_k), {key_of(kNothing), 0}, one);
      if (by_count.key >= cut.key) cut = by_count;
    }
  }
  if (p.top_p < 1.0F) {
    if (cut.equal == row.vocab) {  // all at min_p's edge stay: how many are there?
      cut.equal = count_at(row, cut.key, cut.key);
    }
    const Weight total = sum_left(row, cut).all;
    const double share = static_cast<double>(total) * static_cast<double>(p.top_p);
    const Weight wanted = share < 1.0 ? 1 : static_cast<Weight>(ceil(share));
    cut = select(row, wanted, cut, [&](float logit) { return row.weight(logit); });
  }
  return cut;
}

__device__ int draw(const Row& row) {
  const Cut cut = truncate(row);
  const Left left = sum_left(row, cut);
  auto target = static_cast<Weight>(static_cast<double>(row.params->uniform) * static_cast<double>(left.all));
  if (target >= left.all) target = left.all - 1;
  if (target >= left.before && target < left.before + left.warp) {  // exactly one warp comes here
    AtCut at{row, cut, left.equal_before};
    Weight sum = left.before;
    for (int base = row.begin(); base < row.end() && sum <= target; base += kWarpThreads) {
      const int token = base + Row::lane();
      const Weight weight = at.leaves(token) ? row.weight(row.logits[token]) : 0;
      const Weight upto = sum + warp_scan(weight);
      if (target < upto && target >= upto - weight) row.shared.token = token;
      sum = __shfl_sync(kAll, upto, kWarpThreads - 1);
    }
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
