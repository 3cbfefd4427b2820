#include "gateway/chat_run.h"

#include <algorithm>
#include <utility>

#include "gateway/accounting/charge.h"
#include "gateway/api/errors.h"
#include "providers/net/workers.h"

namespace weir::gateway {
namespace {

// What a deadline ends an attempt with; it must outlive every attempt.
const Error kTooLate = upstream_timeout("no whole answer within the model's total timeout (its timeout.total)");
const Error kFirstTokenLate = upstream_timeout("no first token within the model's timeout (its timeout.first_token)");
const Error kAttemptLate =
    upstream_timeout("no answer of this target within the model's timeout (its timeout.attempt)");

/// Only these two send usage in a stream just where the client asks for it.
bool has_usage_option(providers::Protocol protocol) {
  return protocol == providers::Protocol::openai_chat || protocol == providers::Protocol::openai_completions;
}

}  // namespace

ChatRun::ChatRun(CoreContext& context, const ClientApi& api, const Request& request, std::string_view rest,
                 Exchange& exchange)
    : context_(context),
      api_(api),
      request_(request),
      rest_(rest),
      exchange_(exchange),
      policy_(context.policy()),
      id_(context.request_id()) {
  context_.services().registry.in_flight(context_.core().index(), 1);
}

Task<void> ChatRun::run() {
  Result<void> admitted = authenticate();
  if (admitted) {
    const auto names = [&](std::string_view what) { return request_.body.find(what) != std::string_view::npos; };
    // What a call goes on from is read from the store, and may be longer than the call.
    const bool large =
        request_.body.size() > inline_bytes_max() || (api_.protocol() == providers::Protocol::openai_responses &&
                                                      (names("\"previous_response_id\"") || names("\"id\"")));
    const auto read = [&] { admitted = mark(); };
    if (!co_await providers::run_aside(context_.core(), exchange_.abort(), large, read))
      admitted = exchange_.abort().reason();
  }
  if (admitted) admitted = admit();
  if (!admitted) co_return co_await answer_error(std::move(admitted).error());
  if (auto reached = co_await reach(); !reached) {
    const bool countable =
        body_.protocol == providers::Protocol::anthropic_count && reached.error().code == "unsupported_operation";
    if (countable) co_return co_await answer_count();
    co_return co_await answer_error(std::move(reached).error());
  }
  if (body_.stream)
    co_await answer_stream();
  else
    co_await answer_whole();
}

Result<const providers::ChatRequest*> ChatRun::neutral() {
  if (!neutral_) neutral_.emplace(api_.decode(body_));
  if (!*neutral_) return neutral_->error();
  return &**neutral_;
}

// --- reaching a target ----------------------------------------------------------------------------------------------

Task<Result<void>> ChatRun::reach() {
  auto result = co_await reach_model(*route_, false);
  for (const std::string& name : route_->model->fallbacks) {
    if (result || result.error().retry == Retry::no || client_gone() || now() >= deadline_) break;
    const Route* next = policy_->policy().routes().find(name);
    if (next == nullptr) continue;  // `load` refuses unknown names
    if (auto funded = take_funds(*next); !funded) {
      result.error().detail += " The fallback \"" + name + "\" was passed over: " + funded.error().detail;
      continue;  // another may cost less
    }
    auto again = co_await reach_model(*next, true);
    if (again || again.error().code != "no_available_target") result = std::move(again);
  }
  co_return result;
}

/// The targets at other accounts than the one that holds the conversation.
std::vector<size_t> ChatRun::elsewhere(const Route& route) const {
  std::vector<size_t> out;
  if (!continued_ || continued_->account.empty()) return out;
  for (size_t i = 0; i < route.targets.size(); ++i) {
    const AccountState* account = route.targets[i].account;
    if (account == nullptr || account->name != continued_->account) out.push_back(i);
  }
  return out;
}

Task<Result<void>> ChatRun::reach_model(const Route& route, bool fallback) {
  std::vector<size_t> tried = elsewhere(route);
  if (!tried.empty() && tried.size() == route.targets.size()) {
    const std::string field = continued_->previous_id.empty() ? "input" : "previous_response_id";
    Error error =
        bad_request(field, field + ": the account that holds this conversation does not serve the model \"" +
                               route.model->name + "\"; ask a model that it serves, or begin a new conversation");
    error.retry = Retry::other_target;  // a fallback may be there
    co_return error;
  }
  std::optional<Error> last;
  if (fallback) ++fallbacks_;
  for (uint32_t i = 0; i <= route.model->retries; ++i) {
    if (last && !fund_another(route, *last)) break;
    auto lease = choose(route, tried, prompt_estimate_, now());
    if (!lease) {
      Error error = last ? std::move(*last) : std::move(lease).error();
      error.retry = Retry::other_target;  // a fallback may have one
      co_return error;
    }
    lease_ = std::move(*lease);
    const size_t index = lease_.index();
    if (last) ++retries_;
    auto result = co_await attempt(route);
    if (result) co_return result;
    Error& error = result.error();
    if (client_gone()) {
      blame_target(error, 0);
      co_return result;  // the reply stays: what it used until now is charged
    }
    blame_target(error, book_attempt(error));
    if (error.retry == Retry::no || now() >= deadline_) co_return result;
    last = std::move(error);
    tried.push_back(index);
  }
  co_return std::move(*last);
}

/// What an attempt's error says of its target, which may begin to cool; nothing where the client left.
void ChatRun::blame_target(const Error& error, int64_t tokens_used) {
  const auto outcome = client_gone() ? Outcome::neutral : outcome_of(error);
  Services& services = context_.services();
  auto& registry = services.registry;
  if (lease_.report(outcome, error.retry_after, tokens_used, now(), policy_->policy().config().health)) {
    registry.ejection(target_->state->label, to_string(outcome));
    // Clients are not told why; those who run the gateway are, once each time.
    if (error.kind == ErrorKind::authentication || error.kind == ErrorKind::quota)
      services.log.event(metrics::Level::error,
                         error.kind == ErrorKind::quota ? "upstream_quota_exhausted" : "credential_refused",
                         {{"target", target_->state->label}, {"detail", error.detail}});
  }
  if (error.kind == ErrorKind::rate_limit && error.source == "upstream" && !client_gone())
    registry.rate_limit(target_->state->label, to_string(error.limit));
}

Task<Result<void>> ChatRun::attempt(const Route& route) {
  target_ = &lease_.target();
  price_ = &policy_->policy().price(*target_, route.model->name);
  prompt_likely_ = prompt_size_.likely(counted_model(*target_, route));
  prompt_media_ = prompt_size_.media(counted_model(*target_, route));
  answer_bytes_ = 0;
  answer_size_ = {};
  answer_text_ = {};
  counted_.reset();
  ++attempts_;
  sent_upstream_ = false;
  reply_.reset();
  abort_.emplace(*this);
  const TimePoint began = now();
  TimePoint first = deadline_;
  const Error* late = &kTooLate;
  if (body_.stream && began + route.model->first_token_timeout < deadline_) {
    first = began + route.model->first_token_timeout;
    late = &kFirstTokenLate;
  }
  if (const auto& each = route.model->attempt_timeout; each && began + *each < first) {
    first = began + *each;
    late = &kAttemptLate;
  }
  abort_->deadline.arm(context_.core().wheel(), first, abort_->own, *late);
  if (!decode_) {
    decode_ = [this] { return neutral(); };
    client_header_ = [this](std::string_view name) { return request_.header(name); };
  }
  attempt_.emplace(providers::Attempt{.core = context_.core(),
                                      .abort = abort_->own,
                                      .body = body_,
                                      .neutral = decode_,
                                      .client_header = client_header_,
                                      .model = target_->upstream_model,
                                      .request_id = id_,
                                      .output_tokens_cap = {},
                                      .wall = wall_now(),
                                      .deadline = deadline_,
                                      .response_bytes_max = policy_->policy().config().server.limits.response_bytes_max,
                                      .prompt_tokens = generates_chat(body_.protocol) ? prompt_likely_ : 0,
                                      .inline_bytes_max = inline_bytes_max(),
                                      .cache_salt = key_->cache_salt,
                                      .priority = key_->config->priority,
                                      .sent = &sent_upstream_});
  if (funding_.must_cap && generates_chat(body_.protocol)) attempt_->output_tokens_cap = funding_.output_tokens;
  auto reply = co_await policy_->provider(*target_).start(*attempt_);
  if (!reply) {
    upstream_time_ += now() - began;
    co_return std::move(reply).error();
  }
  reply_ = std::move(*reply);
  co_await reply_->pull(batch_);
  const TimePoint arrived = now();
  upstream_time_ += arrived - began;
  const bool silent = batch_.events.empty() &&
                      (batch_.segments.empty() || batch_.segments.front().kind == providers::Segment::Kind::error);
  if (batch_.error && silent) co_return std::move(*batch_.error);
  first_token_ = arrived;
  if (body_.stream && first != deadline_)
    abort_->deadline.arm(context_.core().wheel(), deadline_, abort_->own, kTooLate);
  if (body_.stream) co_return Result<void>{};
  co_return co_await collect();
}

void ChatRun::make_encoder() {
  encoder_ = api_.encoder({.request_id = id_,
                           .created_unix_s = unix_us(wall_now()) / 1'000'000,
                           .model = body_.model,
                           .body = body_,
                           .request = neutral_ && *neutral_ ? &**neutral_ : nullptr,
                           .previous_id = continued_ ? std::string_view(continued_->previous_id) : std::string_view{}});
}

/// Work of the encoder's. A mistake of ours in one answer breaks that answer alone: the JSON library and the allocator
/// speak in exceptions.
template <class Work>
void ChatRun::translate(const Work& work) {
  try {
    work();
  } catch (const std::exception& mistake) {
    batch_.error = Error{ErrorKind::internal, "gateway", Retry::no, 500, "", "internal_error"};
    batch_.error->detail = std::string("the answer cannot be told in this protocol: ") + mistake.what();
  }
}

/// A whole answer out of neutral events is complete before its first byte is sent, so a break can still be retried.
Task<Result<void>> ChatRun::collect() {
  if (reply_->native()) {
    count_answer();
    co_return Result<void>{};
  }
  make_encoder();
  while (true) {
    count_answer();
    translate([&] {
      for (auto& event : batch_.events) encoder_->add(std::move(event));
    });
    if (batch_.error) co_return std::move(*batch_.error);
    if (batch_.end) co_return Result<void>{};
    co_await reply_->pull(batch_);
  }
}

// --- answering ------------------------------------------------------------------------------------------------------

ResponseHead ChatRun::head(int status, std::string_view content_type) {
  ResponseHead out{.status = status, .fields = {}};
  out.fields.reserve(512);
  out.add("content-type", content_type);
  add_request_id(out, id_);
  if (!body_.model.empty() && route_ != nullptr) out.add("x-weir-model", body_.model);
  if (target_ != nullptr) out.add("x-weir-target", target_->state->label);
  if (accepted_) out.add("x-weir-attempts", std::to_string(attempts_));
  if (reply_ && !reply_->dropped().empty()) out.add("x-weir-dropped-params", reply_->dropped());
  out.fields += ratelimit_fields(limits_left_);
  overhead_ = now() - request_.received - upstream_time_;
  out.add("x-weir-overhead-us",
          std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(overhead_).count()));
  return out;
}

