// The HTTP/1.1 server: accepts on every core (SO_REUSEPORT), parses, enforces every limit, hands requests to a Handler.
// start() and stop from the main thread; everything else happens on the cores.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "gateway/server/http.h"

namespace weir::gateway {

/// The current config. Its limits are read at each accept, so that a reload takes effect with the next connection; its
/// TLS files are read at the start and by reload_tls(). Called on the cores.
using ServerSettings = std::function<std::shared_ptr<const config::Config>()>;

/// For the last words to clients whose requests a drain ended: an error answer, a stream's error event.
inline constexpr std::chrono::milliseconds kShutdownGrace{2'000};

class Server {
 public:
  virtual ~Server() = default;
  /// Loads the certificate again, for new connections; the old one stays if the new one is unusable. Any thread.
  virtual Result<void> reload_tls(const config::TlsConfig& tls) = 0;
  /// Stops accepting; idle connections close; busy ones finish their request with `Connection: close`. At `deadline`
  /// what is left is aborted, and has kShutdownGrace to say so to its client. Blocks until every session ended. Main
  /// thread; the cores must still run, and ~Server() drains at once where nobody did.
  virtual void drain(TimePoint deadline) = 0;
  /// The deadline of a drain is now. Any thread.
  virtual void hurry() = 0;
  virtual uint16_t port() const = 0;  // the one bound, useful where 0 was asked for
  virtual int64_t connections() const = 0;
};

/// Binds host:port on every core and starts accepting. Errors name host and port. The cores' threads must already run
/// or be about to. `plain` listeners (metrics) pass no TLS. Without wants_body every body is read.
Result<std::unique_ptr<Server>> start_server(const std::vector<Core*>& cores, const std::string& host, uint16_t port,
                                             bool tls, ServerSettings settings, Handler handler,
                                             ServerHooks hooks = {});

}  // namespace weir::gateway
