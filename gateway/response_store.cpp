#include "gateway/response_store.h"

#include <algorithm>

#include "gateway/accounting/sqlite.h"

namespace weir::gateway {
namespace {

constexpr int kSchemaVersion = 3;
constexpr int kApplicationId =
    0x57525370;                    // "WRSp": PRAGMA application_id, so that another program's file is not taken
constexpr size_t kBatchMax = 256;  // turns in one transaction
constexpr int kExpiredBatch = 64;  // rows that a transaction clears away, so that none lasts long

constexpr const char* kSchema = R"sql(
CREATE TABLE response(
  id TEXT PRIMARY KEY, key TEXT NOT NULL, previous TEXT NOT NULL, created_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL, input TEXT NOT NULL, response TEXT NOT NULL, account TEXT NOT NULL DEFAULT '');
CREATE INDEX response_expiry ON response(expires_us);
PRAGMA application_id = 1465013104;
)sql";
/// Version 1 kept no upstream's answers.
constexpr const char* kFromVersion1 = R"sql(
ALTER TABLE response ADD COLUMN account TEXT NOT NULL DEFAULT '';
)sql";
/// Versions 1 and 2 did not know whose an item is.
constexpr const char* kItems = R"sql(
CREATE TABLE item(id TEXT NOT NULL, key TEXT NOT NULL, response TEXT NOT NULL, PRIMARY KEY(id, key)) WITHOUT ROWID;
CREATE INDEX item_response ON item(response);
CREATE TRIGGER response_gone AFTER DELETE ON response BEGIN
  DELETE FROM item WHERE response = old.id AND key = old.key;
END;
INSERT OR IGNORE INTO item SELECT i.id, i.key, i.response FROM (
  SELECT json_extract(CASE o.type WHEN 'object' THEN o.value ELSE '{}' END, '$.id') AS id, r.key AS key, r.id AS response
  FROM response r, json_each(CASE WHEN json_valid(r.response) THEN r.response ELSE '{}' END, '$.output') o) i
  WHERE typeof(i.id) = 'text';
PRAGMA user_version = 3;
)sql";

uint64_t bytes_of(const StoredResponse& turn) {
  return turn.id.size() + turn.key.size() + turn.previous.size() + turn.input.size() + turn.response.size() +
         turn.account.size();
}

/// Rows live this much longer than they must, so that a conversation's rows are rewritten once a day and not each turn.
int64_t slack_us(const ResponseStoreOptions& options) {
  return std::chrono::microseconds(options.keep).count() / 30;
}

Error gone(std::string_view id) {
  Error error{ErrorKind::not_found,
              "gateway",
              Retry::no,
              400,
              "Previous response with id '" + std::string(id.substr(0, 128)) + "' not found.",
              "previous_response_not_found"};
  error.param = "previous_response_id";
  return error;
}

std::string column_text(sqlite3_stmt* row, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
  return text == nullptr ? std::string() : std::string(text, static_cast<size_t>(sqlite3_column_bytes(row, column)));
}

}  // namespace

Error no_item(std::string_view id) {
  Error error{ErrorKind::not_found,
              "gateway",
              Retry::no,
              404,
              "Item with id '" + std::string(id.substr(0, 128)) + "' not found.",
              "item_not_found"};
  error.param = "input";
  return error;
}

/// One connection and its statements. One thread at a time.
struct ResponseStore::Database {
  Connection db;
  Statement begin, commit, rollback, insert, add_item, remove, extend, expire, oldest, total;
  sqlite3_stmt* find = nullptr;
  sqlite3_stmt* find_item = nullptr;

  ~Database() {
    sqlite3_finalize(find);
    sqlite3_finalize(find_item);
  }

  Result<void> open(const std::string& path);
  Result<void> make_schema(const std::string& path);
  Result<void> prepare();
  Result<void> write(const std::vector<Job>& jobs, const ResponseStoreOptions& options, uint64_t& bytes_left);
  Result<void> write_one(const Job& job, const ResponseStoreOptions& options);
};