/// For a later call's previous_response_id.
void ChatRun::keep_answer(std::string_view answer) {
  ResponseStore* store = context_.services().responses;
  if (store == nullptr || api_.protocol() != providers::Protocol::openai_responses) return;
  const std::string_view previous = continued_ ? std::string_view(continued_->previous_id) : std::string_view{};
  const bool upstreams = reply_->native() && reply_->kept_upstream() && target_->account != nullptr;
  const std::string_view account = upstreams ? std::string_view(target_->account->name) : std::string_view{};
  if (auto turn = stored_turn(key_->config->name, continued_ ? continued_->call : body_, previous, account, answer))
    store->put(std::move(*turn), wall_now());
}

Task<void> ChatRun::answer_whole() {
  if (wants_count()) co_await count_untold_aside();
  ResponseHead out = head(200, reply_->native() ? reply_->content_type() : "application/json");
  out.add("x-weir-cost-usd", to_decimal_usd(cost()));
  if (reply_->native()) {
    keep_answer(batch_.segments.front().bytes);
    settle(200, "");
    co_await exchange_.respond(out, batch_.segments.front().bytes);
    co_return;
  }
  std::string text;
  const auto encode = [&] {
    translate([&] { text = encoder_->whole(usage(), cost()); });
    if (!batch_.error) keep_answer(text);
  };
  if (!co_await providers::run_aside(context_.core(), exchange_.abort(), answer_bytes_ > inline_bytes_max(), encode))
    co_return co_await answer_error(exchange_.abort().reason());
  if (batch_.error) co_return co_await answer_error(std::move(*batch_.error));
  settle(200, "");
  co_await exchange_.respond(out, text);
}

