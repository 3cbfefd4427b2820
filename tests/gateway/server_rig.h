// A server on cores of its own, for raw clients.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/server/server.h"
#include "tests/providers/net_rig.h"

namespace weir::gateway {

class ServerRig {
 public:
  explicit ServerRig(Handler handler, config::ServerLimits limits = {}, int cores = 1,
                     std::optional<config::TlsConfig> tls = {}, ServerHooks hooks = {})
      : config_(std::make_shared<config::Config>()) {
    config_->server.limits = limits;
    config_->server.tls = tls;
    std::vector<Core*> pointers;
    for (int i = 0; i < cores; ++i) {
      cores_.push_back(std::make_unique<testing::RunningCore>(i));
      pointers.push_back(&**cores_.back());
    }
    auto started = start_server(
        pointers, "127.0.0.1", 0, tls.has_value(), [config = config_] { return config; }, std::move(handler),
        std::move(hooks));
    if (!started) {
      ADD_FAILURE() << started.error().detail;
      std::abort();
    }
    server_ = std::move(*started);
  }

  testing::RawSocket connect() { return testing::RawSocket::connect(server_->port()); }
  Server& server() { return *server_; }
  testing::RunningCore& core(size_t i = 0) { return *cores_[i]; }

 private:
  std::shared_ptr<config::Config> config_;
  std::vector<std::unique_ptr<testing::RunningCore>> cores_;
  std::unique_ptr<Server> server_;  // dies first: draining needs the cores
};

}  // namespace weir::gateway
