#include "tests/gpu/emulator/memory_check.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/gpu/emulator/simt.h"

extern "C" char __executable_start;  // of the linker
extern "C" char _end;

namespace simt {
namespace {

constexpr int kSeveral = -1;
constexpr ptrdiff_t kStackReach = 64 * 1024;

/// Who touched a byte last, and when: numbers of block barriers and of the warp's own barriers.
struct Touch {
  uint32_t block_epoch = 0;
  uint32_t warp_epoch = 0;
  int16_t thread = kSeveral;
  int16_t warp = kSeveral;
};

struct Cell {
  Touch store;
  Touch load;
  bool store_is_atomic = false;
};

// Nearly every access is of whole words; others are noted by the byte, and each looks at the other's notes.
constexpr size_t kWord = 4;
std::vector<Cell> words_of_shared;
std::vector<Cell> bytes_of_shared;
bool bytes_are_used = false;
const unsigned char* shared_begin = nullptr;
size_t shared_arena = 0;
size_t shared_size = 0;
const unsigned char* arguments_begin = nullptr;
size_t arguments_size = 0;
uint32_t block_epoch = 1;  // never reset: what earlier blocks did is long ago
std::array<uint32_t, kThreadsMax / kWarp> warp_epochs{};

Touch touch_now() {
  return {block_epoch, warp_epochs[current->warp], static_cast<int16_t>(current->linear),
          static_cast<int16_t>(current->warp)};
}

/// Is there no barrier between that touch and the running thread?
bool unordered(const Touch& before, const Touch& now) {
  if (before.block_epoch != now.block_epoch || before.thread == now.thread) return false;
  return before.warp != now.warp || before.warp_epoch == now.warp_epoch;
}

void merge(Touch& touch, const Touch& now) {
  if (touch.block_epoch != now.block_epoch) {
    touch = now;
    return;
  }
  if (touch.warp != now.warp) touch.warp = kSeveral;
  if (touch.thread != now.thread && unordered(touch, now)) touch.thread = kSeveral;
  if (touch.thread != kSeveral) touch.thread = now.thread;
  touch.warp_epoch = now.warp_epoch;
}

[[noreturn]] void race(const char* what, size_t offset, const char* before, const Touch& touch) {
  const std::string who = touch.thread == kSeveral ? "several threads" : "thread " + std::to_string(touch.thread);
  fail("race: " + std::string(what) + " byte " + std::to_string(offset) + " of shared memory that " + who + " " +
       before + " with no barrier between");
}

/// Faults if the access and an earlier one have no barrier between them.
void look(const Cell& cell, size_t at, Access access, const Touch& now) {
  if (!(access == Access::atomic && cell.store_is_atomic) && unordered(cell.store, now)) {
    race(access == Access::load ? "reads" : "writes", at, "wrote", cell.store);
  }
  if (access != Access::load && unordered(cell.load, now)) race("writes", at, "read", cell.load);
}

void touch(Cell& cell, size_t at, Access access, const Touch& now) {
  look(cell, at, access, now);
  if (access == Access::load) return merge(cell.load, now);
  if (access == Access::atomic && cell.store_is_atomic) {
    merge(cell.store, now);
  } else {
    cell.store = now;
  }
  cell.store_is_atomic = access == Access::atomic;
}

void check_shared(size_t offset, size_t bytes, Access access) {
  if (offset + bytes > shared_size) {
    fail("out of bounds: byte " + std::to_string(offset + bytes - 1) + " of " + std::to_string(shared_size) +
         " of shared memory");
  }
  const Touch now = touch_now();
  if (offset % kWord == 0 && bytes % kWord == 0) {
    for (size_t at = offset; at < offset + bytes; at += kWord) touch(words_of_shared[at / kWord], at, access, now);
    for (size_t at = offset; at < offset + bytes && bytes_are_used; ++at) look(bytes_of_shared[at], at, access, now);
    return;
  }
  bytes_are_used = true;
  for (size_t at = offset; at < offset + bytes; ++at) {
    look(words_of_shared[at / kWord], at, access, now);
    touch(bytes_of_shared[at], at, access, now);
  }
}

}  // namespace

void memory_check_shared(unsigned char* arena, size_t arena_bytes, size_t shared_bytes) {
  shared_begin = arena;
  shared_arena = arena_bytes;
  shared_size = shared_bytes;
  bytes_of_shared.resize(arena_bytes);
  words_of_shared.resize(arena_bytes / kWord);
  bytes_are_used = false;
}

void memory_check_arguments(const void* arguments, size_t bytes) {
  arguments_begin = static_cast<const unsigned char*>(arguments);
  arguments_size = bytes;
}

void memory_check_begin_block() {
  ++block_epoch;
}

void memory_check_sync_block() {
  ++block_epoch;
}

void memory_check_sync_warp(unsigned warp) {
  ++warp_epochs[warp];
}

void memory_check(const void* address, size_t bytes, Access access) {
  if (current == nullptr) return;  // a launcher in the same file
  const auto* at = static_cast<const unsigned char*>(address);
  const auto* stack = static_cast<const unsigned char*>(__builtin_frame_address(0));
  if (at >= stack - kStackReach && at < stack + kStackReach) return;
  const auto offset = static_cast<size_t>(at - shared_begin);
  if (offset < shared_arena) return check_shared(offset, bytes, access);
  if (in_device_memory(address, bytes)) return;
  if (static_cast<size_t>(at - arguments_begin) < arguments_size && access == Access::load) return;
  if (address == &current) return;  // by the shuffles of simt.h
  const auto* text = reinterpret_cast<const char*>(address);
  if (text >= &__executable_start && text < &_end) return;
  fail(std::string("out of bounds: ") + (access == Access::load ? "reads" : "writes") + " " + std::to_string(bytes) +
       " bytes that are in no allocation of the device");
}

void check_atomic(const void* address, size_t bytes) {
  memory_check(address, bytes, Access::atomic);
}

}  // namespace simt

