#include "gateway/accounting/ledger.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "gateway/accounting/ingest.h"
#include "gateway/accounting/journal.h"
#include "gateway/accounting/record.h"
#include "gateway/accounting/store.h"

namespace weir::gateway {
namespace {

using metrics::Level;
using std::chrono::milliseconds;

constexpr int kIdleRounds = 8;            // empty rounds until the thread sleeps for good
constexpr milliseconds kRetryFirst{100};  // after a failed transaction; doubles
constexpr milliseconds kRetryMax{5'000};
constexpr std::chrono::seconds kRepeatComplaint{30};  // a failure that lasts is logged so often
constexpr milliseconds kQueryFlush{10'000};           // spent_between() and totals() wait so long for the journals
constexpr milliseconds kFailingFlush{2'000};          // or so long where the store fails already

/// One Weir a ledger: the lock dies with the process, however it dies.
Result<int> lock_file(const std::string& path) {
  const std::string name = path + ".lock";
  const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0)
    return Error{
        ErrorKind::config, "ledger", Retry::no, 500,
        name + ": cannot be made: " + std::strerror(errno) + ". store.url must name a file in a writable folder."};
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  ::close(fd);
  return Error{ErrorKind::config, "ledger", Retry::no, 500,
               path + ": another weir process uses this ledger. Stop it, or give this one its own store.url."};
}

/// Whatever links lead to it, it is one ledger: one lock, one set of journals. Makes the file, since a link to nothing
/// cannot be followed.
std::string without_links(const std::string& path) {
  if (const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640); fd >= 0) ::close(fd);
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(path, error);
  return error ? path : real.string();
}

}  // namespace

struct Ledger::Impl {
  metrics::Log& log;
  LedgerOptions options;
  int lock_fd = -1;
  std::unique_ptr<Store> store;  // the ledger thread's
  std::mutex reader_mutex;
  std::unique_ptr<Store> reader;  // queries
  std::vector<std::unique_ptr<Journal>> journals;
  std::unique_ptr<Ingester> ingester;
  uint64_t replayed = 0;

  std::atomic<bool> sleeping{false};  // the thread waits until somebody appends
  std::atomic<bool> healthy{true};
  std::atomic<uint64_t> ingested{0};
  std::atomic<uint64_t> failures{0};

  mutable std::mutex mutex;
  std::condition_variable wake;      // the ledger thread waits here
  std::condition_variable progress;  // flush() waits here
  bool hurry = false;
  bool stopping = false;
  std::string reason;
  std::thread thread;

  explicit Impl(metrics::Log& log_) : log(log_) {}
  ~Impl() {
    if (lock_fd >= 0) ::close(lock_fd);
  }

  /// After an append. Its store of head and this load are in one total order with the thread's store of `sleeping` and
  /// its last look at head: one of the two sees the other.
  void appended() {
    if (!sleeping.load() || !sleeping.exchange(false)) return;
    const std::lock_guard lock(mutex);
    wake.notify_one();
  }

  bool empty() const {
    return std::all_of(journals.begin(), journals.end(), [](const auto& j) { return j->head() == j->tail(); });
  }

  void failed(const Error& error, TimePoint& complained) {
    failures.fetch_add(1, std::memory_order_relaxed);
    {
      const std::lock_guard lock(mutex);
      reason = error.detail;
    }
    const bool was_healthy = healthy.exchange(false);
    if (!was_healthy && now() - complained < kRepeatComplaint) return;
    complained = now();
    log.event(Level::error, "ledger_failed", {{"reason", error.detail}, {"backlog_bytes", backlog()}});
  }

  void recovered() {
    if (healthy.exchange(true)) return;
    {
      const std::lock_guard lock(mutex);
      reason.clear();
    }
    log.event(Level::info, "ledger_recovered", {{"backlog_bytes", backlog()}});
  }

  uint64_t backlog() const {
    uint64_t bytes = 0;
    for (const auto& journal : journals) {
      const uint64_t tail = journal->tail();  // before head: the other way round it could be the larger
      bytes += journal->head() - tail;
    }
    return bytes;
  }

