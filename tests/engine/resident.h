// What the long runs need: how long they are told to be, and how much memory the process holds.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>

namespace weir::engine::testing {

inline uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// Bytes of the process that lie in memory.
inline int64_t resident_bytes() {
  int64_t size = 0;
  int64_t resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

/// A sanitizer keeps freed memory to itself: there, resident bytes say nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kResidentMeans = false;
#else
inline constexpr bool kResidentMeans = true;
#endif

}  // namespace weir::engine::testing