Result<void> ResponseStore::Database::open(const std::string& path) {
  if (auto ok = db.open(path); !ok) return ok;
  // NORMAL: a commit does not wait for the disk. After a power loss the last answers cannot be gone on from; no money
  // depends on them.
  if (auto ok = db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192;"); !ok)
    return ok;
  if (auto ok = make_schema(path); !ok) return ok;
  return prepare();
}

Result<void> ResponseStore::Database::make_schema(const std::string& path) {
  const auto read = [this](const char* sql) {
    auto statement = db.prepare(sql);
    return statement && statement->step() == SQLITE_ROW ? statement->integer(0) : int64_t{-1};
  };
  const int64_t version = read("PRAGMA user_version");
  if (version < 0) return db.error("cannot be read");
  const bool ours = read("PRAGMA application_id") == kApplicationId;
  if (version == kSchemaVersion && ours) return {};
  const bool empty = version == 0 && read("SELECT count(*) FROM sqlite_master") == 0;
  if (!empty && !((version == 1 || version == 2) && ours))
    return Error{ErrorKind::config, "responses", Retry::no, 500,
                 path + ": is not a file of stored responses of this version; move it away"};
  if (auto ok = db.execute("BEGIN IMMEDIATE"); !ok) return ok;
  Result<void> made;
  if (version < 2) made = db.execute(empty ? kSchema : kFromVersion1);
  if (made) made = db.execute(kItems);
  if (!made) {
    (void)db.execute("ROLLBACK");
    return made;
  }
  return db.execute("COMMIT");
}

Result<void> ResponseStore::Database::prepare() {
  const std::pair<Statement*, const char*> statements[] = {
      {&begin, "BEGIN IMMEDIATE"},
      {&commit, "COMMIT"},
      {&rollback, "ROLLBACK"},
      {&insert,
       // An upstream that names an answer like one of another key's must not take that one's place.
       "INSERT INTO response VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(id) DO UPDATE SET previous=?3, created_us=?4, "
       "expires_us=?5, input=?6, response=?7, account=?8 WHERE key=?2"},
      {&add_item, "INSERT OR REPLACE INTO item VALUES(?1,?2,?3)"},
      {&remove, "DELETE FROM response WHERE id=?1 AND key=?2"},
      // A turn keeps those before it alive, or it could not be gone on from.
      {&extend,
       "WITH RECURSIVE chain(id, previous, turns) AS ("
       "  SELECT id, previous, 1 FROM response WHERE id=?1 AND key=?2"
       "  UNION ALL SELECT r.id, r.previous, c.turns + 1 FROM response r JOIN chain c ON r.id = c.previous"
       "  WHERE r.key=?2 AND c.turns < ?4)"
       "UPDATE response SET expires_us=?3 WHERE id IN (SELECT id FROM chain) AND expires_us < ?5"},
      {&expire, "DELETE FROM response WHERE id IN (SELECT id FROM response WHERE expires_us <= ?1 LIMIT ?2)"},
      {&oldest, "DELETE FROM response WHERE id IN (SELECT id FROM response ORDER BY expires_us LIMIT ?1)"},
      {&total,
       "SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count p, pragma_freelist_count f, "
       "pragma_page_size s"},
  };
  for (const auto& [statement, sql] : statements) {
    auto prepared = db.prepare(sql);
    if (!prepared) return prepared.error();
    *statement = std::move(*prepared);
  }
  if (sqlite3_prepare_v2(
          db.get(),
          "SELECT previous, created_us, expires_us, input, response, account FROM response WHERE id=?1 AND "
          "key=?2 AND expires_us > ?3",
          -1, &find, nullptr) != SQLITE_OK ||
      sqlite3_prepare_v2(db.get(), "SELECT response FROM item WHERE id=?1 AND key=?2", -1, &find_item, nullptr) !=
          SQLITE_OK)
    return db.error("does not have the table of responses as it should be");
  return {};
}

Result<void> ResponseStore::Database::write_one(const Job& job, const ResponseStoreOptions& options) {
  if (!job.row) {
    remove.bind(1, job.id);
    remove.bind(2, job.key);
    return remove.run() == SQLITE_DONE ? Result<void>{} : db.error("cannot remove a response");
  }
  const StoredResponse& turn = job.row->turn;
  insert.bind(1, turn.id);
  insert.bind(2, turn.key);
  insert.bind(3, turn.previous);
  insert.bind(4, job.row->created_us);
  insert.bind(5, job.row->expires_us);
  insert.bind(6, turn.input);
  insert.bind(7, turn.response);
  insert.bind(8, turn.account);
  if (insert.run() != SQLITE_DONE) return db.error("cannot add a response");
  for (const std::string& item : turn.items) {
    add_item.bind(1, item);
    add_item.bind(2, turn.key);
    add_item.bind(3, turn.id);
    if (add_item.run() != SQLITE_DONE) return db.error("cannot add a response's item");
  }
  if (turn.previous.empty()) return {};
  extend.bind(1, turn.previous);
  extend.bind(2, turn.key);
  extend.bind(3, job.row->expires_us);
  extend.bind(4, static_cast<int64_t>(options.chain_turns_max));
  extend.bind(5, job.row->expires_us - slack_us(options));
  return extend.run() == SQLITE_DONE ? Result<void>{} : db.error("cannot prolong a conversation");
}

/// All of them in one transaction, and some of what is too old or too much away.
Result<void> ResponseStore::Database::write(const std::vector<Job>& jobs, const ResponseStoreOptions& options,
                                            uint64_t& bytes_left) {
  if (begin.run() != SQLITE_DONE) return db.error("cannot begin a transaction");
  const auto all = [&]() -> Result<void> {
    for (const Job& job : jobs)
      if (auto ok = write_one(job, options); !ok) return ok;
    expire.bind(1, jobs.back().now_us);
    expire.bind(2, static_cast<int64_t>(kExpiredBatch));
    if (expire.run() != SQLITE_DONE) return db.error("cannot clear expired responses");
    if (total.step() != SQLITE_ROW) return db.error("cannot be read");
    bytes_left = static_cast<uint64_t>(total.integer(0));
    total.reset();
    if (bytes_left <= options.table_bytes_max) return {};
    oldest.bind(1, static_cast<int64_t>(std::max<size_t>(kExpiredBatch, jobs.size())));
    return oldest.run() == SQLITE_DONE ? Result<void>{} : db.error("cannot clear old responses");
  };
  auto done = all();
  if (done && commit.run() == SQLITE_DONE) return {};
  Error error = done ? db.error("cannot commit") : std::move(done).error();
  if (db.in_transaction()) rollback.run();
  return error;
}

ResponseStore::ResponseStore(ResponseStoreOptions options) : options_(options) {}

Result<std::unique_ptr<ResponseStore>> ResponseStore::open(const std::string& path, ResponseStoreOptions options) {
  std::unique_ptr<ResponseStore> store(new ResponseStore(options));
  for (auto* database : {&store->writer_, &store->reader_}) {
    *database = std::make_unique<Database>();
    if (auto ok = (*database)->open(path); !ok) {
      Error error = std::move(ok).error();
      error.kind = ErrorKind::config;
      error.source = "responses";
      return error;
    }
  }
  store->thread_ = std::thread([raw = store.get()] { raw->write_loop(); });
  return store;
}

ResponseStore::~ResponseStore() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool ResponseStore::put(StoredResponse turn, WallTime now) {
  const uint64_t bytes = bytes_of(turn);
  const int64_t created = unix_us(now);
  auto row = std::make_shared<const Row>(
      Row{std::move(turn), created, created + std::chrono::microseconds(options_.keep).count() + slack_us(options_)});
  {
    const std::lock_guard lock(mutex_);
    if (bytes > options_.turn_bytes_max || pending_bytes_ + bytes > options_.pending_bytes_max || closing_) {
      ++stats_.refused;
      return false;
    }
    const auto other = waiting_.find(row->turn.id);
    if (other != waiting_.end() && other->second->turn.key != row->turn.key) {
      ++stats_.refused;
      return false;
    }
    pending_bytes_ += bytes;
    if (const auto gone_now = removing_.find(row->turn.id);
        gone_now != removing_.end() && gone_now->second == row->turn.key)
      removing_.erase(gone_now);
    waiting_[row->turn.id] = row;
    queue_.push_back({row, row->turn.id, row->turn.key, created});
  }
  wake_.notify_one();
  return true;
}

bool ResponseStore::remove(std::string_view id, std::string_view key, WallTime now) {
  if (!turn(id, key, now)) return false;
  {
    const std::lock_guard lock(mutex_);
    const auto found = waiting_.find(std::string(id));
    if (found != waiting_.end() && found->second->turn.key == key) waiting_.erase(found);
    removing_[std::string(id)] = std::string(key);
    queue_.push_back({nullptr, std::string(id), std::string(key), unix_us(now)});
  }
  wake_.notify_one();
  return true;
}

Result<std::shared_ptr<const ResponseStore::Row>> ResponseStore::turn(std::string_view id, std::string_view key,
                                                                      WallTime now) {
  {
    const std::lock_guard lock(mutex_);
    const std::string name(id);
    const auto removed = removing_.find(name);
    if (removed != removing_.end() && removed->second == key) return gone(id);
    // Another key's row that waits under the same id says nothing of this key's: that one may be in the file.
    if (const auto found = waiting_.find(name); found != waiting_.end() && found->second->turn.key == key) {
      if (found->second->expires_us <= unix_us(now)) return gone(id);
      return found->second;
    }
  }
  const std::lock_guard lock(read_mutex_);
  sqlite3_stmt* find = reader_->find;
  sqlite3_bind_text(find, 1, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
  sqlite3_bind_text(find, 2, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
  sqlite3_bind_int64(find, 3, unix_us(now));
  const int rc = sqlite3_step(find);
  Row row;
  if (rc == SQLITE_ROW) {
    row.turn = {std::string(id),
                std::string(key),
                column_text(find, 0),
                column_text(find, 3),
                column_text(find, 4),
                column_text(find, 5),
                {}};
    row.created_us = sqlite3_column_int64(find, 1);
    row.expires_us = sqlite3_column_int64(find, 2);
  }
  sqlite3_reset(find);
  sqlite3_clear_bindings(find);
  if (rc == SQLITE_ROW) return std::make_shared<const Row>(std::move(row));
  if (rc == SQLITE_DONE) return gone(id);
  return reader_->db.error("cannot be read");
}

/// The id of the answer.
Result<std::string> ResponseStore::turn_with(std::string_view item, std::string_view key) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, row] : waiting_) {
      const std::vector<std::string>& items = row->turn.items;
      if (row->turn.key == key && std::find(items.begin(), items.end(), item) != items.end()) return id;
    }
  }
  const std::lock_guard lock(read_mutex_);
  sqlite3_stmt* find = reader_->find_item;
  sqlite3_bind_text(find, 1, item.data(), static_cast<int>(item.size()), SQLITE_STATIC);
  sqlite3_bind_text(find, 2, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
  const int rc = sqlite3_step(find);
  const std::string id = rc == SQLITE_ROW ? column_text(find, 0) : std::string();
  sqlite3_reset(find);
  sqlite3_clear_bindings(find);
  if (rc == SQLITE_ROW) return id;
  if (rc == SQLITE_DONE) return no_item(item);
  return reader_->db.error("cannot be read");
}

