// tls_stream: one connection's TLS, over a non-blocking socket, with the calls of socket.h.
//
// OpenSSL reads and writes the socket through a BIO of ours, not through a pair of memory BIOs: a
// pair holds two buffers of a record each for the life of a connection and copies every byte once
// more. With SSL_MODE_RELEASE_BUFFERS an idle connection has no record buffer at all, and plaintext
// goes straight into the room that receive() is given. Our BIO rather than OpenSSL's: it never
// raises SIGPIPE, and it knows when the socket is empty, which saves the read that would only say
// so.
//
// Invariants:
//   - after failed, broken or an end without close_notify nothing more is read or written.
//
// Threads: one at a time.

#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "http/socket.h"

struct bio_st;
struct ssl_st;

namespace inlet::http {

// What one connection takes of memory besides ours, measured with OpenSSL 3.0 and rounded up: at
// rest, and in addition while a record is read or written or a handshake runs.
inline constexpr std::size_t tls_idle_bytes = 16U << 10;
inline constexpr std::size_t tls_busy_bytes = 40U << 10;
// In addition while several records are read at once: each costs a system call less.
inline constexpr std::size_t tls_ahead_bytes = 64U << 10;

class TlsStream {
 public:
  enum class Step : unsigned char {
    done,
    wait,        // For the next event.
    failed,      // error() says why; the peer has been told where TLS has words for it.
    plain_http,  // The peer speaks HTTP without TLS. The socket may be used for it.
  };

  // Takes over `ssl`, which knows its role. `fd` outlives the stream.
  TlsStream(ssl_st* ssl, int fd);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;
  ~TlsStream();

  // The event loop says that a read may find something, and perhaps that no edge will tell again.
  void note_readable(bool ended);
  [[nodiscard]] Step handshake();
  // `broken` also for an end that the peer did not announce: it may be a cut (RFC 8446 section
  // 6.1).
  [[nodiscard]] Received receive(MutableBytes room);
  // Whether much is to come: from the next empty buffer on tls_ahead_bytes are read at once.
  void expect_much(bool much);
  // As send_some(). After fewer bytes than given the same bytes must be given again, or more.
  [[nodiscard]] std::optional<std::size_t> send(std::string_view first, std::string_view second);
  // Whether receive() may find something without another event.
  [[nodiscard]] bool has_more() const;
  // Nothing of a record has been read that has not been given out: no record buffer is held.
  [[nodiscard]] bool is_at_rest() const;
  // A read wanted to write and could not: it is to be tried again when the socket takes bytes.
  [[nodiscard]] bool read_waits_for_room() const { return read_waits_for_room_; }
  // Tells the peer that nothing more comes, if the socket takes it.
  void say_goodbye();

  [[nodiscard]] const char* error() const { return error_; }  // A library's words; no secrets.
  [[nodiscard]] bool resumed() const;
  // "TLSv1.3"
  [[nodiscard]] const char* version() const;

 private:
  friend struct SocketBio;

  void note_error();

  ssl_st* const ssl_;
  const int fd_;
  const char* error_ = "";
  bool socket_readable_ = true;
  bool socket_ended_ = false;  // The peer's end was announced: reads go on until they find it.
  bool end_found_ = false;
  bool broken_ = false;
  bool read_waits_for_room_ = false;
};

}  // namespace inlet::http
