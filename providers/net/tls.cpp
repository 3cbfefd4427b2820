#include "providers/net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>

namespace weir::providers {
namespace {

constexpr size_t kRecordBytes = 16 * 1024;
constexpr unsigned char kAlpn[] = "\x08http/1.1";

std::string last_error(const char* otherwise) {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  std::string text = reason != nullptr ? reason : otherwise;
  ERR_clear_error();
  return text;
}

Error tls_error(std::string what) {
  return {ErrorKind::config, "tls", Retry::no, 500, std::move(what)};
}

std::shared_ptr<SSL_CTX> new_context(const SSL_METHOD* method) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(method), [](SSL_CTX* c) { SSL_CTX_free(c); });
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context.get(), 1);  // a record is one recv, not two
  return context;
}

}  // namespace

// OpenSSL reads and writes the Socket through a BIO of our own: its socket BIO would raise SIGPIPE.
class TlsTransport final : public Transport {
 public:
  TlsTransport(Core& core, int fd, SSL_CTX* context, TlsClient* client);
  ~TlsTransport() override;

  SSL* ssl() { return ssl_; }
  IoResult handshake() override;
  IoResult read(std::span<char> into) override;
  IoResult write(std::span<const iovec> pieces) override;
  void finish_writing() override;
  std::string failure_text(const IoResult& result) const override {
    return failure_.empty() ? errno_text(result.error) : failure_;
  }
  static int new_session(SSL* ssl, SSL_SESSION* session);

 private:
  static const BIO_METHOD* method();
  static int bio_read(BIO* bio, char* into, size_t size, size_t* count);
  static int bio_write(BIO* bio, const char* from, size_t size, size_t* count);
  static long bio_ctrl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
  IoResult outcome(int code, size_t bytes);

  SSL* ssl_;
  TlsClient* client_;
  bool established_ = false;
  bool socket_drained_ = true;
  int socket_error_ = 0;
  std::string failure_;
};

const BIO_METHOD* TlsTransport::method() {
  static const BIO_METHOD* const made = [] {
    BIO_METHOD* const m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir socket");
    BIO_meth_set_read_ex(m, &TlsTransport::bio_read);
    BIO_meth_set_write_ex(m, &TlsTransport::bio_write);
    BIO_meth_set_ctrl(m, &TlsTransport::bio_ctrl);
    return m;
  }();
  return made;
}

int TlsTransport::bio_read(BIO* bio, char* into, size_t size, size_t* count) {
  auto& self = *static_cast<TlsTransport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const IoResult result = self.socket().read({into, size});
  self.socket_drained_ = result.drained || result.status != IoStatus::ok;
  self.socket_error_ = result.error;
  *count = result.bytes;
  if (result.status == IoStatus::wants_read) BIO_set_retry_read(bio);
  if (result.status == IoStatus::end) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return result.status == IoStatus::ok ? 1 : 0;
}

int TlsTransport::bio_write(BIO* bio, const char* from, size_t size, size_t* count) {
  auto& self = *static_cast<TlsTransport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const iovec part{const_cast<char*>(from), size};
  const IoResult result = self.socket().write({&part, 1});
  self.socket_error_ = result.error;
  *count = result.bytes;
  if (result.status == IoStatus::wants_write) BIO_set_retry_write(bio);
  return result.status == IoStatus::ok ? 1 : 0;
}

TlsTransport::TlsTransport(Core& core, int fd, SSL_CTX* context, TlsClient* client)
    : Transport(core, fd), ssl_(SSL_new(context)), client_(client) {
  BIO* const bio = BIO_new(method());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
}

// A pool drops connections, often those that the other side has closed. SSL_free() takes what was not shut down for
// broken and makes its session useless, though RFC 8446 and RFC 5246 let it be resumed: SSL_set_shutdown(3).
TlsTransport::~TlsTransport() {
  if (established_ && failure_.empty()) SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
}

IoResult TlsTransport::outcome(int code, size_t bytes) {
  switch (SSL_get_error(ssl_, code)) {
    case SSL_ERROR_NONE:
      return {IoStatus::ok, bytes, 0, socket_drained_ && SSL_has_pending(ssl_) == 0};
    case SSL_ERROR_WANT_READ:
      return {IoStatus::wants_read};
    case SSL_ERROR_WANT_WRITE:
      return {IoStatus::wants_write};
    case SSL_ERROR_ZERO_RETURN:
      return {IoStatus::end};
    case SSL_ERROR_SYSCALL:
      failure_ = socket_error_ != 0 ? errno_text(socket_error_) : "the connection was closed";
      break;
    default: {
      const long verified = SSL_get_verify_result(ssl_);
      failure_ = last_error("protocol error");
      if (!established_ && verified != X509_V_OK)
        failure_ += std::string(" (") + X509_verify_cert_error_string(verified) + ")";
    }
  }
  ERR_clear_error();
  return {IoStatus::failed, 0, socket_error_ != 0 ? socket_error_ : EPROTO};
}

