// The sections that name what can serve: accounts at providers, and in-process engines.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "config/base/nearest.h"
#include "config/device.h"
#include "config/load/scalars.h"
#include "config/load/sections.h"

namespace weir::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr int64_t kRateMax = 1'000'000'000'000;
constexpr int64_t kConcurrencyMax = 10'000'000;

/// The keys that only the accounts of one provider have. They reach the provider in AccountConfig::options (as text) or
/// ::secrets.
struct ProviderOption {
  std::string_view provider;
  std::string_view key;
  enum class Kind : uint8_t {
    header_text,  // goes into a header line or a path: no control characters
    duration,     // handed on in milliseconds, as "250ms"
    secret,
    secret_file,  // the name of a file; what reaches the provider is its content
  } kind;
  bool required = false;
};

using Kind = ProviderOption::Kind;
constexpr ProviderOption kProviderOptions[] = {
    {"openai", "organization", Kind::header_text},
    {"openai", "project", Kind::header_text},
    {"azure", "api_version", Kind::header_text},
    {"azure", "tenant_id", Kind::header_text},
    {"azure", "client_id", Kind::header_text},
    {"azure", "client_secret", Kind::secret},
    {"azure", "authority", Kind::header_text},
    {"anthropic", "auth_token", Kind::secret},
    {"vertex", "project", Kind::header_text, true},
    {"vertex", "location", Kind::header_text},
    {"vertex", "credentials", Kind::secret_file},
    {"vertex", "access_token", Kind::secret},
    {"bedrock", "region", Kind::header_text, true},
    {"bedrock", "access_key_id", Kind::header_text},
    {"bedrock", "secret_access_key", Kind::secret},
    {"bedrock", "session_token", Kind::secret},
    {"echo", "delay", Kind::duration},
    {"echo", "chunk_delay", Kind::duration},
};

constexpr uint64_t kSecretFileBytesMax = 64 * 1024;

