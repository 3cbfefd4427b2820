#include "gateway/routes.h"

#include <mutex>
#include <span>
#include "config/base/json.h"

#include "gateway/api/client_api.h"
#include "gateway/api/errors.h"
#include "gateway/chat_run.h"
#include "providers/net/percent.h"
#include "providers/net/socket.h"
#include "providers/net/workers.h"

namespace weir::gateway {
namespace {

using Json = nlohmann::ordered_json;
using providers::Protocol;

struct Call {
  CoreContext& context;
  const ProcessState& state;
  const Request& request;
  Exchange& exchange;
  std::string_view rest;  // of the path, behind a route that ends with '/'
};

Task<void> respond(const Call& call, int status, std::string_view body, std::string_view type = "application/json") {
  ResponseHead head{.status = status, .fields = {}};
  head.add("content-type", type);
  add_request_id(head, call.context.request_id());
  co_await call.exchange.respond(head, body);
}

Task<void> respond_error(const Call& call, Error error) {
  const std::string body = error_body(error);
  co_await respond(call, error.http_status, body);
}

/// The key that may ask, or the error to answer with.
Result<const Key*> key_of(const Call& call) {
  return call.context.policy()->policy().keys().authenticate(presented_key(call.request), wall_now());
}

Task<void> serve_model(const Call& call, Protocol protocol) {
  ChatRun run(call.context, client_api(protocol), call.request, call.rest, call.exchange);
  co_await run.run();
}

template <Protocol protocol>
Task<void> model_call(Call call) {
  co_await serve_model(call, protocol);
}

/// GET and DELETE /v1/responses/{id}: an answer that we keep for previous_response_id.
Task<void> stored_response(Call call) {
  const auto bound = call.context.policy();
  auto key = key_of(call);
  if (!key) co_return co_await respond_error(call, std::move(key).error());
  ResponseStore* store = call.context.services().responses;
  const std::string& name = (*key)->config->name;
  Error missing = not_found("there is no response \"" + std::string(call.rest.substr(0, 128)) + "\" of this key");
  missing.code = "response_not_found";
  if (store == nullptr) co_return co_await respond_error(call, std::move(missing));
  if (call.request.method == "DELETE") {
    if (!store->remove(call.rest, name, wall_now())) co_return co_await respond_error(call, std::move(missing));
    const std::string body = Json{{"id", call.rest}, {"object", "response"}, {"deleted", true}}.dump();
    co_return co_await respond(call, 200, body);
  }
  auto text = store->response(call.rest, name, wall_now());
  if (!text) {
    if (text.error().kind != ErrorKind::not_found) missing = std::move(text).error();
    co_return co_await respond_error(call, std::move(missing));
  }
  co_await respond(call, 200, *text);
}

Json model_json(const std::string& name, int64_t created) {
  return {{"id", name}, {"object", "model"}, {"created", created}, {"owned_by", "weir"}};
}

int64_t created_of(const ProcessState& state) {
  return std::chrono::system_clock::to_time_t(state.started);
}

Task<void> models(Call call) {
  const auto bound = call.context.policy();
  auto key = key_of(call);
  if (!key) co_return co_await respond_error(call, std::move(key).error());
  Json list = Json::array();
  for (const Route& route : bound->policy().routes().all())
    if ((*key)->may_use(route.model->name)) list.push_back(model_json(route.model->name, created_of(call.state)));
  const std::string body = Json{{"object", "list"}, {"data", std::move(list)}}.dump();
  co_await respond(call, 200, body);
}

Task<void> model(Call call) {
  const auto bound = call.context.policy();
  auto key = key_of(call);
  if (!key) co_return co_await respond_error(call, std::move(key).error());
  const std::string name = providers::percent_decoded(call.rest);
  const Route* route = bound->policy().routes().find(name);
  if (route == nullptr || !(*key)->may_use(route->model->name)) {
    Error error = not_found("the model \"" + name.substr(0, 128) + "\" does not exist");
    error.code = "model_not_found";
    error.param = "model";
    co_return co_await respond_error(call, std::move(error));
  }
  const std::string body = model_json(route->model->name, created_of(call.state)).dump();
  co_await respond(call, 200, body);
}

/// OpenAI's clients ask here about a model, Google's (whose stable version is v1 too) call one.
Task<void> model_or_gemini(Call call) {
  if (call.request.method == "POST")
    co_await serve_model(call, Protocol::gemini_generate);
  else
    co_await model(call);
}

Task<void> live(Call call) {
  co_await respond(call, 200, R"({"status":"ok"})");
}

/// Why the process should get no traffic now; empty: it should.
std::vector<std::string> unready_reasons(const Call& call) {
  std::vector<std::string> reasons;
  const auto& policy = call.context.policy()->policy();
  if (call.state.draining.load(std::memory_order_relaxed)) reasons.emplace_back("draining");
  if (!call.context.services().ledger.healthy())
    reasons.push_back("ledger: " + call.context.services().ledger.reason());
  for (const auto& [name, engine] : policy.engines())
    if (const auto stats = engine->stats(); !stats.healthy) reasons.push_back("engine " + name + ": " + stats.reason);
  return reasons;
}

Task<void> ready(Call call) {
  const auto reasons = unready_reasons(call);
  const std::string body = Json{{"status", reasons.empty() ? "ok" : "unavailable"}, {"reasons", reasons}}.dump();
  co_await respond(call, reasons.empty() ? 200 : 503, body);
}

/// Each target and engine with its state and reason. For the admin key.
Task<void> health(Call call) {
  const auto bound = call.context.policy();
  const Policy& policy = bound->policy();
  if (!policy.keys().is_admin(presented_key(call.request))) {
    Error error{ErrorKind::authentication,
                "gateway",
                Retry::no,
                401,
                "this route needs the admin key (admin_key in the configuration)",
                "invalid_api_key"};
    co_return co_await respond_error(call, std::move(error));
  }
  Json targets = Json::array();
  for (const Route& route : policy.routes().all())
    for (const RouteTarget& target : route.targets) {
      const Health::View view = target.state->health.view(now());
      Json entry = {{"model", route.model->name},
                    {"target", target.state->label},
                    {"weight", target.config->weight},
                    {"state", view.state},
                    {"reason", view.reason},
                    {"in_flight", target.state->in_flight.load()},
                    {"consecutive_failures", view.consecutive_failures},
                    {"ejections", view.ejections}};
      if (target.account != nullptr) {
        const Health::View credential = target.account->credential.view(now());
        entry["credential"] = {{"state", credential.state}, {"reason", credential.reason}};
      }
      targets.push_back(std::move(entry));
    }
  Json engines = Json::array();
  for (const auto& [name, engine] : policy.engines()) {
    const auto stats = engine->stats();
    engines.push_back({{"engine", name},
                       {"state", stats.healthy ? "up" : "down"},
                       {"reason", stats.reason},
                       {"running", stats.running},
                       {"waiting", stats.waiting},
                       {"blocks",
                        {{"total", stats.blocks_total},
                         {"free", stats.blocks_free},
                         {"cached", stats.blocks_cached},
                         {"active", stats.blocks_active}}},
                       {"host_blocks", {{"total", stats.host_blocks_total}, {"cached", stats.host_blocks_cached}}}});
  }
  const std::string body = Json{{"targets", targets}, {"engines", engines}}.dump(2);
  co_await respond(call, 200, body);
}

Task<void> metrics_text(Call call) {
  static std::mutex one_at_a_time;  // Registry::render is not for two threads at once
  std::string text;
  const auto render = [&] {
    const std::lock_guard lock(one_at_a_time);
    text = call.context.services().registry.render();
  };
  // Thousands of series take milliseconds.
  if (!co_await providers::run_aside(call.context.core(), call.exchange.abort(), true, render))
    co_return co_await respond_error(call, call.exchange.abort().reason());
  co_await respond(call, 200, text, "text/plain; version=0.0.4; charset=utf-8");
}

struct RouteEntry {
  std::string_view path;  // one that ends with '/' takes everything below it
  std::string_view methods;
  Task<void> (*answer)(Call call);
};

constexpr std::string_view kGet = "GET, HEAD, OPTIONS";
constexpr std::string_view kPost = "POST, OPTIONS";
constexpr std::string_view kGetPost = "GET, POST, HEAD, OPTIONS";
constexpr std::string_view kGetDelete = "GET, DELETE, HEAD, OPTIONS";

constexpr RouteEntry kRoutes[] = {
    {"/v1/chat/completions", kPost, model_call<Protocol::openai_chat>},
    {"/chat/completions", kPost, model_call<Protocol::openai_chat>},
    {"/v1/completions", kPost, model_call<Protocol::openai_completions>},
    {"/completions", kPost, model_call<Protocol::openai_completions>},
    {"/v1/responses", kPost, model_call<Protocol::openai_responses>},
    {"/responses", kPost, model_call<Protocol::openai_responses>},
    {"/v1/embeddings", kPost, model_call<Protocol::openai_embeddings>},
    {"/embeddings", kPost, model_call<Protocol::openai_embeddings>},
    {"/v1/images/generations", kPost, model_call<Protocol::openai_images>},
    {"/images/generations", kPost, model_call<Protocol::openai_images>},
    {"/v1/audio/speech", kPost, model_call<Protocol::openai_speech>},
    {"/audio/speech", kPost, model_call<Protocol::openai_speech>},
    {"/v1/audio/transcriptions", kPost, model_call<Protocol::openai_transcriptions>},
    {"/audio/transcriptions", kPost, model_call<Protocol::openai_transcriptions>},
    {"/v1/moderations", kPost, model_call<Protocol::openai_moderations>},
    {"/moderations", kPost, model_call<Protocol::openai_moderations>},
    {"/v1/rerank", kPost, model_call<Protocol::rerank>},
    {"/rerank", kPost, model_call<Protocol::rerank>},
    {"/v2/rerank", kPost, model_call<Protocol::rerank>},  // Cohere's clients ask here
    {"/v1/responses/", kGetDelete, stored_response},
    {"/responses/", kGetDelete, stored_response},
    {"/v1/messages", kPost, model_call<Protocol::anthropic_messages>},
    {"/messages", kPost, model_call<Protocol::anthropic_messages>},
    {"/v1/messages/count_tokens", kPost, model_call<Protocol::anthropic_count>},
    {"/messages/count_tokens", kPost, model_call<Protocol::anthropic_count>},
    {"/v1beta/models/", kGetPost, model_or_gemini},
    {"/v1/models", kGet, models},
    {"/models", kGet, models},
    {"/v1/models/", kGetPost, model_or_gemini},
    {"/models/", kGetPost, model_or_gemini},
    {"/health", kGet, health},
    {"/health/live", kGet, live},
    {"/health/ready", kGet, ready},
    {"/metrics", kGet, metrics_text},
};
constexpr RouteEntry kMetricsRoutes[] = {
    {"/metrics", kGet, metrics_text}, {"/health/live", kGet, live}, {"/health/ready", kGet, ready}};

const RouteEntry* find_route(std::span<const RouteEntry> routes, std::string_view path, std::string_view& rest) {
  for (const RouteEntry& entry : routes) {
    if (path == entry.path) return &entry;
    if (entry.path.back() == '/' && path.starts_with(entry.path) && path.size() > entry.path.size()) {
      rest = path.substr(entry.path.size());
      return &entry;
    }
  }
  return nullptr;
}

bool allows(std::string_view methods, std::string_view method) {
  for (size_t at = 0; at < methods.size();) {
    const size_t end = std::min(methods.find(", ", at), methods.size());
    if (methods.substr(at, end - at) == method) return true;
    at = end + 2;
  }
  return false;
}

/// `OPTIONS *` asks about the server and not about one route (RFC 9110 section 9.3.7).
bool asks_for_server(const Request& request) {
  return request.method == "OPTIONS" && request.path == "*";
}

Task<void> answer_options(Call call, std::string_view methods) {
  ResponseHead head{.status = 204, .fields = {}};
  head.add("allow", methods);
  add_request_id(head, call.context.request_id());
  co_await call.exchange.respond(head, "");
}

Task<void> refuse_method(Call call, std::string_view methods) {
  ResponseHead head{.status = 405, .fields = {}};
  head.add("allow", methods);
  head.add("content-type", "application/json");
  add_request_id(head, call.context.request_id());
  const std::string body = error_body(
      {ErrorKind::bad_request, "gateway", Retry::no, 405,
       std::string(call.request.method.substr(0, 32)) + " is not allowed here; allowed: " + std::string(methods),
       "method_not_allowed"});
  co_await call.exchange.respond(head, body);
}

Task<void> dispatch(std::span<const RouteEntry> routes, CoreContext& context, const ProcessState& state,
                    const Request& request, Exchange& exchange) {
  std::string_view rest;
  const RouteEntry* entry = find_route(routes, request.path, rest);
  const Call call{context, state, request, exchange, rest};
  if (asks_for_server(request)) co_return co_await answer_options(call, "GET, HEAD, POST, OPTIONS");
  if (entry == nullptr) {
    Error error = not_found("there is no " + std::string(request.path.substr(0, 256)) + " here");
    co_return co_await respond_error(call, std::move(error));
  }
  if (!allows(entry->methods, request.method)) co_return co_await refuse_method(call, entry->methods);
  if (request.method == "OPTIONS") co_return co_await answer_options(call, entry->methods);
  co_await entry->answer(call);
}

Handler handler_for(std::span<const RouteEntry> routes, std::vector<CoreContext*> contexts, const ProcessState& state) {
  return [routes, contexts = std::move(contexts), &state](const Request& request, Exchange& exchange) {
    return dispatch(routes, *contexts[static_cast<size_t>(exchange.core().index())], state, request, exchange);
  };
}

}  // namespace

Handler make_handler(std::vector<CoreContext*> contexts, const ProcessState& state, bool with_metrics) {
  static_assert(kRoutes[std::size(kRoutes) - 1].path == "/metrics");
  const std::span<const RouteEntry> routes(kRoutes, std::size(kRoutes) - (with_metrics ? 0 : 1));
  return handler_for(routes, std::move(contexts), state);
}

/// Only a call by a key that may ask has its body read: nobody else fills our memory.
ServerHooks make_hooks(std::vector<CoreContext*> contexts) {
  ServerHooks hooks;
  hooks.wants_body = [contexts](const Request& head, Core& core) {
    std::string_view rest;
    const RouteEntry* entry = find_route(kRoutes, head.path, rest);
    if (entry == nullptr || head.method != "POST" || !allows(entry->methods, head.method)) return false;
    CoreContext& context = *contexts[static_cast<size_t>(core.index())];
    return context.policy()->policy().keys().authenticate(presented_key(head), wall_now()).ok();
  };
  hooks.cannot_accept = [contexts](Core& core, int error) {
    contexts[static_cast<size_t>(core.index())]->services().log.event(
        metrics::Level::error, "cannot_accept",
        {{"detail", providers::errno_text(error) + "; raise the limit of open files (ulimit -n, LimitNOFILE) or lower "
                                                   "server.limits.connections"}});
  };
  hooks.refusal_fields = [contexts = std::move(contexts)](Core& core) {
    ResponseHead head;
    add_request_id(head, contexts[static_cast<size_t>(core.index())]->request_id());
    return std::move(head.fields);
  };
  return hooks;
}

Handler make_metrics_handler(std::vector<CoreContext*> contexts, const ProcessState& state) {
  return handler_for(kMetricsRoutes, std::move(contexts), state);
}

}  // namespace weir::gateway
