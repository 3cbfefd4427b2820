// The HTTP rim alone, as a proxy: what a request costs before the gateway does anything with it. Beside nginx's
// proxy_pass this shows what the pipeline may spend.
//   net_proxy PORT UPSTREAM_PORT [stream]
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "gateway/server/server.h"
#include "providers/net/http_client.h"

namespace weir {
namespace {

using gateway::Exchange;
using gateway::Request;
using gateway::ResponseHead;

providers::Task<void> relay(providers::HttpClient& client, bool stream, const Request& request, Exchange& exchange) {
  const std::string_view body[] = {request.body};
  const providers::HttpCall call{request.method, request.path, "Content-Type: application/json\r\n", body};
  auto sent = co_await client.send(call, exchange.abort());
  if (!sent) {
    const ResponseHead failed{502, "Content-Type: text/plain\r\n"};
    co_await exchange.respond(failed, sent.error().detail);
    co_return;
  }
  providers::HttpResponse& response = **sent;
  ResponseHead head{response.status(), {}};
  head.add("Content-Type", response.header("content-type").value_or("text/plain"));
  if (!stream) {
    const auto whole = co_await response.read_all(1 << 20);
    if (!whole) head.status = 502;
    const std::string_view text = whole ? *whole : std::string_view(whole.error().detail);
    co_await exchange.respond(head, text);
    co_return;
  }
  co_await exchange.begin_stream(head);
  for (;;) {
    const auto part = co_await response.read_some();
    if (!part) {
      exchange.break_stream();
      co_return;
    }
    if (part->empty()) break;
    if (!co_await exchange.write(*part)) co_return;
  }
  co_await exchange.end_stream({});
}

int run(uint16_t port, uint16_t upstream, bool stream) {
  providers::Core core(0);
  auto client = providers::make_http_client(core, {false, "127.0.0.1", upstream, ""}, {});
  auto config = std::make_shared<const config::Config>();
  auto server = gateway::start_server(
      {&core}, "127.0.0.1", port, false, [config] { return config; },
      [&](const Request& request, Exchange& exchange) { return relay(*client, stream, request, exchange); });
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().detail.c_str());
    return 1;
  }
  core.run();
  return 0;
}

}  // namespace
}  // namespace weir

int main(int count, char** words) {
  if (count < 3) {
    std::fprintf(stderr, "usage: net_proxy PORT UPSTREAM_PORT [stream]\n");
    return 2;
  }
  return weir::run(static_cast<uint16_t>(std::atoi(words[1])), static_cast<uint16_t>(std::atoi(words[2])),
                   count > 3 && std::string_view(words[3]) == "stream");
}
