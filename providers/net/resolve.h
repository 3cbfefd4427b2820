// Names to addresses without blocking the core: a thread of the core's Resolver asks the system. Also listening
// addresses, which need no lookup.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "providers/net/core.h"
#include "providers/net/event.h"

namespace weir::providers {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// The address if `host` is one already ("127.0.0.1", "::1").
Result<Address> numeric_address(const std::string& host, uint16_t port);

/// One lookup, shared by who waits for it (on the core) and who does it (the resolver's thread).
struct Lookup;

/// The thread that waits for the system's resolver, one lookup after the other, started by the first. One core owns it.
class Resolver {
 public:
  static constexpr size_t kLookupsMax = 1024;  // waiting their turn

  explicit Resolver(Core& core) : core_(core) {}
  ~Resolver();  // waits for the lookup under way; the others are dropped
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// False: too many wait already.
  bool look_up(std::shared_ptr<Lookup> lookup);

 private:
  void run();

  Core& core_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Lookup>> waiting_;  // guarded by mutex_
  bool stopping_ = false;                        // guarded by mutex_
  std::thread thread_;
};

/// All addresses of `host`, in the system's order. Gives up (connection error, "resolving … was interrupted") when
/// `interrupt` is set; sets it itself when the answer is there.
Task<Result<std::vector<Address>>> resolve(Core& core, std::string host, uint16_t port, Event& interrupt);

}  // namespace weir::providers
