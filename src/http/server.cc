#include "http/server.h"

#include <pthread.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "http/acceptor.h"
#include "http/tls.h"

namespace inlet::http {

Server::Server(const Options& options, MemoryBudget& memory, Clock& clock) : options_(options) {
  CHECK(options_.loops > 0);
  for (std::size_t i = 0; i < options_.loops; i++) {
    loops_.push_back(std::make_unique<Loop>(i, options_, memory, clock));
  }
  acceptor_ = std::make_unique<Acceptor>(loops_);
}

Server::~Server() { stop(); }

void Server::add_listener(int fd, HandlerFactory factory, ListenerOptions options) {
  CHECK(threads_.empty());
  if (options.tls != nullptr && std::ranges::find(tls_, options.tls) == tls_.end()) {
    tls_.push_back(options.tls);
  }
  acceptor_->add(fd, std::move(factory), std::move(options));
}

void Server::start() {
  CHECK(threads_.empty());
  acceptor_->start();
  for (const auto& loop : loops_) {
    threads_.emplace_back([&loop = *loop] { loop.run(); });
    const std::string name = "http-" + std::to_string(loop->index());
    ::pthread_setname_np(threads_.back().native_handle(), name.c_str());
  }
}

void Server::post(std::size_t loop_index, std::move_only_function<void()> function) {
  loops_[loop_index]->post(std::move(function));
}

void Server::call_last() {
  for (const auto& loop : loops_) loop->post([&loop = *loop] { loop.call_last(); });
}

void Server::drain() {
  // The first loop accepts: what it deals out on its last round reaches each loop before drain().
  loops_.front()->post([this] {
    if (std::exchange(draining_, true)) return;
    acceptor_->finish();
    for (const auto& loop : loops_)
      loop->post([this, &loop = *loop] {
        loop.drain();
        drained_loops_.fetch_add(1);
      });
  });
}

void Server::stop() {
  if (!acceptor_) return;
  for (const auto& loop : loops_) loop->stop();
  threads_.clear();
  counters_at_end_ = counters();
  acceptor_.reset();
  loops_.clear();
}

Counters Server::counters() const {
  if (!acceptor_) return counters_at_end_;
  Counters sums;
  sums.accept_pauses = acceptor_->pauses();
  for (const TlsContext* tls : tls_) {
    const std::int64_t ends_s = tls->not_after_s();
    const bool first = sums.certificate_ends_s == 0 || ends_s < sums.certificate_ends_s;
    if (first) sums.certificate_ends_s = ends_s;
    sums.certificates_refused += tls->reloads_failed();
  }
  for (const auto& loop : loops_) {
    const LoopCounters& counters = loop->counters();
    sums.open += counters.open.get();
    sums.accepted += counters.accepted.get();
    sums.requests += counters.requests.get();
    sums.bytes_in += counters.bytes_in.get();
    sums.framing_errors += counters.framing_errors.get();
    sums.memory_refusals += counters.memory_refusals.get();
    sums.tls_handshakes += counters.tls_handshakes.get();
    sums.tls_resumptions += counters.tls_resumptions.get();
    sums.tls_failures += counters.tls_failures.get();
    sums.proxy_refusals += counters.proxy_refusals.get();
  }
  return sums;
}

}  // namespace inlet::http