  void run() {
    int idle = 0;
    milliseconds retry = kRetryFirst;
    TimePoint complained{};
    for (;;) {
      auto rows = ingester->once();
      if (rows) {
        recovered();
        retry = kRetryFirst;
        ingested.fetch_add(*rows, std::memory_order_relaxed);
        idle = *rows > 0 ? 0 : idle + 1;
      } else {
        failed(rows.error(), complained);
      }
      std::unique_lock lock(mutex);
      progress.notify_all();
      if (stopping && (!rows || *rows == 0)) return;
      if (stopping) continue;
      const auto called = [&] { return hurry || stopping; };
      if (!rows) {
        wake.wait_for(lock, retry, called);
        retry = std::min(retry * 2, kRetryMax);
      } else if (idle < kIdleRounds) {
        wake.wait_for(lock, options.batch_interval, called);
      } else {
        sleeping.store(true);
        if (empty()) wake.wait(lock, [&] { return called() || !sleeping.load(); });
        sleeping.store(false);
        idle = 0;
      }
      hurry = false;
    }
  }

  Result<void> flush(milliseconds timeout) {
    std::vector<uint64_t> heads;
    heads.reserve(journals.size());
    for (const auto& journal : journals) heads.push_back(journal->head());
    const auto done = [&] {
      for (size_t i = 0; i < journals.size(); ++i)
        if (journals[i]->tail() < heads[i]) return false;
      return true;
    };
    if (done()) return {};
    std::unique_lock lock(mutex);
    hurry = true;
    wake.notify_one();
    if (progress.wait_for(lock, timeout, done)) return {};
    if (!healthy) return Error{ErrorKind::internal, "ledger", Retry::no, 503, reason};
    return Error{ErrorKind::timeout, "ledger", Retry::no, 503,
                 "The ledger did not take all rows within " + std::to_string(timeout.count()) + " ms."};
  }

  /// Everything in: the journals have done their work. Otherwise they stay, and the next start ingests them.
  void close() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      wake.notify_one();
    }
    thread.join();
    ingester.reset();
    if (!empty() || !healthy) return;
    auto done = store->sync();
    if (done) done = remove_journals(std::move(journals), *store);
    if (!done) log.event(Level::warn, "ledger_left_journals", {{"reason", done.error().detail}});
  }
};

RowReservation::RowReservation(RowReservation&& other) noexcept
    : ledger_(other.ledger_), journal_(std::exchange(other.journal_, nullptr)), bytes_(other.bytes_) {}

RowReservation& RowReservation::operator=(RowReservation&& other) noexcept {
  if (this == &other) return *this;
  release();
  ledger_ = other.ledger_;
  journal_ = std::exchange(other.journal_, nullptr);
  bytes_ = other.bytes_;
  return *this;
}

void RowReservation::append(const LedgerRow& row) {
  Journal* journal = std::exchange(journal_, nullptr);
  assert(journal != nullptr);
  journal->append(row, bytes_);
  ledger_->impl_->appended();
}

void RowReservation::release() {
  if (Journal* journal = std::exchange(journal_, nullptr)) journal->unreserve(bytes_);
}

uint32_t row_bytes_max(const config::Config& config) {
  size_t key = 0;
  size_t team = 0;
  size_t model = 0;
  size_t target = 0;
  size_t upstream = 0;
  for (const auto& k : config.keys) {
    key = std::max(key, k.name.size());
    team = std::max(team, k.team.size());
  }
  for (const auto& m : config.models) {
    model = std::max(model, m.name.size());
    for (const auto& t : m.targets) {
      target = std::max(target, t.label(m.name).size());
      upstream = std::max({upstream, t.model.size(), m.name.size()});
    }
  }
  for (const auto& e : config.engines) upstream = std::max({upstream, e.model.size(), e.name.size()});
  const size_t bytes = kRecordFixedBytes + kRequestIdBytesMax + kErrorCodeBytesMax + kTierBytesMax + key + team +
                       model + target + upstream;
  return static_cast<uint32_t>(std::min<size_t>((bytes + 7) / 8 * 8, kRecordBytesMax));
}

