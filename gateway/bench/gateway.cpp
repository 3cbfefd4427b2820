// `weir bench gateway`: what translating a stream costs beside passing it through. A mock upstream that speaks OpenAI's
// and Anthropic's events, a whole gateway (keys, budget hold, ledger, metrics, log) on one core, and the load, each on
// a thread of its own. The gateway's CPU time is its thread's own clock, so that what the mock and the load take, and
// what else the machine does, is not in it.
#include <pthread.h>
#include <unistd.h>

#include <fcntl.h>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <thread>
#include "config/base/json.h"

#include "config/load.h"
#include "engine/options.h"
#include "gateway/bench/http.h"
#include "gateway/core_context.h"
#include "gateway/routes.h"
#include "gateway/serve.h"
#include "gateway/server/server.h"

namespace weir::gateway::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kUsage =
    "usage: weir bench gateway [options]\n"
    "A mock upstream, a gateway on one core before it, and the load, all in this process: chat streams that are\n"
    "translated to Anthropic's protocol beside chat streams that pass through, in rounds that alternate.\n"
    "  --events N        pieces of text in a stream (default 64)\n"
    "  --burst N         events that the upstream writes at once (default 8)\n"
    "  --connections N   calls at a time (default 16)\n"
    "  --seconds N       of one round (default 2)\n"
    "  --rounds N        of each kind (default 3)\n"
    "  --json            the figures as one JSON object\n";

constexpr std::string_view kKey = "sk-bench-0123456789abcdef";
constexpr std::string_view kWords[] = {" the", " water", " flows", " over", " a", " weir", " and", " is", " measured"};

/// The stream's writes, `burst` events each.
std::vector<std::string> openai_stream(uint64_t events, uint64_t burst) {
  const std::string head =
      R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"delta":)";
  std::vector<std::string> out(1, head + R"({"role":"assistant","content":""},"finish_reason":null}]})"
                                         "\n\n");
  for (uint64_t i = 0; i < events; ++i) {
    if (i % burst == 0 && i > 0) out.emplace_back();
    out.back() += head + R"({"content":")" + std::string(kWords[i % std::size(kWords)]) +
                  R"("},"finish_reason":null}]})"
                  "\n\n";
  }
  out.back() +=
      head +
      R"({},"finish_reason":"stop"}]})"
      "\n\n" +
      R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":32,"completion_tokens":)" +
      std::to_string(events) + "}}\n\ndata: [DONE]\n\n";
  return out;
}

std::vector<std::string> anthropic_stream(uint64_t events, uint64_t burst) {
  const auto event = [](const std::string& type, const std::string& rest) {
    return "event: " + type + "\ndata: {\"type\":\"" + type + "\"" + rest + "}\n\n";
  };
  std::vector<std::string> out(
      1,
      event(
          "message_start",
          R"(,"message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"usage":{"input_tokens":32,"output_tokens":1}})") +
          event("content_block_start", R"(,"index":0,"content_block":{"type":"text","text":""})"));
  for (uint64_t i = 0; i < events; ++i) {
    if (i % burst == 0 && i > 0) out.emplace_back();
    out.back() += event("content_block_delta", R"(,"index":0,"delta":{"type":"text_delta","text":")" +
                                                   std::string(kWords[i % std::size(kWords)]) + "\"}");
  }
  out.back() +=
      event("content_block_stop", R"(,"index":0)") +
      event("message_delta", R"(,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":)" +
                                 std::to_string(events) + "}") +
      event("message_stop", "");
  return out;
}

/// A core and the thread that runs it.
class Thread {
 public:
  explicit Thread(int index) : core(index) {}
  ~Thread() { stop(); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  void start() {
    thread_ = std::thread([this] { core.run(); });
  }
  void stop() {
    core.stop();
    if (thread_.joinable()) thread_.join();
  }
  /// The time that the thread was on a CPU. REQUIRES: it runs.
  Duration cpu() {
    clockid_t clock{};
    timespec time{};
    pthread_getcpuclockid(thread_.native_handle(), &clock);
    clock_gettime(clock, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }

  Core core;

 private:
  std::thread thread_;
};

Task<void> answer_with(const std::vector<std::string>& writes, Exchange& exchange) {
  ResponseHead head;
  head.add("Content-Type", "text/event-stream");
  co_await exchange.begin_stream(head);
  for (const std::string& bytes : writes)
    if (!co_await exchange.write(bytes)) co_return;
  co_await exchange.end_stream({});
}

class Upstream {
 public:
  Upstream(uint64_t events, uint64_t burst)
      : openai_(openai_stream(events, burst)), anthropic_(anthropic_stream(events, burst)) {}
  Result<uint16_t> start() {
    auto settings = std::make_shared<const config::Config>();
    auto server = start_server(
        {&thread_.core}, "127.0.0.1", 0, false, [settings] { return settings; },
        [this](const Request& request, Exchange& exchange) {
          return answer_with(request.path == "/v1/messages" ? anthropic_ : openai_, exchange);
        });
    if (!server) return std::move(server).error();
    server_ = std::move(*server);
    thread_.start();
    return server_->port();
  }
  ~Upstream() { server_.reset(); }

 private:
  std::vector<std::string> openai_;
  std::vector<std::string> anthropic_;
  Thread thread_{0};
  std::unique_ptr<Server> server_;
};

/// A folder for the ledger that goes with its owner.
struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-bench-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path = name;
  }
  ~Folder() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path path;
};

