// Where answers of /v1/responses live for `previous_response_id`: one table in an SQLite file of its own, beside the
// ledger's, so that neither waits for the other. Each row holds what one turn said and got; a conversation is the chain
// of rows behind an id, or one row that says which upstream account holds it. Only the key that made a row can read it.
// Any thread may call; put() never waits for the disk: a thread of the store's own writes, and what it has not written
// yet is read from memory.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"

namespace weir::gateway {

/// One turn.
struct StoredResponse {
  std::string id;
  std::string key;       // the name of the key that asked
  std::string previous;  // id of the turn before; empty: the first
  std::string input;     // JSON array of the items that this turn added
  std::string response;  // JSON: the Response object as the client got it
  std::string account;   // empty: we hold the conversation; else the upstream account that holds it and made the id
  std::vector<std::string> items;  // ids of the items of its output
};

struct ResponseStoreOptions {
  std::chrono::seconds keep = std::chrono::hours(24 * 30);  // after its last turn a conversation is gone
  uint64_t turn_bytes_max = 8 * 1024 * 1024;                // a larger turn is not kept; `serve` adds a body
  uint64_t pending_bytes_max = 64 * 1024 * 1024;            // waiting to be written; beyond that, turns are not kept
  uint64_t table_bytes_max = 4ULL * 1024 * 1024 * 1024;     // the oldest go first
  uint64_t chain_bytes_max = 64 * 1024 * 1024;              // of one conversation read back
  uint32_t chain_turns_max = 2000;
};

/// not_found, 404: item_not_found.
Error no_item(std::string_view id);

class ResponseStore {
 public:
  /// Errors: config (the file cannot be opened, is no database, or is another program's).
  static Result<std::unique_ptr<ResponseStore>> open(const std::string& path, ResponseStoreOptions options = {});
  /// Writes what waits.
  ~ResponseStore();
  ResponseStore(const ResponseStore&) = delete;
  ResponseStore& operator=(const ResponseStore&) = delete;

  /// Keeps a turn. False: over a limit, and it is not kept.
  bool put(StoredResponse turn, WallTime now);
  /// The turns from the first to `id`. Errors: not_found (no such id, another key's, expired, a turn before it is
  /// gone), too_large (over chain_bytes_max or chain_turns_max), internal (the database failed).
  Result<std::vector<StoredResponse>> conversation(std::string_view id, std::string_view key, WallTime now);
  /// The Response object alone; the same errors.
  Result<std::string> response(std::string_view id, std::string_view key, WallTime now);
  /// The turn whose output has the item. Error: not_found (404, item_not_found).
  Result<StoredResponse> with_item(std::string_view item, std::string_view key, WallTime now);
  /// False: there is no such answer of this key's.
  bool remove(std::string_view id, std::string_view key, WallTime now);

  /// Waits until everything put or removed before is in the file.
  void flush();
  struct Stats {
    uint64_t written = 0;
    uint64_t refused = 0;  // over a limit
    uint64_t failed = 0;   // the database would not take them
    uint64_t bytes = 0;    // in the file, free pages left out
  };
  Stats stats() const;

 private:
  struct Database;
  struct Row {
    StoredResponse turn;
    int64_t created_us = 0;
    int64_t expires_us = 0;
  };
  struct Job {
    std::shared_ptr<const Row> row;  // null: a removal
    std::string id;
    std::string key;
    int64_t now_us = 0;
  };

  explicit ResponseStore(ResponseStoreOptions options);
  void write_loop();
  void write(const std::vector<Job>& jobs);
  void forget(const std::vector<Job>& jobs);
  Result<std::shared_ptr<const Row>> turn(std::string_view id, std::string_view key, WallTime now);
  Result<std::string> turn_with(std::string_view item, std::string_view key);

  const ResponseStoreOptions options_;
  std::unique_ptr<Database> writer_;  // the writing thread's
  std::mutex read_mutex_;
  std::unique_ptr<Database> reader_;  // under read_mutex_

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::deque<Job> queue_;
  std::unordered_map<std::string, std::shared_ptr<const Row>> waiting_;  // by id; not in the file yet
  std::unordered_map<std::string, std::string> removing_;                // id → key; still in the file
  uint64_t pending_bytes_ = 0;
  bool busy_ = false;
  bool closing_ = false;
  Stats stats_;
  std::thread thread_;
};

}  // namespace weir::gateway