Result<LedgerOptions> Ledger::options(const config::StoreConfig& store, int cores) {
  constexpr std::string_view kScheme = "sqlite:";
  std::string_view url = store.url;
  if (url.rfind(kScheme, 0) != 0)
    return Error{ErrorKind::config, "ledger", Retry::no, 500,
                 "store.url: \"" + store.url.substr(0, store.url.find(':')) +
                     "\" is not a store of this build. Use sqlite:FILE."};
  url.remove_prefix(kScheme.size());
  if (url.rfind("//", 0) == 0) url.remove_prefix(2);
  if (url.empty())
    return Error{ErrorKind::config, "ledger", Retry::no, 500, "store.url: names no file. Use sqlite:FILE."};
  LedgerOptions options;
  options.path = url;
  options.cores = std::max(1, cores);
  options.journal_bytes = store.journal_bytes;
  return options;
}

Result<std::unique_ptr<Ledger>> Ledger::open(const LedgerOptions& asked, metrics::Log& log) {
  auto impl = std::make_unique<Impl>(log);
  impl->options = asked;
  impl->options.path = without_links(asked.path);
  const LedgerOptions& options = impl->options;
  auto lock = lock_file(options.path);
  if (!lock) return lock.error();
  impl->lock_fd = *lock;
  auto store = open_sqlite_store(options.path);
  if (!store) return store.error();
  impl->store = std::move(*store);
  auto replayed = replay_journals(options.path, *impl->store, log);
  if (!replayed) return replayed.error();
  impl->replayed = *replayed;
  if (*replayed > 0) log.event(Level::info, "ledger_replayed", {{"rows", *replayed}});
  auto reader = open_sqlite_store(options.path);
  if (!reader) return reader.error();
  impl->reader = std::move(*reader);

  const auto cores = static_cast<uint64_t>(std::max(1, options.cores));
  const uint64_t capacity = std::bit_floor(std::max(kJournalBytesMin, options.journal_bytes / cores));
  impl->ingester = std::make_unique<Ingester>(*impl->store, log, Ingester::Source::live);
  for (uint32_t core = 0; core < cores; ++core) {
    auto journal = Journal::create(options.path + ".journal-" + std::to_string(core), core, capacity);
    if (!journal) return journal.error();
    impl->ingester->add(**journal, 0);
    impl->journals.push_back(std::move(*journal));
  }
  impl->thread = std::thread([raw = impl.get()] { raw->run(); });
  return std::unique_ptr<Ledger>(new Ledger(std::move(impl)));
}

Ledger::Ledger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ledger::~Ledger() {
  impl_->close();
}

RowReservation Ledger::reserve(int core, uint32_t row_bytes) {
  RowReservation reservation;
  Journal& journal = *impl_->journals[static_cast<size_t>(core)];
  const uint32_t bytes = std::clamp(row_bytes / 8 * 8, kRecordFixedBytes, kRecordBytesMax);
  if (!journal.reserve(bytes)) return reservation;
  reservation.ledger_ = this;
  reservation.journal_ = &journal;
  reservation.bytes_ = bytes;
  return reservation;
}

Result<void> Ledger::flush(milliseconds timeout) {
  return impl_->flush(timeout);
}

Result<NanoUsd> Ledger::spent_between(std::string_view key, WallTime since, WallTime until) {
  if (auto ok = impl_->flush(healthy() ? kQueryFlush : kFailingFlush); !ok) return ok.error();
  const std::lock_guard lock(impl_->reader_mutex);
  return impl_->reader->spent_between(key, since, until);
}

Result<LedgerTotals> Ledger::totals() {
  if (auto ok = impl_->flush(healthy() ? kQueryFlush : kFailingFlush); !ok) return ok.error();
  const std::lock_guard lock(impl_->reader_mutex);
  return impl_->reader->totals();
}

bool Ledger::healthy() const {
  return impl_->healthy.load();
}

std::string Ledger::reason() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->reason;
}

LedgerStats Ledger::stats() const {
  LedgerStats stats;
  for (const auto& journal : impl_->journals) stats.appended_rows += journal->appended_rows();
  stats.replayed_rows = impl_->replayed;
  stats.ingested_rows = impl_->ingested.load(std::memory_order_relaxed) + impl_->replayed;
  stats.backlog_bytes = impl_->backlog();
  stats.failures = impl_->failures.load(std::memory_order_relaxed);
  stats.idle = impl_->sleeping.load();
  return stats;
}

}  // namespace weir::gateway
