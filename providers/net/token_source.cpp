#include "providers/net/token_source.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "providers/net/event.h"

namespace weir::providers {
namespace {

constexpr std::string_view kHeaderLines =
    "Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\n";

/// Retry-After in seconds; the other form, a date, is not used by token servers.
std::optional<std::chrono::milliseconds> retry_after(const HttpResponse& response) {
  const auto text = response.header("retry-after");
  int64_t wait = 0;
  if (!text) return {};
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), wait);
  if (error != std::errc() || end != text->data() + text->size() || wait < 0 || wait > 86'400) return {};
  return std::chrono::seconds(wait);
}

/// The transport's error, so told that nobody takes it for the model's.
Error of_token_server(Error error, const std::string& host) {
  error.detail = "no access token from " + host + ": " + error.detail;
  return error;
}

}  // namespace

/// Lives as long as the source, its question and its waiters.
struct TokenSource::Shared {
  Shared(Core& owner, std::shared_ptr<const TokenGrant> how, TokenSourceOptions with)
      : core(owner),
        grant(std::move(how)),
        options(std::move(with)),
        late{ErrorKind::timeout,
             grant->url().host,
             Retry::other_target,
             504,
             "no access token from " + grant->url().host + " within " + std::to_string(options.timeout.count()) + " ms",
             "upstream_timeout"} {
    Url url = grant->url();
    target = url.base_path.empty() ? "/" : url.base_path;
    client = make_http_client(core, std::move(url), options.http);
  }

  TimePoint time() const { return options.clock(); }
  /// What there is now: the token, or why there is none.
  Result<std::string_view> answer() const {
    if (state.usable(time())) return std::string_view(state.token());
    if (state.has_failed()) return state.failure();
    return Error{ErrorKind::upstream, grant->url().host, Retry::other_target, 502, "the access token ended at once",
                 "upstream_error"};
  }
  Task<Result<AccessToken>> ask(Abort& abort);

  Core& core;
  const std::shared_ptr<const TokenGrant> grant;
  const TokenSourceOptions options;
  const Error late;
  std::string target;
  std::unique_ptr<HttpClient> client;
  TokenState state;
  Abort* question = nullptr;  // of the question under way
  std::vector<Event*> waiting;

  static Task<void> refresh(std::shared_ptr<Shared> shared);
  static Task<Result<std::string_view>> wait(std::shared_ptr<Shared> shared, Abort& abort);
};

Task<Result<AccessToken>> TokenSource::Shared::ask(Abort& abort) {
  const std::string& host = grant->url().host;
  const auto request = grant->request(options.wall_clock());
  if (!request) co_return request.error();
  const std::string_view body[] = {request->body.reveal()};
  const HttpCall call{.method = "POST", .target = target, .header_lines = kHeaderLines, .body = body};
  auto sent = co_await client->send(call, abort);
  if (!sent) co_return of_token_server(std::move(sent).error(), host);
  HttpResponse& response = **sent;
  const auto text = co_await response.read_all(kTokenAnswerBytesMax);
  if (!text) co_return of_token_server(text.error(), host);
  co_return parse_token_answer(host, response.status(), *text, *request, retry_after(response));
}

// The question under way. It belongs to nobody who waits, so that a caller that gives up does not take it from the
// others.
Task<void> TokenSource::Shared::refresh(std::shared_ptr<Shared> shared) {
  Abort abort;
  Deadline deadline;
  deadline.arm(shared->core.wheel(), now() + shared->options.timeout, abort, shared->late);
  shared->question = &abort;
  auto token = co_await shared->ask(abort);
  shared->question = nullptr;
  if (token)
    shared->state.granted(std::move(*token), shared->time());
  else
    shared->state.failed(abort.fired() ? abort.reason() : std::move(token).error(), shared->time());
  for (Event* const event : std::exchange(shared->waiting, {})) event->set();
}

Task<Result<std::string_view>> TokenSource::Shared::wait(std::shared_ptr<Shared> shared, Abort& abort) {
  Event landed(shared->core);
  struct Place {  // in the line; leaves it however the wait ends
    std::vector<Event*>& line;
    Event* event;
    ~Place() { line.erase(std::remove(line.begin(), line.end(), event), line.end()); }
  } place{shared->waiting, &landed};
  shared->waiting.push_back(&landed);
  {
    AbortScope scope(abort, landed);
    co_await landed.wait();
  }
  if (abort.fired()) co_return abort.reason();
  co_return shared->answer();
}

TokenSource::TokenSource(Core& core, std::shared_ptr<const TokenGrant> grant, TokenSourceOptions options)
    : shared_(std::make_shared<Shared>(core, std::move(grant), std::move(options))) {}

TokenSource::~TokenSource() {
  if (shared_->question == nullptr) return;
  shared_->question->fire({ErrorKind::cancelled, shared_->grant->url().host, Retry::no, 503,
                           "the account was closed while it asked for an access token"});
}

Task<Result<std::string_view>> TokenSource::token(Abort& abort) {
  using Answer = Task<Result<std::string_view>>;
  if (abort.fired()) return Answer::ready(abort.reason());
  Shared& shared = *shared_;
  const TimePoint time = shared.time();
  if (shared.question == nullptr && shared.state.wants_token(time)) spawn(shared.core.gate(), Shared::refresh(shared_));
  if (shared.question != nullptr && !shared.state.usable(time)) return Shared::wait(shared_, abort);
  return Answer::ready(shared.answer());
}

void TokenSource::refused(std::string_view token) {
  shared_->state.refused(token, shared_->time());
}

}  // namespace weir::providers
