#include "engine/backend/sim/sim_backend.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace weir::engine {
namespace {

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
  return x ^ (x >> 32);
}

Error fault(std::string what) {
  return {.kind = ErrorKind::internal,
          .source = "sim",
          .retry = Retry::other_target,
          .http_status = 502,
          .detail = std::move(what),
          .code = "upstream_error"};
}

std::string where(const StepPlan& plan, int32_t row) {
  return "step " + std::to_string(plan.step) + " row " + std::to_string(row) + " (sequence " +
         std::to_string(plan.sequence[static_cast<size_t>(row)]) + ")";
}

TokenId next_token(const SimModel& model, std::span<const TokenId> history, uint64_t chain, int32_t vocab_size) {
  if (model) return model(history, chain);
  return static_cast<TokenId>(mix(chain) % static_cast<uint64_t>(vocab_size));
}

/// The token itself, or the next above it that the mask lets through; after the last comes the first. -1: it lets none.
TokenId nearest_allowed(const std::vector<uint32_t>& mask, TokenId token, int32_t vocab_size) {
  for (int32_t i = 0; i < vocab_size; ++i) {
    const auto t = static_cast<size_t>((token + i) % vocab_size);
    if ((mask[t / 32] >> t % 32 & 1U) != 0) return static_cast<TokenId>(t);
  }
  return -1;
}

/// The KV slot of position `p` under a row's block table.
size_t slot_of(const int32_t* table, int32_t p, int32_t block_tokens) {
  return static_cast<size_t>(table[p / block_tokens]) * static_cast<size_t>(block_tokens) +
         static_cast<size_t>(p % block_tokens);
}

bool same_plan(const StepPlan& a, const StepPlan& b) {
  return a.step == b.step && a.tokens == b.tokens && a.positions == b.positions && a.slots == b.slots &&
         a.row_begin == b.row_begin && a.context_length == b.context_length && a.block_table == b.block_table &&
         a.block_table_begin == b.block_table_begin && a.samples == b.samples && a.salt == b.salt &&
         a.copies_out == b.copies_out && a.copies_in == b.copies_in;
}

}  // namespace

uint64_t sim_root(uint64_t salt) {
  return mix(salt + 0x5851f42d4c957f2dULL);
}

uint64_t sim_chain(uint64_t previous, TokenId token) {
  return mix(previous * 0x9e3779b97f4a7c15ULL + static_cast<uint32_t>(token) + 1);
}

std::vector<TokenId> sim_generate(const std::vector<TokenId>& prompt, uint64_t salt, int32_t output_tokens,
                                  int32_t vocab_size, const SimModel& model) {
  std::vector<TokenId> history = prompt;
  uint64_t chain = sim_root(salt);
  for (const TokenId token : prompt) chain = sim_chain(chain, token);
  for (int32_t i = 0; i < output_tokens; ++i) {
    history.push_back(next_token(model, history, chain, vocab_size));
    chain = sim_chain(chain, history.back());
  }
  return {history.begin() + static_cast<ptrdiff_t>(prompt.size()), history.end()};
}

SimBackend::SimBackend(SimOptions options) : options_(std::move(options)) {
  info_ = {.name = "sim",
           .blocks = options_.blocks,
           .host_blocks = options_.host_blocks,
           .block_tokens = options_.block_tokens,
           .context_tokens = options_.context_tokens,
           .vocab_size = options_.vocab_size,
           .overlaps = options_.overlaps};
  const size_t slots = static_cast<size_t>(options_.blocks) * static_cast<size_t>(options_.block_tokens);
  slots_.resize(slots);
  written_at_.resize(slots);
  host_slots_.resize(static_cast<size_t>(options_.host_blocks) * static_cast<size_t>(options_.block_tokens));
}

