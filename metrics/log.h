// The log: one JSON object a line to a file descriptor (stderr), an event a line. A caller formats into its own buffer
// and copies it under a short lock; a thread of the log's own writes every kLogInterval or kLogBytesWake bytes. No
// caller ever waits for the descriptor: when kLogBytesMax are pending, lines are dropped, counted, and the count is
// logged. Prompts, keys and credentials are never handed to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "config/base/clock.h"
#include "config/base/money.h"
#include "config/config.h"

namespace weir::metrics {

using Level = config::LogConfig::Level;

inline constexpr std::chrono::milliseconds kLogInterval{100};
inline constexpr std::chrono::milliseconds kLogGrace{1'000};  // at the end, for a reader who takes nothing
inline constexpr size_t kLogBytesWake = 64 * 1024;
inline constexpr size_t kLogBytesMax = 8 * 1024 * 1024;
inline constexpr size_t kLogLineBytesMax = 16 * 1024;  // a longer text value is cut and marked with "…"

/// A named value of an event. Texts are escaped; invalid UTF-8 becomes U+FFFD.
struct Field {
  using Value = std::variant<std::string_view, int64_t, double, bool>;
  Field(std::string_view name_, std::string_view text) : name(name_), value(text) {}
  Field(std::string_view name_, const char* text) : name(name_), value(std::string_view(text)) {}
  Field(std::string_view name_, const std::string& text) : name(name_), value(std::string_view(text)) {}
  Field(std::string_view name_, bool flag) : name(name_), value(flag) {}
  Field(std::string_view name_, double number) : name(name_), value(number) {}
  template <class Integer>
  requires std::is_integral_v<Integer> Field(std::string_view name_, Integer number)
      : name(name_), value(static_cast<int64_t>(number)) {}
  std::string_view name;
  Value value;
};

/// The line of one request: {"time","level":"info","event":"request","id","key","team","model","target","status",…}.
struct RequestLine {
  WallTime time;
  std::string_view id;
  std::string_view key;
  std::string_view team;
  std::string_view model;
  std::string_view target;
  std::string_view error_code;     // empty: none
  std::string_view tier;           // of service; empty: the standard one
  std::string_view unpriced_tier;  // those terms of it that have no price
  int32_t status = 0;
  int32_t attempts = 0;
  int64_t input_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t output_tokens = 0;
  int64_t cache_write_tokens = 0;  // these four stand in the line only where there are any
  int64_t audio_input_tokens = 0;
  int64_t audio_output_tokens = 0;
  int64_t web_searches = 0;
  NanoUsd cost;
  int64_t total_us = 0;
  int64_t first_token_us = -1;
  int64_t overhead_us = -1;
  bool stream = false;
  bool cancelled = false;
};

class Log {
 public:
  /// Writes to `fd` (not closed). Starts the writer thread.
  explicit Log(Level level = Level::info, int fd = 2);
  ~Log();  // flushes, but waits no longer than kLogGrace for one who reads nothing; joins
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  /// Any thread. The event's name is snake_case; `time` and `level` are added.
  void event(Level level, std::string_view name, std::initializer_list<Field> fields = {});
  void request(const RequestLine& line);

  bool enabled(Level level) const;
  void set_level(Level level);
  /// Returns when everything logged before the call was written (or the descriptor refused it, or took
  /// nothing for a while).
  void flush();
  uint64_t dropped() const;  // lines

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::metrics
