// client: requests over HTTP to other hosts, many at once, without a thread (libcurl multi).
//
// A request is started and its answer collected later; the caller decides what to send and what an
// answer means. Only inlet-ship and inlet-top contain this: the door connects to nobody.
//
// Invariants:
//   - every request ends: with an answer, or with a fault inside its timeouts.
//   - an answer's body never takes more than response_bytes_max; a longer one is a fault.
//   - redirects are not followed, so data and secrets go to no other host than the one named.
//   - only http and https; names are resolved without blocking the thread.
//   - nothing is sent twice: a repeat is the caller's decision.
//
// The programs that contain this ignore SIGPIPE. Proxies are those of the environment (https_proxy
// and its kin).
//
// One thread.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace inlet::fetch {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method = "GET";
  std::string url;
  Headers headers;      // Content-Length and Host are added; "Expect" is never sent.
  std::string body;     // Sent with POST, PUT and PATCH, also when empty.
  bool direct = false;  // Past the proxies that the environment names.
  std::size_t response_bytes_max = 1U << 20;
  Microseconds connect_timeout_us = 5'000'000;  // Name, connection and TLS, once it is its turn.
  Microseconds timeout_us = 30'000'000;         // All of it, from start() on.
};

enum class Fault : unsigned char {
  none,         // There is an answer.
  resolve,      // The name is not known, or the server for names does not answer.
  connect,      // Refused, unreachable, or not in time.
  tls,          // The handshake failed, or the certificate is not trusted.
  interrupted,  // The connection ended or timed out after the request began to leave: it may
                // have been received.
  answer,       // What came back is not HTTP, or too much.
};

struct Response {
  std::uint64_t id = 0;
  Fault fault = Fault::none;
  std::string why;  // One sentence with the host, for a fault.
  int status = 0;   // 100..599; 0 with a fault.
  Headers headers;  // Names in small letters.
  std::string body;

  // The first header of that name (in small letters); empty: there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

// How long a "Retry-After" asks to wait, in seconds or as a date (RFC 9110, 10.2.3); 0: it says
// nothing that can be understood.
[[nodiscard]] Microseconds retry_after_us(std::string_view value, Microseconds wall_us);

struct ClientOptions {
  std::size_t connections_max = 16;
  std::string ca_file;      // PEM, instead of the system's certificates.
  std::string client_cert;  // PEM files for mutual TLS.
  std::string client_key;
  bool verify_peer = true;
  std::string user_agent = "inlet";
};

class Client {
 public:
  explicit Client(ClientOptions options);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // Begins a request; the id comes back with its response. Beyond connections_max it waits its
  // turn. One that cannot be sent, for its URL or a header is not valid, is Fault::connect.
  [[nodiscard]] std::uint64_t start(Request request);

  // A response, waiting for one at most `wait_us`; empty: none came, or none is under way. Requests
  // make progress only here.
  [[nodiscard]] std::optional<Response> finish(Microseconds wait_us);

  // Ends a request without an answer; unknown ids are ignored.
  void cancel(std::uint64_t id);

  [[nodiscard]] std::size_t under_way() const;

 private:
  class Engine;
  std::unique_ptr<Engine> engine_;
};

}  // namespace inlet::fetch
