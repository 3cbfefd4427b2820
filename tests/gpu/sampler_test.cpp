// The sampler on the device against the rules of core/sampling.h, computed in doubles by sorting: whole distributions
// by walking `uniform` through [0, 1), ties, penalties, masks, log-probabilities, broken logits.
#include "engine/ops/cuda/sampler.h"

#include <algorithm>
#include <numeric>

#include "tests/gpu/kernel_rig.h"

namespace weir::engine::cuda {
namespace {

struct Row {
  SampleRow params;
  std::vector<float> logits;
  std::vector<LogitChange> changes;
  std::vector<bool> mask;  // empty: none
  int32_t newest = -1;     // a token that was sampled since the changes were counted
};

/// Logits after mask, bias and penalties; -inf where masked.
std::vector<double> changed(const Row& row) {
  std::vector<double> logits(row.logits.begin(), row.logits.end());
  auto changes = row.changes;
  if (row.newest >= 0) {
    auto c = std::ranges::find(changes, row.newest, &LogitChange::token);
    if (c == changes.end()) c = changes.insert(c, {.token = row.newest});
    c->seen = 1;
    ++c->count;
  }
  for (const LogitChange& c : changes) {
    double& x = logits[static_cast<size_t>(c.token)];
    x += static_cast<double>(c.bias);
    if (c.seen != 0)
      x = x > 0 ? x / static_cast<double>(row.params.repetition_penalty)
                : x * static_cast<double>(row.params.repetition_penalty);
    if (c.count > 0)
      x -= static_cast<double>(row.params.presence_penalty) +
           static_cast<double>(row.params.frequency_penalty) * c.count;
  }
  for (size_t i = 0; i < row.mask.size(); ++i) {
    if (!row.mask[i]) logits[i] = -INFINITY;
  }
  return logits;
}

/// Each token's weight after truncation, 0 where it may not be drawn.
std::vector<double> weights_of(const Row& row, const std::vector<double>& logits) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  const double max = logits[order[0]];
  const SampleRow& p = row.params;
  const auto weight = [&](size_t i) { return std::exp((logits[i] - max) / static_cast<double>(p.temperature)); };
  if (p.top_k > 0 && static_cast<size_t>(p.top_k) < order.size()) order.resize(static_cast<size_t>(p.top_k));
  std::erase_if(order, [&](size_t i) { return weight(i) < static_cast<double>(p.min_p) || weight(i) == 0.0; });
  double total = 0;
  for (const size_t i : order) total += weight(i);
  double sum = 0;
  std::vector<double> weights(logits.size(), 0.0);
  for (const size_t i : order) {
    weights[i] = weight(i);
    sum += weights[i];
    if (p.top_p < 1.0F && sum >= total * static_cast<double>(p.top_p)) break;
  }
  return weights;
}

class SamplerRig {
 public:
  explicit SamplerRig(std::vector<Row> rows) : rows_(std::move(rows)) {
    vocab_ = static_cast<int32_t>(rows_[0].logits.size());
    for (Row& row : rows_) {
      row.params.change_begin = static_cast<int32_t>(changes_.size());
      changes_.insert(changes_.end(), row.changes.begin(), row.changes.end());
      row.params.change_end = static_cast<int32_t>(changes_.size());
      if (row.newest >= 0) {
        row.params.newest = static_cast<int32_t>(ids_.size());
        ids_.push_back(row.newest);
      }
      logits_.insert(logits_.end(), row.logits.begin(), row.logits.end());
      if (row.mask.empty()) continue;
      row.params.mask = static_cast<int32_t>(masks_.size()) / words();
      masks_.resize(masks_.size() + static_cast<size_t>(words()));
      for (size_t i = 0; i < row.mask.size(); ++i) {
        const size_t word = static_cast<size_t>(row.params.mask * words()) + i / 32;
        if (row.mask[i]) masks_[word] |= 1U << i % 32;
      }
    }
  }

  std::vector<Row>& rows() { return rows_; }

