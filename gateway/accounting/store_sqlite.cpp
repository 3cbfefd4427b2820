// The ledger in SQLite. The hot table has no index but its rowid, integers for names, and takes prepared inserts; what
// a key spent is kept an hour at a time beside it, so that budgets start from a handful of rows. Schema: README.md
// here.
#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <mutex>
#include <unordered_map>

#include "gateway/accounting/record.h"
#include "gateway/accounting/sqlite.h"
#include "gateway/accounting/sqlite_schema.h"
#include "gateway/accounting/store.h"

namespace weir::gateway {
namespace {

constexpr int64_t kHourUs = 3'600'000'000;
constexpr size_t kRowsOfInsert = 16;              // of the wide insert statement: 25 % cheaper a row than one at a time
constexpr int kColumns = 20;                      // bound a row; the id is SQLite's to give
constexpr size_t kDimensionsCachedMax = 100'000;  // more are looked up in the table again

constexpr int64_t kSchemaVersion = std::size(kSchemas);

/// What one batch adds to one row of `spend`.
struct SpendDelta {
  int64_t requests = 0;
  NanoUsd charge;
  config::TokenCounts tokens;
  int64_t first_row = 0;
  int64_t last_row = 0;
};

int64_t hour_of(int64_t us) {
  return us >= 0 ? us / kHourUs : (us - kHourUs + 1) / kHourUs;
}

class SqliteStore final : public Store {
 public:
  Result<void> open(const std::string& path) {
    if (auto ok = db_.open(path); !ok) return ok;
    // NORMAL: a commit is a write without a sync; the checkpoint syncs. See docs/decisions/0001-ledger-journal.md.
    if (auto ok = db_.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;"
                              "PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -8192;");
        !ok)
      return ok;
    if (auto ok = make_schema(path); !ok) return ok;
    return prepare();
  }

  Result<void> ingest(std::span<const LedgerRow> rows, std::span<const JournalPosition> positions) override {
    if (begin_.run() != SQLITE_DONE) return db_.error("cannot begin a transaction");
    auto written = write(rows, positions);
    if (written && commit_.run() == SQLITE_DONE) return {};
    Error error = written ? db_.error("cannot commit") : std::move(written).error();
    if (db_.in_transaction()) rollback_.run();
    dimensions_.clear();  // its newest may have been rolled back
    return error;
  }

  Result<std::vector<JournalPosition>> positions() override {
    std::vector<JournalPosition> all;
    int rc = SQLITE_ROW;
    while ((rc = read_positions_.step()) == SQLITE_ROW)
      all.push_back({static_cast<uint32_t>(read_positions_.integer(0)),
                     static_cast<uint64_t>(read_positions_.integer(1)),
                     static_cast<uint64_t>(read_positions_.integer(2))});
    read_positions_.reset();
    if (rc != SQLITE_DONE) return db_.error("cannot read the journals' positions");
    return all;
  }

  Result<void> forget(std::span<const JournalPosition> gone) override {
    if (begin_.run() != SQLITE_DONE) return db_.error("cannot begin a transaction");
    for (const auto& position : gone) {
      drop_position_.bind(1, position.ring);
      drop_position_.bind(2, static_cast<int64_t>(position.generation));
      drop_position_.run();
    }
    if (commit_.run() == SQLITE_DONE) return {};
    Error error = db_.error("cannot commit");
    if (db_.in_transaction()) rollback_.run();
    return error;
  }

  Result<void> sync() override {
    const int rc = sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
    if (rc != SQLITE_OK) return db_.error("cannot be synced (checkpoint)");
    return {};
  }

  Result<NanoUsd> spent_between(std::string_view key, WallTime since, WallTime until) override;
  Result<LedgerTotals> totals() override;

 private:
  Result<NanoUsd> spent_since(std::string_view key, WallTime since);
  Result<void> make_schema(const std::string& path);
  Result<void> prepare();
  Result<void> write(std::span<const LedgerRow> rows, std::span<const JournalPosition> positions);
  static void bind(Statement& insert, int first, const LedgerRow& row, int64_t dimension);
  Result<void> insert(std::span<const LedgerRow> rows, Statement& statement);
  Result<int64_t> dimension_of(const LedgerRow& row);
  Result<void> add_spend();

