// `weir bench http`: a closed loop of clients against a URL.
#include "gateway/bench/http.h"

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include "config/base/json.h"

#include "engine/options.h"
#include "gateway/bench/load.h"
#include "providers/json_text.h"

namespace weir::gateway::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr int32_t kSecondsMax = 86'400;
constexpr int32_t kTokensMax = 1'000'000;

constexpr std::string_view kUsage =
    "usage: weir bench http --url URL --model NAME [options]\n"
    "Sends calls over a number of connections, each the next when the last is answered, and measures.\n"
    "  --url URL            the server, as http://127.0.0.1:4000; /v1 is added where it has no path\n"
    "  --model NAME         the model to ask for\n"
    "  --key KEY            sent as Authorization: Bearer\n"
    "  --protocol P         chat, completions, responses or messages (default chat)\n"
    "  --stream             ask for a stream\n"
    "  --connections N      calls at a time (default 8)\n"
    "  --seconds N          how long calls are begun (default 10)\n"
    "  --requests N         how many calls are begun (default: as many as the time allows)\n"
    "  --prompt-tokens N    length of the prompt, a short word a token (default 32)\n"
    "  --max-tokens N       the most that is answered (default 64)\n"
    "  --body FILE          send this JSON instead of a made one\n"
    "  --json               the figures as one JSON object\n"
    "  --allow-remote       the URL may be another machine's. Load only what is yours.\n";

struct Path {
  std::string_view protocol;
  std::string_view path;
};
constexpr Path kPaths[] = {{"chat", "/chat/completions"},
                           {"completions", "/completions"},
                           {"responses", "/responses"},
                           {"messages", "/messages"}};

/// Nobody's machine but this one.
bool loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host == "[::1]" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

std::string call_body(const std::string& protocol, const std::string& model, uint64_t prompt_tokens,
                      uint64_t output_tokens, bool stream) {
  std::string prompt;
  for (uint64_t i = 0; i < prompt_tokens; ++i) prompt += i % 8 == 7 ? " weir" : " flow";
  Json body = {{"model", model}};
  const Json message = {{"role", "user"}, {"content", prompt}};
  if (protocol == "responses")
    body["input"] = prompt;
  else if (protocol == "completions")
    body["prompt"] = prompt;
  else
    body["messages"] = Json::array({message});
  body[protocol == "responses" ? "max_output_tokens" : "max_tokens"] = output_tokens;
  if (stream) body["stream"] = true;
  return body.dump();
}

struct Options {
  std::string url;
  std::string model;
  std::string key;
  std::string protocol = "chat";
  std::string body;
  int32_t connections = 8;
  int32_t seconds = 0;   // 0: not said
  int32_t requests = 0;  // 0: not said
  int32_t prompt_tokens = 32;
  int32_t max_tokens = 64;
  bool stream = false;
  bool json = false;
  bool allow_remote = false;
  bool help = false;
};

std::vector<engine::Option> table_of(Options& o) {
  using engine::between, engine::take_integer, engine::take_text;
  return {{"--url", nullptr, take_text(o.url), "a URL"},
          {"--model", nullptr, take_text(o.model), "a model's name"},
          {"--key", nullptr, take_text(o.key), "a key"},
          {"--protocol", nullptr, engine::take_one_of(o.protocol, {"chat", "completions", "responses", "messages"}),
           "chat, completions, responses or messages"},
          {"--body", nullptr, take_text(o.body), "a file"},
          {"--connections", nullptr, take_integer(o.connections, 1, 10'000), between(1, 10'000)},
          {"--seconds", nullptr, take_integer(o.seconds, 1, kSecondsMax), between(1, kSecondsMax)},
          {"--requests", nullptr, take_integer(o.requests, 1), between(1, INT32_MAX)},
          {"--prompt-tokens", nullptr, take_integer(o.prompt_tokens, 1, kTokensMax), between(1, kTokensMax)},
          {"--max-tokens", nullptr, take_integer(o.max_tokens, 1, kTokensMax), between(1, kTokensMax)},
          {"--stream", &o.stream, {}, {}},
          {"--json", &o.json, {}, {}},
          {"--allow-remote", &o.allow_remote, {}, {}},
          {"--help", &o.help, {}, {}},
          {"-h", &o.help, {}, {}}};
}

/// What is sent. What is wrong; nullopt if nothing.
std::optional<std::string> set_body(const Options& options, LoadPlan& plan) {
  plan.stream = options.stream;
  if (options.body.empty()) {
    if (options.model.empty()) return "--model is missing (or --body)";
    plan.body = call_body(options.protocol, options.model, static_cast<uint64_t>(options.prompt_tokens),
                          static_cast<uint64_t>(options.max_tokens), options.stream);
    return std::nullopt;
  }
  std::ifstream in(options.body, std::ios::binary);
  if (!in) return options.body + ": cannot be read";
  plan.body.assign(std::istreambuf_iterator<char>(in), {});
  const Json body = read_json<Json>(plan.body);
  if (!body.is_object()) return options.body + ": is not a JSON object";
  plan.stream = body.value("stream", Json(false)) == Json(true);
  return std::nullopt;
}

