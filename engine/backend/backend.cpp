#include "engine/backend/backend.h"

namespace weir::engine {

void StepPlan::clear() {
  step = 0;
  tokens.clear();
  positions.clear();
  slots.clear();
  row_begin.clear();
  context_length.clear();
  block_table.clear();
  block_table_begin.clear();
  samples.clear();
  sequence.clear();
  salt.clear();
  sampling.clear();
  copies_out.clear();
  copies_in.clear();
}

Error sampling_error(SampleFault fault) {
  return {.kind = ErrorKind::internal,
          .source = "engine",
          .http_status = 500,
          .detail = fault == SampleFault::not_finite ? "sampling: the model gave a logit that is not a finite number"
                                                     : "sampling: every token is masked",
          .code = "internal_error"};
}

}  // namespace weir::engine
