// One core's journal: a ring of records in a preallocated file mapped MAP_SHARED. One producer (its core), one consumer
// (the ledger thread). A record is there when its bytes and then `head` are stored; the pages belong to the kernel, so
// kill -9 takes nothing back. The data area is mapped twice in a row: a record that crosses the end is still
// contiguous.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "config/base/result.h"
#include "gateway/accounting/record.h"
#include "gateway/accounting/row.h"

namespace weir::gateway {

/// The first page of the file; the ring begins at kJournalHeaderBytes.
struct JournalHeader {
  char magic[8];                           // "WEIRJRNL"
  uint32_t version;                        // 3; 1 and 2 are read too
  uint32_t ring;                           // the core's number
  uint64_t generation;                     // random, below 2^63: names this file in the store's table of positions
  uint64_t capacity;                       // bytes of the ring, a power of two
  uint64_t check;                          // magic to capacity
  alignas(64) std::atomic<uint64_t> head;  // bytes ever appended; written by the producer
  alignas(64) std::atomic<uint64_t> tail;  // bytes ever ingested; written by the consumer; only a hint after a restart
};
inline constexpr uint64_t kJournalHeaderBytes = 4096;
static_assert(sizeof(JournalHeader) <= kJournalHeaderBytes);

class Journal {
 public:
  /// Makes the file under a temporary name, allocates every block of it (so that no later store can hit a full disk),
  /// syncs it and renames it into place. Errors: config, naming the file and what the system said.
  static Result<std::unique_ptr<Journal>> create(const std::string& path, uint32_t ring, uint64_t capacity);
  /// Maps one that an earlier process left. Error: config, if it is not a journal.
  static Result<std::unique_ptr<Journal>> open(const std::string& path);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // The producer's side.
  bool reserve(uint32_t bytes);
  void unreserve(uint32_t bytes) { reserved_ -= bytes; }
  /// Writes one row of at most `reserved` bytes and gives that reservation back.
  void append(const LedgerRow& row, uint32_t reserved);

  // The consumer's side; head() and tail() from any thread.
  uint64_t head() const { return header_->head.load(); }  // in one order with append()'s store: see Ledger's wake-up
  uint64_t tail() const { return header_->tail.load(std::memory_order_acquire); }
  /// The record at `position`, of which bytes up to `limit` may be looked at; 0: none. Views live until release().
  uint32_t read(uint64_t position, uint64_t limit, LedgerRow& row) const;
  /// The producer may use everything before `position` again.
  void release(uint64_t position) { header_->tail.store(position, std::memory_order_release); }

  uint32_t ring() const { return header_->ring; }
  uint64_t generation() const { return header_->generation; }
  uint64_t capacity() const { return capacity_; }
  uint64_t appended_rows() const { return rows_.load(std::memory_order_relaxed); }
  const std::string& path() const { return path_; }

 private:
  explicit Journal(std::string path) : path_(std::move(path)) {}
  Result<void> map(int fd, uint64_t capacity);

  const std::string path_;
  JournalHeader* header_ = nullptr;
  std::byte* data_ = nullptr;
  uint64_t capacity_ = 0;
  uint64_t mask_ = 0;
  // The producer's own.
  alignas(64) uint64_t head_ = 0;
  uint64_t tail_seen_ = 0;
  uint64_t reserved_ = 0;
  std::atomic<uint64_t> rows_{0};
};

}  // namespace weir::gateway