/// nullopt: the plan is made. Else what is wrong.
std::optional<std::string> make_plan(const Options& options, LoadPlan& plan) {
  const auto path = std::find_if(std::begin(kPaths), std::end(kPaths),
                                 [&](const Path& one) { return one.protocol == options.protocol; });
  if (options.url.empty()) return "--url is missing";
  auto url = providers::parse_url(options.url);
  if (!url) return url.error().detail;
  if (!loopback(url->host) && !options.allow_remote)
    return url->host +
           " is not this machine: a load test by mistake is an attack, so that --allow-remote must be given";
  const bool whole_path = url->base_path.ends_with(path->path);
  plan.target = (url->base_path.empty() ? "/v1" : url->base_path) + (whole_path ? "" : std::string(path->path));
  plan.url = std::move(*url);
  plan.connections = static_cast<uint32_t>(options.connections);
  const int32_t seconds = options.requests > 0 ? kSecondsMax : 10;
  plan.duration = std::chrono::seconds(options.seconds > 0 ? options.seconds : seconds);
  if (options.requests > 0) plan.requests_max = static_cast<uint64_t>(options.requests);
  plan.headers = "Content-Type: application/json\r\n";
  if (options.protocol == "messages") plan.headers += "anthropic-version: 2023-06-01\r\n";
  if (options.key.find_first_of("\r\n") != std::string::npos) return "--key holds the end of a line";
  if (!options.key.empty()) plan.headers += "Authorization: Bearer " + options.key + "\r\n";
  return set_body(options, plan);
}

Json percentiles(const Histogram& times) {
  Json out = Json::object();
  for (const auto& [name, share] : {std::pair("p50", 0.5), {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}})
    out[name] = times.percentile_us(share);
  return out;
}

std::string line(const char* name, const Histogram& times) {
  char text[160];
  std::snprintf(text, sizeof text, "%-14s p50 %.0f, p90 %.0f, p99 %.0f, p999 %.0f µs\n", name, times.percentile_us(0.5),
                times.percentile_us(0.9), times.percentile_us(0.99), times.percentile_us(0.999));
  return text;
}

}  // namespace

nlohmann::ordered_json report_json(const LoadReport& report, bool stream) {
  uint64_t errors = 0;
  for (const auto& [kind, count] : report.errors) errors += count;
  Json out = {{"requests", report.requests},
              {"errors", errors},
              {"errors_by_status", report.errors},
              {"seconds", std::chrono::duration<double>(report.elapsed).count()},
              {"requests_per_second", report.requests_per_second()},
              {"body_bytes", report.bytes},
              {"latency_us", percentiles(report.latency)}};
  if (!stream) return out;
  out["events"] = report.events;
  out["time_to_first_token_us"] = percentiles(report.first_token);
  out["inter_token_us"] = percentiles(report.inter_token);
  return out;
}

namespace {

int run(const LoadPlan& plan, bool json, std::ostream& out) {
  std::signal(SIGPIPE, SIG_IGN);
  providers::Core core(0);
  const LoadReport report = run_load(core, plan);
  if (json) {
    out << providers::json_text(report_json(report, plan.stream)) << "\n";
  } else {
    char head[160];
    std::snprintf(head, sizeof head, "%llu requests in %.2f s over %u connections: %.1f a second\n",
                  static_cast<unsigned long long>(report.requests),
                  std::chrono::duration<double>(report.elapsed).count(), plan.connections,
                  report.requests_per_second());
    out << head << line("latency", report.latency);
    if (plan.stream) out << line("first token", report.first_token) << line("between tokens", report.inter_token);
    for (const auto& [kind, count] : report.errors) out << "errors: " << count << " × " << kind << "\n";
    if (!report.first_error.empty()) out << "the first said: " << report.first_error << "\n";
  }
  return report.requests > 0 ? 0 : 1;
}

}  // namespace

int http_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  LoadPlan plan;
  const auto parse = [&](const std::vector<std::string>& given, Options& options) -> std::optional<std::string> {
    if (auto problem = engine::parse_options(given, table_of(options))) return problem;
    return options.help ? std::nullopt : make_plan(options, plan);
  };
  return engine::run_command<Options>(
      "weir bench http", kUsage, args, out, err, parse,
      [&](const Options& options, std::ostream& to, std::ostream&) { return run(plan, options.json, to); });
}

}  // namespace weir::gateway::bench
