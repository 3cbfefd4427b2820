#include "providers/net/resolve.h"

#include <arpa/inet.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/basic_resolver.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstring>

#include "providers/net/loop.h"

namespace weir::providers {

namespace asio = boost::asio;
using Resolver = asio::ip::basic_resolver<asio::ip::tcp, asio::io_context::executor_type>;

namespace {

Error resolve_error(const std::string& host, const std::string& what) {
  return {ErrorKind::connection, host, Retry::other_target, 502, "cannot resolve " + host + ": " + what};
}

// Shared with the resolver's handler, which may come after the coroutine gave up.
struct Lookup {
  explicit Lookup(asio::io_context& io) : resolver(io) {}
  Resolver resolver;
  Event* waiting = nullptr;
  bool answered = false;
  boost::system::error_code error;
  std::vector<Address> addresses;
};

}  // namespace

Result<Address> numeric_address(const std::string& host, uint16_t port) {
  Address address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
  } else if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
  } else {
    return resolve_error(host, "not a numeric address");
  }
  return address;
}

Task<Result<std::vector<Address>>> resolve(Core& core, std::string host, uint16_t port, Event& interrupt) {
  if (auto address = numeric_address(host, port)) co_return std::vector<Address>{*address};
  auto lookup = std::make_shared<Lookup>(core.loop().io());
  lookup->waiting = &interrupt;
  lookup->resolver.async_resolve(
      host, std::to_string(port), asio::ip::resolver_base::numeric_service,
      [lookup](const boost::system::error_code& error, const Resolver::results_type& results) {
        lookup->answered = true;
        lookup->error = error;
        for (const auto& entry : results) {
          Address& address = lookup->addresses.emplace_back();
          std::memcpy(&address.storage, entry.endpoint().data(), entry.endpoint().size());
          address.size = static_cast<socklen_t>(entry.endpoint().size());
        }
        if (lookup->waiting != nullptr) lookup->waiting->set();
      });
  struct Leave {
    Lookup& lookup;
    ~Leave() { lookup.waiting = nullptr; }
  } leave{*lookup};
  co_await interrupt.wait();
  if (!lookup->answered) {
    lookup->resolver.cancel();
    co_return resolve_error(host, "interrupted");
  }
  if (lookup->error) co_return resolve_error(host, lookup->error.message());
  if (lookup->addresses.empty()) co_return resolve_error(host, "it has no address");
  co_return std::move(lookup->addresses);
}

}  // namespace weir::providers
