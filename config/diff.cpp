// What a reload changed, for the log: each struct is laid out as (field, text) lists, and the lists are compared.
#include <algorithm>
#include <map>
#include <utility>

#include "config/load.h"
#include "config/load/report.h"
#include "config/load/scalars.h"

namespace weir::config {
namespace {

struct Field {
  std::string path;
  std::string value;
  bool secret = false;  // compared, never shown
};
using Fields = std::vector<Field>;

std::string text(bool value) {
  return value ? "true" : "false";
}
std::string text(NanoUsd amount) {
  return to_decimal_usd(amount);
}
template <class Int>
std::string number_or_none(const std::optional<Int>& value) {
  return value ? std::to_string(*value) : "none";
}
std::string none_if_empty(const std::string& value) {
  return value.empty() ? "none" : value;
}

std::string list(const std::vector<std::string>& names) {
  std::string out = "[";
  for (const auto& name : names) out += (out.size() > 1 ? ", " : "") + name;
  return out + ']';
}

std::string price_text(PicoUsdPerToken price) {
  // Dollars a million tokens have six decimals in pico-dollars; thousandfold they are nano-dollars.
  return price.picos <= INT64_MAX / 1000 ? to_decimal_usd({price.picos * 1000}) : std::to_string(price.picos) + "e-6";
}

/// Prefixes are added by the caller, so that a list reads like the YAML it came from.
class Layout {
 public:
  void add(std::string path, std::string value) { fields_.push_back({std::move(path), std::move(value)}); }
  template <class Int>
  void number(const std::string& path, Int value) {
    add(path, std::to_string(value));
  }
  void duration(std::string path, std::chrono::milliseconds value) { add(std::move(path), to_text(value)); }
  void size(std::string path, uint64_t bytes) { add(std::move(path), size_to_text(bytes)); }
  void secret(std::string path, std::string value) { fields_.push_back({std::move(path), std::move(value), true}); }
  void rates(const RateLimits& limits) {
    add("limits.rpm", number_or_none(limits.requests_per_minute));
    add("limits.tpm", number_or_none(limits.tokens_per_minute));
    add("limits.concurrency", number_or_none(limits.concurrency));
  }
  Fields take() { return std::move(fields_); }

