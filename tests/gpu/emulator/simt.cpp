#include "tests/gpu/emulator/simt.h"

#include <sys/mman.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "config/base/rng.h"
#include "tests/gpu/emulator/memory_check.h"

dim3 threadIdx;
dim3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace simt {

namespace fcontext = boost::context::detail;

thread_local Thread* current = nullptr;
Block block;

namespace {

constexpr size_t kStackBytes = 64 * 1024;
constexpr size_t kPageBytes = 4096;
constexpr size_t kSharedArenaBytes = 256 * 1024;  // beyond a block's own bytes: out of bounds

weir::Rng order(1);
std::string last_fault;
bool failed = false;  // the launch under way

Thread threads[kThreadsMax];
std::vector<unsigned> ready;
unsigned done = 0;
unsigned at_block = 0;
fcontext::fcontext_t scheduler = nullptr;
Call kernel;

unsigned char* pages(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("simt: mmap");
    std::abort();
  }
  return static_cast<unsigned char*>(memory);
}

/// Each fiber's stack ends in a page that may not be touched.
unsigned char* stack_of(unsigned thread) {
  static unsigned char* const stacks = [] {
    unsigned char* all = pages(kThreadsMax * kStackBytes);
    for (unsigned i = 0; i < kThreadsMax; ++i) mprotect(all + i * kStackBytes, kPageBytes, PROT_NONE);
    return all;
  }();
  return stacks + thread * kStackBytes;
}

std::string place() {
  char text[96];
  std::snprintf(text, sizeof text, "block (%u, %u, %u), thread %u", blockIdx.x, blockIdx.y, blockIdx.z,
                current != nullptr ? current->linear : 0);
  return text;
}

void switch_to_scheduler() {
  const auto back = fcontext::jump_fcontext(scheduler, nullptr);
  scheduler = back.fctx;
}

void entry(fcontext::transfer_t transfer) {
  scheduler = transfer.fctx;
  kernel.function(kernel.arguments);
  current->state = State::done;
  switch_to_scheduler();
  std::abort();  // a thread that is done is never resumed
}

void begin_block() {
  ready.resize(block.threads);
  std::iota(ready.begin(), ready.end(), 0U);
  done = 0;
  at_block = 0;
  for (unsigned i = 0; i < block.threads; ++i) {
    Thread& t = threads[i];
    t = Thread{};
    t.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
    t.linear = i;
    t.lane = i % kWarp;
    t.warp = i / kWarp;
    t.context = fcontext::make_fcontext(stack_of(i) + kStackBytes, kStackBytes, &entry);
  }
  std::memset(block.shared, 0xff, block.shared_bytes);  // NaN in every float format
  memory_check_begin_block();
}

Thread* lane_of(unsigned warp, unsigned lane) {
  const unsigned at = warp * kWarp + lane;
  return at < block.threads ? &threads[at] : nullptr;
}

/// Lets the lanes of a warp go that all wait for each other, if they do.
void settle_warp(unsigned warp, unsigned mask) {
  bool orders_memory = true;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1U) == 0) continue;
    const Thread* t = lane_of(warp, lane);
    if (t == nullptr || t->state == State::done) {
      return note_fault("a warp barrier names lane " + std::to_string(lane) + ", which has exited; " + place());
    }
    if (t->state != State::at_warp || t->mask != mask) return;
    orders_memory = orders_memory && t->orders_memory;
  }
  if (orders_memory) memory_check_sync_warp(warp);
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1U) == 0) continue;
    Thread* t = lane_of(warp, lane);
    t->state = State::ready;
    ready.push_back(t->linear);
  }
}

void settle_block() {
  if (at_block == 0 || at_block + done != block.threads) return;
  if (done != 0) return note_fault("__syncthreads after some threads have exited; " + place());
  memory_check_sync_block();
  at_block = 0;
  for (unsigned i = 0; i < block.threads; ++i) {
    threads[i].state = State::ready;
    ready.push_back(i);
  }
}

