// The sections about the process itself: server, store, metrics, log, health.
#include <filesystem>
#include <fstream>

#include "config/load/scalars.h"
#include "config/load/sections.h"

namespace weir::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr milliseconds kTimeoutMin{1};
constexpr milliseconds kTimeoutMax = hours(24);

bool read_listen(const Cursor& cursor, std::string& host, uint16_t& port) {
  const auto text = cursor.text("host:port");
  if (!text) return false;
  auto address = parse_host_port(*text);
  if (!address) {
    cursor.mistake(cursor.node().reference.empty() ? address.error().detail
                                                   : "must be host:port such as 127.0.0.1:4000, is " + cursor.shown());
    return false;
  }
  host = std::move(address->host);
  port = address->port;
  return true;
}

void read_limits(const Cursor& cursor, ServerLimits& limits) {
  MapReader map(cursor);
  map.size("header", limits.header_bytes_max, 256, kMiB);
  map.size("body", limits.body_bytes_max, 1, 4 * kGiB);
  map.size("bodies", limits.bodies_bytes_max, kMiB, 1024 * kGiB);
  if (limits.bodies_bytes_max < limits.body_bytes_max) {
    if (map.has("bodies"))
      cursor.report().mistake(
          path_of(cursor.path(), "bodies"),
          "must be ≥ body (" + size_to_text(limits.body_bytes_max) + "), is " + size_to_text(limits.bodies_bytes_max));
    else
      limits.bodies_bytes_max = limits.body_bytes_max;
  }
  map.integer("connections", limits.connections_max, 1, 10'000'000);
  map.size("response", limits.response_bytes_max, kKiB, 4 * kGiB);
  map.size("pipelined", limits.pipelined_bytes_max, kKiB, 64 * kMiB);
  map.size("inline", limits.inline_bytes_max, 0, 4 * kGiB);
  map.size("linger", limits.linger_bytes_max, 0, 1024 * kGiB);
  map.duration("idle_timeout", limits.idle_timeout, kTimeoutMin, kTimeoutMax);
  map.duration("header_timeout", limits.header_timeout, kTimeoutMin, kTimeoutMax);
  map.duration("body_timeout", limits.body_timeout, kTimeoutMin, kTimeoutMax);
  map.duration("write_timeout", limits.write_timeout, kTimeoutMin, kTimeoutMax);
  map.duration("linger_timeout", limits.linger_timeout, kTimeoutMin, kTimeoutMax);
  map.finish();
}

void read_pem_path(MapReader& map, std::string_view key, std::string_view remedy, bool touch_files, std::string& out) {
  const auto cursor = map.require(key, remedy);
  if (!cursor) return;
  auto path = cursor->text("the path of a PEM file");
  if (!path) return;
  if (path->empty()) return cursor->mistake("must be the path of a PEM file, is empty");
  out = std::move(*path);
  if (!touch_files) return;
  std::error_code error;
  if (std::filesystem::is_directory(out, error)) return cursor->mistake("is a folder; name the PEM file in it");
  std::ifstream file(out);
  if (!file || file.peek() == std::ifstream::traits_type::eof())
    cursor->mistake(
        "cannot be read, or is empty; check the path (relative to where weir is started) and its permissions");
}

/// One that cannot be read has its mistake already.
bool is_file(const std::string& path) {
  std::ifstream file(path);
  return !path.empty() && file && file.peek() != std::ifstream::traits_type::eof();
}

}  // namespace

void read_threads(MapReader& map, uint32_t& out) {
  const auto cursor = map.get("threads");
  if (!cursor) return;
  const Node& node = cursor->node();
  if (node.kind == Node::Kind::scalar && node.text == "auto")
    out = 0;
  else if (node.kind == Node::Kind::scalar && !node.unusable && !parse_integer(node.text))
    cursor->mistake("must be auto or a whole number, is " + cursor->shown());
  else if (const auto count = cursor->integer(1, 1024))
    out = static_cast<uint32_t>(*count);
}

