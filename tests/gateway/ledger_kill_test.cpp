// kill -9 at random instants. A child process (this binary again, the disabled test below) appends rows on two cores
// and acknowledges each through a pipe once append() returned; the parent kills it, starts the next, and in the end
// every acknowledged row must be in the store, once.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <thread>

#include "config/base/rng.h"
#include "gateway/accounting/ledger.h"
#include "tests/gateway/ledger_support.h"

namespace weir::gateway {
namespace {

constexpr int kKills = 60;
constexpr int kCores = 2;
constexpr int kAcknowledgeFd = 99;  // the pipe's end in the child: its standard output is gtest's

/// The child: appends for ever, numbers `first`, `first` + 1, … split over the cores.
TEST(LedgerKillChild, DISABLED_Run) {
  const char* path = std::getenv("WEIR_TEST_LEDGER");
  const char* first = std::getenv("WEIR_TEST_FIRST");
  if (path == nullptr || first == nullptr) GTEST_SKIP() << "only run by LedgerKill";
  const int quiet = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  metrics::Log log(metrics::Level::error, quiet);
  LedgerOptions options;
  options.path = path;
  options.cores = kCores;
  options.journal_bytes = kCores * kJournalBytesMin;  // small: it turns over many times
  options.batch_interval = std::chrono::milliseconds(1);
  auto ledger = Ledger::open(options, log);
  if (!ledger) _exit(3);
  std::vector<std::thread> cores;
  for (int core = 0; core < kCores; ++core)
    cores.emplace_back([&, core] {
      for (int i = std::atoi(first) + core;; i += kCores) {
        RowReservation reservation;
        while (!(reservation = (*ledger)->reserve(core, 512))) std::this_thread::yield();
        reservation.append(sample_row(i));
        if (::write(kAcknowledgeFd, &i, sizeof i) != sizeof i) _exit(4);  // atomic: far below PIPE_BUF
      }
    });
  for (auto& core : cores) core.join();
}

class LedgerKill : public LedgerFolder {
 protected:
  /// Starts the child; its acknowledgements come out of `from_child`.
  pid_t start(int first, int& from_child) {
    int pipe_ends[2];
    if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return -1;
    const std::string path = "WEIR_TEST_LEDGER=" + file("w.db");
    const std::string number = "WEIR_TEST_FIRST=" + std::to_string(first);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(pipe_ends[1], kAcknowledgeFd);
      const int quiet = ::open("/dev/null", O_WRONLY);
      ::dup2(quiet, STDOUT_FILENO);
      ::dup2(quiet, STDERR_FILENO);
      char* const arguments[] = {const_cast<char*>("child"), const_cast<char*>("--gtest_filter=LedgerKillChild.*"),
                                 const_cast<char*>("--gtest_also_run_disabled_tests"), nullptr};
      char* const environment[] = {const_cast<char*>(path.c_str()), const_cast<char*>(number.c_str()), nullptr};
      ::execve("/proc/self/exe", arguments, environment);
      _exit(2);
    }
    ::close(pipe_ends[1]);
    from_child = pipe_ends[0];
    return child;
  }

  std::map<int, int> stored() {
    std::map<int, int> counts;
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(file("w.db").c_str(), &db), SQLITE_OK);
    sqlite3_stmt* rows = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db, "SELECT request_id, charge_nanos FROM requests", -1, &rows, nullptr), SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW) {
      const int number = std::atoi(reinterpret_cast<const char*>(sqlite3_column_text(rows, 0)) + 4);
      EXPECT_EQ(sqlite3_column_int64(rows, 1), sample_row(number).charge.nanos);
      ++counts[number];
    }
    sqlite3_finalize(rows);
    sqlite3_close(db);
    return counts;
  }
};

void parse(const std::string& bytes, std::map<int, int>& acknowledged) {
  for (size_t at = 0; at + sizeof(int) <= bytes.size(); at += sizeof(int)) {
    int number = 0;
    std::memcpy(&number, bytes.data() + at, sizeof number);
    ++acknowledged[number];
  }
}

TEST_F(LedgerKill, EveryAcknowledgedRowIsThereOnce) {
  std::map<int, int> acknowledged;
  Rng rng(42);
  int first = 0;
  for (int kill = 0; kill < kKills; ++kill) {
    int from_child = -1;
    const pid_t child = start(first, from_child);
    ASSERT_GT(child, 0);
    // Die after so many acknowledgements: on some rounds amid the first rows, on some after many turns of the rings.
    const uint64_t die_after = sizeof(int) * (kill % 3 == 0 ? rng.below(50) : rng.below(6000));
    std::string bytes;
    char buffer[4096];
    bool killed = false;
    for (;;) {
      const ssize_t n = ::read(from_child, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;  // dead, and everything it had acknowledged was read
      bytes.append(buffer, static_cast<size_t>(n));
      if (!killed && bytes.size() > die_after) {
        ::kill(child, SIGKILL);
        killed = true;
      }
    }
    ::close(from_child);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    parse(bytes, acknowledged);
    first += 1'000'000;
  }
  const int quiet = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  {
    metrics::Log log(metrics::Level::error, quiet);
    LedgerOptions options;
    options.path = file("w.db");
    auto last = Ledger::open(options, log);
    ASSERT_TRUE(last.ok());
    const auto totals = (*last)->totals();
    ASSERT_TRUE(totals.ok());
    const auto rows = stored();
    EXPECT_EQ(totals->rows, static_cast<int64_t>(rows.size()));
    EXPECT_GT(acknowledged.size(), 10'000u);
    for (const auto& [number, count] : rows) ASSERT_EQ(count, 1) << "row " << number << " is there twice";
    for (const auto& [number, count] : acknowledged)
      ASSERT_TRUE(rows.contains(number)) << "row " << number << " is lost";
    // What was never acknowledged is at most the one row a core that was under way.
    EXPECT_LE(rows.size(), acknowledged.size() + kKills * kCores);
  }
  ::close(quiet);
}

}  // namespace
}  // namespace weir::gateway