// The instrumentation's entry points (GCC's gcc/sanitizer.def, builtins of TSan).
#define SIMT_ACCESS(size)                                  \
  extern "C" void __tsan_read##size(void* at) {            \
    simt::memory_check(at, size, simt::Access::load);      \
  }                                                        \
  extern "C" void __tsan_write##size(void* at) {           \
    simt::memory_check(at, size, simt::Access::store);     \
  }                                                        \
  extern "C" void __tsan_unaligned_read##size(void* at) {  \
    simt::memory_check(at, size, simt::Access::load);      \
  }                                                        \
  extern "C" void __tsan_unaligned_write##size(void* at) { \
    simt::memory_check(at, size, simt::Access::store);     \
  }
SIMT_ACCESS(1)
SIMT_ACCESS(2)
SIMT_ACCESS(4)
SIMT_ACCESS(8)
SIMT_ACCESS(16)
extern "C" void __tsan_read_range(void* at, unsigned long bytes) {
  simt::memory_check(at, bytes, simt::Access::load);
}
extern "C" void __tsan_write_range(void* at, unsigned long bytes) {
  simt::memory_check(at, bytes, simt::Access::store);
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit(void*) {}
extern "C" void __tsan_vptr_update(void*, void*) {}

/// Where and of what type, as the compiler lays it out (GCC's libsanitizer/ubsan/ubsan_handlers.h).
struct TypeMismatch {
  const char* file;
  uint32_t line, column;
  const void* type;
  unsigned char log_alignment, kind;
};
extern "C" [[noreturn]] void __ubsan_handle_type_mismatch_v1(const TypeMismatch* what, uintptr_t at) {
  const std::string fault = "misaligned: " + std::string(what->file) + ":" + std::to_string(what->line) +
                            " takes an address for a multiple of " + std::to_string(1U << what->log_alignment) +
                            " that is " + std::to_string(at % 256) + " behind one of 256";
  if (simt::current != nullptr) simt::fail(fault);
  std::fprintf(stderr, "simt: %s\n", fault.c_str());
  std::abort();
}
// Of std::shared_ptr, in launchers.
extern "C" int __tsan_atomic32_fetch_add(volatile int* at, int value, int) {
  return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
