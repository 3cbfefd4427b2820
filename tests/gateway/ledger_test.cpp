#include "gateway/accounting/ledger.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <thread>

#include "gateway/accounting/ingest.h"
#include "gateway/accounting/journal.h"
#include "gateway/accounting/record.h"
#include "gateway/accounting/sqlite.h"
#include "gateway/accounting/store.h"
#include "tests/gateway/ledger_support.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class LedgerTest : public LedgerFolder {
 protected:
  LedgerOptions options(int cores = 1, uint64_t journal_bytes = 1 << 20) {
    LedgerOptions o;
    o.path = file("w.db");
    o.cores = cores;
    o.journal_bytes = journal_bytes;
    return o;
  }
  std::unique_ptr<Ledger> open(const LedgerOptions& o) {
    auto ledger = Ledger::open(o, log_);
    EXPECT_TRUE(ledger.ok()) << (ledger.ok() ? "" : ledger.error().detail);
    return ledger.ok() ? std::move(*ledger) : nullptr;
  }
  std::unique_ptr<Ledger> open() { return open(options()); }

  /// Writes rows into a journal as a process does that is killed before its ledger thread runs.
  void leave_behind(uint32_t ring, int first, int count, uint64_t capacity = 1 << 16) {
    auto journal = Journal::create(file("w.db.journal-" + std::to_string(ring)), ring, capacity);
    ASSERT_TRUE(journal.ok());
    for (int i = first; i < first + count; ++i) {
      ASSERT_TRUE((*journal)->reserve(512));
      (*journal)->append(sample_row(i), 512);
    }
  }

  /// How often each request id is in the store, read as another program would.
  std::map<std::string, int> ids() {
    std::map<std::string, int> counts;
    query("SELECT request_id FROM requests",
          [&](sqlite3_stmt* row) { ++counts[reinterpret_cast<const char*>(sqlite3_column_text(row, 0))]; });
    return counts;
  }
  void query(const std::string& sql, const std::function<void(sqlite3_stmt*)>& on_row) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(file("w.db").c_str(), &db), SQLITE_OK);
    sqlite3_stmt* statement = nullptr;
    ASSERT_EQ(sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    while (sqlite3_step(statement) == SQLITE_ROW) on_row(statement);
    sqlite3_finalize(statement);
    sqlite3_close(db);
  }
  int files(const std::string& part) {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      count += entry.path().filename().string().find(part) != std::string::npos ? 1 : 0;
    return count;
  }

  static void append(Ledger& ledger, const LedgerRow& row, int core = 0) {
    for (;;) {
      auto reservation = ledger.reserve(core, 512);
      if (reservation) return reservation.append(row);
      std::this_thread::yield();
    }
  }

  Quiet quiet_;
  metrics::Log log_{metrics::Level::info, quiet_.fd};
};

TEST_F(LedgerTest, EveryColumn) {
  auto ledger = open();
  const int n = 40;
  for (int i = 0; i < n; ++i) append(*ledger, sample_row(i));
  ASSERT_TRUE(ledger->flush(seconds(10)).ok());
  int i = 0;
  query(
      "SELECT request_id, key, team, model, target, upstream_model, coalesce(error_code, ''), tier, input_tokens, "
      "cached_input_tokens, output_tokens, reasoning_tokens, cache_write_5m_tokens, cache_write_1h_tokens, "
      "audio_input_tokens, audio_output_tokens, web_searches, charge_nanos, status, attempts, total_us, "
      "coalesce(first_token_us, -1), estimated, stream, cancelled, fallback, unpriced, "
      "(SELECT settled_us FROM request q WHERE q.id = requests.id), settled_at FROM requests ORDER BY id",
      [&](sqlite3_stmt* row) {
        const auto text = [&](int c) { return reinterpret_cast<const char*>(sqlite3_column_text(row, c)); };
        std::string found = text(27);
        for (int c = 0; c < 27; ++c) found.append("|").append(text(c));
        EXPECT_EQ(found, describe(sample_row(i)));
        EXPECT_THAT(text(28), HasSubstr("2023-11-14T22:13:20"));
        ++i;
      });
  EXPECT_EQ(i, n);
  auto totals = ledger->totals();
  ASSERT_TRUE(totals.ok());
  EXPECT_EQ(totals->rows, n);
  EXPECT_EQ(totals->charge.nanos, n * 1000 + n * (n - 1) / 2);
  EXPECT_EQ(totals->tokens.input, n * 1000 + n * (n - 1) / 2);
}

