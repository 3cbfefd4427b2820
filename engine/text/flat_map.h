// A hash map from 64-bit keys to small values in one flat array: the merge table and the tries of a tokenizer, read for
// every symbol of every prompt. Built once, then read by any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::engine::text {

/// Open addressing with linear probing, at most half full. The key UINT64_MAX is not storable.
template <class Value>
class FlatMap64 {
 public:
  explicit FlatMap64(size_t expected = 0) { rehash(std::bit_ceil(expected * 2 + 16)); }

  size_t size() const { return count_; }

  void insert_or_assign(uint64_t key, Value value) {
    if ((count_ + 1) * 2 > slots_.size()) rehash(slots_.size() * 2);
    Slot& slot = slots_[probe(key)];
    if (slot.key == kEmpty) ++count_;
    slot = {key, value};
  }

  const Value* find(uint64_t key) const {
    const Slot& slot = slots_[probe(key)];
    return slot.key == key ? &slot.value : nullptr;
  }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  struct Slot {
    uint64_t key = kEmpty;
    Value value{};
  };

  /// The slot of the key, or the empty one where it would go.
  size_t probe(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t at = static_cast<size_t>((key ^ key >> 29) * 0x9E3779B97F4A7C15ULL >> shift_);
    while (slots_[at].key != key && slots_[at].key != kEmpty) at = (at + 1) & mask;
    return at;
  }

  void rehash(size_t capacity) {
    std::vector<Slot> old(capacity);
    old.swap(slots_);
    shift_ = 64 - std::countr_zero(capacity);
    for (const Slot& slot : old) {
      if (slot.key != kEmpty) slots_[probe(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  size_t count_ = 0;
  int shift_ = 60;
};

}  // namespace weir::engine::text
