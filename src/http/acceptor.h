// acceptor: takes connections from the listening sockets and deals them out to the loops.
//
// Accepting pauses, and is tried again by a timer, when there are Options::connections_max
// connections or the kernel lacks descriptors or memory: what waits in the backlog is not refused,
// and a condition that lasts costs no CPU.
//
// Threads: all on the first loop's thread; add() before it runs.

#pragma once

#include <memory>
#include <vector>

#include "http/handler.h"
#include "http/loop.h"

namespace inlet::http {

class Acceptor {
 public:
  // `loops` outlive the acceptor; the first one runs it.
  explicit Acceptor(const std::vector<std::unique_ptr<Loop>>& loops);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

  // Owns `fd`, bound and listening. The factory lives as long as the acceptor.
  void add(int fd, HandlerFactory factory, ListenerOptions options);
  void start();
  // Takes what is in the backlogs, then closes the sockets.
  void finish();

  [[nodiscard]] std::uint64_t pauses() const { return pauses_.get(); }

 private:
  struct Listener final : EventSource {
    void on_event(bool readable, bool writable, bool ended) override;

    Acceptor* acceptor;
    int fd;
    HandlerFactory factory;
    ListenerOptions options;
  };
  enum class Outcome : unsigned char { empty, more, pause };

  void accept_from(Listener& listener);
  Outcome accept_some(Listener& listener);
  void accept_again();
  [[nodiscard]] bool at_most() const;

  const std::vector<std::unique_ptr<Loop>>& loops_;
  std::vector<std::unique_ptr<Listener>> listeners_;  // They stay where they are.
  Loop::Timer retry_timer_;
  std::size_t next_loop_ = 0;
  bool finished_ = false;
  Counter pauses_;
};

}  // namespace inlet::http
