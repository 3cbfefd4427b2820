// Where ledger rows end up: a plug point (SQLite here, PostgreSQL to come). A Store is used by one thread at a time;
// the ledger opens one to write and one to read.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/money.h"
#include "config/base/result.h"
#include "gateway/accounting/ledger.h"
#include "gateway/accounting/row.h"

namespace weir::gateway {

/// Up to where a journal is in the store.
struct JournalPosition {
  uint32_t ring = 0;
  uint64_t generation = 0;
  uint64_t position = 0;
};

class Store {
 public:
  virtual ~Store() = default;
  /// Rows and positions in one transaction: both or neither. On an error nothing is in, or, if the answer was lost,
  /// everything: positions() knows.
  virtual Result<void> ingest(std::span<const LedgerRow> rows, std::span<const JournalPosition> positions) = 0;
  virtual Result<std::vector<JournalPosition>> positions() = 0;
  /// Drops the positions of journals that are gone from disk for good.
  virtual Result<void> forget(std::span<const JournalPosition> gone) = 0;
  /// Everything committed so far survives a power loss when this returns.
  virtual Result<void> sync() = 0;
  /// Settled at or after `since` and before `until`; WallTime::max() is no end.
  virtual Result<NanoUsd> spent_between(std::string_view key, WallTime since, WallTime until) = 0;
  virtual Result<LedgerTotals> totals() = 0;
};

/// Opens or makes the SQLite file. Errors: config (not writable, not a database, made by a newer Weir).
Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path);

}  // namespace weir::gateway
