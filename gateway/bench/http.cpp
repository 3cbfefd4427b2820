// `weir bench http`: a closed loop of clients against a URL.
#include "gateway/bench/http.h"

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include "config/base/json.h"

#include "gateway/bench/load.h"
#include "gateway/bench/options.h"
#include "providers/json_text.h"

namespace weir::gateway::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kHttpUsage =
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

/// Empty: the plan is made. Else what is wrong.
std::string make_plan(Options& options, LoadPlan& plan) {
  const std::string protocol = options.text("--protocol", "chat");
  const auto path =
      std::find_if(std::begin(kPaths), std::end(kPaths), [&](const Path& one) { return one.protocol == protocol; });
  if (path == std::end(kPaths))
    return "--protocol takes chat, completions, responses or messages, not \"" + protocol + "\"";
  if (!options.has("--url")) return "--url is missing";
  auto url = providers::parse_url(options.text("--url", ""));
  if (!url) return url.error().detail;
  if (!loopback(url->host) && !options.has("--allow-remote"))
    return url->host +
           " is not this machine: a load test by mistake is an attack, so that --allow-remote must be given";
  const bool whole_path = url->base_path.ends_with(path->path);
  plan.target = (url->base_path.empty() ? "/v1" : url->base_path) + (whole_path ? "" : std::string(path->path));
  plan.url = std::move(*url);
  plan.stream = options.has("--stream");
  plan.connections = static_cast<uint32_t>(options.number("--connections", 10'000, 8));
  plan.duration = std::chrono::seconds(options.number("--seconds", 86'400, options.has("--requests") ? 86'400 : 10));
  plan.requests_max = options.number("--requests", UINT32_MAX, UINT32_MAX);
  plan.headers = "Content-Type: application/json\r\n";
  if (protocol == "messages") plan.headers += "anthropic-version: 2023-06-01\r\n";
  const std::string key = options.text("--key", "");
  if (key.find_first_of("\r\n") != std::string::npos) return "--key holds the end of a line";
  if (!key.empty()) plan.headers += "Authorization: Bearer " + key + "\r\n";
  if (const std::string file = options.text("--body", ""); !file.empty()) {
    std::ifstream in(file, std::ios::binary);
    if (!in) return file + ": cannot be read";
    plan.body.assign(std::istreambuf_iterator<char>(in), {});
    const Json body = read_json<Json>(plan.body);
    if (!body.is_object()) return file + ": is not a JSON object";
    plan.stream = body.value("stream", Json(false)) == Json(true);
    return options.mistake();
  }
  if (!options.has("--model")) return "--model is missing (or --body)";
  plan.body = call_body(protocol, options.text("--model", ""), options.number("--prompt-tokens", 1'000'000, 32),
                        options.number("--max-tokens", 1'000'000, 64), plan.stream);
  return options.mistake();
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

int http_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  if (args.size() == 1 && args[0] == "--help") {
    out << kHttpUsage;
    return 0;
  }
  Options options(args,
                  {"--url", "--model", "--key", "--protocol", "--connections", "--seconds", "--requests",
                   "--prompt-tokens", "--max-tokens", "--body"},
                  {"--stream", "--json", "--allow-remote"});
  LoadPlan plan;
  std::string mistake = options.mistake();
  if (mistake.empty()) mistake = make_plan(options, plan);
  if (!mistake.empty()) {
    err << "weir bench http: " << mistake << "\nweir bench http --help lists what there is\n";
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  providers::Core core(0);
  const LoadReport report = run_load(core, plan);
  if (options.has("--json")) {
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

}  // namespace weir::gateway::bench