  Connection db_;
  Statement begin_, commit_, rollback_, insert_one_, insert_many_, find_dimension_, add_dimension_, add_spend_,
      put_position_, read_positions_, drop_position_, last_row_;
  std::unordered_map<std::string, int64_t> dimensions_;
  std::map<std::pair<std::string_view, int64_t>, SpendDelta> spend_;  // key, hour; of the batch under way
  std::string scratch_;
};

Result<void> SqliteStore::make_schema(const std::string& path) {
  auto version = db_.prepare("PRAGMA user_version");
  if (!version) return version.error();
  if (version->step() != SQLITE_ROW) return db_.error("cannot be read");
  const int64_t found = version->integer(0);
  *version = Statement();
  if (found > kSchemaVersion)
    return Error{ErrorKind::config, "ledger", Retry::no, 500,
                 path + ": was written by a newer Weir (schema " + std::to_string(found) + ", this one knows " +
                     std::to_string(kSchemaVersion) + "). Run that one, or name another file in store.url."};
  if (found == kSchemaVersion) return {};
  if (found < 0) return Error{ErrorKind::config, "ledger", Retry::no, 500, path + ": is not a ledger of Weir."};
  if (auto ok = db_.execute("BEGIN IMMEDIATE"); !ok) return ok;
  for (int64_t next = found; next < kSchemaVersion; ++next) {
    auto made = db_.execute(kSchemas[next]);
    if (made) continue;
    Error error = std::move(made).error();
    (void)db_.execute("ROLLBACK");
    return error;
  }
  return db_.execute("COMMIT");
}

Result<void> SqliteStore::prepare() {
  const std::string values = "(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
  const std::string one = "INSERT INTO request VALUES" + values;
  std::string many = one;
  for (size_t i = 1; i < kRowsOfInsert; ++i) many += "," + values;
  const std::pair<Statement*, const char*> statements[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&insert_one_, one.c_str()},
      {&insert_many_, many.c_str()},
      {&find_dimension_,
       "SELECT id FROM dimension WHERE key=?1 AND team=?2 AND model=?3 AND target=?4 AND upstream_model=?5"},
      {&add_dimension_, "INSERT INTO dimension(key,team,model,target,upstream_model) VALUES(?1,?2,?3,?4,?5)"},
      // SQLite turns an integer sum that overflows into a float: money saturates instead.
      {&add_spend_,
       "INSERT INTO spend VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15) ON CONFLICT(key,hour) DO UPDATE "
       "SET "
       "requests=requests+excluded.requests, charge_nanos=CASE WHEN charge_nanos>9223372036854775807-"
       "excluded.charge_nanos THEN 9223372036854775807 ELSE charge_nanos+excluded.charge_nanos END, "
       "input=input+excluded.input, cached_input=cached_input+excluded.cached_input, output=output+excluded.output, "
       "reasoning=reasoning+excluded.reasoning, cache_write_5m=cache_write_5m+excluded.cache_write_5m, "
       "cache_write_1h=cache_write_1h+excluded.cache_write_1h, audio_input=audio_input+excluded.audio_input, "
       "audio_output=audio_output+excluded.audio_output, web_searches=web_searches+excluded.web_searches, "
       "last_row=max(last_row,excluded.last_row)"},
      {&put_position_, "INSERT OR REPLACE INTO journal_position VALUES(?1,?2,?3)"},
      {&read_positions_, "SELECT ring, generation, position FROM journal_position"},
      {&drop_position_, "DELETE FROM journal_position WHERE ring=?1 AND generation=?2"},
      {&last_row_, "SELECT coalesce(max(id), 0) FROM request"},
  };
  for (const auto& [statement, sql] : statements) {
    auto prepared = db_.prepare(sql);
    if (!prepared) return prepared.error();
    *statement = std::move(*prepared);
  }
  return {};
}

/// Binds one row from parameter `first` on.
void SqliteStore::bind(Statement& insert, int first, const LedgerRow& row, int64_t dimension) {
  insert.bind(first, row.request_id);
  insert.bind(first + 1, unix_us(row.settled));
  insert.bind(first + 2, dimension);
  insert.bind(first + 3, row.tokens.input);
  insert.bind(first + 4, row.tokens.cached_input);
  insert.bind(first + 5, row.tokens.output);
  insert.bind(first + 6, row.tokens.reasoning);
  insert.bind(first + 7, row.charge.nanos);
  insert.bind(first + 8, row.status);
  if (row.error_code.empty()) {
    insert.bind_null(first + 9);
  } else {
    insert.bind(first + 9, row.error_code);
  }
  insert.bind(first + 10, flags_of(row));
  insert.bind(first + 11, row.attempts);
  insert.bind(first + 12, row.total_us);
  if (row.first_token_us < 0) {
    insert.bind_null(first + 13);
  } else {
    insert.bind(first + 13, row.first_token_us);
  }
  insert.bind(first + 14, row.tokens.cache_write_5m);
  insert.bind(first + 15, row.tokens.cache_write_1h);
  insert.bind(first + 16, row.tokens.audio_input);
  insert.bind(first + 17, row.tokens.audio_output);
  insert.bind(first + 18, row.tokens.web_searches);
  if (row.tier.empty()) {
    insert.bind_null(first + 19);
  } else {
    insert.bind(first + 19, row.tier);
  }
}