TEST_F(LedgerTest, MoneySaturatesAndStaysAnInteger) {
  auto ledger = open();
  for (int i = 0; i < 3; ++i) {
    LedgerRow row = sample_row(0);
    row.charge = {INT64_MAX / 2 + 1};
    append(*ledger, row);
    ASSERT_TRUE(ledger->flush(seconds(10)).ok());  // a batch each, so that SQLite adds them
  }
  query("SELECT typeof(charge_nanos), charge_nanos FROM spend", [&](sqlite3_stmt* row) {
    EXPECT_STREQ(reinterpret_cast<const char*>(sqlite3_column_text(row, 0)), "integer");
    EXPECT_EQ(sqlite3_column_int64(row, 1), INT64_MAX);
  });
  LedgerRow later = sample_row(0);
  later.settled += std::chrono::hours(3);
  append(*ledger, later);
  auto totals = ledger->totals();
  ASSERT_TRUE(totals.ok());
  EXPECT_EQ(totals->charge.nanos, INT64_MAX);
  for (const auto since : {WallTime{}, sample_row(0).settled}) {
    auto spent = ledger->spent_between("alpha", since);
    ASSERT_TRUE(spent.ok());
    EXPECT_EQ(spent->nanos, INT64_MAX);
  }
}

/// A ledger as schema 1 left it: its rows stay as they are, with zeros for what was not counted then.
TEST_F(LedgerTest, ASchema1LedgerIsBroughtUp) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(file("w.db").c_str(), &db), SQLITE_OK);
  const char* old = R"sql(
    CREATE TABLE dimension(id INTEGER PRIMARY KEY, key TEXT NOT NULL, team TEXT NOT NULL, model TEXT NOT NULL,
      target TEXT NOT NULL, upstream_model TEXT NOT NULL, UNIQUE(key, team, model, target, upstream_model));
    CREATE TABLE request(id INTEGER PRIMARY KEY, request_id TEXT, settled_us INTEGER, dimension INTEGER, input INTEGER,
      cached_input INTEGER, output INTEGER, reasoning INTEGER, charge_nanos INTEGER, status INTEGER, error_code TEXT,
      flags INTEGER, attempts INTEGER, total_us INTEGER, first_token_us INTEGER);
    CREATE TABLE spend(key TEXT NOT NULL, hour INTEGER NOT NULL, requests INTEGER NOT NULL,
      charge_nanos INTEGER NOT NULL, input INTEGER NOT NULL, cached_input INTEGER NOT NULL, output INTEGER NOT NULL,
      reasoning INTEGER NOT NULL, first_row INTEGER NOT NULL, last_row INTEGER NOT NULL, PRIMARY KEY(key, hour))
      WITHOUT ROWID;
    CREATE TABLE journal_position(ring INTEGER NOT NULL, generation INTEGER NOT NULL, position INTEGER NOT NULL,
      PRIMARY KEY(ring, generation)) WITHOUT ROWID;
    CREATE VIEW requests AS SELECT r.id AS id, r.request_id AS request_id FROM request r;
    INSERT INTO dimension VALUES(1, 'alpha', 'research', 'gpt-4o', 'openai-a/gpt-4o', 'gpt-4o');
    INSERT INTO request VALUES(1, 'before', 1700000000000000, 1, 10, 2, 3, 1, 700, 200, NULL, 2, 1, 5000, NULL);
    INSERT INTO spend VALUES('alpha', 472222, 1, 700, 10, 2, 3, 1, 1, 1);
    PRAGMA user_version = 1;)sql";
  ASSERT_EQ(sqlite3_exec(db, old, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
  for (int opening = 0; opening < 2; ++opening) {
    auto ledger = open();
    ASSERT_NE(ledger, nullptr);
    append(*ledger, sample_row(4 + 4 * opening));  // key alpha, the same hour
    ASSERT_TRUE(ledger->flush(seconds(10)).ok());
    EXPECT_EQ(ledger->totals()->rows, 2 + opening);
    EXPECT_EQ(ledger->spent_between("alpha", WallTime(seconds(1'699'999'200)))->nanos, 700 + 1004 + 1008 * opening);
  }
  std::string found;
  query("SELECT request_id, key, input_tokens, charge_nanos, cache_write_5m_tokens, audio_output_tokens FROM requests",
        [&](sqlite3_stmt* row) {
          for (int c = 0; c < 6; ++c)
            found.append(reinterpret_cast<const char*>(sqlite3_column_text(row, c))).append(c == 5 ? "\n" : " ");
        });
  EXPECT_EQ(found, "before alpha 10 700 0 0\nreq-4 alpha 1004 1004 4 4\nreq-8 alpha 1008 1008 8 8\n");
  query("SELECT cache_write_5m, audio_output FROM spend WHERE key = 'alpha'", [](sqlite3_stmt* row) {
    EXPECT_EQ(sqlite3_column_int(row, 0), 12);
    EXPECT_EQ(sqlite3_column_int(row, 1), 12);
  });
}

TEST_F(LedgerTest, AppendingIsEnoughAndClosingIngests) {
  {
    auto ledger = open();
    for (int i = 0; i < 100; ++i) append(*ledger, sample_row(i));
  }
  EXPECT_EQ(ids().size(), 100u);
  EXPECT_EQ(files("journal"), 0);  // a clean end leaves nothing to replay
  auto again = open();
  EXPECT_EQ(again->stats().replayed_rows, 0u);
  EXPECT_EQ(again->totals()->rows, 100);
}

TEST_F(LedgerTest, WakesAfterItSlept) {
  LedgerOptions o = options();
  o.batch_interval = milliseconds(1);
  auto ledger = open(o);
  for (int i = 0; i < 20; ++i) {
    append(*ledger, sample_row(i));
    while (ledger->stats().ingested_rows < static_cast<uint64_t>(i) + 1) std::this_thread::yield();
    while (i % 5 == 4 && !ledger->stats().idle) std::this_thread::yield();
  }
  EXPECT_EQ(ledger->stats().backlog_bytes, 0u);
  EXPECT_TRUE(ledger->flush(milliseconds(0)).ok());
}

TEST_F(LedgerTest, ConcurrentCores) {
  constexpr int kCores = 4;
  constexpr int kEach = 3000;
  {
    auto ledger = open(options(kCores, 4 * kJournalBytesMin));
    std::vector<std::thread> threads;
    for (int core = 0; core < kCores; ++core)
      threads.emplace_back([&, core] {
        for (int i = 0; i < kEach; ++i) append(*ledger, sample_row(core * kEach + i), core);
      });
    for (auto& thread : threads) thread.join();
    ASSERT_TRUE(ledger->flush(seconds(30)).ok());
    EXPECT_EQ(ledger->stats().appended_rows, static_cast<uint64_t>(kCores * kEach));
    EXPECT_EQ(ledger->stats().ingested_rows, static_cast<uint64_t>(kCores * kEach));
  }
  const auto found = ids();
  EXPECT_EQ(found.size(), static_cast<size_t>(kCores * kEach));
  for (const auto& [id, count] : found) ASSERT_EQ(count, 1) << id;
}

TEST_F(LedgerTest, AFullJournalRefusesAtAdmission) {
  auto ledger = open(options(1, kJournalBytesMin));
  std::vector<RowReservation> held;
  for (;;) {
    auto reservation = ledger->reserve(0, 512);
    if (!reservation) break;
    held.push_back(std::move(reservation));
  }
  EXPECT_EQ(held.size(), kJournalBytesMin / 512);
  held.pop_back();
  EXPECT_TRUE(ledger->reserve(0, 512));
  for (size_t i = 0; i < held.size(); ++i) held[i].append(sample_row(static_cast<int>(i)));  // none can fail
  held.clear();
  ASSERT_TRUE(ledger->flush(seconds(10)).ok());
  EXPECT_EQ(ledger->totals()->rows, static_cast<int64_t>(kJournalBytesMin / 512 - 1));
  EXPECT_TRUE(ledger->reserve(0, 512));
}

TEST_F(LedgerTest, ReplaysWhatWasLeftAlsoFromMoreCores) {
  leave_behind(0, 0, 100);
  leave_behind(1, 100, 50);
  leave_behind(7, 150, 1);
  std::ofstream(file("w.db.journal-3.new")) << "unfinished";
  auto ledger = open(options(1));
  EXPECT_EQ(ledger->stats().replayed_rows, 151u);
  EXPECT_EQ(ledger->totals()->rows, 151);  // before anything was served
  EXPECT_EQ(files("journal"), 1);
  int positions = 0;
  query("SELECT * FROM journal_position", [&](sqlite3_stmt*) { ++positions; });
  EXPECT_EQ(positions, 0);
}

TEST_F(LedgerTest, ReplaysOnlyWhatTheStoreHasNot) {
  leave_behind(0, 0, 100);
  {
    // The process that is killed after its ledger thread committed some, before the file went away.
    auto store = open_sqlite_store(file("w.db"));
    ASSERT_TRUE(store.ok());
    auto journal = Journal::open(file("w.db.journal-0"));
    std::vector<LedgerRow> rows(30);
    uint64_t position = 0;
    for (auto& row : rows) position += (*journal)->read(position, (*journal)->head(), row);
    const JournalPosition known{0, (*journal)->generation(), position};
    ASSERT_TRUE((*store)->ingest(rows, std::span(&known, 1)).ok());
  }
  EXPECT_EQ(open()->stats().replayed_rows, 70u);
  const auto found = ids();
  EXPECT_EQ(found.size(), 100u);
  for (const auto& [id, count] : found) EXPECT_EQ(count, 1) << id;
}

TEST_F(LedgerTest, TwoGenerationsOfOneRing) {
  for (int round = 0; round < 3; ++round) {
    leave_behind(0, round * 10, 10);
    EXPECT_EQ(open()->stats().replayed_rows, 10u);
  }
  EXPECT_EQ(ids().size(), 30u);
}

TEST_F(LedgerTest, ATornRowAndWhatFollowsItAreDropped) {
  leave_behind(0, 0, 10);
  uint64_t position = 0;
  {
    auto journal = Journal::open(file("w.db.journal-0"));
    LedgerRow row;
    for (int i = 0; i < 6; ++i) position += (*journal)->read(position, (*journal)->head(), row);
  }
  std::fstream out(file("w.db.journal-0"), std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(kJournalHeaderBytes + position + 40));
  out.put('\x55');
  out.close();
  EXPECT_EQ(open()->stats().replayed_rows, 6u);
  EXPECT_EQ(ids().size(), 6u);
}

TEST_F(LedgerTest, AfterAPowerLossRowsFromTheTailOnAreStillFound) {
  // The store fell back to position 0, but the ring had gone on: its first rows are overwritten by later ones.
  {
    auto journal = Journal::create(file("w.db.journal-0"), 0, 4096);
    LedgerRow row;
    uint64_t read = 0;
    for (int i = 0; i < 40; ++i) {
      while (!(*journal)->reserve(512)) {
        read += (*journal)->read(read, (*journal)->head(), row);
        (*journal)->release(read);
      }
      (*journal)->append(sample_row(i), 512);
    }
  }
  auto ledger = open();
  const auto replayed = ledger->stats().replayed_rows;
  EXPECT_GT(replayed, 5u);
  EXPECT_LT(replayed, 40u);
  EXPECT_EQ(ids().count("req-39"), 1u);
}

TEST_F(LedgerTest, AFileThatIsNoJournalIsMovedAside) {
  std::ofstream(file("w.db.journal-0")) << "not ours";
  auto ledger = open();
  ASSERT_NE(ledger, nullptr);
  EXPECT_EQ(files("journal-0.unreadable"), 1);
}

TEST_F(LedgerTest, OneProcessALedger) {
  auto ledger = open();
  LedgerOptions linked = options();
  linked.path = file("link.db");
  ASSERT_EQ(::symlink(options().path.c_str(), linked.path.c_str()), 0);
  for (const LedgerOptions& same : {options(), linked}) {
    auto second = Ledger::open(same, log_);
    ASSERT_FALSE(second.ok());
    EXPECT_THAT(second.error().detail, HasSubstr("another weir process"));
  }
  ledger.reset();
  EXPECT_TRUE(Ledger::open(options(), log_).ok());
}

TEST_F(LedgerTest, OpenErrorsSayWhatToDo) {
  LedgerOptions o = options();
  o.path = "/nonexistent/folder/w.db";
  auto nowhere = Ledger::open(o, log_);
  ASSERT_FALSE(nowhere.ok());
  EXPECT_THAT(nowhere.error().detail, HasSubstr("writable folder"));
  std::ofstream(file("w.db")) << std::string(5000, 'x');
  EXPECT_FALSE(Ledger::open(options(), log_).ok());
  std::filesystem::remove(file("w.db"));
  { open(); }
  query("PRAGMA user_version = 99", [](sqlite3_stmt*) {});
  auto newer = Ledger::open(options(), log_);
  ASSERT_FALSE(newer.ok());
  EXPECT_THAT(newer.error().detail, HasSubstr("newer Weir"));
}

TEST_F(LedgerTest, AStoreThatRefusesLosesNothing) {
  auto ledger = open();
  append(*ledger, sample_row(0));
  ASSERT_TRUE(ledger->flush(seconds(10)).ok());
  // Another program makes the table unusable for a while: every transaction fails, and nothing blocks the core.
  query("ALTER TABLE request RENAME TO hidden", [](sqlite3_stmt*) {});
  for (int i = 1; i < 50; ++i) append(*ledger, sample_row(i));
  while (ledger->healthy()) std::this_thread::yield();
  EXPECT_THAT(ledger->reason(), HasSubstr("w.db"));
  auto failed = ledger->flush(milliseconds(20));
  ASSERT_FALSE(failed.ok());
  EXPECT_GT(ledger->stats().backlog_bytes, 0u);
  query("ALTER TABLE hidden RENAME TO request", [](sqlite3_stmt*) {});
  ASSERT_TRUE(ledger->flush(seconds(30)).ok());
  while (!ledger->healthy()) std::this_thread::yield();
  EXPECT_GE(ledger->stats().failures, 1u);
  const auto found = ids();
  EXPECT_EQ(found.size(), 50u);
  for (const auto& [id, count] : found) EXPECT_EQ(count, 1) << id;
}

TEST_F(LedgerTest, AStoreThatStillRefusesAtTheEndKeepsTheJournal) {
  {
    auto ledger = open();
    append(*ledger, sample_row(0));
    ASSERT_TRUE(ledger->flush(seconds(10)).ok());
    query("ALTER TABLE request RENAME TO hidden", [](sqlite3_stmt*) {});
    append(*ledger, sample_row(1));
  }
  EXPECT_EQ(files("journal"), 1);
  query("ALTER TABLE hidden RENAME TO request", [](sqlite3_stmt*) {});
  EXPECT_EQ(open()->stats().replayed_rows, 1u);
  EXPECT_EQ(ids().size(), 2u);
}

TEST_F(LedgerTest, SpentSinceAnyMoment) {
  auto ledger = open();
  const int64_t hour = 3600;
  std::vector<std::pair<int64_t, int64_t>> charges;  // second, nanos
  for (int i = 0; i < 2000; ++i) {
    LedgerRow row = sample_row(i);
    const int64_t second = 1000 * hour + i * 7;
    row.key = i % 3 == 0 ? "a" : "b";
    row.team = i % 2 == 0 ? "x" : "y";
    row.settled = WallTime(seconds(second));
    row.charge = {1 + i};
    append(*ledger, row);
    if (i % 3 == 0) charges.emplace_back(second, 1 + i);
  }
  for (const int64_t since : {int64_t{0}, 1000 * hour, 1000 * hour + 1, 1000 * hour + 1800, 1001 * hour,
                              1002 * hour + 7, 1003 * hour + 2399, 1005 * hour}) {
    const auto expected = [&](int64_t until) {
      int64_t sum = 0;
      for (const auto& [second, nanos] : charges) sum += second >= since && second < until ? nanos : 0;
      return sum;
    };
    auto spent = ledger->spent_between("a", WallTime(seconds(since)));
    ASSERT_TRUE(spent.ok());
    EXPECT_EQ(spent->nanos, expected(INT64_MAX)) << since;
    for (const int64_t until : {since, since + 1, since + 1799, since + 2 * hour, 1002 * hour + 8}) {
      if (until < since) continue;
      spent = ledger->spent_between("a", WallTime(seconds(since)), WallTime(seconds(until)));
      ASSERT_TRUE(spent.ok());
      EXPECT_EQ(spent->nanos, expected(until)) << since << " to " << until;
    }
  }
  EXPECT_EQ(ledger->spent_between("nobody", WallTime{})->nanos, 0);
}

TEST_F(LedgerTest, StoreUrls) {
  config::StoreConfig store;
  for (const auto& [url, path] : std::map<std::string, std::string>{{"sqlite:weir.db", "weir.db"},
                                                                    {"sqlite:/var/lib/w.db", "/var/lib/w.db"},
                                                                    {"sqlite:///var/w.db", "/var/w.db"}}) {
    store.url = url;
    auto o = Ledger::options(store, 4);
    ASSERT_TRUE(o.ok());
    EXPECT_EQ(o->path, path);
    EXPECT_EQ(o->cores, 4);
  }
  for (const char* url : {"postgresql://user:secret@host/db", "sqlite:", "weir.db"}) {
    store.url = url;
    auto o = Ledger::options(store, 1);
    ASSERT_FALSE(o.ok());
    EXPECT_THAT(o.error().detail, testing::Not(HasSubstr("secret")));
  }
}

TEST_F(LedgerTest, RowBytesCoverTheConfig) {
  config::Config config;
  config::KeyConfig key;
  key.name = std::string(200, 'k');
  key.team = std::string(100, 't');
  config.keys = {key};
  config::ModelConfig model;
  model.name = std::string(300, 'm');
  model.targets = {{"account", "", std::string(250, 'u'), 1}, {"", "engine", "", 1}};
  config.models = {model};
  const uint32_t bytes = row_bytes_max(config);
  LedgerRow row = sample_row(0);
  const std::string target = model.targets[0].label(model.name);
  const std::string code(kErrorCodeBytesMax, 'e');
  const std::string id(kRequestIdBytesMax, 'i');
  row.request_id = id;
  row.key = key.name;
  row.team = key.team;
  row.model = row.upstream_model = model.name;
  row.target = target;
  row.error_code = code;
  std::vector<uint64_t> buffer(bytes / 8);
  auto* at = reinterpret_cast<std::byte*>(buffer.data());
  const uint32_t size = encode(at, bytes, row, {1, 1});
  LedgerRow back;
  ASSERT_EQ(decode(at, size, {1, 1}, back), size);
  EXPECT_EQ(describe(back), describe(row));
}

}  // namespace
}  // namespace weir::gateway
