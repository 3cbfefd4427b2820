// SQLite's file layer with a saboteur in it: the Nth operation of the process fails once, as a full or broken disk lets
// it. Becomes the default of every connection opened while it lives. https://www.sqlite.org/vfs.html. One at a time;
// any thread's operations count.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>

namespace weir::gateway {

class FailingVfs {
 public:
  FailingVfs();
  ~FailingVfs();
  FailingVfs(const FailingVfs&) = delete;
  FailingVfs& operator=(const FailingVfs&) = delete;

  /// The `n`th operation from now on (0: the next) fails, and no other. Negative: none.
  void fail_at(int64_t n);
  /// Whether it came to that.
  bool failed() const;
};

}  // namespace weir::gateway