void after_turn(Thread& t) {
  switch (t.state) {
    case State::ready:
      return;
    case State::at_block:
      ++at_block;
      return settle_block();
    case State::at_warp:
      return settle_warp(t.warp, t.mask);
    case State::done:
      ++done;
      for (unsigned lane = 0; lane < kWarp; ++lane) {  // somebody may wait for it in vain
        const Thread* other = lane_of(t.warp, lane);
        if (other != nullptr && other->state == State::at_warp && (other->mask >> t.lane & 1U) != 0) {
          return note_fault("a lane exits while others of its warp wait for it; " + place());
        }
      }
      return settle_block();
  }
}

void run_block() {
  begin_block();
  while (done < block.threads && !failed) {
    if (ready.empty()) {
      const auto at = [](State s) {
        return std::to_string(std::count_if(threads, threads + block.threads, [s](auto& t) { return t.state == s; }));
      };
      note_fault("divergent barriers: " + at(State::at_block) + " threads wait for the block, " + at(State::at_warp) +
                 " for their warp, " + at(State::done) + " have exited; " + place());
      break;
    }
    const unsigned pick = draw(static_cast<unsigned>(ready.size()));
    current = &threads[ready[pick]];
    ready[pick] = ready.back();
    ready.pop_back();
    threadIdx = current->index;
    const auto back = fcontext::jump_fcontext(current->context, nullptr);
    current->context = back.fctx;
    if (!failed) after_turn(*current);
  }
  current = nullptr;
}

}  // namespace

void seed(uint64_t value) {
  order = weir::Rng(value);
}

unsigned draw(unsigned bound) {
  return static_cast<unsigned>(order.below(bound));
}

std::string take_fault() {
  return std::exchange(last_fault, {});
}

void note_fault(const std::string& what) {
  failed = true;
  if (last_fault.empty()) last_fault = what;
}

void fail(const std::string& what) {
  note_fault(what + "; " + place());
  switch_to_scheduler();
  std::abort();  // a failed launch is never resumed
}

bool run_grid(dim3 grid, dim3 size, size_t shared_bytes, const Call& call) {
  static unsigned char* const shared = pages(kSharedArenaBytes);
  memory_check_shared(shared, kSharedArenaBytes, shared_bytes);
  const unsigned blocks = grid.x * grid.y * grid.z;
  std::vector<unsigned> turns(blocks);
  std::iota(turns.begin(), turns.end(), 0U);
  for (unsigned i = blocks; i > 1; --i) std::swap(turns[i - 1], turns[draw(i)]);
  gridDim = grid;
  blockDim = size;
  failed = false;
  kernel = call;
  memory_check_arguments(call.arguments, call.bytes);
  for (const unsigned turn : turns) {
    blockIdx = {turn % grid.x, turn / grid.x % grid.y, turn / (grid.x * grid.y)};
    block = {size.x * size.y * size.z, shared, shared_bytes, block.serial + 1};
    run_block();
    if (failed) return false;
  }
  return true;
}

void sync_block() {
  current->state = State::at_block;
  switch_to_scheduler();
}

void sync_warp(unsigned mask, bool orders_memory) {
  if ((mask >> current->lane & 1U) == 0) fail("a lane calls a warp barrier whose mask does not name it");
  current->mask = mask;
  current->orders_memory = orders_memory;
  current->state = State::at_warp;
  switch_to_scheduler();
}

Thread& peer(unsigned lane) {
  return threads[current->warp * kWarp + lane];
}

Exchange::Exchange(unsigned mask, const void* mine, size_t bytes) : mask_(mask), slot_(2) {
  // Lanes of a full exchange pass it together, so two slots in turn keep a fast lane from what a slow one still reads.
  if (mask == kAllLanes) slot_ = current->parity++ % 2;
  std::memcpy(current->slot[slot_], mine, bytes);
  sync_warp(mask, false);
}

Exchange::~Exchange() {
  if (mask_ != kAllLanes) sync_warp(mask_, false);
}

const unsigned char* Exchange::from(unsigned lane) const {
  if ((mask_ >> lane & 1U) == 0)
    fail("a shuffle reads from lane " + std::to_string(lane) + ", which its mask excludes");
  return peer(lane).slot[slot_];
}

unsigned ballot(unsigned mask, bool vote) {
  const Exchange all(mask, &vote, sizeof vote);
  unsigned result = 0;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1U) != 0 && all.from(lane)[0] != 0) result |= 1U << lane;
  }
  return result;
}

}  // namespace simt