void read_server(const Cursor& cursor, Reading& reading) {
  ServerConfig& server = reading.config.server;
  MapReader map(cursor);
  if (const auto listen = map.get("listen")) read_listen(*listen, server.listen_host, server.listen_port);
  read_threads(map, server.threads);
  map.integer("workers", server.workers, 1, 64);
  map.duration("drain_timeout", server.drain_timeout, milliseconds(0), kTimeoutMax);
  if (const auto tls_cursor = map.get("tls")) {
    TlsConfig tls;
    MapReader tls_map(*tls_cursor);
    read_pem_path(tls_map, "certificate", "the PEM file of the certificate chain, leaf first", reading.touch_files,
                  tls.certificate_file);
    read_pem_path(tls_map, "key", "the PEM file of the private key", reading.touch_files, tls.key_file);
    tls_map.finish();
    const auto& bad_tls = reading.known.bad_tls;
    if (reading.touch_files && bad_tls && is_file(tls.certificate_file) && is_file(tls.key_file))
      if (const auto why = bad_tls(tls.certificate_file, tls.key_file)) tls_cursor->mistake(*why);
    server.tls = std::move(tls);
  }
  if (const auto limits = map.get("limits")) read_limits(*limits, server.limits);
  map.finish();
}

void read_store(const Cursor& cursor, Reading& reading) {
  StoreConfig& store = reading.config.store;
  MapReader map(cursor);
  if (const auto url = map.get("url")) {
    if (auto text = url->text("a store URL such as sqlite:weir.db")) {
      // Other URLs may hold a password, so none is shown.
      if (text->starts_with("postgres"))
        url->mistake("PostgreSQL is not available in this version; write sqlite:weir.db");
      else if (!text->starts_with("sqlite:") || text->size() == std::string_view("sqlite:").size())
        url->mistake("must be sqlite: and the path of the file, such as sqlite:weir.db");
      else
        store.url = std::move(*text);
    }
  }
  map.size("journal", store.journal_bytes, 64 * kKiB, 4 * kGiB);
  map.finish();
}

void read_metrics(const Cursor& cursor, Reading& reading) {
  MetricsConfig& metrics = reading.config.metrics;
  MapReader map(cursor);
  if (const auto listen = map.get("listen")) {
    std::string host;
    if (read_listen(*listen, host, metrics.listen_port)) metrics.listen_host = std::move(host);
  }
  map.integer("series", metrics.series_max, 10, 10'000'000);
  map.finish();
}

void read_log(const Cursor& cursor, Reading& reading) {
  LogConfig& log = reading.config.log;
  const std::vector<std::string> levels = {"debug", "info", "warn", "error"};  // in the order of LogConfig::Level
  MapReader map(cursor);
  if (const auto level = map.get("level"))
    if (const auto name = level->choice(levels))
      for (size_t i = 0; i < levels.size(); ++i)
        if (levels[i] == *name) log.level = static_cast<LogConfig::Level>(i);
  map.boolean("requests", log.requests);
  map.finish();
}

void read_health(const Cursor& cursor, Reading& reading) {
  HealthConfig& health = reading.config.health;
  MapReader map(cursor);
  map.duration("cooldown", health.cooldown, kTimeoutMin, kTimeoutMax);
  map.duration("cooldown_max", health.cooldown_max, kTimeoutMin, kTimeoutMax);
  if (health.cooldown_max < health.cooldown) {
    // Only a maximum that somebody wrote can be wrong; the default follows a longer first cooldown.
    if (map.has("cooldown_max"))
      reading.report.mistake(path_of(cursor.path(), "cooldown_max"), "must be ≥ cooldown (" + to_text(health.cooldown) +
                                                                         "), is " + to_text(health.cooldown_max));
    else
      health.cooldown_max = health.cooldown;
  }
  map.duration("day_cooldown_max", health.day_cooldown_max, kTimeoutMin, kTimeoutMax);
  if (health.day_cooldown_max < health.cooldown_max)
    reading.report.mistake(
        path_of(cursor.path(), "day_cooldown_max"),
        "must be ≥ cooldown_max (" + to_text(health.cooldown_max) + "), is " + to_text(health.day_cooldown_max));
  map.duration("credential_cooldown", health.credential_cooldown, kTimeoutMin, kTimeoutMax);
  map.integer("failures", health.failures_to_cool, 1, 1000);
  map.finish();
}

}  // namespace weir::config
