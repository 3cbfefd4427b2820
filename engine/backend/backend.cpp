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

}  // namespace weir::engine
