// One function a section of the file: a cursor in, a part of the Config out, mistakes to the report. What concerns
// several sections is checked at the end, by check_references. One thread, one load.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "config/config.h"
#include "config/load.h"
#include "config/load/cursor.h"

namespace weir::config {

inline constexpr int64_t kTokensMax = 100'000'000;  // of an answer, of a context

/// What one load carries from section to section.
struct Reading {
  Config& config;
  Report& report;
  const KnownNames& known;
  bool touch_files = false;  // whether files that the config names (TLS, models) may be looked at
  std::map<std::string, std::optional<std::string>> tokenizers = {};  // looked at already, and what is wrong with them
};

void read_server(const Cursor& cursor, Reading& reading);
void read_store(const Cursor& cursor, Reading& reading);
void read_metrics(const Cursor& cursor, Reading& reading);
void read_log(const Cursor& cursor, Reading& reading);
void read_health(const Cursor& cursor, Reading& reading);
void read_accounts(const Cursor& cursor, Reading& reading);
void read_engines(const Cursor& cursor, Reading& reading);
void read_models(const Cursor& cursor, Reading& reading);
void read_keys(const Cursor& cursor, Reading& reading);

/// `prices:` of a config, or the whole of a prices file. Later names win over those already in the table.
void read_prices(const Cursor& cursor, bool own, PriceTable& prices);

/// `threads: auto` (0) or a number.
void read_threads(MapReader& map, uint32_t& out);

/// rpm, tpm, concurrency.
void read_rate_limits(const Cursor& cursor, RateLimits& limits);

/// Names that are used but not defined, fallbacks that go in circles, models nothing can serve; and, as warnings, what
/// is defined but of no use.
void check_references(Reading& reading);

}  // namespace weir::config
