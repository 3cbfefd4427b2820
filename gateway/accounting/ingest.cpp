#include "gateway/accounting/ingest.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

namespace weir::gateway {
namespace {

namespace fs = std::filesystem;
using metrics::Level;

/// Makes renames and removals in the folder of `path` survive a power loss.
void sync_folder(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  const int fd = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

/// The journals beside a ledger, and unfinished ones (".new"), which never held a row.
std::vector<std::string> journal_files(const std::string& path) {
  const fs::path base(path);
  const std::string prefix = base.filename().string() + ".journal-";
  std::vector<std::string> files;
  std::error_code ignored;
  const fs::path folder = base.parent_path().empty() ? fs::path(".") : base.parent_path();
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) != 0 || name.ends_with(".unreadable")) continue;
    if (name.ends_with(".new")) {
      ::unlink(entry.path().c_str());
      continue;
    }
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

void Ingester::collect(Input& input) {
  const Journal& journal = *input.journal;
  const uint64_t head = journal.head();
  const uint64_t limit = source_ == Source::live ? head : input.position + journal.capacity();
  input.next = input.position;
  while (rows_.size() < kBatchRowsMax) {
    const uint32_t bytes = journal.read(input.next, limit, rows_.emplace_back());
    if (bytes == 0) {
      rows_.pop_back();
      break;
    }
    input.next += bytes;
  }
  if (source_ == Source::live && rows_.size() < kBatchRowsMax && input.next < head) {
    log_.event(Level::error, "journal_damaged",
               {{"file", journal.path()}, {"position", input.next}, {"bytes_lost", head - input.next}});
    input.next = head;
  }
  if (input.next != input.position) positions_.push_back({journal.ring(), journal.generation(), input.next});
}

Result<void> Ingester::resume() {
  auto known = store_.positions();
  if (!known) return known.error();
  for (Input& input : inputs_)
    for (const auto& position : *known)
      if (position.ring == input.journal->ring() && position.generation == input.journal->generation()) {
        input.position = std::max(input.position, position.position);
        input.journal->release(input.position);
      }
  uncertain_ = false;
  return {};
}

Result<size_t> Ingester::once() {
  if (uncertain_)
    if (auto ok = resume(); !ok) return ok.error();
  rows_.clear();
  positions_.clear();
  for (Input& input : inputs_) collect(input);
  if (positions_.empty()) return size_t{0};
  uncertain_ = true;
  if (auto ok = store_.ingest(rows_, positions_); !ok) return ok.error();
  uncertain_ = false;
  for (Input& input : inputs_) {
    if (input.next == input.position) continue;
    input.position = input.next;
    input.journal->release(input.position);
  }
  return rows_.size();
}

namespace {

/// Ingests what `journal` holds from `position` on. After a kill -9 that is every row. After a power loss the store may
/// have fallen back behind rows that the ring has overwritten since: then the rows from `tail` on are still whole.
Result<uint64_t> replay_one(Journal& journal, uint64_t position, Store& store, metrics::Log& log) {
  const uint64_t tail = journal.tail();
  const uint64_t head = journal.head();
  uint64_t rows = 0;
  for (uint64_t start = position;;) {
    Ingester ingester(store, log, Ingester::Source::left_over);
    ingester.add(journal, start);
    for (;;) {
      auto count = ingester.once();
      if (!count) return count.error();
      if (*count == 0) break;
      rows += *count;
    }
    const uint64_t end = ingester.position(0);
    const uint64_t next = end < tail ? tail : head;
    if (end >= head) return rows;
    log.event(Level::error, "journal_torn", {{"file", journal.path()}, {"position", end}, {"bytes_lost", next - end}});
    if (next == head) return rows;
    start = next;
  }
}

}  // namespace

Result<uint64_t> replay_journals(const std::string& path, Store& store, metrics::Log& log) {
  auto known = store.positions();
  if (!known) return known.error();
  std::vector<std::unique_ptr<Journal>> journals;
  std::vector<JournalPosition> gone = *known;
  uint64_t rows = 0;
  for (const std::string& file : journal_files(path)) {
    auto journal = Journal::open(file);
    if (!journal) {
      log.event(Level::error, "journal_unreadable", {{"file", file}, {"reason", journal.error().detail}});
      if (::rename(file.c_str(), (file + ".unreadable").c_str()) != 0)
        return Error{ErrorKind::config, "ledger", Retry::no, 500,
                     file + ": is no journal and cannot be moved aside: " + std::strerror(errno)};
      continue;
    }
    uint64_t position = 0;
    for (const auto& p : *known)
      if (p.ring == (*journal)->ring() && p.generation == (*journal)->generation()) position = p.position;
    std::erase_if(
        gone, [&](const auto& p) { return p.ring == (*journal)->ring() && p.generation == (*journal)->generation(); });
    auto count = replay_one(**journal, position, store, log);
    if (!count) return count.error();
    rows += *count;
    journals.push_back(std::move(*journal));
  }
  if (journals.empty() && gone.empty()) return rows;
  if (auto ok = store.sync(); !ok) return ok.error();
  if (auto ok = remove_journals(std::move(journals), store); !ok) return ok.error();
  if (auto ok = store.forget(gone); !ok) return ok.error();
  return rows;
}

Result<void> remove_journals(std::vector<std::unique_ptr<Journal>> journals, Store& store) {
  // Files first: a position without a file is harmless, a file without its position would be ingested again.
  std::vector<JournalPosition> gone;
  for (const auto& journal : journals) {
    if (::unlink(journal->path().c_str()) != 0)
      return Error{ErrorKind::config, "ledger", Retry::no, 500,
                   journal->path() + ": cannot be removed: " + std::strerror(errno)};
    gone.push_back({journal->ring(), journal->generation(), 0});
  }
  if (!journals.empty()) sync_folder(journals.front()->path());
  return store.forget(gone);
}

}  // namespace weir::gateway
