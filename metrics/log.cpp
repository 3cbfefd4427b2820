#include "metrics/log.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <string>
#include <thread>

namespace weir::metrics {
namespace {

constexpr std::string_view kLevelNames[] = {"debug", "info", "warn", "error"};

void append_integer(std::string& out, int64_t value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

/// Milliseconds as a number with three decimals, from microseconds: 12.345.
void append_ms(std::string& out, int64_t us) {
  append_integer(out, us / 1000);
  const auto rest = static_cast<int>(us % 1000);
  out += '.';
  out += static_cast<char>('0' + rest / 100);
  out += static_cast<char>('0' + rest / 10 % 10);
  out += static_cast<char>('0' + rest % 10);
}

/// Length of the UTF-8 character at the start of the text (RFC 3629, table 3-7 of Unicode 15); 0 if it is malformed.
size_t utf8_length(std::string_view s) {
  const auto byte = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;
    return byte(1) >= low && byte(1) <= high && tail(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
    return byte(1) >= low && byte(1) <= high && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

/// What stands in a JSON string as it is: ASCII but the control characters, '"' and '\\'.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> table{};
  for (size_t c = 0x20; c < 0x7F; ++c) table[c] = c != '"' && c != '\\';
  return table;
}();

void append_text(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  const bool cut = text.size() > kLogLineBytesMax;
  if (cut) text = text.substr(0, kLogLineBytesMax);
  out += '"';
  for (;;) {
    size_t plain = 0;
    while (plain < text.size() && kPlain[static_cast<unsigned char>(text[plain])]) ++plain;
    out.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const auto c = static_cast<unsigned char>(text.front());
    size_t length = 1;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7F) {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else if (length = utf8_length(text); length > 0) {
      out.append(text.substr(0, length));
    } else {
      length = 1;
      out += "\xEF\xBF\xBD";
    }
    text.remove_prefix(length);
  }
  if (cut) out += "…";
  out += '"';
}

/// "2026-03-01T12:34:56.789Z". Each thread remembers the text of the second it last wrote.
void append_time(std::string& out, WallTime time) {
  thread_local int64_t known_second = INT64_MIN;
  thread_local char known_text[40];
  const int64_t ms = unix_us(time) / 1000;
  const int64_t second = ms / 1000;
  if (second != known_second) {
    const time_t seconds = second;
    tm parts{};
    gmtime_r(&seconds, &parts);
    std::snprintf(known_text, sizeof known_text, "%04d-%02d-%02dT%02d:%02d:%02d.", (parts.tm_year + 1900) % 10000,
                  parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    known_second = second;
  }
  out += known_text;
  const auto rest = static_cast<int>(ms % 1000);
  const char tail[] = {static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                       static_cast<char>('0' + rest % 10), 'Z'};
  out.append(tail, sizeof tail);
}

void begin_line(std::string& out, WallTime time, Level level, std::string_view name) {
  out.clear();
  out += R"({"time":")";
  append_time(out, time);
  out += R"(","level":")";
  out += kLevelNames[static_cast<int>(level)];
  out += R"(","event":)";
  append_text(out, name);
}

void append_value(std::string& out, const Field::Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    append_text(out, *text);
  } else if (const auto* integer = std::get_if<int64_t>(&value)) {
    append_integer(out, *integer);
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    out += *flag ? "true" : "false";
  } else {
    const double number = std::get<double>(value);
    char digits[40];
    if (std::isfinite(number)) {
      out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
    } else {
      out += "null";  // JSON has no infinities
    }
  }
}

/// `lead` is all that stands before the value: a comma, the quoted name and a colon.
void field(std::string& out, std::string_view lead, std::string_view text) {
  out.append(lead);
  append_text(out, text);
}

void field(std::string& out, std::string_view lead, int64_t value) {
  out.append(lead);
  append_integer(out, value);
}

std::string& line_buffer() {
  thread_local std::string buffer;
  return buffer;
}

}  // namespace

struct Log::Impl {
  std::atomic<Level> level;
  const int fd;
  std::atomic<uint64_t> dropped{0};

  std::mutex mutex;
  std::condition_variable wake;     // the writer waits for lines
  std::condition_variable written;  // flush() waits for the writer
  std::string pending;
  uint64_t dropped_unsaid = 0;
  uint64_t turn = 0;        // buffers taken by the writer
  uint64_t turns_done = 0;  // of them, written out
  bool hurry = false;       // flush() or much is pending: do not wait out the interval
  bool stopping = false;
  std::thread thread;

  Impl(Level level_, int fd_) : level(level_), fd(fd_) {}

