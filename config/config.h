// The configuration as plain structs, units in names. `load.h` makes one from YAML; `snapshot.h` shares it. A Config
// is immutable once published: a request keeps the snapshot it began with, whatever a reload does meanwhile.
// Every list keeps the order of the file; every limit has its default here and nowhere else.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/money.h"
#include "config/base/secret.h"
#include "config/prices.h"

namespace weir::config {

using std::chrono::milliseconds;

struct TlsConfig {
  std::string certificate_file;  // PEM chain, leaf first
  std::string key_file;          // PEM
};

struct ServerLimits {
  uint64_t header_bytes_max = 64 * 1024;           // `header`: request line and header fields together
  uint64_t body_bytes_max = 32 * 1024 * 1024;      // `body`
  uint64_t bodies_bytes_max = 1024 * 1024 * 1024;  // `bodies`: of all requests held at once
  uint64_t connections_max = 16384;                // `connections`: over all cores
  uint64_t response_bytes_max = 64 * 1024 * 1024;  // `response`: of one upstream answer, held in memory
  uint64_t pipelined_bytes_max = 256 * 1024;       // `pipelined`: bytes read ahead of the request being served
  uint64_t inline_bytes_max = 256 * 1024;          // `inline`: longer bodies are read and translated by a worker
  uint64_t linger_bytes_max = 64 * 1024 * 1024;    // `linger`: of a refused request, read and thrown away
  milliseconds idle_timeout{75'000};               // `idle_timeout`: between requests of a connection
  milliseconds header_timeout{10'000};             // `header_timeout`: first byte of a request to the end of its header
  milliseconds body_timeout{60'000};               // `body_timeout`: end of header to end of body
  milliseconds write_timeout{60'000};              // `write_timeout`: a client that does not read
  milliseconds linger_timeout{10'000};             // `linger_timeout`: for what a refused client still sends
};

struct ServerConfig {
  std::string listen_host = "127.0.0.1";
  uint16_t listen_port = 4000;
  uint32_t threads = 0;  // event loops; 0 = auto, one a core
  uint32_t workers = 2;  // threads for what would hold an event loop up: large bodies, /metrics
  milliseconds drain_timeout{30'000};
  std::optional<TlsConfig> tls;
  ServerLimits limits;
};

struct MetricsConfig {
  std::optional<std::string> listen_host;  // its own listener if set
  uint16_t listen_port = 0;
  uint32_t series_max = 20'000;  // `series`: label combinations over all metrics; more fall into "other"
};

struct LogConfig {
  enum class Level { debug, info, warn, error };
  Level level = Level::info;
  bool requests = true;  // one line a request
};

struct StoreConfig {
  std::string url = "sqlite:weir.db";
  uint64_t journal_bytes = 64 * 1024 * 1024;  // `journal`: settled rows not yet in the store, over all cores
};

struct RateLimits {
  std::optional<int64_t> requests_per_minute;  // `rpm`
  std::optional<int64_t> tokens_per_minute;    // `tpm`
  std::optional<int64_t> concurrency;          // requests in flight
};

struct AccountConfig {
  std::string name;
  std::string provider;  // a name of the providers' catalog: "openai", "echo", …
  std::string base_url;  // http or https, without trailing slashes; empty: the provider's own
  Secret api_key;
  RateLimits limits;
  milliseconds connect_timeout{5'000};
  uint32_t idle_connections_max = 256;  // `idle_connections`: a core
  milliseconds idle_connection_timeout{60'000};
  bool drop_params = false;  // leave out what the upstream cannot be told, instead of refusing the request
  std::map<std::string, std::string> options;  // the keys that only this provider has; durations as "250ms"
  std::map<std::string, Secret> secrets;       // those of them that nobody may see: secret_access_key, credentials

  /// The same place, called with the same credential: what is known of its health still holds.
  bool same_upstream(const AccountConfig& other) const {
    return provider == other.provider && base_url == other.base_url && api_key == other.api_key &&
           options == other.options && secrets == other.secrets;
  }
};

struct KvCacheConfig {
  std::optional<uint64_t> memory_bytes;  // `memory`; unset: what max_sequences × context needs, at most 1 GiB
  uint64_t host_memory_bytes = 0;  // `host_memory`: where a GPU's prefixes go when its blocks are used up; 0: nowhere
  uint32_t block_tokens = 16;      // `block_size`
  std::string dtype = "auto";      // or f32, bf16, f16, fp8, int8: of keys and values; auto: f32, on a GPU bf16
  bool prefix_reuse = true;        // `prefix`
  std::string policy = "lru";      // or "cost": which prefixes go when the blocks are used up

  bool operator==(const KvCacheConfig&) const = default;
};

struct EngineConfig {
  std::string name;
  std::string model;  // "builtin:weir-tiny" or a folder
  std::string device = "auto";
  std::string quantization = "none";
  uint32_t tensor_parallel = 1;  // parts that the model is cut into; a GPU each, on the CPU a share of the threads
  uint32_t replicas = 1;         // engines of the model; each has GPUs, KV blocks and a queue of its own
  KvCacheConfig kv_cache;
  uint32_t max_sequences = 64;             // running at once
  uint32_t queue_max = 256;                // waiting; one more answers 429
  uint32_t step_tokens_max = 512;          // `step_tokens`: budget of one step (chunked prefill)
  std::optional<uint32_t> context_tokens;  // `context`: instead of the model's own maximum
  uint32_t threads = 0;                    // kernel threads; 0 = auto
  milliseconds step_timeout{120'000};      // a step that takes longer has stalled: the engine is down until it ends

  bool operator==(const EngineConfig&) const = default;
};

struct TargetConfig {
  std::string account;  // one of account, engine is set
  std::string engine;
  std::string model;      // the upstream's name of the model; empty for an engine or to keep the public name
  uint32_t weight = 1;    // 0 takes the target out
  std::string tokenizer;  // as the model's, and instead of it

  /// "account/model" or "engine/name": what x-weir-target and the metrics show.
  std::string label(const std::string& public_model) const {
    if (!engine.empty()) return "engine/" + engine;
    return account + "/" + (model.empty() ? public_model : model);
  }
};

struct ModelConfig {
  std::string name;  // the public name
  std::string strategy = "weighted";
  std::vector<TargetConfig> targets;
  std::string tokenizer;  // a folder or a tokenizer.json, for what nobody counts; empty: that of an engine target
  std::vector<std::string> fallbacks;           // public model names, tried in order
  uint32_t retries = 2;                         // further attempts on other targets of this model
  milliseconds first_token_timeout{60'000};     // `timeout.first_token`: of streams alone
  std::optional<milliseconds> attempt_timeout;  // `timeout.attempt`: a stream's first token, else the whole answer
  milliseconds total_timeout{600'000};
  std::optional<int64_t> output_tokens_max;  // `max_output_tokens`: the allowance where the client set none
};

struct BudgetConfig {
  NanoUsd limit;
  std::chrono::seconds period{0};  // 0: for ever; else windows aligned to the Unix epoch
};

struct KeyConfig {
  std::string name;                 // unique; what ledger and metrics show
  Sha256 key_sha256{};              // the key itself is not kept
  std::vector<std::string> models;  // public names or patterns with '*'; default ["*"]
  std::optional<BudgetConfig> budget;
  RateLimits limits;
  std::string team;
  int32_t priority = 0;  // -100 to 100, in the queues of local engines; each step is worth ten seconds of waiting
  bool blocked = false;
  std::optional<int64_t> expires_unix_s;  // `expires`: RFC 3339 date or date-time
};

struct HealthConfig {            // `health`
  milliseconds cooldown{5'000};  // first cooldown of a failing target; doubles up to the maximum
  milliseconds cooldown_max{300'000};
  milliseconds day_cooldown_max{86'400'000};  // of a target whose limit of a day is used up
  milliseconds credential_cooldown{60'000};   // 401, 402, 403: an account that a person must mend
  uint32_t failures_to_cool = 3;              // `failures`: consecutive 5xx, connect failures or timeouts
};

struct Config {
  std::string file;      // where it came from, for messages
  Sha256 text_sha256{};  // of the text it was made from
  ServerConfig server;
  MetricsConfig metrics;
  LogConfig log;
  StoreConfig store;
  HealthConfig health;
  Secret admin_key;
  std::vector<AccountConfig> accounts;
  std::vector<EngineConfig> engines;
  std::vector<ModelConfig> models;
  std::vector<KeyConfig> keys;
  PriceTable prices;  // config/prices.yaml with the config's own on top

  const ModelConfig* find_model(std::string_view name) const;
  const AccountConfig* find_account(std::string_view name) const;
  const EngineConfig* find_engine(std::string_view name) const;
};

}  // namespace weir::config