Result<void> SimBackend::submit(const StepPlan& plan) {
  if (under_way_.size() == 2) return fault("a step was submitted while two are under way");
  if (auto shape = check_shape(plan); !shape) return shape;
  if (auto copies = check_copies(plan); !copies) return copies;
  UnderWay step{.plan = &plan, .copy = plan, .leaves = {}};
  for (const BlockCopy& copy : plan.copies_out) {
    const auto block = block_of(slots_, copy.from);
    step.leaves.insert(step.leaves.end(), block.begin(), block.end());
  }
  under_way_.push_back(std::move(step));
  return {};
}

Result<void> SimBackend::check_copies(const StepPlan& plan) const {
  const auto there = [](int32_t block, int32_t blocks) { return block >= 0 && block < blocks; };
  for (const BlockCopy& copy : plan.copies_out) {
    if (!there(copy.from, info_.blocks) || !there(copy.to, info_.host_blocks)) {
      return fault("block " + std::to_string(copy.from) + " is to be copied out to " + std::to_string(copy.to));
    }
  }
  for (const BlockCopy& copy : plan.copies_in) {
    if (!there(copy.from, info_.host_blocks) || !there(copy.to, info_.blocks)) {
      return fault("host block " + std::to_string(copy.from) + " is to be copied in to " + std::to_string(copy.to));
    }
  }
  return {};
}

std::span<SimBackend::Slot> SimBackend::block_of(std::vector<Slot>& slots, int32_t block) const {
  const auto size = static_cast<size_t>(info_.block_tokens);
  return std::span(slots).subspan(static_cast<size_t>(block) * size, size);
}

/// A backend may begin with this as soon as it has the plan, while the step before is under way.
Result<void> SimBackend::copy_out(const UnderWay& step) {
  auto left = step.leaves.begin();
  for (const BlockCopy& copy : step.plan->copies_out) {
    const auto from = block_of(slots_, copy.from);
    if (!std::equal(from.begin(), from.end(), left)) {
      return fault("step " + std::to_string(step.plan->step) + " copies out block " + std::to_string(copy.from) +
                   ", and the step before writes it");
    }
    left += info_.block_tokens;
    std::ranges::copy(from, block_of(host_slots_, copy.to).begin());
  }
  return {};
}

/// A backend may end with its copies in when the step ends, and may begin with it: the step's rows find neither.
void SimBackend::spoil(const StepPlan& plan) {
  for (const BlockCopy& copy : plan.copies_in) std::ranges::fill(block_of(slots_, copy.to), Slot{});
}

Result<void> SimBackend::copy_in(const StepPlan& plan) {
  for (const BlockCopy& copy : plan.copies_in) {
    const auto to = block_of(slots_, copy.to);
    if (std::ranges::any_of(to, [](const Slot& slot) { return slot != Slot{}; })) {
      return fault("step " + std::to_string(plan.step) + " copies in to block " + std::to_string(copy.to) +
                   ", and writes it");
    }
    std::ranges::copy(block_of(host_slots_, copy.from), to.begin());
  }
  return {};
}

