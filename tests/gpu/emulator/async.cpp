// cp.async and mma.sync of the emulator.
#include <cstring>
#include <vector>

#include "tests/gpu/emulator/memory_check.h"
#include "tests/gpu/emulator/simt.h"

namespace simt {
namespace {

constexpr size_t kCopyBytes = 16;

struct Copy {
  unsigned char* to;
  const void* from;
  bool present;
};

/// Copies that a thread has issued, by groups; the last is still open.
struct Pending {
  uint64_t block_serial = 0;
  std::vector<std::vector<Copy>> groups;
};

Pending& pending() {
  static std::vector<Pending> all(kThreadsMax);
  Pending& mine = all[current->linear];
  if (mine.block_serial != block.serial) {
    mine.block_serial = block.serial;
    mine.groups.assign(1, {});
  }
  return mine;
}

float widen(unsigned half) {
  return __uint_as_float(half << 16);
}

/// Fragments of all lanes: eight words of each.
struct Fragments {
  unsigned words[kWarp][8];

  Fragments(const unsigned a[4], const unsigned b[2]) {
    const unsigned mine[8] = {a[0], a[1], a[2], a[3], b[0], b[1], 0, 0};
    const Exchange all(kAllLanes, mine, sizeof mine);
    for (unsigned lane = 0; lane < kWarp; ++lane) std::memcpy(words[lane], all.from(lane), sizeof mine);
  }
  /// Four words each of a row of A (row r: lanes r % 8 · 4 …; the halves of k follow each other) and a column of B.
  unsigned a(unsigned row, unsigned quarter, unsigned half) const {
    return words[row % 8 * 4 + quarter][row / 8 + 2 * half];
  }
  unsigned b(unsigned column, unsigned quarter, unsigned half) const { return words[column * 4 + quarter][4 + half]; }
};

/// d[i] of this lane is at row lane / 4 (+ 8), column lane % 4 · 2 (+ 1).
template <class Number, class Dot>
void accumulate(Number d[4], const unsigned a[4], const unsigned b[2], Dot dot) {
  const Fragments all(a, b);
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = current->lane / 4 + i / 2 * 8;
    const unsigned column = current->lane % 4 * 2 + i % 2;
    for (unsigned half = 0; half < 2; ++half) {
      for (unsigned quarter = 0; quarter < 4; ++quarter) {
        d[i] += dot(all.a(row, quarter, half), all.b(column, quarter, half));
      }
    }
  }
}

}  // namespace

void copy_async_16(void* shared_to, const void* from, bool present) {
  auto* to = static_cast<unsigned char*>(shared_to);
  if (reinterpret_cast<uintptr_t>(to) % kCopyBytes != 0 ||
      (present && reinterpret_cast<uintptr_t>(from) % kCopyBytes != 0)) {
    fail("cp.async: an address is not a multiple of 16");
  }
  memory_check(to, kCopyBytes, Access::store);
  if (present) memory_check(from, kCopyBytes, Access::load);
  std::memset(to, 0xff, kCopyBytes);  // whoever reads it before the wait shall see that
  pending().groups.back().push_back({to, from, present});
}

void copy_async_commit() {
  pending().groups.emplace_back();
}

void copy_async_wait(unsigned groups_left, const Site& site) {
  if (left_out(site)) return;
  auto& groups = pending().groups;
  while (groups.size() > groups_left + 1) {
    for (const Copy& copy : groups.front()) {
      memory_check(copy.to, kCopyBytes, Access::store);
      if (copy.present) {
        std::memcpy(copy.to, copy.from, kCopyBytes);
      } else {
        std::memset(copy.to, 0, kCopyBytes);
      }
    }
    groups.erase(groups.begin());
  }
}

void mma_bf16(float d[4], const unsigned a[4], const unsigned b[2]) {
  accumulate(d, a, b, [](unsigned x, unsigned y) {
    return widen(x & 0xffffU) * widen(y & 0xffffU) + widen(x >> 16) * widen(y >> 16);
  });
}

void mma_s8(int d[4], const unsigned a[4], const unsigned b[2]) {
  accumulate(d, a, b, [](unsigned x, unsigned y) {
    int sum = 0;
    for (unsigned i = 0; i < 4; ++i) {
      sum += static_cast<int8_t>(x >> 8 * i & 0xffU) * static_cast<int8_t>(y >> 8 * i & 0xffU);
    }
    return sum;
  });
}

}  // namespace simt
