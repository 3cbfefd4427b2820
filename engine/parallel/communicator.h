// What the ranks of one model tell each other in tensor parallelism (Shoeybi et al. 2019,
// https://arxiv.org/abs/1909.08053, section 3): sums of what each made of its share of a product's inputs, and the
// parts of a vector put together. One object a rank, called by the rank's own thread; every rank makes the same calls
// in the same order, and a call waits for the others.
#pragma once

#include <cstdint>

#include "config/base/result.h"

namespace weir::engine {

inline constexpr int kRanksMax = 64;

enum class Element { f32, bf16 };

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;  // from 0
  virtual int ranks() const = 0;

  /// data[i] becomes the sum of all ranks' data[i]; every rank gets the same bits. `stream`: of a GPU, whose memory
  /// data then is, and the call only queues; null on the CPU. Errors: a rank's device or the way to it fails.
  virtual Result<void> all_reduce(void* data, int64_t count, Element element, void* stream) = 0;
  /// all[r · count …] becomes rank r's mine[0 … count). mine does not lie in all.
  virtual Result<void> all_gather(const void* mine, void* all, int64_t count, Element element, void* stream) = 0;
  /// Another rank has failed: whoever waits for it shall wait no more. Any thread. The ranks are of no use afterwards.
  virtual void abort() = 0;
};

}  // namespace weir::engine
