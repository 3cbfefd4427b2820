#include "engine/backend/cpu/plan_check.h"

#include <utility>

namespace weir::engine {
namespace {

const char* wrong_sizes(const StepPlan& plan) {
  const auto rows = static_cast<size_t>(plan.rows());
  const size_t tokens = plan.tokens.size();
  if (rows == 0 && !plan.copies()) return "has no rows, no tokens and nothing to copy";
  if (rows > 0 && tokens == 0) return "has no tokens";
  if (plan.positions.size() != tokens || plan.slots.size() != tokens) return "positions or slots miss a token";
  if (plan.row_begin.size() != rows + 1 || plan.row_begin.front() != 0) return "row_begin has the wrong size";
  if (plan.row_begin.back() != static_cast<int32_t>(tokens)) return "row_begin does not end at the last token";
  if (plan.block_table_begin.size() != rows + 1 || plan.block_table_begin.front() != 0) {
    return "block_table_begin has the wrong size";
  }
  if (plan.block_table_begin.back() != static_cast<int32_t>(plan.block_table.size())) {
    return "block_table_begin does not end at the last block";
  }
  if (plan.samples.size() != rows || plan.sampling.size() != rows) return "samples or sampling miss a row";
  return nullptr;
}

const char* wrong_copies(const StepPlan& plan, const BackendInfo& info) {
  const auto there = [](int32_t block, int32_t blocks) { return block >= 0 && block < blocks; };
  for (const BlockCopy& copy : plan.copies_out) {
    if (!there(copy.from, info.blocks) || !there(copy.to, info.host_blocks)) return "it copies out what is not there";
  }
  for (const BlockCopy& copy : plan.copies_in) {
    if (!there(copy.from, info.host_blocks) || !there(copy.to, info.blocks)) return "it copies in what is not there";
  }
  return nullptr;
}

bool reads_what_is_sampled(const StepPlan& plan, size_t row, const StepPlan* before) {
  if (before == nullptr || plan.samples[row] == 0 || plan.row_begin[row + 1] - plan.row_begin[row] != 1) return false;
  const int32_t source = row_sampling(plan.tokens[static_cast<size_t>(plan.row_begin[row])]);
  return source < before->rows() && before->samples[static_cast<size_t>(source)] != 0;
}

const char* wrong_row(const StepPlan& plan, size_t row, const BackendInfo& info, const StepPlan* before) {
  const int64_t begin = plan.row_begin[row];
  const int64_t end = plan.row_begin[row + 1];
  const int64_t blocks_begin = plan.block_table_begin[row];
  const int64_t blocks = plan.block_table_begin[row + 1] - blocks_begin;
  const int64_t context = plan.context_length[row];
  if (end <= begin) return "a row has no tokens";
  if (context < end - begin || context > info.context_tokens) return "a context length is out of range";
  if (blocks < 0 || blocks * info.block_tokens < context) return "a block table is too short for its context";
  for (int64_t t = begin; t < end; ++t) {
    const auto at = static_cast<size_t>(t);
    const int64_t position = context - (end - t);
    if (plan.positions[at] != position) return "a position does not follow from its context length";
    if (is_sampled(plan.tokens[at])) {
      if (!reads_what_is_sampled(plan, row, before)) return "a row reads a token that the step before does not sample";
    } else if (plan.tokens[at] < 0 || plan.tokens[at] >= info.vocab_size) {
      return "a token is outside the vocabulary";
    }
    const int64_t block = plan.block_table[static_cast<size_t>(blocks_begin + position / info.block_tokens)];
    if (plan.slots[at] != block * info.block_tokens + position % info.block_tokens) {
      return "a slot is not where the block table says";
    }
  }
  if (plan.samples[row] == 0) return nullptr;
  const StepPlan::SampleRow& sampling = plan.sampling[row];
  if (sampling.params == nullptr || sampling.history == nullptr) return "a row samples without parameters";
  if (sampling.prompt_length < 0 || static_cast<size_t>(sampling.prompt_length) > sampling.history->size()) {
    return "a prompt is longer than its history";
  }
  if (sampling.mask != nullptr && sampling.mask->size() != (static_cast<size_t>(info.vocab_size) + 31) / 32) {
    return "a mask has another size than the vocabulary";
  }
  return nullptr;
}

}  // namespace

Error broken_plan(const std::string& what) {
  return Error{.kind = ErrorKind::internal, .source = "engine", .detail = "the step plan " + what};
}

Result<void> check_plan(const StepPlan& plan, const BackendInfo& info, const StepPlan* before) {
  if (const char* wrong = wrong_sizes(plan)) return broken_plan(std::string("is broken: ") + wrong);
  if (const char* wrong = wrong_copies(plan, info)) return broken_plan(std::string("is broken: ") + wrong);
  for (const int32_t block : plan.block_table) {
    if (block < 0 || block >= info.blocks) return broken_plan("is broken: it names a block that does not exist");
  }
  for (size_t row = 0; row < static_cast<size_t>(plan.rows()); ++row) {
    if (plan.row_begin[row + 1] > plan.row_begin.back() || plan.row_begin[row] > plan.row_begin[row + 1] ||
        plan.block_table_begin[row + 1] > plan.block_table_begin.back() ||
        plan.block_table_begin[row] > plan.block_table_begin[row + 1]) {
      return broken_plan("is broken: row_begin or block_table_begin runs backwards");
    }
    if (const char* wrong = wrong_row(plan, row, info, before)) return broken_plan(std::string("is broken: ") + wrong);
  }
  return {};
}

Result<void> PlansUnderWay::add(const StepPlan& plan, const BackendInfo& info) {
  if (plans_[1] != nullptr) return broken_plan("submitted while two steps are under way");
  if (auto checked = check_plan(plan, info, plans_[0]); !checked.ok()) return checked;
  plans_[plans_[0] == nullptr ? 0 : 1] = &plan;
  return {};
}

const StepPlan* PlansUnderWay::take() {
  return std::exchange(plans_[0], std::exchange(plans_[1], nullptr));
}

}  // namespace weir::engine
