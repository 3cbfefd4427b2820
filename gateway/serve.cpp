#include "gateway/serve.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <optional>
#include <ostream>
#include <thread>

#include "config/load/scalars.h"
#include "config/snapshot.h"
#include "gateway/core_context.h"
#include "gateway/policy.h"
#include "gateway/routes.h"
#include "gateway/server/server.h"
#include "providers/net/tls.h"
#include "providers/net/workers.h"

namespace weir::gateway {
namespace {

using config::Config;
using metrics::Level;

constexpr std::chrono::milliseconds kFlushStep{2'000};  // of the ledger, as long as its store takes rows
constexpr int kFlushSteps = 15;
constexpr std::chrono::milliseconds kSumMax{100};         // of one key's spending, from the ledger
constexpr std::chrono::milliseconds kReloadGrace{1'000};  // for a reload that is under way when all is drained

constexpr std::string_view kUsage =
    "usage: weir serve --config FILE [--listen HOST:PORT]\n"
    "  --config FILE        the YAML configuration (see config/example.yaml)\n"
    "  --listen HOST:PORT   instead of server.listen\n"
    "SIGTERM drains and ends (a second one does not wait for what is in flight); SIGHUP reads the configuration again "
    "(a changed file is noticed by itself).\n";

struct ServeOptions {
  std::string config_file;
  std::optional<std::string> listen_host;
  uint16_t listen_port = 0;
};

/// Nullopt: bad usage, said on `err`.
std::optional<ServeOptions> parse_options(const std::vector<std::string>& args, std::ostream& err) {
  ServeOptions options;
  for (size_t i = 0; i < args.size(); ++i) {
    const bool has_value = i + 1 < args.size();
    if (args[i] == "--config" && has_value) {
      options.config_file = args[++i];
    } else if (args[i] == "--listen" && has_value) {
      auto address = config::parse_host_port(args[++i]);
      if (!address) {
        err << "weir serve: --listen " << address.error().detail << "\n";
        return std::nullopt;
      }
      options.listen_host = std::move(address->host);
      options.listen_port = address->port;
    } else {
      err << "weir serve: " << args[i] << (has_value ? " is not an option\n" : " needs a value or is not an option\n")
          << kUsage;
      return std::nullopt;
    }
  }
  if (options.config_file.empty()) {
    err << "weir serve: --config FILE is missing\n" << kUsage;
    return std::nullopt;
  }
  return options;
}

/// One core and the thread that runs it.
class CoreThread {
 public:
  CoreThread(int index, providers::Workers& workers, Services& services, const PolicyHolder& policies)
      : core_(index, &workers), context_(core_, services, policies) {}
  ~CoreThread() { stop(); }
  CoreThread(const CoreThread&) = delete;
  CoreThread& operator=(const CoreThread&) = delete;

  void start() {
    thread_ = std::thread([this] { core_.run(); });
  }
  void stop() {
    core_.stop();
    if (thread_.joinable()) thread_.join();
  }
  Core& core() { return core_; }
  CoreContext& context() { return context_; }

 private:
  Core core_;
  CoreContext context_;
  std::thread thread_;
};

/// Everything that lives while the gateway serves, in the order in which it must be made.
class Gateway {
 public:
  Gateway(std::shared_ptr<const Config> config, const ServeOptions& options, metrics::Log& log,
          std::unique_ptr<Ledger> ledger, std::unique_ptr<ResponseStore> responses, uint32_t cores)
      : options_(options),
        log_(log),
        ledger_(std::move(ledger)),
        responses_(std::move(responses)),
        registry_(static_cast<int>(cores), config->metrics.series_max),
        services_{.ledger = *ledger_, .log = log_, .registry = registry_, .responses = responses_.get()},
        first_config_(std::move(config)),
        workers_(first_config_->server.workers) {
    for (uint32_t i = 0; i < cores; ++i)
      cores_.push_back(std::make_unique<CoreThread>(static_cast<int>(i), workers_, services_, policies_));
    registry_.on_render([this](metrics::Samples& samples) { fill(samples); });
  }
  ~Gateway() {
    watcher_.reset();
    server_.reset();  // while the cores run: sessions end on their own cores
    metrics_server_.reset();
    for (auto& core : cores_) core->stop();
  }
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  Result<void> start();
  /// Any thread. True: nothing was served, and nothing will be, however long start() takes (a model may take minutes to
  /// load). False: too late for that.
  bool give_up_start() {
    auto loading = Phase::loading;
    return phase_.compare_exchange_strong(loading, Phase::given_up);
  }
  void wait_for_signal();
  bool drain();

 private:
  enum class Phase { loading, serving, given_up };

  Result<void> apply(std::shared_ptr<const Config> config);
  bool reload(const config::LoadOutcome& outcome);
  void refuse_reload(std::string_view reason);
  void fill(metrics::Samples& samples) const;
  Result<void> start_servers(const Config& config);

  ServeOptions options_;
  metrics::Log& log_;
  std::atomic<Phase> phase_{Phase::loading};
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<ResponseStore> responses_;
  metrics::Registry registry_;
  Services services_;
  std::shared_ptr<const Config> first_config_;
  PolicyHolder policies_;
  ProcessState state_;
  providers::Workers workers_;
  std::vector<std::unique_ptr<CoreThread>> cores_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Server> metrics_server_;
  std::unique_ptr<config::Watcher> watcher_;
};

/// Engines and tokenizers first (slow, may fail), then the budgets (the ledger may fail), then what cannot: a refused
/// config has changed nothing.
Result<void> Gateway::apply(std::shared_ptr<const Config> config) {
  const auto before = policies_.get();
  auto engines =
      start_engines(*config, before ? &before->config() : nullptr, before ? before->engines() : Engines{}, services_);
  if (!engines) return std::move(engines).error();
  const auto tokenizers = load_tokenizers(*config);
  if (!tokenizers) return tokenizers.error();
  const auto spent = [this](std::string_view key, WallTime since, WallTime until) {
    auto sum = ledger_->spent_between(key, since, until);
    if (!sum) {
      Error& error = sum.error();
      error.kind = ErrorKind::overloaded;  // it may be readable later
      error.detail = "what the key " + std::string(key) + " has spent cannot be read: " + error.detail;
    }
    return sum;
  };
  if (auto counted = services_.budgets.configure(*config, spent, wall_now); !counted) return counted;
  registry_.set_series_max(config->metrics.series_max);
  log_.set_level(config->log.level);
  for (const auto& account : config->accounts) {
    const auto* known = before ? before->config().find_account(account.name) : nullptr;
    if (known != nullptr && !known->same_upstream(account)) services_.pool.forget(account.name);
  }
  policies_.publish(std::make_shared<const Policy>(std::move(config), services_, std::move(*engines), *tokenizers));
  return {};
}

Result<void> Gateway::start_servers(const Config& config) {
  std::vector<Core*> cores;
  std::vector<CoreContext*> contexts;
  for (auto& core : cores_) {
    cores.push_back(&core->core());
    contexts.push_back(&core->context());
  }
  const ServerSettings settings = [this] {
    auto policy = policies_.get();
    return std::shared_ptr<const Config>(policy, &policy->config());
  };
  const std::string host = options_.listen_host.value_or(config.server.listen_host);
  const uint16_t port = options_.listen_host ? options_.listen_port : config.server.listen_port;
  auto server =
      start_server(cores, host, port, config.server.tls.has_value(), settings,
                   make_handler(contexts, state_, !config.metrics.listen_host.has_value()), make_hooks(contexts));
  if (!server) return std::move(server).error();
  server_ = std::move(*server);
  if (config.metrics.listen_host) {
    auto metrics_server = start_server(
        cores, *config.metrics.listen_host, config.metrics.listen_port, false, settings,
        make_metrics_handler(contexts, state_),
        {.wants_body = [](const Request&, Core&) { return false; }, .refusal_fields = {}, .cannot_accept = {}});
    if (!metrics_server) return std::move(metrics_server).error();
    metrics_server_ = std::move(*metrics_server);
    log_.event(Level::info, "metrics_listening",
               {{"host", *config.metrics.listen_host}, {"port", metrics_server_->port()}});
  }
  log_.event(
      Level::info, "listening",
      {{"host", host}, {"port", server_->port()}, {"tls", config.server.tls.has_value()}, {"cores", cores_.size()}});
  return {};
}

Result<void> Gateway::start() {
  if (auto applied = apply(first_config_); !applied) return applied;
  auto loading = Phase::loading;
  if (!phase_.compare_exchange_strong(loading, Phase::serving))
    for (;;) ::pause();  // given up: the process is about to end
  for (auto& core : cores_) core->start();
  if (auto started = start_servers(*first_config_); !started) return started;
  watcher_ = std::make_unique<config::Watcher>(
      options_.config_file, known_names(), [this](const config::LoadOutcome& outcome) { return reload(outcome); },
      first_config_);
  return {};
}

void Gateway::refuse_reload(std::string_view reason) {
  registry_.config_reload(false);
  log_.event(Level::error, "config_refused", {{"file", options_.config_file}, {"detail", reason}});
}

/// The changed settings that a running gateway cannot take over, named; empty if there is none.
std::string needs_restart(const Config& before, const Config& after) {
  std::string names;
  const auto note = [&](bool changed, std::string_view name) {
    if (changed) names.append(names.empty() ? "" : ", ").append(name);
  };
  const auto& old_server = before.server;
  const auto& server = after.server;
  note(old_server.listen_host != server.listen_host || old_server.listen_port != server.listen_port, "server.listen");
  note(old_server.threads != server.threads, "server.threads");
  note(old_server.workers != server.workers, "server.workers");
  note(old_server.tls.has_value() != server.tls.has_value(), "server.tls on or off");
  note(before.store.url != after.store.url, "store.url");
  note(before.store.journal_bytes != after.store.journal_bytes, "store.journal");
  note(before.metrics.listen_host != after.metrics.listen_host ||
           before.metrics.listen_port != after.metrics.listen_port,
       "metrics.listen");
  return names;
}

/// On the watcher's thread. False: try again in a while.
bool Gateway::reload(const config::LoadOutcome& outcome) {
  if (state_.draining) return true;
  if (!outcome.config) {
    for (const config::Mistake& mistake : outcome.mistakes)
      log_.event(Level::error, "config_mistake", {{"detail", mistake.text()}});
    refuse_reload("the configuration has mistakes; the one before stays in force");
    return true;
  }
  const auto before = policies_.get();
  const auto& new_server = outcome.config->server;
  const auto changes = config::diff(before->config(), *outcome.config);
  if (auto applied = apply(outcome.config); !applied) {
    refuse_reload(applied.error().detail + "; the configuration before stays in force");
    return applied.error().kind != ErrorKind::overloaded;
  }
  if (new_server.tls && server_) {
    if (auto reloaded = server_->reload_tls(*new_server.tls); !reloaded)
      log_.event(Level::error, "certificate_refused", {{"detail", reloaded.error().detail}});
    else
      log_.event(Level::info, "certificate_loaded", {{"file", new_server.tls->certificate_file}});
  }
  registry_.config_reload(true);
  log_.event(Level::info, "config_reloaded", {{"file", options_.config_file}, {"changes", changes.size()}});
  for (const std::string& change : changes) log_.event(Level::info, "config_change", {{"change", change}});
  if (const std::string names = needs_restart(before->config(), *outcome.config); !names.empty())
    log_.event(Level::warn, "restart_needed", {{"detail", names + " will be taken at the next start"}});
  return true;
}

void Gateway::fill(metrics::Samples& samples) const {
  const auto policy = policies_.get();
  for (const auto& [name, engine] : policy->engines()) {
    const engine::EngineStats stats = engine->stats();
    samples.engines.push_back({.engine = name,
                               .running = stats.running,
                               .waiting = stats.waiting,
                               .blocks_free = stats.blocks_free,
                               .blocks_cached = stats.blocks_cached,
                               .blocks_active = stats.blocks_active,
                               .prefix_hit_tokens = stats.prefix_hit_tokens,
                               .prefix_miss_tokens = stats.prefix_miss_tokens,
                               .prefill_tokens = stats.prefill_tokens,
                               .decode_tokens = stats.decode_tokens,
                               .up = stats.healthy,
                               .stalls = stats.stalls,
                               .host_blocks_total = stats.host_blocks_total,
                               .host_blocks_cached = stats.host_blocks_cached,
                               .blocks_copied_out = stats.blocks_copied_out,
                               .blocks_copied_in = stats.blocks_copied_in,
                               .host_hit_tokens = stats.host_hit_tokens});
  }
  for (const Route& route : policy->routes().all())
    for (const RouteTarget& target : route.targets) {
      const bool known = std::any_of(samples.targets.begin(), samples.targets.end(),
                                     [&](const auto& sample) { return sample.target == target.state->label; });
      if (known) continue;  // one target may serve several models
      const bool up = target.engine_up() && target.state->health.usable(now()) &&
                      (target.account == nullptr || target.account->credential.usable(now()));
      samples.targets.push_back({target.state->label, up, target.config->weight});
    }
  for (const Key& key : policy->keys().all())
    if (key.budget != nullptr) samples.budgets.push_back({key.config->name, key.budget->view(wall_now()).remaining});
  const LedgerStats ledger = ledger_->stats();
  samples.ledger = {ledger_->healthy(), ledger.backlog_bytes, ledger.failures, ledger.ingested_rows};
  samples.log_lines_dropped = log_.dropped();
}

sigset_t handled_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

/// Calls `hurry` when SIGTERM or SIGINT comes, for as long as it lives.
class Impatience {
 public:
  explicit Impatience(std::function<void()> hurry)
      : thread_([hurry = std::move(hurry)](const std::stop_token& stop) {
          const sigset_t signals = handled_signals();
          constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 50'000'000};
          while (!stop.stop_requested()) {
            const int signal = sigtimedwait(&signals, nullptr, &kLook);
            if (signal == SIGTERM || signal == SIGINT) return hurry();
          }
        }) {}

 private:
  std::jthread thread_;
};

void Gateway::wait_for_signal() {
  const sigset_t signals = handled_signals();
  while (true) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) return;
    log_.event(Level::info, "sighup");
    watcher_->request_reload();
  }
}

/// Every request was answered and settled when it returns, whatever a reload is doing meanwhile. False: one is still
/// under way (a model is being loaded), and nothing waits for it.
bool Gateway::drain() {
  const auto timeout = policies_.get()->config().server.drain_timeout;
  state_.draining = true;
  log_.event(Level::info, "draining", {{"in_flight", registry_.in_flight()}, {"timeout_ms", timeout.count()}});
  {
    const Impatience impatience([this] {
      log_.event(Level::info, "draining_no_longer", {{"in_flight", registry_.in_flight()}});
      server_->hurry();
    });
    server_->drain(now() + timeout);
  }
  if (metrics_server_) metrics_server_->drain(now() + std::chrono::seconds(1));
  // What a failing store does not take stays in the journals for the next start.
  auto flushed = ledger_->flush(kFlushStep);
  for (int i = 1; i < kFlushSteps && !flushed && ledger_->healthy(); ++i) flushed = ledger_->flush(kFlushStep);
  if (!flushed) log_.event(Level::error, "ledger_not_flushed", {{"detail", flushed.error().detail}});
  const bool idle = watcher_->stop(kReloadGrace);
  log_.event(Level::info, "drained");
  if (!idle) return false;
  server_.reset();
  metrics_server_.reset();
  for (auto& core : cores_) core->stop();
  return true;
}

void block_signals() {
  const sigset_t signals = handled_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

config::KnownNames known_names() {
  config::KnownNames names;
  for (const auto& entry : providers::catalog()) names.providers.emplace_back(entry.name);
  for (const StrategyEntry& entry : strategies()) names.strategies.emplace_back(entry.name);
  names.bad_tls = [](const std::string& certificate, const std::string& key) -> std::optional<std::string> {
    auto loaded = providers::TlsServer::load(certificate, key);
    if (loaded) return std::nullopt;
    return std::move(loaded).error().detail;
  };
  names.bad_tokenizer = [](const std::string& place) -> std::optional<std::string> {
    auto loaded = engine::Tokenizer::load(place);
    if (loaded) return std::nullopt;
    return std::move(loaded).error().detail;
  };
  return names;
}

int serve_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  if (args.size() == 1 && args[0] == "--help") {
    out << kUsage;
    return 0;
  }
  const auto options = parse_options(args, err);
  if (!options) return 2;
  ::umask(::umask(0) | 027);  // prompts and money are in the files that are made
  block_signals();            // before the first thread, so that every thread inherits it
  config::LoadOutcome loaded = config::load_file(options->config_file, known_names());
  for (const config::Mistake& mistake : loaded.mistakes) err << mistake.text() << "\n";
  if (!loaded.config) return 2;
  metrics::Log log(loaded.config->log.level);
  for (const config::Mistake& warning : loaded.warnings)
    log.event(Level::warn, "config_warning", {{"detail", warning.text()}});
  const uint32_t cores = loaded.config->server.threads != 0 ? loaded.config->server.threads
                                                            : std::max(1U, std::thread::hardware_concurrency());
  auto ledger_options = Ledger::options(loaded.config->store, static_cast<int>(cores));
  auto ledger =
      ledger_options ? Ledger::open(*ledger_options, log) : Result<std::unique_ptr<Ledger>>(ledger_options.error());
  if (!ledger) {
    err << "weir serve: " << ledger.error().detail << "\n";
    return 1;
  }
  ResponseStoreOptions responses_options;
  responses_options.turn_bytes_max += loaded.config->server.limits.body_bytes_max;  // what came in can be kept
  auto responses = ResponseStore::open(ledger_options->path + ".responses", responses_options);
  if (!responses) {
    err << "weir serve: " << responses.error().detail << "\n";
    return 1;
  }
  Gateway gateway(loaded.config, *options, log, std::move(*ledger), std::move(*responses), cores);
  {
    const Impatience starting([&gateway, &log] {
      if (!gateway.give_up_start()) return static_cast<void>(::kill(::getpid(), SIGTERM));  // for wait_for_signal()
      log.event(Level::info, "stopped_while_starting");
      log.flush();
      std::_Exit(0);
    });
    if (auto started = gateway.start(); !started) {
      err << "weir serve: " << started.error().detail << "\n";
      return 1;
    }
  }
  gateway.wait_for_signal();
  if (gateway.drain()) return 0;
  log.event(Level::warn, "reload_left_unfinished");
  log.flush();
  std::_Exit(0);  // what is settled is on the disk; a thread that loads a model cannot be told to stop
}

}  // namespace weir::gateway
