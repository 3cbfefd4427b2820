// Rows from journals into the store, exactly once: whatever goes in goes in together with how far it was read. Used by
// the ledger thread on the live journals, and at start on those a killed process left. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "gateway/accounting/journal.h"
#include "gateway/accounting/store.h"
#include "metrics/log.h"

namespace weir::gateway {

class Ingester {
 public:
  enum class Source {
    live,      // read up to head; a record before it that does not check is a fault, skipped and said
    left_over  // read as far as records check, whatever head says: after a power loss either may be the newer
  };

  /// Journals must outlive it. Positions start from the store's word, else from 0.
  Ingester(Store& store, metrics::Log& log, Source source) : store_(store), log_(log), source_(source) {}
  void add(Journal& journal, uint64_t position) { inputs_.push_back({&journal, position}); }

  uint64_t position(size_t input) const { return inputs_[input].position; }

  /// One transaction of at most kBatchRowsMax rows. The number of rows; 0: there was nothing. After an error the
  /// positions are read back from the store, for the transaction may be in all the same.
  Result<size_t> once();

 private:
  static constexpr size_t kBatchRowsMax = 16'384;
  struct Input {
    Journal* journal = nullptr;
    uint64_t position = 0;
    uint64_t next = 0;  // after the batch under way
  };
  void collect(Input& input);
  Result<void> resume();

  Store& store_;
  metrics::Log& log_;
  const Source source_;
  bool uncertain_ = false;
  std::vector<Input> inputs_;
  std::vector<LedgerRow> rows_;
  std::vector<JournalPosition> positions_;
};

/// Ingests every "<path>.journal-*" and removes it, the store synced in between. Gives the number of rows. A file that
/// is no journal is moved aside to "<name>.unreadable" and said. REQUIRES: the ledger's lock is held.
Result<uint64_t> replay_journals(const std::string& path, Store& store, metrics::Log& log);

/// Removes journals for good, then their positions in the store. REQUIRES: all their rows are in, and store.sync()
/// since.
Result<void> remove_journals(std::vector<std::unique_ptr<Journal>> journals, Store& store);

}  // namespace weir::gateway
