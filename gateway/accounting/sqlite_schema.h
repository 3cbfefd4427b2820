// The tables of the ledger in SQLite, version after version; what they hold is described in README.md of this folder.
// Included by store_sqlite.cpp alone. Constants.
#pragma once

namespace weir::gateway {

/// Each takes a ledger from the version before it to its own; a new one goes through all of them.
inline constexpr const char* kSchemas[] = {R"sql(
CREATE TABLE dimension(
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, team TEXT NOT NULL, model TEXT NOT NULL, target TEXT NOT NULL,
  upstream_model TEXT NOT NULL, UNIQUE(key, team, model, target, upstream_model));
CREATE TABLE request(
  id INTEGER PRIMARY KEY, request_id TEXT, settled_us INTEGER, dimension INTEGER, input INTEGER, cached_input INTEGER,
  output INTEGER, reasoning INTEGER, charge_nanos INTEGER, status INTEGER, error_code TEXT, flags INTEGER,
  attempts INTEGER, total_us INTEGER, first_token_us INTEGER);
CREATE TABLE spend(
  key TEXT NOT NULL, hour INTEGER NOT NULL, requests INTEGER NOT NULL, charge_nanos INTEGER NOT NULL,
  input INTEGER NOT NULL, cached_input INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL,
  first_row INTEGER NOT NULL, last_row INTEGER NOT NULL, PRIMARY KEY(key, hour)) WITHOUT ROWID;
CREATE TABLE journal_position(
  ring INTEGER NOT NULL, generation INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY(ring, generation)) WITHOUT ROWID;
CREATE VIEW requests AS SELECT
  r.id AS id, r.request_id AS request_id,
  strftime('%Y-%m-%dT%H:%M:%f', r.settled_us / 1000000.0, 'unixepoch') || 'Z' AS settled_at,
  d.key AS key, d.team AS team, d.model AS model, d.target AS target, d.upstream_model AS upstream_model,
  r.input AS input_tokens, r.cached_input AS cached_input_tokens, r.output AS output_tokens,
  r.reasoning AS reasoning_tokens, r.charge_nanos AS charge_nanos, r.charge_nanos / 1e9 AS charge_usd,
  r.status AS status, r.error_code AS error_code, r.flags & 1 AS estimated, (r.flags >> 1) & 1 AS stream,
  (r.flags >> 2) & 1 AS cancelled, (r.flags >> 3) & 1 AS fallback, r.attempts AS attempts, r.total_us AS total_us,
  r.first_token_us AS first_token_us
FROM request r JOIN dimension d ON d.id = r.dimension;
PRAGMA user_version = 1;
)sql",
                                           R"sql(
ALTER TABLE request ADD COLUMN cache_write_5m INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN audio_input INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN audio_output INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN cache_write_5m INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN audio_input INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN audio_output INTEGER NOT NULL DEFAULT 0;
DROP VIEW requests;
CREATE VIEW requests AS SELECT
  r.id AS id, r.request_id AS request_id,
  strftime('%Y-%m-%dT%H:%M:%f', r.settled_us / 1000000.0, 'unixepoch') || 'Z' AS settled_at,
  d.key AS key, d.team AS team, d.model AS model, d.target AS target, d.upstream_model AS upstream_model,
  r.input AS input_tokens, r.cached_input AS cached_input_tokens, r.cache_write_5m AS cache_write_5m_tokens,
  r.cache_write_1h AS cache_write_1h_tokens, r.audio_input AS audio_input_tokens, r.output AS output_tokens,
  r.reasoning AS reasoning_tokens, r.audio_output AS audio_output_tokens, r.charge_nanos AS charge_nanos,
  r.charge_nanos / 1e9 AS charge_usd, r.status AS status, r.error_code AS error_code, r.flags & 1 AS estimated,
  (r.flags >> 1) & 1 AS stream, (r.flags >> 2) & 1 AS cancelled, (r.flags >> 3) & 1 AS fallback,
  r.attempts AS attempts, r.total_us AS total_us, r.first_token_us AS first_token_us
FROM request r JOIN dimension d ON d.id = r.dimension;
PRAGMA user_version = 2;
)sql",
                                           R"sql(
ALTER TABLE request ADD COLUMN web_searches INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN tier TEXT;
ALTER TABLE spend ADD COLUMN web_searches INTEGER NOT NULL DEFAULT 0;
DROP VIEW requests;
CREATE VIEW requests AS SELECT
  r.id AS id, r.request_id AS request_id,
  strftime('%Y-%m-%dT%H:%M:%f', r.settled_us / 1000000.0, 'unixepoch') || 'Z' AS settled_at,
  d.key AS key, d.team AS team, d.model AS model, d.target AS target, d.upstream_model AS upstream_model,
  coalesce(r.tier, '') AS tier, r.input AS input_tokens, r.cached_input AS cached_input_tokens,
  r.cache_write_5m AS cache_write_5m_tokens, r.cache_write_1h AS cache_write_1h_tokens,
  r.audio_input AS audio_input_tokens, r.output AS output_tokens, r.reasoning AS reasoning_tokens,
  r.audio_output AS audio_output_tokens, r.web_searches AS web_searches, r.charge_nanos AS charge_nanos,
  r.charge_nanos / 1e9 AS charge_usd, r.status AS status, r.error_code AS error_code, r.flags & 1 AS estimated,
  (r.flags >> 1) & 1 AS stream, (r.flags >> 2) & 1 AS cancelled, (r.flags >> 3) & 1 AS fallback,
  (r.flags >> 4) & 1 AS unpriced, r.attempts AS attempts, r.total_us AS total_us, r.first_token_us AS first_token_us
FROM request r JOIN dimension d ON d.id = r.dimension;
PRAGMA user_version = 3;
)sql"};

}  // namespace weir::gateway
