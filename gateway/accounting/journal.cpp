#include "gateway/accounting/journal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>

namespace weir::gateway {
namespace {

constexpr char kMagic[8] = {'W', 'E', 'I', 'R', 'J', 'R', 'N', 'L'};
constexpr uint32_t kVersion = 3;
constexpr uint32_t kVersionReadMin = 1;  // its records have no cache writes, no audio, no tiers

/// A file descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Error failed(const std::string& path, const std::string& what, int error) {
  return Error{ErrorKind::config, "ledger", Retry::no, 500,
               path + ": " + what + ": " + std::strerror(error) +
                   (error == ENOSPC ? ". Free some disk or lower store.journal." : ".")};
}

uint64_t check_of(const JournalHeader& h) {
  uint64_t check = 0x9E3779B97F4A7C15ULL ^ h.version;
  for (const uint64_t word : {uint64_t{h.ring}, h.generation, h.capacity})
    check = (check ^ word) * 0xC2B2AE3D27D4EB4FULL;
  return check;
}

uint64_t random_generation() {
  std::random_device random;
  return ((uint64_t{random()} << 32) | random()) & INT64_MAX;  // the store's integers are signed
}

}  // namespace

Result<void> Journal::map(int fd, uint64_t capacity) {
  void* page = ::mmap(nullptr, kJournalHeaderBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return failed(path_, "cannot map", errno);
  header_ = static_cast<JournalHeader*>(page);
  void* area = ::mmap(nullptr, 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) return failed(path_, "cannot map", errno);
  data_ = static_cast<std::byte*>(area);
  capacity_ = capacity;
  mask_ = capacity - 1;
  for (const uint64_t at : {uint64_t{0}, capacity})
    if (::mmap(data_ + at, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, kJournalHeaderBytes) ==
        MAP_FAILED)
      return failed(path_, "cannot map", errno);
  return {};
}

Journal::~Journal() {
  if (header_ != nullptr) ::munmap(header_, kJournalHeaderBytes);
  if (data_ != nullptr) ::munmap(data_, 2 * capacity_);
}

Result<std::unique_ptr<Journal>> Journal::create(const std::string& path, uint32_t ring, uint64_t capacity) {
  const std::string temporary = path + ".new";
  const Fd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  if (fd.get() < 0) return failed(temporary, "cannot make the journal", errno);
  const auto size = static_cast<off_t>(kJournalHeaderBytes + capacity);
  if (const int error = ::posix_fallocate(fd.get(), 0, size); error != 0) {
    ::unlink(temporary.c_str());
    return failed(temporary, "cannot allocate " + std::to_string(size) + " bytes for the journal", error);
  }
  std::unique_ptr<Journal> journal(new Journal(path));
  if (auto mapped = journal->map(fd.get(), capacity); !mapped) return mapped.error();
  JournalHeader& header = *journal->header_;
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.ring = ring;
  header.generation = random_generation();
  header.capacity = capacity;
  header.check = check_of(header);
  header.head.store(0, std::memory_order_relaxed);
  header.tail.store(0, std::memory_order_release);
  if (::fsync(fd.get()) != 0) return failed(temporary, "cannot sync the journal", errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed(path, "cannot name the journal", errno);
  return journal;
}

Result<std::unique_ptr<Journal>> Journal::open(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd.get() < 0) return failed(path, "cannot open the journal", errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return failed(path, "cannot read the journal", errno);
  const auto bytes = static_cast<uint64_t>(info.st_size);
  const Error no_journal{ErrorKind::config, "ledger", Retry::no, 500, path + ": this is not a journal of Weir."};
  if (bytes <= kJournalHeaderBytes) return no_journal;
  const uint64_t capacity = bytes - kJournalHeaderBytes;
  if ((capacity & (capacity - 1)) != 0 || capacity < 4096) return no_journal;
  std::unique_ptr<Journal> journal(new Journal(path));
  if (auto mapped = journal->map(fd.get(), capacity); !mapped) return mapped.error();
  const JournalHeader& header = *journal->header_;
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version < kVersionReadMin ||
      header.version > kVersion || header.check != check_of(header) || header.capacity != capacity)
    return no_journal;
  return journal;
}

bool Journal::reserve(uint32_t bytes) {
  const uint64_t wanted = head_ + reserved_ + bytes;
  if (wanted > tail_seen_ + capacity_) {
    tail_seen_ = tail();
    if (wanted > tail_seen_ + capacity_) return false;
  }
  reserved_ += bytes;
  return true;
}

void Journal::append(const LedgerRow& row, uint32_t reserved) {
  head_ += encode(data_ + (head_ & mask_), reserved, row, {header_->generation, head_});
  reserved_ -= reserved;
  header_->head.store(head_);
  rows_.store(rows_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

uint32_t Journal::read(uint64_t position, uint64_t limit, LedgerRow& row) const {
  if (position >= limit || limit - position > capacity_) return 0;
  return decode(data_ + (position & mask_), limit - position, {header_->generation, position}, row);
}

}  // namespace weir::gateway
