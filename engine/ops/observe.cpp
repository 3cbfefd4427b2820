#include "engine/ops/observe.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace weir::engine {
namespace {

thread_local InputObserver* observer = nullptr;

void observed_linear(ThreadPool& pool, const LinearArgs& args) {
  if (observer != nullptr) observer->see(args);
  cpu_ops().linear(pool, args);
}

Ops make_observed_ops() {
  Ops ops = cpu_ops();
  ops.linear = &observed_linear;
  return ops;
}

}  // namespace

InputObserver::InputObserver() {
  assert(observer == nullptr);
  observer = this;
}

InputObserver::~InputObserver() {
  observer = nullptr;
}

void InputObserver::see(const LinearArgs& args) {
  const auto found = watched_.find(args.w.data);
  if (found == watched_.end()) return;
  float* largest = found->second->data();
  for (int64_t r = 0; r < args.rows; ++r) {
    const float* x = args.x + r * args.w.cols;
    for (int64_t c = 0; c < args.w.cols; ++c) largest[c] = std::max(largest[c], std::fabs(x[c]));
  }
}

const Ops& observed_ops() {
  static const Ops kOps = make_observed_ops();
  return kOps;
}

}  // namespace weir::engine