  /// Samples every row; what is on the device lives until the next call.
  void run(std::vector<SampleOut>& out) {
    std::vector<SampleRow> params;
    for (const Row& row : rows_) params.push_back(row.params);
    DeviceArray<float> logits(logits_);
    const DeviceArray<SampleRow> params_there(params);
    const DeviceArray<LogitChange> changes(changes_);
    const DeviceArray<int32_t> ids(ids_);
    const DeviceArray<uint32_t> masks(masks_);
    const DeviceArray<SampleOut> results(rows_.size());
    const DeviceArray<int32_t> tokens(rows_.size());
    in_every_interleaving(
        [&] {
          logits.set(logits_);
          return sample(nullptr, {logits.get(), params_there.get(), changes.get(), ids.get(), masks.get(),
                                  results.get(), tokens.get(), static_cast<int64_t>(rows_.size()), vocab_});
        },
        [&] {
          const auto got = results.host();
          const auto again = tokens.host();
          for (size_t r = 0; r < got.size(); ++r) {
            ASSERT_EQ(again[r], got[r].token);
            if (!out.empty()) {
              ASSERT_EQ(got[r].token, out[r].token) << "row " << r << " depends on the order of threads";
            }
          }
          out = got;
        });
  }

 private:
  int32_t words() const { return (vocab_ + 31) / 32; }
  std::vector<Row> rows_;
  int32_t vocab_ = 0;
  std::vector<float> logits_;
  std::vector<LogitChange> changes_;
  std::vector<int32_t> ids_ = {-7};  // that nobody should read
  std::vector<uint32_t> masks_;
};

std::vector<float> logits_of(uint64_t seed, int32_t vocab, bool with_ties) {
  Rng rng(seed);
  auto logits = random_floats(rng, vocab, 6.0);
  if (with_ties) {
    for (float& x : logits) x = std::round(x);
  }
  return logits;
}

/// Is this the token that the row's `uniform` points at?
void check_draw(const Row& row, const std::vector<double>& logits, int32_t drawn, const std::string& what) {
  const auto weights = weights_of(row, logits);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  const auto token = static_cast<size_t>(drawn);
  ASSERT_GT(weights[token], 0.0) << what << ": token " << token << " may not be drawn";
  const double before =
      std::accumulate(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(token), 0.0) / total;
  const auto uniform_drawn = static_cast<double>(row.params.uniform);
  ASSERT_GE(uniform_drawn, before - 2e-6) << what;
  ASSERT_LE(uniform_drawn, before + weights[token] / total + 2e-6) << what;
}

/// A row for each of many values of `uniform`.
void check_distribution(Row row, const char* what) {
  std::vector<Row> rows;
  constexpr int kDraws = 6;
  for (int i = 0; i < kDraws; ++i) {
    row.params.uniform = static_cast<float>(i == kDraws - 1 ? 0.9999999 : (i + 0.37) / kDraws);
    rows.push_back(row);
  }
  SamplerRig rig(rows);
  std::vector<SampleOut> out;
  rig.run(out);
  if (testing::Test::HasFatalFailure()) return;
  const auto logits = changed(row);
  for (size_t r = 0; r < out.size(); ++r) {
    ASSERT_EQ(out[r].fault, SampleFault::none);
    check_draw(rows[r], logits, out[r].token, what);
  }
}

TEST(GpuSampler, DrawsFromWhatTheParametersLeave) {
  for (const int32_t vocab : {300, 1031}) {
    Row row;
    row.logits = logits_of(static_cast<uint64_t>(vocab), vocab, vocab == 300);  // with ties
    check_distribution(row, "all");
    row.params.temperature = 0.6F;
    row.params.top_k = 7;
    check_distribution(row, "top-k");
    row.params.top_k = vocab + 5;
    row.params.top_p = 0.7F;
    check_distribution(row, "top-p");
    row.params.top_k = 40;
    check_distribution(row, "top-k and top-p");
    row.params.top_p = 1.0F;
    row.params.top_k = 0;
    row.params.min_p = 0.11F;
    check_distribution(row, "min-p");
    row.params.top_p = 0.5F;
    row.params.temperature = 2.5F;
    check_distribution(row, "min-p and top-p");
    row.params.top_p = 1e-6F;
    row.params.min_p = 0.0F;
    check_distribution(row, "a top-p of almost nothing");
  }
}

TEST(GpuSampler, ALongVocabularyIsABlockOfManyThreads) {
  const int32_t vocab = 9031;
  Row row;
  row.logits = logits_of(static_cast<uint64_t>(vocab), vocab, false);
  row.params.top_k = 900;
  row.params.top_p = 0.8F;
  for (int32_t t = 0; t < vocab; t += 7) row.changes.push_back({t, 1, 1, 0.5F});
  Row drawn = row;
  drawn.params.logprobs = 2;
  drawn.params.uniform = 0.63F;
  Row greedy = row;
  greedy.params.temperature = 0.0F;
  SamplerRig rig({drawn, greedy});
  std::vector<SampleOut> out;
  rig.run(out);
  ASSERT_EQ(out.size(), 2U);
  ASSERT_EQ(out[0].fault, SampleFault::none);
  const auto logits = changed(row);
  EXPECT_EQ(out[1].token, std::max_element(logits.begin(), logits.end()) - logits.begin());
  EXPECT_EQ(out[0].top_tokens[0], out[1].token);
  check_draw(drawn, logits, out[0].token, "a long vocabulary");
}

TEST(GpuSampler, PenaltiesBiasAndMaskComeFirst) {
  const int32_t vocab = 500;
  Row row;
  row.logits = logits_of(3, vocab, false);
  row.params.repetition_penalty = 1.3F;
  row.params.presence_penalty = 0.4F;
  row.params.frequency_penalty = 0.2F;
  for (int32_t t = 0; t < 300; t += 3) row.changes.push_back({t, t % 5, 1, t % 2 == 0 ? 1.5F : 0.0F});
  row.changes.push_back({499, 0, 0, 8.0F});
  check_distribution(row, "penalties");
  for (const int32_t newest : {0, 33, 299, 301, 499}) {  // counted, seen before, and not
    row.newest = newest;
    row.logits[static_cast<size_t>(newest)] = 7.0F;
    check_distribution(row, "penalties and a newest token");
  }
  row.mask.assign(static_cast<size_t>(vocab), false);
  for (size_t t = 0; t < row.mask.size(); t += 7) row.mask[t] = true;
  check_distribution(row, "mask");
  row.params.top_k = 3;
  check_distribution(row, "mask and top-k");
}

TEST(GpuSampler, GreedyTakesTheLowestOfTheLargestAndLogprobsAreOfAllTokens) {
  for (const bool ties : {false, true}) {
    Row row;
    row.logits = logits_of(8, 700, ties);
    row.params.temperature = 0.0F;
    row.params.logprobs = 5;
    Row drawn = row;
    drawn.params.temperature = 1.0F;
    drawn.params.uniform = 0.5F;
    drawn.params.logprobs = 20;
    Row one = row;
    one.mask.assign(row.logits.size(), false);
    one.mask[123] = true;
    Row changed_best = row;  // the largest logit is not the largest any more
    const auto first = std::max_element(row.logits.begin(), row.logits.end()) - row.logits.begin();
    changed_best.changes = {{static_cast<int32_t>(first), 0, 0, -50.0F}};
    SamplerRig rig({row, drawn, one, changed_best});
    std::vector<SampleOut> out;
    rig.run(out);
    const auto best = std::max_element(row.logits.begin(), row.logits.end()) - row.logits.begin();
    EXPECT_EQ(out[0].token, best);
    EXPECT_EQ(out[0].top_tokens[0], best);
    for (size_t r = 0; r < 2; ++r) {
      const auto logits = changed(rig.rows()[r]);
      double sum = 0;
      for (const double x : logits) sum += std::exp(x);
      std::vector<size_t> order(logits.size());
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
      ASSERT_EQ(out[r].top_count, r == 0 ? 5 : 20);
      for (int32_t i = 0; i < out[r].top_count; ++i) {
        const size_t token = order[static_cast<size_t>(i)];
        EXPECT_EQ(out[r].top_tokens[i], static_cast<int32_t>(token));
        EXPECT_NEAR(out[r].top_logprobs[i], logits[token] - std::log(sum), 1e-5);
      }
      EXPECT_NEAR(out[r].logprob, logits[static_cast<size_t>(out[r].token)] - std::log(sum), 1e-5);
    }
    const auto logits = changed(changed_best);
    EXPECT_EQ(out[3].token, std::max_element(logits.begin(), logits.end()) - logits.begin());
    EXPECT_EQ(out[2].token, 123);
    EXPECT_EQ(out[2].top_count, 1);  // what is masked is no alternative
    EXPECT_NEAR(out[2].logprob, 0.0, 1e-6);
  }
}

TEST(GpuSampler, BrokenLogitsAndAnEmptyMaskAreNamed) {
  Row fine;
  fine.logits = logits_of(9, 300, false);
  Row nan = fine;
  nan.logits[299] = NAN;
  Row infinite = fine;
  infinite.logits[0] = -INFINITY;
  Row masked = fine;
  masked.mask.assign(300, false);
  SamplerRig rig({fine, nan, infinite, masked});
  std::vector<SampleOut> out;
  rig.run(out);
  EXPECT_EQ(out[0].fault, SampleFault::none);
  EXPECT_EQ(out[1].fault, SampleFault::not_finite);
  EXPECT_EQ(out[2].fault, SampleFault::not_finite);
  EXPECT_EQ(out[3].fault, SampleFault::all_masked);
}

}  // namespace
}  // namespace weir::engine::cuda