/// Appends the batch in the client's protocol. True: the answer is complete or broken, and settled.
bool ChatRun::encode_batch(std::string& out) {
  using Kind = providers::Segment::Kind;
  bool upstream_said_error = false;
  for (const providers::Segment& segment : batch_.segments) {
    if (segment.kind == Kind::usage) {
      if (segment.usage_only && !body_.include_usage && has_usage_option(body_.protocol)) continue;
      const bool asked = body_.include_usage || !has_usage_option(body_.protocol);
      if (asked && segment.usage_object > 0) {
        append_usage_with_cost(segment.bytes, segment.usage_object, segment.usage_empty, cost(), out);
        continue;
      }
    }
    upstream_said_error = upstream_said_error || segment.kind == Kind::error;
    out.append(segment.bytes);
  }
  const bool translated = !reply_->native();
  size_t last = 0;  // where what is behind all events begins
  translate([&] {
    for (const providers::ChatEvent& event : batch_.events) encoder_->chunk(event, out);
    last = out.size();
    if (batch_.end && translated) encoder_->final(usage(), cost(), out);
  });
  if (batch_.error) {
    const Error error = for_client(*batch_.error);
    // What the upstream ended with may lack the blank line that parts it from what follows.
    if (body_.sse && reply_->native() && !out.empty() && !out.ends_with("\n\n")) out.append("\n\n");
    const bool told = upstream_said_error || reply_->ends_with_body() || (encoder_ && encoder_->broken(error, out));
    if (!told) out.append(api_.stream_error(error, body_));
    const config::TokenCounts used = usage().counts;
    if (!client_gone()) blame_target(*batch_.error, used.input + used.output);
    const bool left = client_gone() && !shutting_down();
    left ? settle_left() : settle(error.http_status, error.code);
    return true;
  }
  if (batch_.end && translated) keep_answer(std::string_view(out).substr(last));
  const bool done = batch_.end || (!batch_.segments.empty() && batch_.segments.back().kind == Kind::done);
  if (done && reply_->native())
    for (const providers::Segment& segment : batch_.segments)
      if (segment.kind != Kind::data && !segment.bytes.empty()) keep_answer(segment.bytes);
  if (done) settle(200, "");
  return done;
}

