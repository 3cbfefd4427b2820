// What a request must pass before any upstream hears of it: a known key, a body that makes sense, a model that the key
// may use, limits, room in the ledger's journal, and money.
#include <algorithm>
#include <utility>

#include "gateway/accounting/charge.h"
#include "gateway/accounting/transcription.h"
#include "gateway/api/errors.h"
#include "gateway/chat_run.h"
#include "providers/json_text.h"
#include "providers/net/percent.h"

namespace weir::gateway {

std::string_view presented_key(const Request& request) {
  std::string_view value = request.header("authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (value.size() > kBearer.size() &&
      std::equal(kBearer.begin(), kBearer.end(), value.begin(), [](char a, char b) { return a == (b | 0x20); })) {
    value.remove_prefix(kBearer.size());
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return value;
  }
  for (const std::string_view name : {"x-api-key", "api-key", "x-goog-api-key"})
    if (value = request.header(name); !value.empty()) return value;
  constexpr std::string_view kQueryKey = "key=";
  for (size_t at = 0; at < request.query.size();) {
    const size_t end = std::min(request.query.find('&', at), request.query.size());
    const std::string_view pair = request.query.substr(at, end - at);
    if (pair.starts_with(kQueryKey)) {
      const std::string_view written = pair.substr(kQueryKey.size());
      if (written.find('%') == std::string_view::npos) return written;
      static thread_local std::string decoded;
      decoded = providers::percent_decoded(written);
      return decoded;
    }
    at = end + 1;
  }
  return {};
}

Result<void> ChatRun::admit() {
  if (auto found = find_route(); !found) return found;
  prompt_estimate_ = prompt_most(*route_);
  const int64_t output = body_.output_tokens_max.value_or(0);
  auto admission =
      key_->limiter->admit(key_->config->limits, prompt_estimate_ + std::min(output, INT64_MAX / 256) * body_.n, now());
  if (!admission) {
    Error refused = std::move(admission).error();
    limits_left_ = key_->limiter->view(key_->config->limits, now());
    // The header and the message name the same moment.
    auto& meter = refused.param == "tokens" ? limits_left_.tokens : limits_left_.requests;
    if (meter && refused.param != "concurrency" && refused.retry_after) meter->reset = *refused.retry_after;
    return refused;
  }
  admission_ = std::move(*admission);
  limits_left_ = admission_.view();
  row_ = context_.services().ledger.reserve(context_.core().index(), policy_->policy().row_bytes_max());
  if (!row_) {
    Error full{ErrorKind::overloaded,
               "ledger",
               Retry::no,
               503,
               "the ledger cannot keep up: its journal is full; try again in a moment",
               "ledger_backlog"};
    full.retry_after = std::chrono::seconds(1);
    return full;
  }
  if (auto funded = take_funds(*route_); !funded) return funded;
  deadline_ = request_.accepted + route_->model->total_timeout;
  accepted_ = true;
  return {};
}

Result<void> ChatRun::authenticate() {
  auto key = policy_->policy().keys().authenticate(presented_key(request_), wall_now());
  if (!key) return std::move(key).error();
  key_ = *key;
  return {};
}

Error conversations_full(uint64_t most) {
  Error full{ErrorKind::overloaded,
             "gateway",
             Retry::no,
             503,
             "the conversations that calls under way go on from hold as many bytes as server.limits.bodies allows (" +
                 std::to_string(most) + "); try again in a moment",
             "overloaded"};
  full.retry_after = std::chrono::seconds(1);
  return full;
}

/// Of a large body a worker's part: pure but for what is the request's own, and the store of responses, which any
/// thread may ask.
Result<void> ChatRun::mark() {
  if (const auto coding = request_.header("content-encoding");
      !coding.empty() && !providers::iequals(coding, "identity"))
    return Error{ErrorKind::bad_request,
                 "gateway",
                 Retry::no,
                 415,
                 "the request body is in Content-Encoding: " + std::string(coding.substr(0, 64)) + "; send it as it is",
                 "unsupported_media_type"};
  Request call = request_;
  call.body = providers::without_byte_order_mark(call.body);
  auto marked = api_.mark(call, rest_);
  if (!marked) return std::move(marked).error();
  body_ = std::move(*marked);
  std::string holder;  // the account of items that the call names
  int64_t held_tokens = 0;
  if (!body_.item_references.empty()) {
    auto referred = refer_to_items(context_.services().responses, key_->config->name, body_, wall_now());
    if (!referred) return std::move(referred).error();
    holder = std::move(referred->account);
    held_tokens = referred->held_tokens;
    referred_body_ = std::move(referred->body);
    if (!referred_body_.empty()) {
      call.body = referred_body_;
      marked = api_.mark(call, rest_);
      if (!marked) return std::move(marked).error();
      body_ = std::move(*marked);
    }
  }
  auto continued = continue_call(context_.services().responses, key_->config->name, body_, wall_now());
  if (!continued) return std::move(continued).error();
  continued_ = std::move(*continued);
  if (continued_ && !continued_->body.empty()) {
    call.body = continued_->body;
    marked = api_.mark(call, rest_);
    if (!marked) return std::move(marked).error();
    body_ = std::move(*marked);
  }
  if (!holder.empty()) {
    if (!continued_)
      continued_.emplace(ContinuedCall{.call = body_, .previous_id = {}, .body = {}, .account = {}, .held_tokens = 0});
    if (!continued_->account.empty() && continued_->account != holder)
      return bad_request("input", "input: the items it names are held by another account than the conversation");
    continued_->account = holder;
    continued_->held_tokens += held_tokens;
  }
  const uint64_t most = policy_->policy().config().server.limits.bodies_bytes_max;
  const size_t bytes = referred_body_.size() + (continued_ ? continued_->body.size() : 0);
  if (!written_out_.hold(bytes, most)) return conversations_full(most);
  prompt_size_ = measure_prompt(body_);
  if (continued_ && !continued_->account.empty()) prompt_size_.add_held(continued_->held_tokens);
  return {};
}

Result<void> ChatRun::find_route() {
  const RouteTable& routes = policy_->policy().routes();
  route_ = routes.find(body_.model);
  if (route_ == nullptr) {
    std::string detail = "the model \"" + body_.model.substr(0, 128) + "\" does not exist";
    std::string names;
    for (const std::string& name : routes.nearest(body_.model))
      if (key_->may_use(name)) names += (names.empty() ? "" : ", ") + name;
    detail += names.empty() ? "; GET /v1/models lists those there are" : "; did you mean " + names + "?";
    Error error{ErrorKind::not_found, "gateway", Retry::no, 404, std::move(detail), "model_not_found"};
    error.param = "model";
    return error;
  }
  return KeyTable::authorize(*key_, body_.model);
}

/// What decides how images are counted: the upstream's name of the model, else the public one, which a deployment's may
/// hide.
std::string_view ChatRun::counted_model(const RouteTarget& target, const Route& route) {
  const bool known = providers::image_rule(target.upstream_model) != providers::ImageRule::unknown;
  return known ? std::string_view(target.upstream_model) : std::string_view(route.model->name);
}

int64_t ChatRun::prompt_most(const Route& route) const {
  if (!prompt_size_.has_images()) return prompt_size_.most(route.model->name);
  int64_t most = 0;
  for (const RouteTarget& target : route.targets)
    most = std::max(most, prompt_size_.most(counted_model(target, route)));
  return most;
}

Result<void> ChatRun::take_funds(const Route& route) {
  if (funded_ == &route) return {};
  funding_ = {};  // what another model's price needed goes back first
  funded_ = nullptr;
  Budget* budgets[] = {key_->budget};
  int64_t prompt = prompt_most(route);
  if (body_.protocol == providers::Protocol::openai_transcriptions && policy_->policy().is_priced_by_second(route))
    prompt = prompt / kAudioTokensASecond + 1;  // it is the tokens of the seconds
  int64_t named = prompt_size_.named();
  if (const auto context = policy_->policy().context_tokens(route))
    named = std::min(named, std::max<int64_t>(*context - prompt, 0));
  auto funding = fund(key_->budget == nullptr ? std::span<Budget* const>{} : std::span<Budget* const>{budgets},
                      Ask{.rates = policy_->policy().rates_max(route, body_.tier, prompt + named),
                          .prompt_tokens = prompt,
                          .named_tokens = named,
                          .max_tokens = body_.output_tokens_max,
                          .output_tokens_max = policy_->policy().output_tokens_max(route),
                          .choices = body_.n},
                      wall_now());
  if (!funding) return std::move(funding).error();
  funding_ = std::move(*funding);
  funded_ = &route;
  return {};
}

/// Where the last attempt used what was set aside, another needs as much again. `error` is the last attempt's; it says
/// why none follows.
bool ChatRun::fund_another(const Route& route, Error& error) {
  auto funded = take_funds(route);
  if (!funded) error.detail += " It was not tried again: " + funded.error().detail;
  return funded.ok();
}

}  // namespace weir::gateway