 private:
  Fields fields_;
};

void lay_out_server(const ServerConfig& server, Layout& out) {
  out.add("server.listen", server.listen_host + ':' + std::to_string(server.listen_port));
  out.add("server.threads", server.threads == 0 ? "auto" : std::to_string(server.threads));
  out.number("server.workers", server.workers);
  out.duration("server.drain_timeout", server.drain_timeout);
  out.add("server.tls.certificate", server.tls ? server.tls->certificate_file : "none");
  out.add("server.tls.key", server.tls ? server.tls->key_file : "none");
  out.size("server.limits.header", server.limits.header_bytes_max);
  out.size("server.limits.body", server.limits.body_bytes_max);
  out.size("server.limits.bodies", server.limits.bodies_bytes_max);
  out.number("server.limits.connections", server.limits.connections_max);
  out.size("server.limits.response", server.limits.response_bytes_max);
  out.size("server.limits.pipelined", server.limits.pipelined_bytes_max);
  out.size("server.limits.inline", server.limits.inline_bytes_max);
  out.size("server.limits.linger", server.limits.linger_bytes_max);
  out.duration("server.limits.idle_timeout", server.limits.idle_timeout);
  out.duration("server.limits.header_timeout", server.limits.header_timeout);
  out.duration("server.limits.body_timeout", server.limits.body_timeout);
  out.duration("server.limits.write_timeout", server.limits.write_timeout);
  out.duration("server.limits.linger_timeout", server.limits.linger_timeout);
}

Fields lay_out_process(const Config& config) {
  constexpr const char* kLevels[] = {"debug", "info", "warn", "error"};
  Layout out;
  lay_out_server(config.server, out);
  out.secret("admin_key", config.admin_key.reveal());
  out.add("store.url", config.store.url);
  out.size("store.journal", config.store.journal_bytes);
  const auto& metrics = config.metrics;
  out.add("metrics.listen",
          metrics.listen_host ? *metrics.listen_host + ':' + std::to_string(metrics.listen_port) : "none");
  out.number("metrics.series", metrics.series_max);
  out.add("log.level", kLevels[static_cast<size_t>(config.log.level)]);
  out.add("log.requests", text(config.log.requests));
  out.duration("health.cooldown", config.health.cooldown);
  out.duration("health.cooldown_max", config.health.cooldown_max);
  out.duration("health.day_cooldown_max", config.health.day_cooldown_max);
  out.duration("health.credential_cooldown", config.health.credential_cooldown);
  out.number("health.failures", config.health.failures_to_cool);
  return out.take();
}

Fields lay_out(const AccountConfig& account) {
  Layout out;
  out.add("provider", account.provider);
  out.add("base_url", none_if_empty(account.base_url));
  out.secret("api_key", account.api_key.reveal());
  out.rates(account.limits);
  out.duration("connect_timeout", account.connect_timeout);
  out.number("idle_connections", account.idle_connections_max);
  out.duration("idle_connection_timeout", account.idle_connection_timeout);
  out.add("drop_params", text(account.drop_params));
  for (const auto& [key, value] : account.options) out.add(key, value);
  for (const auto& [key, value] : account.secrets) out.secret(key, value.reveal());
  return out.take();
}

Fields lay_out(const EngineConfig& engine) {
  Layout out;
  out.add("model", engine.model);
  out.add("device", engine.device);
  out.add("quantization", engine.quantization);
  out.number("tensor_parallel", engine.tensor_parallel);
  out.number("replicas", engine.replicas);
  out.add("kv_cache.memory", engine.kv_cache.memory_bytes ? size_to_text(*engine.kv_cache.memory_bytes) : "none");
  out.add("kv_cache.host_memory", size_to_text(engine.kv_cache.host_memory_bytes));
  out.number("kv_cache.block_size", engine.kv_cache.block_tokens);
  out.add("kv_cache.dtype", engine.kv_cache.dtype);
  out.add("kv_cache.prefix", text(engine.kv_cache.prefix_reuse));
  out.add("kv_cache.policy", engine.kv_cache.policy);
  out.number("max_sequences", engine.max_sequences);
  out.number("queue", engine.queue_max);
  out.number("step_tokens", engine.step_tokens_max);
  out.add("context", number_or_none(engine.context_tokens));
  out.add("threads", engine.threads == 0 ? "auto" : std::to_string(engine.threads));
  out.duration("step_timeout", engine.step_timeout);
  return out.take();
}

Fields lay_out(const ModelConfig& model) {
  Layout out;
  out.add("strategy", model.strategy);
  for (size_t i = 0; i < model.targets.size(); ++i) {
    const std::string path = "targets[" + std::to_string(i) + ']';
    out.add(path, model.targets[i].label(model.name));
    out.number(path + ".weight", model.targets[i].weight);
    if (!model.targets[i].tokenizer.empty()) out.add(path + ".tokenizer", model.targets[i].tokenizer);
  }
  if (!model.tokenizer.empty()) out.add("tokenizer", model.tokenizer);
  out.add("fallbacks", list(model.fallbacks));
  out.number("retries", model.retries);
  out.duration("timeout.first_token", model.first_token_timeout);
  if (model.attempt_timeout) out.duration("timeout.attempt", *model.attempt_timeout);
  out.duration("timeout.total", model.total_timeout);
  out.add("max_output_tokens", number_or_none(model.output_tokens_max));
  return out.take();
}

Fields lay_out(const KeyConfig& key) {
  Layout out;
  out.secret("key", std::string(key.key_sha256.begin(), key.key_sha256.end()));
  out.add("models", list(key.models));
  out.add("budget.usd", key.budget ? text(key.budget->limit) : "none");
  if (key.budget) out.add("budget.per", key.budget->period.count() == 0 ? "never" : to_text(key.budget->period));
  out.rates(key.limits);
  out.add("team", none_if_empty(key.team));
  out.number("priority", key.priority);
  out.add("blocked", text(key.blocked));
  out.add("expires", key.expires_unix_s ? rfc3339_to_text(*key.expires_unix_s) : "never");
  return out.take();
}

void lay_out_rates(const std::string& prefix, const Rates& rates, Layout& out) {
  out.add(prefix + "input", price_text(rates.input));
  const auto optional_rate = [&](const char* key, const std::optional<PicoUsdPerToken>& rate) {
    if (rate) out.add(prefix + key, price_text(*rate));
  };
  optional_rate("cached_input", rates.cached_input);
  optional_rate("cache_write", rates.cache_write);
  optional_rate("cache_write_1h", rates.cache_write_1h);
  optional_rate("audio_input", rates.audio_input);
  out.add(prefix + "output", price_text(rates.output));
  optional_rate("audio_output", rates.audio_output);
}

void lay_out_card(const std::string& prefix, const RateCard& card, Layout& out) {
  lay_out_rates(prefix, card, out);
  for (const LongPrompt& step : card.above)
    lay_out_rates(prefix + "above." + std::to_string(step.tokens) + '.', step.rates, out);
}

Fields lay_out(const Price& price) {
  Layout out;
  lay_out_card("", price, out);
  for (const auto& [term, tier] : price.tiers) {
    if (tier.card)
      lay_out_card("tiers." + term + '.', *tier.card, out);
    else
      out.add("tiers." + term, price_text({tier.millionths}));
  }
  if (price.web_search) out.add("web_search", price_text({price.web_search->picos / 1000}));
  out.add("max_output_tokens", number_or_none(price.output_tokens_max));
  out.add("context", number_or_none(price.context_tokens));
  return out.take();
}

class Differ {
 public:
  /// Fields of the one that the other lacks read as a change from or to nothing.
  void fields(const std::string& prefix, const Fields& before, const Fields& after) {
    std::map<std::string_view, const Field*> old;
    for (const auto& field : before) old[field.path] = &field;
    for (const auto& field : after) {
      const auto was = old.find(field.path);
      if (was == old.end()) {
        change(prefix, field, "none", field.value);
        continue;
      }
      if (was->second->value != field.value) change(prefix, field, was->second->value, field.value);
      old.erase(was);
    }
    for (const auto& field : before)
      if (old.contains(field.path)) change(prefix, field, field.value, "none");
  }

