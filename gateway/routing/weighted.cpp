// Smooth weighted round-robin. At each pick every usable target gains its weight, the one that has most is taken and
// pays the sum of all weights (the rule of nginx's upstream module, commit 52327e0627f4, 2012). Starting from zero the
// state is zero again after Σ weights picks, so every such run gives each target exactly its weight, well spread.
#include <algorithm>
#include <array>
#include <vector>

#include "gateway/routing/strategy.h"

namespace weir::gateway {
namespace {

/// Sets of usable targets remembered; beyond it all are forgotten but the first seen, as a rule that of all targets.
constexpr size_t kWheelsMax = 64;

using Mask = std::array<uint64_t, kTargetsMax / 64>;

/// The round-robin among one set of usable targets.
struct Wheel {
  Mask members{};
  std::vector<int64_t> credit;  // by position among all candidates
};

class Weighted final : public Strategy {
 public:
  std::optional<size_t> pick(std::span<const Candidate> candidates) override {
    candidates = candidates.first(std::min(candidates.size(), kTargetsMax));
    Mask members{};
    size_t usable = 0;
    size_t last = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!candidates[i].usable || candidates[i].weight == 0) continue;
      members[i / 64] |= uint64_t{1} << (i % 64);
      last = i;
      ++usable;
    }
    if (usable == 0) return std::nullopt;
    if (usable == 1) return last;

    const std::lock_guard lock(mutex_);
    Wheel& wheel = find(members, candidates.size());
    int64_t total = 0;
    size_t best = kTargetsMax;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!candidates[i].usable || candidates[i].weight == 0) continue;
      total += candidates[i].weight;
      wheel.credit[i] += candidates[i].weight;
      if (best == kTargetsMax || wheel.credit[i] > wheel.credit[best]) best = i;
    }
    wheel.credit[best] -= total;
    return best;
  }

 private:
  Wheel& find(const Mask& members, size_t size) {
    for (Wheel& wheel : wheels_)
      if (wheel.members == members && wheel.credit.size() == size) return wheel;
    // A wheel that starts anew is at most one turn unfair; only a model of many flapping targets gets here.
    if (wheels_.size() >= kWheelsMax) wheels_.resize(1);
    wheels_.push_back({members, std::vector<int64_t>(size, 0)});
    return wheels_.back();
  }

  std::mutex mutex_;
  std::vector<Wheel> wheels_;
};

}  // namespace

std::unique_ptr<Strategy> make_weighted() {
  return std::make_unique<Weighted>();
}

}  // namespace weir::gateway
