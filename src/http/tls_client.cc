#include "http/tls_client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <utility>

#include "http/address_list.h"
#include "http/tls_stream.h"

namespace inlet::http {
namespace {

std::unexpected<Error> bad(const std::string& what) {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return fail(ErrorKind::reject, what + ": " + (reason != nullptr ? reason : "unknown reason"));
}

// Who the server must be: an address is compared with addresses in the certificate, not names.
bool expect_host(SSL* ssl, const std::string& host) {
  if (parse_ip_address(host)) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  }
  return SSL_set_tlsext_host_name(ssl, host.c_str()) == 1 && SSL_set1_host(ssl, host.c_str()) == 1;
}

}  // namespace

TlsClient::TlsClient(TlsClientOptions options, ssl_ctx_st* context)
    : options_(std::move(options)), context_(context) {}

TlsClient::~TlsClient() { SSL_CTX_free(context_); }

Result<std::unique_ptr<TlsClient>> TlsClient::open(TlsClientOptions options) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  if (context == nullptr) return bad("TLS");
  std::unique_ptr<TlsClient> made(new TlsClient(std::move(options), context));
  const TlsClientOptions& wanted = made->options_;
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_verify(context, wanted.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!wanted.ca_file.empty()) {
    if (SSL_CTX_load_verify_file(context, wanted.ca_file.c_str()) != 1) return bad(wanted.ca_file);
  } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
    return bad("the system's certificates");
  }
  if (!wanted.cert_file.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context, wanted.cert_file.c_str()) != 1) {
      return bad(wanted.cert_file);
    }
    if (SSL_CTX_use_PrivateKey_file(context, wanted.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
      return bad(wanted.key_file);
    }
  }
  if (!wanted.alpn.empty()) {
    const std::string list = static_cast<char>(wanted.alpn.size()) + wanted.alpn;
    // 0 is success.
    if (SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(list.data()),
                                static_cast<unsigned>(list.size())) != 0) {
      return bad("ALPN");
    }
  }
  return made;
}

std::unique_ptr<TlsStream> TlsClient::open_stream(int fd) {
  SSL* const ssl = SSL_new(context_);
  if (ssl == nullptr) return nullptr;
  SSL_set_connect_state(ssl);
  if (options_.verify && !expect_host(ssl, options_.host)) {
    SSL_free(ssl);
    return nullptr;
  }
  return std::make_unique<TlsStream>(ssl, fd);
}

}  // namespace inlet::http
