// Every I/O operation of the databases fails once, one after the other: no row is lost or doubled, no answer of another
// key appears, nothing crashes, and what failed works again.
#include <gtest/gtest.h>

#include "gateway/accounting/ledger.h"
#include "gateway/response_store.h"
#include "metrics/log.h"
#include "tests/gateway/failing_vfs.h"
#include "tests/gateway/ledger_support.h"

namespace weir::gateway {
namespace {

using std::chrono::seconds;

constexpr int kRows = 6;
constexpr int64_t kOperationsMax = 5000;  // more would mean that a failure is tried again without end

class StoreFailN : public LedgerFolder {
 protected:
  /// A name that no earlier round used.
  std::string fresh(int64_t round) const { return file("n" + std::to_string(round) + ".db"); }

  Quiet quiet_;
  metrics::Log log_{metrics::Level::error, quiet_.fd};
  FailingVfs vfs_;
};

/// Opens the ledger; the failure may hit that, and is then an error that says what it is.
std::unique_ptr<Ledger> open_ledger(const LedgerOptions& options, metrics::Log& log) {
  auto ledger = Ledger::open(options, log);
  if (!ledger) {
    EXPECT_EQ(ledger.error().kind, ErrorKind::config);
    EXPECT_FALSE(ledger.error().detail.empty());
    ledger = Ledger::open(options, log);
  }
  EXPECT_TRUE(ledger.ok()) << (ledger.ok() ? "" : ledger.error().detail);
  return ledger.ok() ? std::move(*ledger) : nullptr;
}

TEST_F(StoreFailN, TheLedgerLosesNoRow) {
  int64_t n = 0;
  for (; n < kOperationsMax; ++n) {
    SCOPED_TRACE(n);
    LedgerOptions options;
    options.path = fresh(n);
    options.journal_bytes = kJournalBytesMin;
    vfs_.fail_at(n);
    int64_t charged = 0;
    {
      auto ledger = open_ledger(options, log_);
      ASSERT_TRUE(ledger);
      for (int i = 0; i < kRows; ++i) {
        auto reservation = ledger->reserve(0, 512);
        ASSERT_TRUE(reservation);
        reservation.append(sample_row(i));
        charged += sample_row(i).charge.nanos;
        if (i == kRows / 2) {
          ASSERT_TRUE(ledger->flush(seconds(30)).ok());
        }
      }
      ASSERT_TRUE(ledger->flush(seconds(30)).ok());
      auto totals = ledger->totals();
      if (!totals) totals = ledger->totals();
      ASSERT_TRUE(totals.ok());
      EXPECT_EQ(totals->rows, kRows);
    }
    const bool hit = vfs_.failed();
    vfs_.fail_at(-1);
    auto again = open_ledger(options, log_);
    ASSERT_TRUE(again);
    const auto totals = again->totals();
    ASSERT_TRUE(totals.ok());
    EXPECT_EQ(totals->rows, kRows);
    EXPECT_EQ(totals->charge.nanos, charged);
    if (!hit) break;
  }
  EXPECT_GT(n, 20) << "the failures come where the work is";
  EXPECT_LT(n, kOperationsMax);
  RecordProperty("operations", static_cast<int>(n));
}

TEST_F(StoreFailN, StoredResponsesAreThereOrNot) {
  const WallTime when{std::chrono::hours(24 * 365 * 50)};
  int64_t n = 0;
  for (; n < kOperationsMax; ++n) {
    SCOPED_TRACE(n);
    const std::string path = fresh(n);
    vfs_.fail_at(n);
    {
      auto store = ResponseStore::open(path);
      if (!store) store = ResponseStore::open(path);
      ASSERT_TRUE(store.ok()) << store.error().detail;
      for (const char* id : {"a", "b", "c"}) {
        (*store)->put({id, "k", "", "[]", "{\"id\":1}", ""}, when);
        (*store)->flush();
        const auto text = (*store)->response(id, "k", when);
        EXPECT_EQ(text ? *text : "{\"id\":1}", "{\"id\":1}");
        EXPECT_FALSE((*store)->response(id, "other", when).ok());
      }
    }
    const bool hit = vfs_.failed();
    vfs_.fail_at(-1);
    auto again = ResponseStore::open(path);
    ASSERT_TRUE(again.ok()) << again.error().detail;
    int found = 0;
    for (const char* id : {"a", "b", "c"}) found += (*again)->response(id, "k", when).ok() ? 1 : 0;
    EXPECT_GE(found, hit ? 2 : 3) << "one failure costs one answer at most";
    if (!hit) break;
  }
  EXPECT_GT(n, 20);
  EXPECT_LT(n, kOperationsMax);
}

}  // namespace
}  // namespace weir::gateway