/// One run of a statement that takes rows.size() rows.
Result<void> SqliteStore::insert(std::span<const LedgerRow> rows, Statement& statement) {
  int first = 1;
  for (const LedgerRow& row : rows) {
    auto dimension = dimension_of(row);
    if (!dimension) return dimension.error();
    bind(statement, first, row, *dimension);
    first += kColumns;
  }
  const int rc = statement.step();
  statement.reset();
  if (rc != SQLITE_DONE) return db_.error("cannot add rows");
  return {};
}

Result<int64_t> SqliteStore::dimension_of(const LedgerRow& row) {
  const std::string_view names[] = {row.key, row.team, row.model, row.target, row.upstream_model};
  scratch_.clear();
  for (const auto name : names) {
    const auto length = static_cast<uint16_t>(name.size());
    scratch_.append(reinterpret_cast<const char*>(&length), sizeof length).append(name);
  }
  if (const auto found = dimensions_.find(scratch_); found != dimensions_.end()) return found->second;
  for (int i = 0; i < 5; ++i) {
    find_dimension_.bind(i + 1, names[i]);
    add_dimension_.bind(i + 1, names[i]);
  }
  int64_t id = 0;
  const int rc = find_dimension_.step();
  if (rc == SQLITE_ROW) id = find_dimension_.integer(0);
  find_dimension_.reset();
  if (rc != SQLITE_ROW) {
    if (rc != SQLITE_DONE || add_dimension_.run() != SQLITE_DONE) return db_.error("cannot add a dimension");
    id = sqlite3_last_insert_rowid(db_.get());
  }
  if (dimensions_.size() >= kDimensionsCachedMax) dimensions_.clear();
  dimensions_.emplace(scratch_, id);
  return id;
}

Result<void> SqliteStore::write(std::span<const LedgerRow> rows, std::span<const JournalPosition> positions) {
  if (last_row_.step() != SQLITE_ROW) return db_.error("cannot be read");
  int64_t id = last_row_.integer(0);  // SQLite gives the next ones in turn; nobody else writes in this transaction
  last_row_.reset();
  for (size_t at = 0; at < rows.size();) {
    const bool wide = rows.size() - at >= kRowsOfInsert;
    const size_t count = wide ? kRowsOfInsert : 1;
    if (auto ok = insert(rows.subspan(at, count), wide ? insert_many_ : insert_one_); !ok) return ok;
    at += count;
  }
  spend_.clear();
  SpendDelta* last = nullptr;  // neighbours are often of one key and hour
  std::string_view last_key;
  int64_t last_hour = 0;
  for (const LedgerRow& row : rows) {
    const int64_t hour = hour_of(unix_us(row.settled));
    if (last == nullptr || last_hour != hour || last_key != row.key) {
      last = &spend_[{row.key, hour}];
      last_key = row.key;
      last_hour = hour;
    }
    ++id;
    if (last->requests++ == 0) last->first_row = id;
    last->last_row = id;
    last->charge += row.charge;
    last->tokens.input += row.tokens.input;
    last->tokens.cached_input += row.tokens.cached_input;
    last->tokens.output += row.tokens.output;
    last->tokens.reasoning += row.tokens.reasoning;
    last->tokens.cache_write_5m += row.tokens.cache_write_5m;
    last->tokens.cache_write_1h += row.tokens.cache_write_1h;
    last->tokens.audio_input += row.tokens.audio_input;
    last->tokens.audio_output += row.tokens.audio_output;
    last->tokens.web_searches += row.tokens.web_searches;
  }
  if (auto ok = add_spend(); !ok) return ok;
  for (const auto& position : positions) {
    put_position_.bind(1, position.ring);
    put_position_.bind(2, static_cast<int64_t>(position.generation));
    put_position_.bind(3, static_cast<int64_t>(position.position));
    if (put_position_.run() != SQLITE_DONE) return db_.error("cannot write a journal's position");
  }
  return {};
}

