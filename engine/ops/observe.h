// A seam that looks at what products read: cpu_ops() whose `linear` first tells the observer of this thread. For
// calibration; a backend made with these ops computes what it always does. Thread-local: the observer is told on the
// thread that calls the backend.
#pragma once

#include <unordered_map>
#include <vector>

#include "engine/ops/ops.h"

namespace weir::engine {

/// Keeps, for the weights it watches, the largest magnitude of each input. Where it lives, it is the observer of its
/// thread; one at a time.
class InputObserver {
 public:
  InputObserver();
  ~InputObserver();
  InputObserver(const InputObserver&) = delete;
  InputObserver& operator=(const InputObserver&) = delete;

  /// `largest` [w.cols] is raised to what products by `w` read, and outlives this.
  void watch(const Tensor& w, std::vector<float>& largest) { watched_[w.data] = &largest; }
  void see(const LinearArgs& args);

 private:
  std::unordered_map<const void*, std::vector<float>*> watched_;
};

const Ops& observed_ops();

}  // namespace weir::engine
