#include "tests/gateway/failing_vfs.h"

#include <new>

namespace weir::gateway {
namespace {

std::atomic<int64_t> g_left{-1};  // operations until the one that fails; negative: none will
std::atomic<bool> g_failed{false};
sqlite3_vfs* g_real = nullptr;
sqlite3_vfs g_vfs;

/// Counts an operation. True: it is the one.
bool fails() {
  if (g_left.load() < 0 || g_left.fetch_sub(1) != 0) return false;
  g_failed = true;
  return true;
}

/// A file of ours; the real one's memory follows it.
struct File {
  sqlite3_file base;
  sqlite3_file* real;
};

sqlite3_file* real(sqlite3_file* file) {
  return reinterpret_cast<File*>(file)->real;
}

int close_file(sqlite3_file* file) {
  return real(file)->pMethods->xClose(real(file));
}
int read_file(sqlite3_file* file, void* to, int bytes, sqlite3_int64 at) {
  return fails() ? SQLITE_IOERR_READ : real(file)->pMethods->xRead(real(file), to, bytes, at);
}
int write_file(sqlite3_file* file, const void* from, int bytes, sqlite3_int64 at) {
  return fails() ? SQLITE_FULL : real(file)->pMethods->xWrite(real(file), from, bytes, at);
}
int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  return fails() ? SQLITE_IOERR_TRUNCATE : real(file)->pMethods->xTruncate(real(file), size);
}
int sync_file(sqlite3_file* file, int flags) {
  return fails() ? SQLITE_IOERR_FSYNC : real(file)->pMethods->xSync(real(file), flags);
}
int file_size(sqlite3_file* file, sqlite3_int64* size) {
  return fails() ? SQLITE_IOERR_FSTAT : real(file)->pMethods->xFileSize(real(file), size);
}
int lock_file(sqlite3_file* file, int level) {
  return fails() ? SQLITE_IOERR_LOCK : real(file)->pMethods->xLock(real(file), level);
}
int unlock_file(sqlite3_file* file, int level) {
  return real(file)->pMethods->xUnlock(real(file), level);
}
int check_lock(sqlite3_file* file, int* held) {
  return real(file)->pMethods->xCheckReservedLock(real(file), held);
}
int control(sqlite3_file* file, int what, void* with) {
  return real(file)->pMethods->xFileControl(real(file), what, with);
}
int sector_size(sqlite3_file* file) {
  return real(file)->pMethods->xSectorSize(real(file));
}
int characteristics(sqlite3_file* file) {
  return real(file)->pMethods->xDeviceCharacteristics(real(file));
}
int map_shared(sqlite3_file* file, int page, int size, int extend, void volatile** out) {
  return fails() ? SQLITE_IOERR_SHMMAP : real(file)->pMethods->xShmMap(real(file), page, size, extend, out);
}
int lock_shared(sqlite3_file* file, int offset, int n, int flags) {
  return real(file)->pMethods->xShmLock(real(file), offset, n, flags);
}
void barrier(sqlite3_file* file) {
  real(file)->pMethods->xShmBarrier(real(file));
}
int unmap_shared(sqlite3_file* file, int remove) {
  return real(file)->pMethods->xShmUnmap(real(file), remove);
}

// Version 2: shared memory for the write-ahead log, no memory-mapped reads.
const sqlite3_io_methods kMethods = {2,         close_file,   read_file,       write_file,  truncate_file,
                                     sync_file, file_size,    lock_file,       unlock_file, check_lock,
                                     control,   sector_size,  characteristics, map_shared,  lock_shared,
                                     barrier,   unmap_shared, nullptr,         nullptr};

int open_file(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  auto* ours = new (file) File{};
  if (fails()) return SQLITE_CANTOPEN;
  ours->real = reinterpret_cast<sqlite3_file*>(ours + 1);
  const int rc = g_real->xOpen(g_real, name, ours->real, flags, out_flags);
  if (ours->real->pMethods != nullptr) ours->base.pMethods = &kMethods;
  return rc;
}
int delete_file(sqlite3_vfs*, const char* name, int sync) {
  return fails() ? SQLITE_IOERR_DELETE : g_real->xDelete(g_real, name, sync);
}
int access_file(sqlite3_vfs*, const char* name, int flags, int* out) {
  return fails() ? SQLITE_IOERR_ACCESS : g_real->xAccess(g_real, name, flags, out);
}

}  // namespace

FailingVfs::FailingVfs() {
  g_real = sqlite3_vfs_find(nullptr);
  g_vfs = *g_real;
  g_vfs.zName = "failing";
  g_vfs.pNext = nullptr;
  g_vfs.szOsFile = static_cast<int>(sizeof(File)) + g_real->szOsFile;
  g_vfs.xOpen = open_file;
  g_vfs.xDelete = delete_file;
  g_vfs.xAccess = access_file;
  sqlite3_vfs_register(&g_vfs, 1);
}

FailingVfs::~FailingVfs() {
  g_left = -1;
  sqlite3_vfs_unregister(&g_vfs);
  sqlite3_vfs_register(g_real, 1);
}

void FailingVfs::fail_at(int64_t n) {
  g_failed = false;
  g_left = n;
}

bool FailingVfs::failed() const {
  return g_failed;
}

}  // namespace weir::gateway