Result<void> SqliteStore::add_spend() {
  for (const auto& [name, delta] : spend_) {
    add_spend_.bind(1, name.first);
    const config::TokenCounts& tokens = delta.tokens;
    const int64_t values[] = {name.second,         delta.requests,        delta.charge.nanos,    tokens.input,
                              tokens.cached_input, tokens.output,         tokens.reasoning,      delta.first_row,
                              delta.last_row,      tokens.cache_write_5m, tokens.cache_write_1h, tokens.audio_input,
                              tokens.audio_output, tokens.web_searches};
    for (size_t i = 0; i < std::size(values); ++i) add_spend_.bind(static_cast<int>(i) + 2, values[i]);
    if (add_spend_.run() != SQLITE_DONE) return db_.error("cannot add to what a key spent");
  }
  return {};
}

/// Adds the first column of all rows. False: a read failed. Not SQL's sum(), which fails where NanoUsd saturates.
bool add_up(Statement& rows, NanoUsd& sum) {
  int rc = SQLITE_ROW;
  while ((rc = rows.step()) == SQLITE_ROW) sum += NanoUsd{rows.integer(0)};
  return rc == SQLITE_DONE;
}

Result<NanoUsd> SqliteStore::spent_since(std::string_view key, WallTime since) {
  const int64_t since_us = unix_us(since);
  const int64_t whole_hour = hour_of(since_us + kHourUs - 1);  // the first that lies wholly after
  auto hours = db_.prepare("SELECT charge_nanos FROM spend WHERE key=?1 AND hour>=?2");
  if (!hours) return hours.error();
  hours->bind(1, key);
  hours->bind(2, whole_hour);
  NanoUsd spent;
  if (!add_up(*hours, spent)) return db_.error("cannot sum what a key spent");
  if (whole_hour * kHourUs == since_us) return spent;
  // The hour that `since` lies in, row by row: only the rows that were written while it had any of this key.
  auto rows = db_.prepare(
      "SELECT r.charge_nanos FROM spend s JOIN request r ON r.id BETWEEN s.first_row AND s.last_row "
      "JOIN dimension d ON d.id = r.dimension "
      "WHERE s.key=?1 AND s.hour=?2 AND d.key=?1 AND r.settled_us>=?3 AND r.settled_us<?4");
  if (!rows) return rows.error();
  rows->bind(1, key);
  rows->bind(2, whole_hour - 1);
  rows->bind(3, since_us);
  rows->bind(4, whole_hour * kHourUs);
  if (!add_up(*rows, spent)) return db_.error("cannot sum what a key spent");
  return spent;
}

/// Both sums are of one moment: a read transaction sees no row that comes meanwhile.
Result<NanoUsd> SqliteStore::spent_between(std::string_view key, WallTime since, WallTime until) {
  if (until == WallTime::max()) return spent_since(key, since);
  if (auto begun = db_.execute("BEGIN"); !begun) return begun.error();
  const auto all = spent_since(key, since);
  const auto later = all ? spent_since(key, until) : all;
  if (auto ended = db_.execute("COMMIT"); !ended) return ended.error();
  if (!later) return later.error();
  return *all - *later;
}

Result<LedgerTotals> SqliteStore::totals() {
  auto sums = db_.prepare(
      "SELECT coalesce(sum(requests),0), coalesce(sum(input),0), coalesce(sum(cached_input),0), "
      "coalesce(sum(output),0), coalesce(sum(reasoning),0), coalesce(sum(cache_write_5m),0), "
      "coalesce(sum(cache_write_1h),0), coalesce(sum(audio_input),0), coalesce(sum(audio_output),0), "
      "coalesce(sum(web_searches),0) FROM spend");
  if (!sums) return sums.error();
  if (sums->step() != SQLITE_ROW) return db_.error("cannot sum the ledger");
  LedgerTotals totals{sums->integer(0),
                      {},
                      {sums->integer(1), sums->integer(2), sums->integer(3), sums->integer(4), sums->integer(5),
                       sums->integer(6), sums->integer(7), sums->integer(8), sums->integer(9)}};
  auto charges = db_.prepare("SELECT charge_nanos FROM spend");
  if (!charges) return charges.error();
  if (!add_up(*charges, totals.charge)) return db_.error("cannot sum the ledger");
  return totals;
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path) {
  // The counters of SQLite's allocator cost a lock an allocation. Only the first store of a process can say so.
  static std::once_flag once;
  std::call_once(once, [] { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); });
  auto store = std::make_unique<SqliteStore>();
  if (auto ok = store->open(path); !ok) {
    Error error = std::move(ok).error();
    error.kind = ErrorKind::config;
    return error;
  }
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace weir::gateway