IoResult TlsTransport::handshake() {
  ERR_clear_error();
  const int code = SSL_do_handshake(ssl_);
  if (code != 1) return outcome(code, 0);
  established_ = true;
  if (client_ != nullptr && SSL_session_reused(ssl_) == 1) ++client_->resumptions_;
  return {};
}

IoResult TlsTransport::read(std::span<char> into) {
  ERR_clear_error();
  size_t bytes = 0;
  const int code = SSL_read_ex(ssl_, into.data(), into.size(), &bytes);
  return outcome(code, bytes);
}

IoResult TlsTransport::write(std::span<const iovec> pieces) {
  // Small pieces share a record: head and body are gathered. After wants_write the same bytes are gathered again.
  static thread_local std::array<char, kRecordBytes> record;
  const char* from = static_cast<const char*>(pieces.front().iov_base);
  size_t size = std::min(pieces.front().iov_len, kRecordBytes);
  if (pieces.size() > 1 && size < kRecordBytes) {
    size = 0;
    for (const iovec& part : pieces) {
      const size_t n = std::min(part.iov_len, kRecordBytes - size);
      std::copy_n(static_cast<const char*>(part.iov_base), n, record.data() + size);
      size += n;
    }
    from = record.data();
  }
  ERR_clear_error();
  size_t bytes = 0;
  const int code = SSL_write_ex(ssl_, from, size, &bytes);
  IoResult result = outcome(code, bytes);
  if (result.status == IoStatus::wants_read) {  // only a renegotiation would, and there is none
    failure_ = "unexpected renegotiation";
    result = {IoStatus::failed, 0, EPROTO};
  }
  return result;
}

void TlsTransport::finish_writing() {
  ERR_clear_error();
  if (established_ && !socket().closed()) SSL_shutdown(ssl_);
  ERR_clear_error();
  socket().shutdown_write();
}

int TlsTransport::new_session(SSL* ssl, SSL_SESSION* session) {
  const auto* self = static_cast<TlsTransport*>(SSL_get_app_data(ssl));
  if (self->client_ == nullptr) return 0;
  self->client_->session_ = {session, [](SSL_SESSION* s) { SSL_SESSION_free(s); }};
  return 1;
}

namespace {

int choose_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* offered,
                    unsigned offered_size, void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, size, kAlpn, sizeof kAlpn - 1, offered, offered_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

/// One context for each set of trusted authorities in the process: reading the system's takes tens of milliseconds.
Result<std::shared_ptr<SSL_CTX>> client_context(const std::string& ca_file) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<SSL_CTX>> contexts;
  const std::lock_guard lock(mutex);
  if (auto context = contexts[ca_file].lock()) return context;
  auto context = new_context(TLS_client_method());
  ERR_clear_error();
  const int loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context.get())
                                     : SSL_CTX_load_verify_file(context.get(), ca_file.c_str());
  if (loaded != 1) {
    return tls_error("cannot read the certificates of " + (ca_file.empty() ? "the system" : ca_file) + ": " +
                     last_error("not PEM"));
  }
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context.get(), &TlsTransport::new_session);
  SSL_CTX_set_alpn_protos(context.get(), kAlpn, sizeof kAlpn - 1);
  contexts[ca_file] = context;
  return context;
}

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> bytes{};
  return ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

}  // namespace

Result<std::shared_ptr<const TlsServer>> TlsServer::load(const std::string& certificate_file,
                                                         const std::string& key_file) {
  auto server = std::make_shared<TlsServer>();
  server->context_ = new_context(TLS_server_method());
  SSL_CTX* const context = server->context_.get();
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return tls_error("cannot use the certificate " + certificate_file + ": " + last_error("not PEM"));
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return tls_error("cannot use the key " + key_file + " with the certificate " + certificate_file + ": " +
                     last_error("not PEM"));
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets carry the sessions
  SSL_CTX_set_session_id_context(context, kAlpn, sizeof kAlpn - 1);
  SSL_CTX_set_alpn_select_cb(context, &choose_protocol, nullptr);
  return std::shared_ptr<const TlsServer>(std::move(server));
}

std::unique_ptr<Transport> TlsServer::accept(Core& core, int fd) const {
  auto transport = std::make_unique<TlsTransport>(core, fd, context_.get(), nullptr);
  SSL_set_accept_state(transport->ssl());
  return transport;
}

Result<std::shared_ptr<TlsClient>> TlsClient::make(std::string host, bool verify_peer, const std::string& ca_file) {
  auto context = client_context(ca_file);
  if (!context) return std::move(context).error();
  auto client = std::make_shared<TlsClient>();
  client->context_ = std::move(*context);
  client->host_ = std::move(host);
  client->verify_peer_ = verify_peer;
  return client;
}

std::unique_ptr<Transport> TlsClient::connect(Core& core, int fd) {
  auto transport = std::make_unique<TlsTransport>(core, fd, context_.get(), this);
  SSL* const ssl = transport->ssl();
  SSL_set_connect_state(ssl);
  SSL_set_verify(ssl, verify_peer_ ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (is_address(host_)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host_.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, host_.c_str());
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl, host_.c_str());
  }
  if (session_) SSL_set_session(ssl, session_.get());
  return transport;
}

}  // namespace weir::providers