  /// Entries of a section, by name.
  template <class Entry>
  void section(const std::string& section, const std::vector<Entry>& before, const std::vector<Entry>& after) {
    std::map<std::string_view, const Entry*> old;
    for (const auto& entry : before) old[entry.name] = &entry;
    for (const auto& entry : after) {
      const std::string path = path_of(section, entry.name);
      const auto was = old.find(entry.name);
      if (was == old.end()) {
        lines_.push_back(path + ": added");
        continue;
      }
      fields(path + '.', lay_out(*was->second), lay_out(entry));
      old.erase(was);
    }
    for (const auto& entry : before)
      if (old.contains(entry.name)) lines_.push_back(path_of(section, entry.name) + ": removed");
  }

  void prices(const PriceTable& before, const PriceTable& after) {
    for (const auto& [name, price] : after.all()) {
      const auto was = before.all().find(name);
      const std::string path = path_of("prices", name);
      if (was == before.all().end())
        lines_.push_back(path + ": added");
      else if (was->second != price)
        fields(path + '.', lay_out(was->second), lay_out(price));
    }
    for (const auto& [name, price] : before.all())
      if (!after.all().contains(name)) lines_.push_back(path_of("prices", name) + ": removed");
  }

  std::vector<std::string> take() { return std::move(lines_); }

 private:
  void change(const std::string& prefix, const Field& field, const std::string& from, const std::string& to) {
    lines_.push_back(prefix + field.path + (field.secret ? ": changed (not shown)" : ": " + from + " -> " + to));
  }

  std::vector<std::string> lines_;
};

}  // namespace

std::vector<std::string> diff(const Config& before, const Config& after) {
  Differ differ;
  differ.fields("", lay_out_process(before), lay_out_process(after));
  differ.section("accounts", before.accounts, after.accounts);
  differ.section("engines", before.engines, after.engines);
  differ.section("models", before.models, after.models);
  differ.section("keys", before.keys, after.keys);
  differ.prices(before.prices, after.prices);
  return differ.take();
}

}  // namespace weir::config