Result<void> SimBackend::check_shape(const StepPlan& plan) const {
  const size_t rows = plan.context_length.size();
  const size_t tokens = plan.tokens.size();
  if (plan.empty() || plan.row_begin.size() != rows + 1 || plan.block_table_begin.size() != rows + 1 ||
      plan.samples.size() != rows || plan.sequence.size() != rows || plan.salt.size() != rows ||
      plan.sampling.size() != rows || plan.positions.size() != tokens || plan.slots.size() != tokens) {
    return fault("a plan's arrays disagree in length");
  }
  if (plan.row_begin.front() != 0 || plan.row_begin.back() != static_cast<int32_t>(tokens) ||
      plan.block_table_begin.front() != 0 ||
      plan.block_table_begin.back() != static_cast<int32_t>(plan.block_table.size())) {
    return fault("a plan's offsets do not span its arrays");
  }
  for (size_t r = 0; r < rows; ++r) {
    const int32_t count = plan.row_begin[r + 1] - plan.row_begin[r];
    const int32_t blocks = plan.block_table_begin[r + 1] - plan.block_table_begin[r];
    const int32_t context = plan.context_length[r];
    if (count < 1 || context < count || context > info_.context_tokens ||
        blocks != (context + info_.block_tokens - 1) / info_.block_tokens) {
      return fault(where(plan, static_cast<int32_t>(r)) + ": " + std::to_string(count) + " tokens, context " +
                   std::to_string(context) + ", " + std::to_string(blocks) + " blocks");
    }
    const auto* mask = plan.sampling[r].mask;
    if (mask != nullptr && mask->size() != (static_cast<size_t>(info_.vocab_size) + 31) / 32) {
      return fault(where(plan, static_cast<int32_t>(r)) + ": a mask of another vocabulary");
    }
    if ((plan.samples[r] != 0) != (plan.sampling[r].params != nullptr && plan.sampling[r].history != nullptr)) {
      return fault(where(plan, static_cast<int32_t>(r)) + ": samples and sampling disagree");
    }
  }
  for (const int32_t block : plan.block_table) {
    if (block < 0 || block >= info_.blocks) return fault("a block table names block " + std::to_string(block));
  }
  return {};
}

Result<StepResult> SimBackend::wait() {
  if (under_way_.empty()) return fault("no step is under way");
  const UnderWay oldest = std::move(under_way_.front());
  under_way_.pop_front();
  const StepPlan& plan = *oldest.plan;
  if (options_.on_wait) options_.on_wait(plan.step);
  if (options_.fail_at_step == plan.step) return fault("failed at step " + std::to_string(plan.step) + ", as told");
  if (!same_plan(plan, oldest.copy)) return fault("the plan changed while in flight");
  if (auto copied = copy_out(oldest); !copied) return std::move(copied).error();
  spoil(plan);
  for (int32_t row = 0; row < plan.rows(); ++row) {
    if (auto written = write_row(plan, row); !written) return std::move(written).error();
  }
  StepResult result{.step = plan.step};
  result.sampled.assign(static_cast<size_t>(plan.rows()), -1);
  result.faults.resize(static_cast<size_t>(plan.rows()));
  result.logprobs.resize(static_cast<size_t>(plan.rows()));
  for (int32_t row = 0; row < plan.rows(); ++row) {
    auto chain = attend(plan, row);
    if (!chain) return std::move(chain).error();
    if (plan.samples[static_cast<size_t>(row)] != 0) sample(plan, static_cast<size_t>(row), *chain, result);
  }
  if (auto copied = copy_in(plan); !copied) return std::move(copied).error();
  charge(plan);
  sampled_ = result.sampled;
  return result;
}

/// The token at `at` of the plan, if need be the one that the step before sampled: the history must have it too.
Result<TokenId> SimBackend::input(const StepPlan& plan, int32_t row, size_t at) const {
  const TokenId token = plan.tokens[at];
  if (!is_sampled(token)) return token;
  const auto r = static_cast<size_t>(row);
  const auto before = static_cast<size_t>(row_sampling(token));
  const auto* history = plan.sampling[r].history;
  if (before >= sampled_.size() || sampled_[before] < 0) {
    return fault(where(plan, row) + ": reads what row " + std::to_string(before) +
                 " of the step before did not sample");
  }
  if (history == nullptr || history->empty() || history->back() != sampled_[before]) {
    return fault(where(plan, row) + ": reads a token of row " + std::to_string(before) + " that is not its own");
  }
  return sampled_[before];
}

