// The bytes of a connection, plain or encrypted: what sessions and upstream connections read and write. Nothing here
// waits; wants_read / wants_write say which direction of the socket to wait for. One core owns a Transport.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string_view>

#include "providers/net/socket.h"

namespace weir::providers {

class Transport {
 public:
  explicit Transport(Core& core, int fd) : socket_(core, fd) {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  Socket& socket() { return socket_; }
  /// Goes on with the handshake: ok when it is done (at once where there is none).
  virtual IoResult handshake() { return {}; }
  virtual IoResult read(std::span<char> into) { return socket_.read(into); }
  /// Writes as much as goes now. After wants_*, the next write must begin with the same bytes.
  virtual IoResult write(std::span<const iovec> pieces) { return socket_.write(pieces); }
  /// Tells the peer that nothing more will come; does not wait.
  virtual void finish_writing() { socket_.shutdown_write(); }
  /// Why the last operation failed, for messages.
  virtual std::string failure_text(const IoResult& result) const { return errno_text(result.error); }

 private:
  Socket socket_;
};

inline iovec piece(std::string_view text) {
  return {const_cast<char*>(text.data()), text.size()};
}

/// Writes `rest` on and takes what went off its front. ok: all of it went; wants_*: wait and call again.
inline IoResult write_on(Transport& transport, std::span<iovec>& rest) {
  for (;;) {
    while (!rest.empty() && rest.front().iov_len == 0) rest = rest.subspan(1);
    if (rest.empty()) return {};
    const IoResult result = transport.write(rest);
    if (result.status != IoStatus::ok) return result;
    size_t gone = result.bytes;
    for (auto& part : rest) {
      const size_t n = gone < part.iov_len ? gone : part.iov_len;
      part.iov_base = static_cast<char*>(part.iov_base) + n;
      part.iov_len -= n;
      gone -= n;
      if (gone == 0) break;
    }
  }
}

}  // namespace weir::providers
