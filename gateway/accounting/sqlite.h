// SQLite's C interface made safe to hold: a connection and prepared statements that close themselves, errors as Result.
// One thread at a time a connection.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "config/base/result.h"

namespace weir::gateway {

class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  Statement(Statement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
  Statement& operator=(Statement&& other) noexcept {
    std::swap(statement_, other.statement_);
    return *this;
  }
  ~Statement() { sqlite3_finalize(statement_); }

  void bind(int index, int64_t value) { sqlite3_bind_int64(statement_, index, value); }
  /// The text must live until the next reset().
  void bind(int index, std::string_view text) {
    sqlite3_bind_text(statement_, index, text.data() == nullptr ? "" : text.data(), static_cast<int>(text.size()),
                      SQLITE_STATIC);
  }
  void bind_null(int index) { sqlite3_bind_null(statement_, index); }
  int step() { return sqlite3_step(statement_); }
  void reset() { sqlite3_reset(statement_); }
  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  /// Runs it to its end and resets it: SQLITE_DONE, or what went wrong.
  int run() {
    int rc = step();
    while (rc == SQLITE_ROW) rc = step();
    reset();
    return rc;
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

class Connection {
 public:
  Connection() = default;
  ~Connection() { sqlite3_close_v2(db_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<void> open(const std::string& path) {
    path_ = path;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path.c_str(), &db_, flags, nullptr) != SQLITE_OK) return error("cannot be opened");
    sqlite3_extended_result_codes(db_, 1);
    sqlite3_busy_timeout(db_, kBusyTimeoutMs);
    return {};
  }
  Result<void> execute(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error("refused a statement");
    return {};
  }
  Result<Statement> prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK)
      return error("does not have the ledger's tables as they should be");
    return Statement(statement);
  }
  Error error(const std::string& what) const {
    return Error{ErrorKind::internal, "ledger", Retry::no, 503,
                 path_ + ": " + what + ": " + (db_ != nullptr ? sqlite3_errmsg(db_) : "out of memory")};
  }
  sqlite3* get() const { return db_; }
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

 private:
  static constexpr int kBusyTimeoutMs = 2000;  // another program may write to the file for a moment
  std::string path_;
  sqlite3* db_ = nullptr;
};

}  // namespace weir::gateway
