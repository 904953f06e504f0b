// server: a strict HTTP/1.1 server on given listening sockets.
//
// It knows bytes and messages, not what they are for: that is the Handler's business (handler.h).
// One thread per loop; a connection stays on its loop for life.
//
// Threads: all methods from the thread that owns the server, but post() and counters() from any
// until stop() is called.

#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/memory.h"
#include "base/time.h"
#include "http/handler.h"
#include "http/loop.h"
#include "http/options.h"

namespace inlet::http {

class Acceptor;

class Server {
 public:
  // `memory` and `clock` outlive the server.
  Server(const Options& options, MemoryBudget& memory, Clock& clock);
  ~Server();  // stop().

  // Before start(). Takes over `fd`, bound and listening; each listener has its own handlers.
  void add_listener(int fd, HandlerFactory factory, ListenerOptions options = {});
  void start();

  // Runs `function` on that loop's thread, in the order of posting.
  void post(std::size_t loop_index, std::move_only_function<void()> function);
  [[nodiscard]] std::size_t loops() const { return loops_.size(); }

  // Every answer from now on says `Connection: close`: a client that is told so does not send its
  // next request into a connection that drain() closes (RFC 9112 section 9.6).
  void call_last();

  // Stops accepting; requests in progress are answered with `Connection: close`, idle connections
  // closed. Returns at once; it is over when it has reached_all_loops(), so that nothing more is
  // accepted, and counters().open is 0.
  void drain();
  [[nodiscard]] bool reached_all_loops() const { return drained_loops_.load() >= loops_.size(); }

  // Ends the threads, then drops what connections are left. A handler that has not answered yet is
  // destroyed without on_end(); nobody may call its respond() after this.
  void stop();

  [[nodiscard]] Counters counters() const;

 private:
  const Options options_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::unique_ptr<Acceptor> acceptor_;
  std::vector<TlsContext*> tls_;  // Of listeners that have it, each once.
  std::vector<std::jthread> threads_;
  Counters counters_at_end_;
  bool draining_ = false;  // On the first loop.
  std::atomic<std::size_t> drained_loops_{0};
};

}  // namespace inlet::http