void read_secret_file(const Cursor& cursor, Reading& reading, const std::string& key, AccountConfig& account) {
  const auto name = cursor.text("the name of a file");
  if (!name || !reading.touch_files) return;
  std::ifstream file(*name, std::ios::binary);
  std::string content(kSecretFileBytesMax + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  if (content.empty() || content.size() > kSecretFileBytesMax)
    return cursor.mistake("cannot be read (or is empty, or over 64 KiB): " + cursor.shown());
  account.secrets.insert_or_assign(key, Secret(std::move(content)));
}

void read_option(const ProviderOption& option, const Cursor& cursor, Reading& reading, AccountConfig& account) {
  const std::string key(option.key);
  switch (option.kind) {
    case Kind::duration:
      if (const auto value = cursor.duration(milliseconds(0), hours(1)))
        account.options[key] = std::to_string(value->count()) + "ms";
      break;
    case Kind::header_text:
      if (const auto value = cursor.secret()) account.options[key] = value->reveal();  // a secret's rules fit
      break;
    case Kind::secret:
      if (auto value = cursor.secret()) account.secrets.insert_or_assign(key, std::move(*value));
      break;
    case Kind::secret_file:
      read_secret_file(cursor, reading, key, account);
      break;
  }
}

void read_options(MapReader& map, Reading& reading, AccountConfig& account) {
  for (const auto& option : kProviderOptions) {
    if (option.provider != account.provider) continue;
    const std::string wanted = "what " + account.provider + " accounts need";
    const auto cursor = option.required ? map.require(option.key, wanted) : map.get(option.key);
    if (cursor) read_option(option, *cursor, reading, account);
  }
}

/// False if the provider is not one of this version: the account's other keys then cannot be judged.
bool read_provider(MapReader& map, const KnownNames& known, AccountConfig& account) {
  std::string names;
  for (const auto& name : known.providers) names += (names.empty() ? "" : ", ") + name;
  const auto cursor = map.require("provider", "one of " + names);
  if (!cursor) return false;
  auto name = cursor->text("the name of a provider");
  if (!name) return false;
  if (std::find(known.providers.begin(), known.providers.end(), *name) != known.providers.end()) {
    account.provider = std::move(*name);
    return true;
  }
  cursor->mistake("unknown provider " + cursor->shown() + "; this version has " + names +
                  did_you_mean(*name, known.providers));
  return false;
}

void read_account(const Cursor& cursor, Reading& reading, AccountConfig account) {
  MapReader map(cursor);
  const bool judged = read_provider(map, reading.known, account);
  if (const auto url = map.get("base_url")) {
    if (const auto text = url->text("a URL")) {
      auto good = parse_base_url(*text);
      if (good)
        account.base_url = std::move(*good);
      else
        url->mistake(url->node().reference.empty() ? good.error().detail
                                                   : "must be an http:// or https:// URL, is " + url->shown());
    }
  }
  if (const auto key = map.get("api_key"))
    if (auto secret = key->secret()) account.api_key = std::move(*secret);
  if (const auto limits = map.get("limits")) read_rate_limits(*limits, account.limits);
  map.duration("connect_timeout", account.connect_timeout, milliseconds(1), hours(1));
  map.integer("idle_connections", account.idle_connections_max, 0, 1'000'000);
  map.duration("idle_connection_timeout", account.idle_connection_timeout, milliseconds(1), hours(24));
  if (judged) {
    map.boolean("drop_params", account.drop_params);
    read_options(map, reading, account);
    map.finish();
    if (account.provider == "openai" && account.base_url.empty() && !map.has("api_key"))
      reading.report.warning(cursor.path(), "no api_key for the provider's own URL; its calls will be refused");
  }
  reading.config.accounts.push_back(std::move(account));
}

void read_choice(MapReader& map, std::string_view key, const std::vector<std::string>& choices, std::string& out) {
  const auto cursor = map.get(key);
  if (!cursor) return;
  if (auto name = cursor->choice(choices)) out = std::move(*name);
}

/// A number behind "cuda:" is one of many; all else is a choice.
void read_device(MapReader& map, std::string& out) {
  const auto cursor = map.get("device");
  if (!cursor) return;
  const auto name = cursor->text(kDevices);
  if (!name) return;
  if (!device_of(*name))
    cursor->mistake("must be " + std::string(kDevices) + ", is " + cursor->shown() +
                    did_you_mean(*name, {"auto", "cpu", "cuda"}));
  else
    out = *name;
}

void read_kv_cache(const Cursor& cursor, const std::string& device, KvCacheConfig& cache) {
  MapReader map(cursor);
  uint64_t memory = 0;
  map.size("memory", memory, kMiB, 16 * kTiB);
  if (memory > 0) cache.memory_bytes = memory;
  map.size("host_memory", cache.host_memory_bytes, 0, 16 * kTiB);
  map.integer("block_size", cache.block_tokens, 1, 1024);
  read_choice(map, "dtype", {"auto", "f32", "bf16", "f16", "fp8", "int8"}, cache.dtype);
  map.boolean("prefix", cache.prefix_reuse);
  read_choice(map, "policy", {"lru", "cost"}, cache.policy);
  if (const auto host = map.get("host_memory"); host && cache.host_memory_bytes > 0) {
    if (device == "cpu") {
      host->mistake(
          "is for what a GPU gives up; on the CPU the blocks lie in that memory already: raise memory instead");
    } else if (!cache.prefix_reuse) {
      host->mistake("keeps prefixes, and prefix: false keeps none; leave out one of the two");
    }
  }
  map.finish();
}

void read_engine(const Cursor& cursor, Reading& reading, EngineConfig engine) {
  MapReader map(cursor);
  if (const auto model = map.require("model", "builtin:weir-tiny, or the folder of a Hugging Face model")) {
    if (auto text = model->text("builtin:weir-tiny or a folder")) {
      if (text->empty() || (text->starts_with("builtin:") && *text != "builtin:weir-tiny"))
        model->mistake("must be builtin:weir-tiny or the folder of a Hugging Face model, is " + model->shown());
      else
        engine.model = std::move(*text);
    }
    std::error_code error;
    if (reading.touch_files && !engine.model.empty() && !engine.model.starts_with("builtin:") &&
        !std::filesystem::is_directory(engine.model, error))
      reading.report.warning(model->path(), "there is no folder " + model->shown() + " on this machine");
  }
  read_device(map, engine.device);
  read_choice(map, "quantization", {"none", "int8", "fp8", "int4"}, engine.quantization);
  map.integer("tensor_parallel", engine.tensor_parallel, 1, 64);
  map.integer("replicas", engine.replicas, 1, 64);
  if (const auto cache = map.get("kv_cache")) read_kv_cache(*cache, engine.device, engine.kv_cache);
  map.integer("max_sequences", engine.max_sequences, 1, 65'536);
  map.integer("queue", engine.queue_max, 0, 1'000'000);
  map.integer("step_tokens", engine.step_tokens_max, 1, 1'000'000);
  map.integer("context", engine.context_tokens, 1, 100'000'000);
  read_threads(map, engine.threads);
  map.duration("step_timeout", engine.step_timeout, milliseconds(1), std::chrono::hours(24));
  map.finish();
  reading.config.engines.push_back(std::move(engine));
}

/// '/' would make "account/model", the label of a target, ambiguous.
bool good_name(const std::string& name, const Cursor& cursor) {
  const auto bad = bad_name(name, "/");
  if (bad) cursor.report().mistake(cursor.owner(), cursor.path(), *bad);
  return !bad;
}

}  // namespace

void read_rate_limits(const Cursor& cursor, RateLimits& limits) {
  MapReader map(cursor);
  map.integer("rpm", limits.requests_per_minute, 1, kRateMax);
  map.integer("tpm", limits.tokens_per_minute, 1, kRateMax);
  map.integer("concurrency", limits.concurrency, 1, kConcurrencyMax);
  map.finish();
}

void read_accounts(const Cursor& cursor, Reading& reading) {
  cursor.named([&](const std::string& name, const Cursor& entry) {
    AccountConfig account;
    account.name = name;
    if (good_name(name, entry)) read_account(entry, reading, std::move(account));
  });
}

void read_engines(const Cursor& cursor, Reading& reading) {
  cursor.named([&](const std::string& name, const Cursor& entry) {
    EngineConfig engine;
    engine.name = name;
    if (good_name(name, entry)) read_engine(entry, reading, std::move(engine));
  });
}

}  // namespace weir::config
