// TLS 1.2 and 1.3 over OpenSSL, as Transports. A context (certificates, trusted authorities) is shared by many
// connections and cores and never changes once made: a new certificate is a new TlsServer. RFC 8446, RFC 7301 (ALPN).
#pragma once

#include <memory>
#include <string>

#include "config/base/result.h"
#include "providers/net/transport.h"

struct ssl_ctx_st;
struct ssl_session_st;

namespace weir::providers {

/// The server's side: certificate chain and key.
class TlsServer {
 public:
  /// Reads both PEM files. Errors name the file and say what is wrong with it.
  static Result<std::shared_ptr<const TlsServer>> load(const std::string& certificate_file,
                                                       const std::string& key_file);
  std::unique_ptr<Transport> accept(Core& core, int fd) const;

 private:
  std::shared_ptr<ssl_ctx_st> context_;
};

/// The client's side towards one host, on one core: it keeps the last session, so that the next handshake is short.
class TlsClient {
 public:
  /// `ca_file`: PEM of trusted authorities instead of the system's; empty for the system's.
  static Result<std::shared_ptr<TlsClient>> make(std::string host, bool verify_peer, const std::string& ca_file);
  /// `fd` may still be connecting: handshake() comes when it is done. The TlsClient must outlive the transport.
  std::unique_ptr<Transport> connect(Core& core, int fd);
  /// Handshakes that went on from an earlier session, for tests and metrics.
  int64_t resumptions() const { return resumptions_; }

 private:
  friend class TlsTransport;
  std::shared_ptr<ssl_ctx_st> context_;
  std::shared_ptr<ssl_session_st> session_;
  std::string host_;
  bool verify_peer_ = true;
  int64_t resumptions_ = 0;
};

}  // namespace weir::providers
