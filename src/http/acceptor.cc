#include "http/acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/check.h"

namespace inlet::http {

Acceptor::Acceptor(const std::vector<std::unique_ptr<Loop>>& loops) : loops_(loops) {
  retry_timer_.function = [this] { accept_again(); };
  loops_.front()->add_timer(retry_timer_);
}

Acceptor::~Acceptor() {
  if (finished_) return;
  for (const auto& listener : listeners_) ::close(listener->fd);
}

void Acceptor::add(int fd, HandlerFactory factory, ListenerOptions options) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  auto listener = std::make_unique<Listener>();
  listener->acceptor = this;
  listener->fd = fd;
  listener->factory = std::move(factory);
  listener->options = std::move(options);
  listeners_.push_back(std::move(listener));
}

void Acceptor::start() {
  for (const auto& listener : listeners_) CHECK(loops_.front()->watch(listener->fd, *listener));
}

void Acceptor::Listener::on_event(bool, bool, bool) {
  // While paused, arrivals wait for the timer.
  if (acceptor->retry_timer_.at_us == never_us) acceptor->accept_from(*this);
}

void Acceptor::accept_from(Listener& listener) {
  if (finished_) return;
  switch (accept_some(listener)) {
    case Outcome::empty: return;
    case Outcome::more: loops_.front()->post([this] { accept_again(); }); return;
    case Outcome::pause:
      pauses_.add();
      retry_timer_.at_us = loops_.front()->deadline_us(loops_.front()->options().accept_retry_us);
      return;
  }
}

void Acceptor::accept_again() {
  for (const auto& listener : listeners_) accept_from(*listener);
}

Acceptor::Outcome Acceptor::accept_some(Listener& listener) {
  for (std::size_t i = 0; i < accepts_in_a_row_max; i++) {
    if (at_most()) return Outcome::pause;
    const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return Outcome::empty;
      // These concern one connection, which is gone (accept(2), error handling).
      if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO || errno == EPERM) continue;
      return Outcome::pause;
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Loop& loop = *loops_[next_loop_];
    next_loop_ = (next_loop_ + 1) % loops_.size();
    if (&loop == loops_.front().get()) {
      loop.adopt(fd, listener.factory, listener.options);
    } else {
      loop.post([&loop, fd, &listener] { loop.adopt(fd, listener.factory, listener.options); });
    }
  }
  return Outcome::more;
}

bool Acceptor::at_most() const {
  std::uint64_t open = 0;
  for (const auto& loop : loops_) open += loop->counters().open.get();
  return open >= loops_.front()->options().connections_max;
}

void Acceptor::finish() {
  if (finished_) return;
  finished_ = true;
  for (const auto& listener : listeners_) {
    while (accept_some(*listener) == Outcome::more) {
    }
    // Other processes may have the socket open, so closing it here would not end its being watched.
    loops_.front()->unwatch(listener->fd);
    ::close(listener->fd);
  }
}

}  // namespace inlet::http
