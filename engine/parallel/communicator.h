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
  /// This rank has failed, and is in no call: who waits for it shall wait no more. Every later call of every rank is
  /// rank_failed(). Returns at once.
  virtual void abort() = 0;
  /// Has a rank failed? Any thread. What runs on a device may then wait for ever.
  virtual bool aborted() const = 0;
  /// Ends what this rank's device waits with. REQUIRES: aborted(); no rank is in a call or comes to one; the graphs in
  /// which its calls are recorded are gone, since the last rank's end() waits for those of all.
  virtual void end() = 0;
};

inline Error rank_failed() {
  return Error{.kind = ErrorKind::internal,
               .source = "engine",
               .retry = Retry::other_target,
               .detail = "another rank of the model failed"};
}

}  // namespace weir::engine