Result<StoredResponse> ResponseStore::with_item(std::string_view item, std::string_view key, WallTime now) {
  const auto id = turn_with(item, key);
  if (!id) return id.error();
  auto found = turn(*id, key, now);
  if (!found && found.error().kind == ErrorKind::not_found) return no_item(item);
  if (!found) return std::move(found).error();
  return (*found)->turn;
}

Result<std::vector<StoredResponse>> ResponseStore::conversation(std::string_view id, std::string_view key,
                                                                WallTime now) {
  std::vector<StoredResponse> turns;
  uint64_t bytes = 0;
  for (std::string at(id); !at.empty();) {
    auto found = turn(at, key, now);
    if (!found && found.error().kind == ErrorKind::not_found) return gone(id);
    if (!found) return std::move(found).error();
    bytes += bytes_of((*found)->turn);
    if (bytes > options_.chain_bytes_max || turns.size() >= options_.chain_turns_max)
      return Error{ErrorKind::too_large,
                   "gateway",
                   Retry::no,
                   413,
                   "the conversation behind previous_response_id is over " +
                       std::to_string(options_.chain_bytes_max >> 20) + " MiB or " +
                       std::to_string(options_.chain_turns_max) + " turns; begin a new one",
                   "request_too_large"};
    at = (*found)->turn.previous;
    turns.push_back((*found)->turn);
  }
  if (turns.empty()) return gone(id);
  std::reverse(turns.begin(), turns.end());
  return turns;
}