/// Is the batch the last, or does it tell what the whole answer cost?
bool ChatRun::shows_the_whole() const {
  using Kind = providers::Segment::Kind;
  const auto tells = [](const providers::Segment& one) { return one.kind != Kind::data; };
  return batch_.end || batch_.error || std::any_of(batch_.segments.begin(), batch_.segments.end(), tells);
}

Task<void> ChatRun::answer_stream() {
  if (!reply_->native()) make_encoder();
  // Where the upstream answers with a whole all the same, or with sound, it is none of the protocol's events.
  const bool as_sent = reply_->native() && (!body_.sse || !reply_->open() || reply_->ends_with_body());
  ResponseHead out = head(200, as_sent ? reply_->content_type() : api_.stream_type(body_));
  out.add("cache-control", "no-cache");
  co_await exchange_.begin_stream(out);
  streams_ = true;
  std::string bytes;
  if (encoder_) encoder_->begin(reply_->usage(), bytes);
  while (true) {
    count_answer();
    if (heard_out_) break;
    bound_answer();
    if (shows_the_whole() && wants_count()) co_await count_untold_aside();
    if (encode_batch(bytes)) break;
    const bool as_is = batch_.segments.size() == 1 && batch_.segments.front().kind == providers::Segment::Kind::data;
    const std::string_view next = as_is ? batch_.segments.front().bytes : std::string_view(bytes);
    // Of work that shows nothing yet the client has the head at once, as where the upstream's bytes pass.
    const bool unsaid = next.empty() && !batch_.begun;
    const bool client_there = unsaid || co_await exchange_.write(next);
    if (!client_there) break;
    co_await reply_->pull(batch_);
    bytes.clear();
  }
  if (!settled_) {
    co_await hear_out();
    co_return settle_left();
  }
  if (batch_.error && reply_->ends_with_body()) co_return exchange_.break_stream();
  co_await exchange_.end_stream(bytes);
  // The end of the upstream's body usually stands behind its end mark already: read, the connection can be kept.
  if (!batch_.error && reply_->open()) {
    constexpr std::chrono::milliseconds kLinger{100};
    abort_->deadline.arm(context_.core().wheel(), now() + kLinger, abort_->own, kTooLate);
    co_await reply_->pull(batch_);
  }
}

/// No target of the model can count tokens: our own estimate is better than an error, and says that it is one.
Task<void> ChatRun::answer_count() {
  if (target_ != nullptr && target_->tokenizer != nullptr) co_await count_untold_aside();
  sent_upstream_ = false;
  ResponseHead out = head(200, "application/json");
  out.add("x-weir-estimated", "true");
  const int64_t tokens = counted_ ? counted_->prompt : prompt_estimate_;
  const std::string body = "{\"input_tokens\":" + std::to_string(tokens) + "}";
  settle(200, "");
  co_await exchange_.respond(out, body);
}

Task<void> ChatRun::answer_error(Error error) {
  if (shutting_down()) {
    error = exchange_.abort().reason();
  } else if (client_gone()) {
    settle_left();
    co_return;
  }
  book_attempt(error);
  error = for_client(std::move(error));
  ResponseHead out = head(error.http_status, "application/json");
  if (error.retry_after) {
    const int64_t seconds = std::max<int64_t>(1, (error.retry_after->count() + 999) / 1000);
    out.add("retry-after", std::to_string(seconds));
  }
  if (spent_.charge.nanos > 0) out.add("x-weir-cost-usd", to_decimal_usd(spent_.charge));
  sent_upstream_ = false;  // what is booked is all
  settle(error.http_status, error.code);
  co_await exchange_.respond(out, api_.error_body(error));
}

}  // namespace weir::gateway