/// Writes the row's new KV. A slot's chain goes on from what the slot before it holds at this moment, as real
/// attention would read it.
Result<void> SimBackend::write_row(const StepPlan& plan, int32_t row) {
  const auto r = static_cast<size_t>(row);
  const int32_t size = info_.block_tokens;
  const int32_t* table = plan.block_table.data() + plan.block_table_begin[r];
  const int32_t first = plan.context_length[r] - (plan.row_begin[r + 1] - plan.row_begin[r]);
  for (int32_t i = plan.row_begin[r]; i < plan.row_begin[r + 1]; ++i) {
    const auto t = static_cast<size_t>(i);
    const int32_t position = plan.positions[t];
    if (position != first + (i - plan.row_begin[r])) return fault(where(plan, row) + ": positions are not contiguous");
    const size_t s = slot_of(table, position, size);
    const auto slot = static_cast<int32_t>(s);
    if (plan.slots[t] != slot) {
      return fault(where(plan, row) + " position " + std::to_string(position) + ": slot " +
                   std::to_string(plan.slots[t]) + " where the table says " + std::to_string(slot));
    }
    const auto token = input(plan, row, t);
    if (!token) return token.error();
    if (*token < 0 || *token >= info_.vocab_size) return fault(where(plan, row) + ": token out of range");
    if (std::exchange(written_at_[s], plan.step) == plan.step) {
      return fault(where(plan, row) + " position " + std::to_string(position) + " block " +
                   std::to_string(slot / size) + ": a slot is written twice in one step");
    }
    const uint64_t before = position == 0 ? sim_root(plan.salt[r]) : slots_[slot_of(table, position - 1, size)].chain;
    slots_[s] = {.chain = sim_chain(before, *token), .token = *token};
  }
  return {};
}

/// Walks the whole context and recomputes the chain; gives the hash of the last position.
Result<uint64_t> SimBackend::attend(const StepPlan& plan, int32_t row) const {
  const auto r = static_cast<size_t>(row);
  const int32_t size = info_.block_tokens;
  const int32_t* table = plan.block_table.data() + plan.block_table_begin[r];
  const auto* history = plan.sampling[r].history;
  if (history != nullptr && static_cast<int32_t>(history->size()) != plan.context_length[r]) {
    return fault(where(plan, row) + ": samples before its history is computed");
  }
  uint64_t chain = sim_root(plan.salt[r]);
  for (int32_t p = 0; p < plan.context_length[r]; ++p) {
    const Slot& slot = slots_[slot_of(table, p, size)];
    const TokenId token = history != nullptr ? (*history)[static_cast<size_t>(p)] : slot.token;
    chain = sim_chain(chain, token);
    if (slot.chain != chain || slot.token != token) {
      return fault(where(plan, row) + " position " + std::to_string(p) + " block " + std::to_string(table[p / size]) +
                   ": its KV is not that of the row's history");
    }
  }
  return chain;
}

void SimBackend::sample(const StepPlan& plan, size_t row, uint64_t chain, StepResult& result) const {
  const auto& sampling = plan.sampling[row];
  TokenId token = next_token(options_.model, *sampling.history, chain, info_.vocab_size);
  if (sampling.mask != nullptr) token = nearest_allowed(*sampling.mask, token, info_.vocab_size);
  if (token < 0) result.faults[row] = SampleFault::all_masked;
  if (options_.poison && std::ranges::find(*sampling.history, *options_.poison) != sampling.history->end()) {
    result.faults[row] = SampleFault::not_finite;
  }
  if (result.faults[row] != SampleFault::none) token = 0;
  result.sampled[row] = token;
  if (sampling.params->logprobs < 0) return;
  TokenLogprob& out = result.logprobs[row];
  out.token = token;
  out.logprob = -0.5F;
  for (int32_t i = 0; i < std::min(sampling.params->logprobs, info_.vocab_size); ++i) {
    out.top.push_back({(token + i) % info_.vocab_size, -0.5F - static_cast<float>(i)});
  }
}

void SimBackend::charge(const StepPlan& plan) {
  const SimTiming& cost = options_.timing;
  elapsed_ += cost.step;
  for (size_t r = 0; r < plan.context_length.size(); ++r) {
    const int32_t count = plan.row_begin[r + 1] - plan.row_begin[r];
    elapsed_ += count == 1 ? cost.decode_row : cost.prefill_token * count;
    elapsed_ += cost.context_token * plan.context_length[r];
  }
}

}  // namespace weir::engine
