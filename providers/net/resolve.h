// Names to addresses without blocking the core (a resolver thread of the loop asks the system), and listening
// addresses.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
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

/// All addresses of `host`, in the system's order. Gives up (connection error, "resolving … was interrupted") when
/// `interrupt` is set; sets it itself when the answer is there.
Task<Result<std::vector<Address>>> resolve(Core& core, std::string host, uint16_t port, Event& interrupt);

}  // namespace weir::providers