Result<std::string> ResponseStore::response(std::string_view id, std::string_view key, WallTime now) {
  auto found = turn(id, key, now);
  if (!found) return std::move(found).error();
  return (*found)->turn.response;
}

void ResponseStore::flush() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return queue_.empty() && !busy_; });
}

ResponseStore::Stats ResponseStore::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

// --- the writing thread ---------------------------------------------------------------------------------------------

void ResponseStore::write_loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;  // closing
    std::vector<Job> jobs;
    while (!queue_.empty() && jobs.size() < kBatchMax) {
      jobs.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    busy_ = true;
    lock.unlock();
    write(jobs);
    lock.lock();
    forget(jobs);
    busy_ = false;
    if (queue_.empty()) idle_.notify_all();
  }
}

void ResponseStore::write(const std::vector<Job>& jobs) {
  uint64_t bytes = 0;
  const bool written = writer_->write(jobs, options_, bytes).ok();
  const std::lock_guard lock(mutex_);
  (written ? stats_.written : stats_.failed) += jobs.size();
  if (written) stats_.bytes = bytes;
}

/// What was tried need not stand in memory any more: it is in the file, or the file would not take it. REQUIRES:
/// mutex_.
void ResponseStore::forget(const std::vector<Job>& jobs) {
  for (const Job& job : jobs) {
    if (!job.row) {
      removing_.erase(job.id);
      continue;
    }
    pending_bytes_ -= bytes_of(job.row->turn);
    const auto found = waiting_.find(job.id);
    if (found != waiting_.end() && found->second == job.row) waiting_.erase(found);
  }
}

}  // namespace weir::gateway
