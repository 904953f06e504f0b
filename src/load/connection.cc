#include "load/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace inlet::loader {
namespace {

constexpr std::size_t secured_piece_bytes = 16U << 10;  // The most that one TLS record holds.

}  // namespace

Status Connection::open(const Address& address, Security* security, int epoll, std::uint32_t token,
                        Microseconds now_us) {
  CHECK(state_ == State::closed);
  const auto refuse = [](const char* call) {
    const int os = errno;
    return fail(ErrorKind::retry, std::string(call) + ": " + std::strerror(os), os);
  };
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return refuse("socket");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int connected =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.bytes);
  if (connected != 0 && errno != EINPROGRESS) {
    const auto error = refuse("connect");
    ::close(fd);
    return error;
  }
  epoll_event event{.events = EPOLLOUT, .data = {.u32 = token}};
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    const auto error = refuse("epoll_ctl");
    ::close(fd);
    return error;
  }
  fd_ = fd;
  security_ = security;
  epoll_ = epoll;
  token_ = token;
  started_us_ = now_us;
  error_ = 0;
  malformed_ = false;
  watches_writable_ = true;
  state_ = State::connecting;
  return {};
}

Connection::Step Connection::finish_opening() {
  CHECK(state_ == State::connecting);
  if (stream_) return shake_hands();
  socklen_t bytes = sizeof error_;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error_, &bytes) != 0) error_ = errno;
  if (error_ != 0) return Step::broken;
  watch(EPOLLIN);
  if (security_ != nullptr) {
    stream_ = security_->open(fd_);
    if (!stream_) error_ = ENOMEM;
    return stream_ ? shake_hands() : Step::broken;
  }
  state_ = State::idle;
  return Step::done;
}

Connection::Step Connection::shake_hands() {
  switch (stream_->shake_hands()) {
    case SecureStream::Step::wait: return Step::wait;
    case SecureStream::Step::broken: error_ = EPROTO; return Step::broken;
    case SecureStream::Step::done: break;
  }
  state_ = State::idle;
  return Step::done;
}

std::string Connection::error_text() const {
  if (stream_ && error_ == EPROTO) return "TLS: " + stream_->error();
  return std::strerror(error_);
}

void Connection::close() {
  stream_.reset();
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  state_ = State::closed;
}

void Connection::watch(std::uint32_t events) {
  epoll_event event{.events = events, .data = {.u32 = token_}};
  CHECK(::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_, &event) == 0);
  watches_writable_ = (events & EPOLLOUT) != 0;
}

Connection::Step Connection::send(const Request& request, BodyParts rest, Microseconds now_us) {
  CHECK(state_ == State::idle);
  state_ = State::busy;
  request_ = request;
  rest_ = rest;
  started_us_ = now_us;
  sent_bytes_ = 0;
  parser_.reset();
  return send_more();
}

Connection::Step Connection::send_more() {
  CHECK(state_ == State::busy);
  if (stream_) return sent(send_secured());
  const std::array<std::string_view, 3> parts = {out_, rest_.middle, rest_.end};
  std::array<iovec, 3> left{};
  std::size_t count = 0;
  std::size_t skip = sent_bytes_;
  for (const std::string_view part : parts) {
    const std::size_t skipped = std::min(skip, part.size());
    skip -= skipped;
    if (skipped == part.size()) continue;
    left[count++] = {const_cast<char*>(part.data()) + skipped, part.size() - skipped};
  }
  msghdr message{};
  message.msg_iov = left.data();
  message.msg_iovlen = count;
  const ssize_t put = count == 1 ? ::send(fd_, left[0].iov_base, left[0].iov_len, MSG_NOSIGNAL)
                                 : ::sendmsg(fd_, &message, MSG_NOSIGNAL);
  return sent(put);
}

// What follows from the outcome of a send(2).
Connection::Step Connection::sent(ssize_t put) {
  if (put < 0 && errno != EAGAIN && errno != EINTR) {
    error_ = errno;
    return Step::broken;
  }
  if (put > 0) sent_bytes_ += static_cast<std::size_t>(put);
  const bool all = sent_bytes_ == request_bytes();
  if (all == watches_writable_) watch(all ? EPOLLIN : EPOLLIN | EPOLLOUT);
  return all ? Step::done : Step::wait;
}

// A small request leaves in one record, as a writer that gathers it would have it.
ssize_t Connection::send_secured() {
  std::array<char, secured_piece_bytes> piece;
  ssize_t total = 0;
  while (true) {
    std::size_t bytes = 0;
    std::size_t skip = sent_bytes_ + static_cast<std::size_t>(total);
    for (const std::string_view part : {std::string_view(out_), rest_.middle, rest_.end}) {
      const std::size_t skipped = std::min(skip, part.size());
      skip -= skipped;
      const std::string_view taken = part.substr(skipped, piece.size() - bytes);
      std::copy(taken.begin(), taken.end(), piece.data() + bytes);
      bytes += taken.size();
    }
    if (bytes == 0) return total;
    const ssize_t put = stream_->send({piece.data(), bytes});
    if (put < 0) return total > 0 && errno == EAGAIN ? total : -1;
    total += put;
    if (static_cast<std::size_t>(put) < bytes) return total;
  }
}

Connection::Step Connection::receive(std::string& buffer) {
  const ssize_t got =
      stream_ ? stream_->receive(buffer) : ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Step::wait;
  if (got < 0) error_ = errno;
  if (got < 0 || state_ != State::busy) return Step::broken;
  AnswerState state;
  if (got == 0) {
    state = parser_.end();
    malformed_ = state == AnswerState::bad && parser_.started();
  } else {
    std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    state = parser_.feed(bytes);
    malformed_ = state == AnswerState::bad || (state == AnswerState::done && !bytes.empty());
  }
  if (malformed_ || state == AnswerState::bad) return Step::broken;
  return state == AnswerState::done ? Step::done : Step::wait;
}

Connection::Step Connection::finish_request() {
  CHECK(state_ == State::busy);
  state_ = State::idle;
  // An answer before the whole request was sent is a refusal; the rest would be misread.
  return parser_.closes() || sent_bytes_ < request_bytes() ? Step::broken : Step::done;
}

}  // namespace inlet::loader
