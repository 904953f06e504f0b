#include "http/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/check.h"

namespace inlet::http {

// The BIO's callbacks, which may see the stream's inside.
struct SocketBio {
  static TlsStream& stream_of(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* out, int room) {
    TlsStream& stream = stream_of(bio);
    BIO_clear_retry_flags(bio);
    if (!stream.socket_readable_) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const auto bytes = static_cast<std::size_t>(room);
    const Received received = receive_some(stream.fd_, {reinterpret_cast<std::byte*>(out), bytes});
    switch (received.kind) {
      case Received::Kind::bytes:
        // A read that did not fill its room emptied the socket. But no edge tells of its end twice.
        stream.socket_readable_ = received.count == bytes || stream.socket_ended_;
        return static_cast<int>(received.count);
      case Received::Kind::nothing_yet:
        stream.socket_readable_ = false;
        BIO_set_retry_read(bio);
        return -1;
      case Received::Kind::end: stream.end_found_ = true; return 0;
      case Received::Kind::broken: return -1;
    }
    return -1;
  }

  static int write(BIO* bio, const char* bytes, int count) {
    BIO_clear_retry_flags(bio);
    const auto sent =
        send_some(stream_of(bio).fd_, std::string_view(bytes, static_cast<std::size_t>(count)));
    if (!sent) return -1;
    if (*sent > 0) return static_cast<int>(*sent);
    BIO_set_retry_write(bio);
    return -1;
  }

  static long control(BIO* bio, int command, long, void*) {
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_EOF) return stream_of(bio).end_found_ ? 1 : 0;
    return 0;
  }

  // Made once, and never freed: connections of any thread use it until the process ends.
  static const BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
      CHECK(method != nullptr && BIO_meth_set_read(method, read) == 1 &&
            BIO_meth_set_write(method, write) == 1 && BIO_meth_set_ctrl(method, control) == 1);
      return method;
    }();
    return made;
  }
};

TlsStream::TlsStream(ssl_st* ssl, int fd) : ssl_(ssl), fd_(fd) {
  BIO* const bio = BIO_new(SocketBio::method());
  CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
}

TlsStream::~TlsStream() { SSL_free(ssl_); }

void TlsStream::note_readable(bool ended) {
  socket_readable_ = true;
  if (ended) socket_ended_ = true;
}

void TlsStream::note_error() {
  broken_ = true;
  const char* const reason = ERR_reason_error_string(ERR_peek_error());
  error_ = reason != nullptr ? reason : "the connection broke";
}

TlsStream::Step TlsStream::handshake() {
  CHECK(!broken_);
  ERR_clear_error();
  read_waits_for_room_ = false;
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) return Step::done;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return Step::wait;
    case SSL_ERROR_WANT_WRITE: read_waits_for_room_ = true; return Step::wait;
    default: break;
  }
  note_error();
  return ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST ? Step::plain_http : Step::failed;
}

Received TlsStream::receive(MutableBytes room) {
  if (broken_) return {Received::Kind::broken, 0};
  ERR_clear_error();
  read_waits_for_room_ = false;
  std::size_t count = 0;
  const int result = SSL_read_ex(ssl_, room.data(), room.size(), &count);
  if (result == 1) return {Received::Kind::bytes, count};
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_WRITE: read_waits_for_room_ = true; [[fallthrough]];
    case SSL_ERROR_WANT_READ: return {Received::Kind::nothing_yet, 0};
    case SSL_ERROR_ZERO_RETURN: return {Received::Kind::end, 0};
    default: note_error(); return {Received::Kind::broken, 0};
  }
}

// 0 is what OpenSSL takes by itself: room for one record.
void TlsStream::expect_much(bool much) {
  SSL_set_default_read_buffer_len(ssl_, much ? tls_ahead_bytes : 0);
}

std::optional<std::size_t> TlsStream::send(std::string_view first, std::string_view second) {
  if (broken_) return std::nullopt;
  std::size_t sent = 0;
  for (std::string_view part : {first, second}) {
    while (!part.empty()) {
      ERR_clear_error();
      std::size_t count = 0;
      const int result = SSL_write_ex(ssl_, part.data(), part.size(), &count);
      if (result != 1) {
        const int error = SSL_get_error(ssl_, result);
        if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) return sent;
        note_error();
        return std::nullopt;
      }
      sent += count;
      part.remove_prefix(count);
    }
  }
  return sent;
}

bool TlsStream::has_more() const { return socket_readable_ || SSL_has_pending(ssl_) == 1; }

// "RH": OpenSSL waits for a record's head; it has a part of one only as pending bytes.
bool TlsStream::is_at_rest() const {
  return SSL_has_pending(ssl_) == 0 && std::string_view(SSL_rstate_string(ssl_)) == "RH";
}

void TlsStream::say_goodbye() {
  if (broken_ || SSL_in_init(ssl_) == 1) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);  // Whatever it says: nothing is owed to a peer that does not take it.
}

bool TlsStream::resumed() const { return SSL_session_reused(ssl_) == 1; }

const char* TlsStream::version() const { return SSL_get_version(ssl_); }

}  // namespace inlet::http