  void push(std::string_view line) {
    bool signal = false;
    {
      const std::lock_guard lock(mutex);
      if (pending.size() + line.size() > kLogBytesMax) {
        ++dropped_unsaid;
        dropped.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      signal = pending.empty();  // the writer sleeps only when nothing is pending
      pending += line;
      if (pending.size() >= kLogBytesWake && !hurry) signal = hurry = true;
    }
    if (signal) wake.notify_one();
  }

  /// Writes it all or gives up: a closed pipe must not end or hang the gateway, and one that nobody reads must not keep
  /// it from ending.
  void write_out(std::string_view bytes) {
    TimePoint last_word = now();
    while (!bytes.empty()) {
      pollfd wait{fd, POLLOUT, 0};
      const int ready = ::poll(&wait, 1, 100);
      ssize_t n = -1;
      errno = EAGAIN;
      // A write of no more than a pipe's atomic size does not block where the pipe is writable (POSIX write()).
      if (ready > 0) n = ::write(fd, bytes.data(), std::min<size_t>(bytes.size(), PIPE_BUF));
      if (n > 0) {
        bytes.remove_prefix(static_cast<size_t>(n));
        last_word = now();
      } else if (errno == EAGAIN || errno == EINTR) {
        const std::lock_guard lock(mutex);
        if (stopping && now() - last_word > kLogGrace) return;
      } else {
        dropped.fetch_add(1, std::memory_order_relaxed);
        return;
      }
    }
  }

  void run() {
    std::string batch;
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return !pending.empty() || hurry || stopping; });
      if (!hurry && !stopping) wake.wait_for(lock, kLogInterval, [&] { return hurry || stopping; });
      hurry = false;
      batch.clear();
      batch.swap(pending);
      const uint64_t said = std::exchange(dropped_unsaid, 0);
      const bool last = stopping;
      ++turn;
      lock.unlock();
      if (said > 0) {
        std::string line;
        begin_line(line, wall_now(), Level::warn, "log_lines_dropped");
        field(line, R"(,"lines":)", static_cast<int64_t>(said));
        batch += line + "}\n";
      }
      write_out(batch);
      lock.lock();
      ++turns_done;
      written.notify_all();
      if (last && pending.empty()) return;
    }
  }
};

Log::Log(Level level, int fd) : impl_(std::make_unique<Impl>(level, fd)) {
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

Log::~Log() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_one();
  impl_->thread.join();
}

bool Log::enabled(Level level) const {
  return level >= impl_->level.load(std::memory_order_relaxed);
}
void Log::set_level(Level level) {
  impl_->level.store(level, std::memory_order_relaxed);
}
uint64_t Log::dropped() const {
  return impl_->dropped.load(std::memory_order_relaxed);
}

void Log::event(Level level, std::string_view name, std::initializer_list<Field> fields) {
  if (!enabled(level)) return;
  std::string& line = line_buffer();
  begin_line(line, wall_now(), level, name);
  for (const Field& f : fields) {
    line += ',';
    append_text(line, f.name);
    line += ':';
    append_value(line, f.value);
  }
  line += "}\n";
  impl_->push(line);
}

void Log::request(const RequestLine& r) {
  if (!enabled(Level::info)) return;
  std::string& line = line_buffer();
  begin_line(line, r.time, Level::info, "request");
  field(line, R"(,"id":)", r.id);
  field(line, R"(,"key":)", r.key);
  if (!r.team.empty()) field(line, R"(,"team":)", r.team);
  field(line, R"(,"model":)", r.model);
  if (!r.target.empty()) field(line, R"(,"target":)", r.target);
  field(line, R"(,"status":)", r.status);
  if (!r.error_code.empty()) field(line, R"(,"code":)", r.error_code);
  if (!r.tier.empty()) field(line, R"(,"tier":)", r.tier);
  if (!r.unpriced_tier.empty()) field(line, R"(,"unpriced_tier":)", r.unpriced_tier);
  field(line, R"(,"attempts":)", r.attempts);
  field(line, R"(,"input_tokens":)", r.input_tokens);
  field(line, R"(,"cached_tokens":)", r.cached_tokens);
  field(line, R"(,"output_tokens":)", r.output_tokens);
  if (r.cache_write_tokens > 0) field(line, R"(,"cache_write_tokens":)", r.cache_write_tokens);
  if (r.audio_input_tokens > 0) field(line, R"(,"audio_input_tokens":)", r.audio_input_tokens);
  if (r.audio_output_tokens > 0) field(line, R"(,"audio_output_tokens":)", r.audio_output_tokens);
  if (r.web_searches > 0) field(line, R"(,"web_searches":)", r.web_searches);
  line += ",\"cost_usd\":\"";
  line += to_decimal_usd(r.cost);
  line += "\",\"total_ms\":";
  append_ms(line, std::max<int64_t>(0, r.total_us));
  if (r.first_token_us >= 0) {
    line += ",\"first_token_ms\":";
    append_ms(line, r.first_token_us);
  }
  if (r.overhead_us >= 0) field(line, R"(,"overhead_us":)", r.overhead_us);
  line += r.stream ? ",\"stream\":true" : ",\"stream\":false";
  if (r.cancelled) line += ",\"cancelled\":true";
  line += "}\n";
  impl_->push(line);
}

void Log::flush() {
  std::unique_lock lock(impl_->mutex);
  const uint64_t wanted = impl_->turn + 1;  // the next buffer the writer takes holds everything up to now
  impl_->hurry = true;
  impl_->wake.notify_one();
  impl_->written.wait_for(lock, 2 * kLogGrace, [&] { return impl_->turns_done >= wanted; });
}

}  // namespace weir::metrics
