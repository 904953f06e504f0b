// The beginning of a connection, before its first request: whom it is from, and TLS.

#include <sys/socket.h>

#include "base/check.h"
#include "http/proxy_protocol.h"
#include "http/server_connection.h"
#include "http/tls.h"

namespace inlet::http {
namespace {

constexpr std::string_view tls_wanted = "This port speaks HTTP only inside TLS: use https.";

}  // namespace

void ServerConnection::settle_peer() {
  peer_trusted_ = peer_.ip && listener_.trusted_proxies.contains(*peer_.ip);
}

void ServerConnection::refuse_peer(std::string_view reason) {
  loop_.counters().proxy_refusals.add();
  loop_.log_refusal(peer_.text, reason);
  close();
  bury_if_done();
}

// The header is looked at in the kernel's buffer and taken out in one piece: what follows it is
// not ours to read, it may be TLS.
bool ServerConnection::read_announcement() {
  if (!readable_) return false;
  const MutableBytes scratch = loop_.discard_scratch().first(proxy_header_bytes_max);
  const Received received = peek_some(fd_, scratch);
  if (received.kind == Received::Kind::nothing_yet) {
    readable_ = false;
    return false;
  }
  if (received.kind != Received::Kind::bytes) {
    close();  // Somebody looked whether the port is open.
    return false;
  }
  const ProxyHeader header = parse_proxy_header(scratch.first(received.count));
  if (header.kind == ProxyHeader::Kind::rejected) {
    refuse_peer(header.detail);
    return false;
  }
  if (header.kind == ProxyHeader::Kind::incomplete) {
    readable_ = false;
    if (ended_) refuse_peer("the connection ended inside the PROXY header");
    return false;
  }
  const Received taken = receive_some(fd_, scratch.first(header.bytes));
  CHECK(taken.kind == Received::Kind::bytes && taken.count == header.bytes);
  if (header.source) {
    peer_ = {header.source, header.source->text()};
    settle_peer();
  }
  state_ = listener_.tls != nullptr ? State::handshaking : State::idle;
  return true;
}

bool ServerConnection::shake_hands() {
  if (!readable_) return false;
  if (!tls_ && !begin_tls()) return false;
  if (!loop_.take_handshake_turn()) {
    yielded_ = true;
    loop_.run_next_round(*this);
    return false;
  }
  switch (tls_->handshake()) {
    case TlsStream::Step::wait: readable_ = false; return false;
    case TlsStream::Step::done: break;
    case TlsStream::Step::plain_http:
      loop_.counters().tls_failures.add();
      end_tls(false);
      reject(400, tls_wanted);
      return true;
    case TlsStream::Step::failed:
      loop_.counters().tls_failures.add();
      start_linger();  // So that the alert is not overtaken by a reset.
      return true;
  }
  loop_.counters().tls_handshakes.add();
  if (tls_->resumed()) loop_.counters().tls_resumptions.add();
  state_ = State::idle;
  readable_ = tls_->has_more();
  deadline_us_ =
      loop_.deadline_us(loop_.draining() ? drain_first_request_us : loop_.options().header_us);
  return true;
}

bool ServerConnection::begin_tls() {
  std::byte first;
  if (ended_ && peek_some(fd_, {&first, 1}).kind != Received::Kind::bytes) {
    close();  // Somebody looked whether the port is open.
    return false;
  }
  if (!reserve_tls(tls_idle_bytes + tls_busy_bytes)) {
    wait_for_memory(MemoryUse::input);
    return false;
  }
  got_memory();
  tls_ = listener_.tls->open_stream(fd_);
  if (!tls_) {
    close();
    return false;
  }
  tls_->note_readable(ended_);
  return true;
}

void ServerConnection::end_tls(bool orderly) {
  if (tls_ && orderly) tls_->say_goodbye();
  tls_.reset();
  loop_.memory().release(tls_bytes_);
  tls_bytes_ = 0;
}

bool ServerConnection::reserve_tls(std::size_t bytes) {
  if (tls_bytes_ >= bytes) return true;
  if (!loop_.memory().try_reserve(bytes - tls_bytes_, MemoryUse::input)) return false;
  tls_bytes_ = bytes;
  return true;
}

// Between requests. A record that has come in part keeps its buffer, so its memory, too.
void ServerConnection::rest_tls() {
  if (tls_bytes_ <= tls_idle_bytes || !tls_->is_at_rest()) return;
  tls_->expect_much(false);
  loop_.memory().release(tls_bytes_ - tls_idle_bytes);
  tls_bytes_ = tls_idle_bytes;
}

}  // namespace inlet::http