/// A gateway as `weir serve` puts it together, on one core, with a log that goes nowhere.
class MeasuredGateway {
 public:
  static Result<std::unique_ptr<MeasuredGateway>> start(uint16_t upstream, const Folder& folder);
  ~MeasuredGateway() { server_.reset(); }
  uint16_t port() const { return server_->port(); }
  Duration cpu() { return thread_.cpu(); }

 private:
  MeasuredGateway(std::shared_ptr<const config::Config> config, int null, std::unique_ptr<Ledger> ledger)
      : log_(config->log.level, null),
        ledger_(std::move(ledger)),
        services_{.ledger = *ledger_, .log = log_, .registry = registry_},
        context_(thread_.core, services_, policies_) {
    (void)services_.budgets.configure(*config, nullptr, wall_now);  // nothing is asked that could fail
    policies_.publish(std::make_shared<const Policy>(std::move(config), services_, Engines{}));
  }

  metrics::Log log_;
  std::unique_ptr<Ledger> ledger_;
  metrics::Registry registry_{1, 1000};
  Services services_;
  PolicyHolder policies_;
  ProcessState state_;
  Thread thread_{0};
  CoreContext context_;
  std::unique_ptr<Server> server_;
};

Result<std::unique_ptr<MeasuredGateway>> MeasuredGateway::start(uint16_t upstream, const Folder& folder) {
  const std::string url = "http://127.0.0.1:" + std::to_string(upstream);
  const std::string text = "store: {url: \"sqlite:" + (folder.path / "weir.db").string() +
                           "\"}\n"
                           "accounts:\n"
                           "  openai: {provider: openai, base_url: \"" +
                           url +
                           "/v1\", api_key: k}\n"
                           "  anthropic: {provider: anthropic, base_url: \"" +
                           url +
                           "\", api_key: k}\n"
                           "models:\n"
                           "  passed: {targets: [{account: openai, model: gpt-4o}]}\n"
                           "  translated: {targets: [{account: anthropic, model: claude-sonnet-4-5}]}\n"
                           "keys: [{name: bench, key: " +
                           std::string(kKey) + ", models: [\"*\"], budget: {usd: 1000000, per: 1d}}]\n";
  static const config::Environment nothing = [](const std::string&) { return std::optional<std::string>(); };
  auto loaded = config::load_text(text, "bench.yaml", nothing, known_names());
  if (!loaded.config) return Error{.kind = ErrorKind::internal, .detail = loaded.mistakes.front().text()};
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  static metrics::Log complaints(metrics::Level::error);
  auto options = Ledger::options(loaded.config->store, 1);
  if (!options) return std::move(options).error();
  auto ledger = Ledger::open(*options, complaints);
  if (!ledger) return std::move(ledger).error();
  std::unique_ptr<MeasuredGateway> made(new MeasuredGateway(loaded.config, null, std::move(*ledger)));
  MeasuredGateway& self = *made;
  auto server = start_server(
      {&self.thread_.core}, "127.0.0.1", 0, false, [config = loaded.config] { return config; },
      make_handler({&self.context_}, self.state_, false), make_hooks({&self.context_}));
  if (!server) return std::move(server).error();
  self.server_ = std::move(*server);
  self.thread_.start();
  return made;
}

/// The rounds of one kind together.
struct Kind {
  const char* model;
  LoadReport total;
  Duration cpu{};

  double cpu_us_per_request() const { return per(total.requests); }
  double cpu_us_per_event() const { return per(total.events); }
  /// What one core could answer if it did nothing else: 1 / CPU time of one.
  double requests_per_cpu_second() const { return cpu.count() > 0 ? 1e6 / cpu_us_per_request() : 0; }
  double per(uint64_t count) const {
    return count > 0 ? std::chrono::duration<double, std::micro>(cpu).count() / static_cast<double>(count) : 0;
  }
  Json json() const {
    Json out = report_json(total, true);
    out["cpu_us_per_request"] = cpu_us_per_request();
    out["cpu_us_per_event"] = cpu_us_per_event();
    out["requests_per_cpu_second"] = requests_per_cpu_second();
    return out;
  }
};

