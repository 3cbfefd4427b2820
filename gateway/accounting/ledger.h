// The ledger: one row a settled request, in SQLite, at the price of a memcpy on the request's path. Each core appends
// to its own journal, a ring in a file mapped MAP_SHARED: once append() returns, a kill -9 cannot lose the row (the
// kernel owns the dirty page). One ledger thread ingests all rings in one transaction together with their positions, so
// that a row gets into the store exactly once; at start, what a killed process left in its journals is ingested before
// anything is served. docs/decisions/0001-ledger-journal.md says why, README.md of this folder has the formats to the
// byte.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "config/base/clock.h"
#include "config/base/money.h"
#include "config/base/result.h"
#include "config/config.h"
#include "gateway/accounting/row.h"
#include "metrics/log.h"

namespace weir::gateway {

class Journal;

/// Room in a core's journal for one row: taken at admission, used by append() at settlement, given back if dropped.
/// Belongs to its core's thread. Movable, one owner.
class RowReservation {
 public:
  RowReservation() = default;
  RowReservation(RowReservation&& other) noexcept;
  RowReservation& operator=(RowReservation&& other) noexcept;
  ~RowReservation() { release(); }

  /// Writes the row; when this returns it survives kill -9. Never fails and never blocks. REQUIRES: *this, and this is
  /// the thread of the core that reserved. Uses the reservation up. A row larger than was reserved (a name that is not
  /// in the config it was made for) has its texts cut to fit, never its numbers.
  void append(const LedgerRow& row);
  void release();
  explicit operator bool() const { return journal_ != nullptr; }

 private:
  friend class Ledger;
  class Ledger* ledger_ = nullptr;
  Journal* journal_ = nullptr;
  uint32_t bytes_ = 0;
};

struct LedgerOptions {
  std::string path = "weir.db";  // the SQLite file; journals are <path>.journal-<core>, the lock <path>.lock
  int cores = 1;
  uint64_t journal_bytes = 64 * 1024 * 1024;  // over all cores; at least kJournalBytesMin a core
  /// Under traffic, rows are ingested this often. A transaction costs as much as ten rows, so longer is cheaper;
  /// shorter shows rows to SQL sooner. Neither changes what survives: that is the journal's.
  std::chrono::milliseconds batch_interval{25};
};
inline constexpr uint64_t kJournalBytesMin = 64 * 1024;

/// The most bytes one row of this config can take in a journal, whatever key, model and target it names.
uint32_t row_bytes_max(const config::Config& config);

struct LedgerTotals {
  int64_t rows = 0;
  NanoUsd charge;
  config::TokenCounts tokens;
};

struct LedgerStats {
  uint64_t appended_rows = 0;  // by this process
  uint64_t ingested_rows = 0;  // by this process, replayed ones included
  uint64_t replayed_rows = 0;  // left by an earlier process
  uint64_t backlog_bytes = 0;  // appended, not yet in the store
  uint64_t failures = 0;       // transactions that failed and were tried again
  bool idle = false;           // the ledger thread sleeps until somebody appends
};

class Ledger {
 public:
  /// "sqlite:weir.db" -> options. Error: config, for a scheme we do not have.
  static Result<LedgerOptions> options(const config::StoreConfig& store, int cores);

  /// Opens or makes the store, replays old journals, maps one journal a core, starts the ledger thread. `log` must
  /// outlive it. Errors: config (another process uses this ledger, the path is not writable, not enough disk for the
  /// journals, a newer schema), each saying what to do.
  static Result<std::unique_ptr<Ledger>> open(const LedgerOptions& options, metrics::Log& log);
  ~Ledger();  // ingests everything if the store works; then no journal is left behind
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// Room for a row of at most `row_bytes` bytes (row_bytes_max of the request's config). Empty if the journal is full:
  /// answer 503. On the core's own thread.
  RowReservation reserve(int core, uint32_t row_bytes);

  /// Waits until every row appended before the call is in the store. Error: the store's, or timeout. Not on a core.
  Result<void> flush(std::chrono::milliseconds timeout);

  /// What the key was charged for requests settled at or after `since` and before `until`, exact, flushed first. Not on
  /// a core.
  Result<NanoUsd> spent_between(std::string_view key, WallTime since, WallTime until = WallTime::max());
  Result<LedgerTotals> totals();

  /// False while the store refuses rows; reason() says why. They wait in the journal and are tried again. Any thread.
  bool healthy() const;
  std::string reason() const;
  LedgerStats stats() const;

 private:
  friend class RowReservation;
  struct Impl;
  explicit Ledger(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::gateway
