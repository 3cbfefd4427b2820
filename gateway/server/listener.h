// One core's share of the server: its accepting socket and its sessions. Made by the main thread, started and used on
// the core; what the sessions of all cores share is in ServerShared.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "gateway/server/server.h"
#include "providers/net/event.h"
#include "providers/net/socket.h"
#include "providers/net/tls.h"

namespace weir::gateway {

class Session;

/// Of all cores; everything in it may be used from any thread.
struct ServerShared {
  ServerSettings settings;
  Handler handler;
  ServerHooks hooks;
  std::shared_ptr<const providers::TlsServer> tls;  // null: plain; guarded by mutex, swapped whole by a reload
  std::atomic<int64_t> connections{0};
  std::atomic<int64_t> body_bytes{0};  // of requests whose body came in pieces, held now
  mutable std::mutex mutex;
  std::condition_variable changed;
  size_t listeners_open = 0;  // guarded by mutex
  bool hurry = false;         // guarded by mutex: a drain waits no longer
};

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(Core& core, std::shared_ptr<ServerShared> shared, int fd)
      : core_(core), shared_(std::move(shared)), fd_(fd) {}
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // All on the core's thread.
  void start();
  void drain();      // stops accepting; sessions end as they can
  void abort_all();  // the drain's time is over: requests end with an error answer
  void close_all();  // and the time for that answer, too

  Core& core() { return core_; }
  const Handler& handler() const { return shared_->handler; }
  const ServerHooks& hooks() const { return shared_->hooks; }
  std::atomic<int64_t>& body_bytes() { return shared_->body_bytes; }
  bool draining() const { return draining_; }
  /// RFC 9110 section 5.6.7, this second's.
  const std::string& date();

  void add(Session& session);
  void remove(Session& session);

 private:
  Task<void> accept_loop();
  bool accept_one();
  Task<void> serve(int fd, std::string peer);
  void ended();

  Core& core_;
  std::shared_ptr<ServerShared> shared_;
  int fd_;  // until start() gives it to acceptor_
  std::unique_ptr<providers::Socket> acceptor_;
  Session* sessions_ = nullptr;
  Abort stop_;
  bool draining_ = false;
  bool in_want_ = false;  // the last accept failed for want of descriptors or memory
  int64_t date_second_ = -1;
  std::string date_;
  providers::Gate gate_;  // the accept loop and the sessions
};

}  // namespace weir::gateway