void add(LoadReport& total, LoadReport round) {
  round.requests += total.requests;
  round.events += total.events;
  round.bytes += total.bytes;
  round.elapsed += total.elapsed;
  for (const auto& [kind, count] : total.errors) round.errors[kind] += count;
  if (round.first_error.empty()) round.first_error = total.first_error;
  total = std::move(round);  // the percentiles are those of the last round
}

void measure(Kind& kind, MeasuredGateway& gateway, LoadPlan plan) {
  plan.body =
      R"({"model":")" + std::string(kind.model) +
      R"(","stream":true,"stream_options":{"include_usage":true},"max_tokens":100,"messages":[)"
      R"({"role":"system","content":"You measure water."},{"role":"user","content":"How much flows over the weir today, and when was it built?"}]})";
  providers::Core core(0);
  const Duration before = gateway.cpu();
  LoadReport round = run_load(core, plan);
  kind.cpu += gateway.cpu() - before;
  add(kind.total, std::move(round));
}

void print(const Kind& passed, const Kind& translated, std::ostream& out) {
  char text[400];
  for (const Kind* kind : {&passed, &translated}) {
    std::snprintf(
        text, sizeof text,
        "%-11s %8.0f requests/s  %6.2f CPU-µs an event  %7.1f CPU-µs a request  first token p50 %.0f, p99 %.0f µs\n",
        kind->model, kind->total.requests_per_second(), kind->cpu_us_per_event(), kind->cpu_us_per_request(),
        kind->total.first_token.percentile_us(0.5), kind->total.first_token.percentile_us(0.99));
    out << text;
    for (const auto& [what, count] : kind->total.errors) out << "  errors: " << count << " × " << what << "\n";
  }
  std::snprintf(text, sizeof text,
                "translated / passed: %.2f of the requests a second, %.2f of the requests a CPU-second\n",
                translated.total.requests_per_second() / passed.total.requests_per_second(),
                translated.requests_per_cpu_second() / passed.requests_per_cpu_second());
  out << text;
}

struct Options {
  int32_t events = 64;
  int32_t burst = 8;
  int32_t connections = 16;
  int32_t seconds = 2;
  int32_t rounds = 3;
  bool json = false;
  bool help = false;
};

std::optional<std::string> parse(const std::vector<std::string>& args, Options& o) {
  using engine::between, engine::take_integer;
  return engine::parse_options(args,
                               {{"--events", nullptr, take_integer(o.events, 1, 100'000), between(1, 100'000)},
                                {"--burst", nullptr, take_integer(o.burst, 1, 100'000), between(1, 100'000)},
                                {"--connections", nullptr, take_integer(o.connections, 1, 1000), between(1, 1000)},
                                {"--seconds", nullptr, take_integer(o.seconds, 1, 3600), between(1, 3600)},
                                {"--rounds", nullptr, take_integer(o.rounds, 1, 1000), between(1, 1000)},
                                {"--json", &o.json, {}, {}},
                                {"--help", &o.help, {}, {}},
                                {"-h", &o.help, {}, {}}});
}

int run(const Options& options, std::ostream& out, std::ostream& err) {
  std::signal(SIGPIPE, SIG_IGN);
  Folder folder;
  Upstream upstream(static_cast<uint64_t>(options.events), static_cast<uint64_t>(options.burst));
  const auto port = upstream.start();
  auto gateway = port ? MeasuredGateway::start(*port, folder) : Result<std::unique_ptr<MeasuredGateway>>(port.error());
  if (!gateway) {
    err << "weir bench gateway: " << gateway.error().detail << "\n";
    return 1;
  }
  LoadPlan plan;
  plan.stream = true;
  plan.connections = static_cast<uint32_t>(options.connections);
  plan.duration = std::chrono::seconds(options.seconds);
  plan.url = {false, "127.0.0.1", (*gateway)->port(), ""};
  plan.target = "/v1/chat/completions";
  plan.headers = "Content-Type: application/json\r\nAuthorization: Bearer " + std::string(kKey) + "\r\n";
  Kind passed{.model = "passed"};
  Kind translated{.model = "translated"};
  for (int32_t round = 0; round < options.rounds; ++round)
    for (Kind* kind : {&passed, &translated}) measure(*kind, **gateway, plan);
  if (options.json)
    out << Json{{"events", options.events},
                {"burst", options.burst},
                {"passed", passed.json()},
                {"translated", translated.json()}}
               .dump()
        << "\n";
  else
    print(passed, translated, out);
  return passed.total.requests > 0 && translated.total.requests > 0 ? 0 : 1;
}

}  // namespace

int gateway_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  return engine::run_command<Options>("weir bench gateway", kUsage, args, out, err, parse, run);
}

}  // namespace weir::gateway::bench
