#include "providers/net/resolve.h"

#include <arpa/inet.h>

#include <netdb.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "providers/net/socket.h"

namespace weir::providers {

struct Lookup {
  std::string host;
  std::string port;
  std::atomic<bool> abandoned{false};  // nobody waits any more: not worth asking
  // From here on of the core; the resolver's thread hands its answer over by a post.
  Event* waiting = nullptr;
  bool answered = false;
  std::string failure;
  std::vector<Address> addresses;
};

namespace {

Error resolve_error(const std::string& host, const std::string& what) {
  return {ErrorKind::connection, host, Retry::other_target, 502, "cannot resolve " + host + ": " + what};
}

std::string ask_system(const Lookup& lookup, std::vector<Address>& addresses) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(lookup.host.c_str(), lookup.port.c_str(), &hints, &found);
  if (code == EAI_SYSTEM) return errno_text(errno);
  if (code != 0) return ::gai_strerror(code);
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    Address& address = addresses.emplace_back();
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.size = entry->ai_addrlen;
  }
  ::freeaddrinfo(found);
  return addresses.empty() ? "it has no address" : "";
}

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

Resolver::~Resolver() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting_.clear();
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool Resolver::look_up(std::shared_ptr<Lookup> lookup) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kLookupsMax) return false;
    waiting_.push_back(std::move(lookup));
  }
  wake_.notify_one();
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  return true;
}

void Resolver::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    std::shared_ptr<Lookup> lookup = std::move(waiting_.front());
    waiting_.pop_front();
    if (lookup->abandoned.load(std::memory_order_relaxed)) continue;
    lock.unlock();
    std::vector<Address> addresses;
    std::string failure = ask_system(*lookup, addresses);
    core_.post([lookup = std::move(lookup), addresses = std::move(addresses), failure = std::move(failure)]() mutable {
      lookup->answered = true;
      lookup->addresses = std::move(addresses);
      lookup->failure = std::move(failure);
      if (lookup->waiting != nullptr) lookup->waiting->set();
    });
    lock.lock();
  }
}

Task<Result<std::vector<Address>>> resolve(Core& core, std::string host, uint16_t port, Event& interrupt) {
  if (auto address = numeric_address(host, port)) co_return std::vector<Address>{*address};
  auto lookup = std::make_shared<Lookup>();
  lookup->host = host;
  lookup->port = std::to_string(port);
  lookup->waiting = &interrupt;
  if (!core.resolver().look_up(lookup)) co_return resolve_error(host, "too many lookups are waiting");
  struct Leave {
    Lookup& lookup;
    ~Leave() {
      lookup.waiting = nullptr;
      lookup.abandoned.store(true, std::memory_order_relaxed);
    }
  } leave{*lookup};
  co_await interrupt.wait();
  if (!lookup->answered) co_return resolve_error(host, "interrupted");
  if (!lookup->failure.empty()) co_return resolve_error(host, lookup->failure);
  co_return std::move(lookup->addresses);
}

}  // namespace weir::providers
