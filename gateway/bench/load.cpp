#include "gateway/bench/load.h"

#include <memory>
#include <utility>

#include "providers/net/sse.h"

namespace weir::gateway::bench {
namespace {

using providers::Abort;
using providers::HttpCall;
using providers::HttpResponse;
using providers::Task;

constexpr uint64_t kBodyBytesMax = 1024 * 1024 * 1024;

const Error kTimeout{ErrorKind::timeout, "bench", Retry::no, 504, "no whole answer within the time of a call"};

class Load {
 public:
  Load(providers::Core& core, const LoadPlan& plan)
      : core_(core),
        plan_(plan),
        client_(providers::make_http_client(
            core, plan.url, {.idle_connections_max = plan.connections, .idle_timeout = std::chrono::minutes(10)})) {}

  LoadReport run() {
    const TimePoint begin = now();
    end_ = begin + plan_.duration;
    running_ = plan_.connections;
    for (uint32_t i = 0; i < plan_.connections; ++i) spawn(core_.gate(), connection());
    if (running_ > 0) core_.run();
    report_.elapsed = now() - begin;
    client_.reset();
    return std::move(report_);
  }

 private:
  Task<void> connection() {
    while (begun_ < plan_.requests_max && now() < end_) {
      ++begun_;
      const bool fine = co_await call();
      // An upstream that refuses connections must not be asked a million times a second.
      if (!fine) {
        Abort never;
        const TimePoint pause = now() + std::chrono::milliseconds(20);
        co_await core_.sleep_until(pause, never);
      }
    }
    if (--running_ == 0) core_.stop();
  }

  /// False: the transport failed.
  Task<bool> call() {
    const TimePoint begin = now();
    Abort abort;
    providers::Deadline deadline;
    deadline.arm(core_.wheel(), begin + plan_.request_timeout, abort, kTimeout);
    const std::string_view body[] = {plan_.body};
    const HttpCall sent{"POST", plan_.target, plan_.headers, body};
    auto response = co_await client_->send(sent, abort);
    if (!response) {
      failed(response.error());
      co_return false;
    }
    HttpResponse& answer = **response;
    if (answer.status() / 100 != 2) {
      auto text = co_await answer.read_all(kBodyBytesMax);
      const std::string said = text ? std::string(text->substr(0, 300)) : text.error().detail;
      count_error(std::to_string(answer.status()), said);
      co_return true;
    }
    const bool fine = co_await read(answer, begin);
    if (!fine) co_return true;
    ++report_.requests;
    report_.latency.add(now() - begin);
    co_return true;
  }

  /// Takes the body to its end. False: it broke, which is counted.
  Task<bool> read(HttpResponse& answer, TimePoint begin) {
    providers::SseScanner scanner;
    TimePoint last = begin;
    bool ended = !plan_.stream;
    bool first = true;
    std::string error;
    while (true) {
      auto bytes = co_await answer.read_some();
      if (!bytes) {
        failed(bytes.error());
        co_return false;
      }
      if (bytes->empty()) break;
      report_.bytes += bytes->size();
      if (!plan_.stream) continue;
      scanner.feed(*bytes);
      uint64_t events = 0;
      for (providers::SseEvent event; scanner.next(event);) {
        if (event.data.empty()) continue;
        ++events;
        ended = ended || last_event(event);
        if (event.type == "error" || event.data.starts_with(R"({"error":)")) error = event.data.substr(0, 300);
      }
      if (events == 0) continue;
      const TimePoint at = now();
      if (first)
        report_.first_token.add(at - begin);
      else
        report_.inter_token.add((at - last) / static_cast<int64_t>(events), events);
      first = false;
      last = at;
      report_.events += events;
    }
    if (!error.empty())
      count_error("stream_error", error);
    else if (!ended)
      count_error("stream_cut", "a stream ended without its end mark");
    co_return error.empty() && ended;
  }

  /// The end mark of each protocol; Gemini's streams end with a finishReason.
  static bool last_event(const providers::SseEvent& event) {
    return event.data == "[DONE]" || event.type == "message_stop" || event.type == "response.completed" ||
           event.type == "response.incomplete" || event.data.find("\"finishReason\":") != std::string_view::npos;
  }

  void failed(const Error& error) {
    count_error(error.kind == ErrorKind::timeout ? "timeout" : "connection", error.detail);
  }
  void count_error(const std::string& kind, const std::string& words) {
    ++report_.errors[kind];
    if (report_.first_error.empty()) report_.first_error = words;
  }

  providers::Core& core_;
  const LoadPlan& plan_;
  std::unique_ptr<providers::HttpClient> client_;
  LoadReport report_;
  TimePoint end_;
  uint64_t begun_ = 0;
  uint32_t running_ = 0;
};

}  // namespace

double LoadReport::requests_per_second() const {
  const double seconds = std::chrono::duration<double>(elapsed).count();
  return seconds > 0 ? static_cast<double>(requests) / seconds : 0;
}

LoadReport run_load(providers::Core& core, const LoadPlan& plan) {
  return Load(core, plan).run();
}

}  // namespace weir::gateway::bench
