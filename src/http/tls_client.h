// tls_client: the other side of tls.h, for the load generator and for tests.
//
// Threads: one, but for open_stream().

#pragma once

#include <memory>
#include <string>

#include "base/result.h"

struct ssl_ctx_st;

namespace inlet::http {

class TlsStream;

struct TlsClientOptions {
  std::string host;       // Name or address that the server's certificate must be for.
  bool verify = true;     // Otherwise any certificate will do.
  std::string ca_file;    // PEM; "": whom the system trusts.
  std::string cert_file;  // "": no certificate of our own.
  std::string key_file;
  std::string alpn = "http/1.1";  // One protocol; "": none is offered.
};

class TlsClient {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TlsClient>> open(TlsClientOptions options);
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  ~TlsClient();

  // A client's side of a connection on `fd`, which it does not own. Null: no memory.
  [[nodiscard]] std::unique_ptr<TlsStream> open_stream(int fd);

 private:
  TlsClient(TlsClientOptions options, ssl_ctx_st* context);

  const TlsClientOptions options_;
  ssl_ctx_st* const context_;
};

}  // namespace inlet::http
