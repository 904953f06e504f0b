// loop: one thread's share of the server: its event loop, its connections, its free buffers.
//
// A plain epoll loop, not Asio: Asio re-arms a socket with one epoll_ctl per wait, which was a
// tenth of the CPU of a 1 KiB request, and keeps some 300 bytes per idle connection. Here a
// descriptor is registered once, edge-triggered, for both directions; its owner remembers what it
// may still read.
//
// Deadlines cost no timer each: every connection keeps one instant, and a sweep looks at all of
// them every Options::sweep_us, some hundred at a time. Clocks are read once per round of the loop,
// not per request.
//
// Connections that found no memory wait here, in the order they came, and are tried again when this
// loop gives something back, and every Options::memory_retry_us because other loops may have.
//
// Ownership: the loop owns its connections through the list; a finished one is deleted at the end
// of the round, because its own methods may still be running and events for it may be in hand.
//
// Threads: all on the loop's thread but stop(), post() and reading counters.

#pragma once

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "base/counter.h"
#include "base/memory.h"
#include "base/time.h"
#include "http/handler.h"
#include "http/head.h"
#include "http/input.h"
#include "http/options.h"

namespace inlet::http {

class ServerConnection;

struct AllTag;
struct WaitingTag;
using InAll =
    boost::intrusive::list_base_hook<boost::intrusive::tag<AllTag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
using InWaiting =
    boost::intrusive::list_base_hook<boost::intrusive::tag<WaitingTag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

// Sums since the start, but for `open`.
struct Counters {
  std::uint64_t open = 0;           // Connections.
  std::uint64_t accepted = 0;       // Connections.
  std::uint64_t accept_pauses = 0;  // Accepting stopped: no room or no descriptors.
  std::uint64_t requests = 0;       // Answers sent, whoever wrote them.
  std::uint64_t bytes_in = 0;
  std::uint64_t framing_errors = 0;   // Requests malformed, too large or too slow.
  std::uint64_t memory_refusals = 0;  // 503 because no memory came free in time.
  std::uint64_t tls_handshakes = 0;   // Completed;
  std::uint64_t tls_resumptions = 0;  // of these, with a ticket.
  std::uint64_t tls_failures = 0;     // Handshakes refused, broken or too slow.
  std::uint64_t proxy_refusals = 0;   // Connections without a PROXY header we believe.

  // Of all listeners' certificates, when the first ends; seconds since 1970. 0: there is none.
  std::int64_t certificate_ends_s = 0;
  std::uint64_t certificates_refused = 0;  // New ones that could not be used.
};

struct LoopCounters {
  Counter open, accepted, requests, bytes_in, framing_errors, memory_refusals;
  Counter tls_handshakes, tls_resumptions, tls_failures, proxy_refusals;
};

inline constexpr Microseconds never_us = std::numeric_limits<Microseconds>::max();

// What has descriptors watched by a loop.
class EventSource {
 public:
  // There is something to read, or room to write, or (`ended`) the peer will send no more. Edges:
  // each is told once.
  virtual void on_event(bool readable, bool writable, bool ended) = 0;

 protected:
  ~EventSource() = default;
};

class Loop {
 public:
  // Calls `function` once at or after `at_us`; setting at_us again is all it takes to go on.
  struct Timer {
    Microseconds at_us = never_us;
    std::function<void()> function;
  };

  Loop(std::size_t index, const Options& options, MemoryBudget& memory, Clock& clock);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  void run();   // Until stop().
  void stop();  // Any thread.
  void post(std::move_only_function<void()> function);

  // Until `fd` is closed; `source` lives until the end of the round in which that happens. False:
  // the kernel has no memory to watch it with.
  [[nodiscard]] bool watch(int fd, EventSource& source);
  void unwatch(int fd);  // Only needed if another process has it open, too.
  void add_timer(Timer& timer) { timers_.push_back(&timer); }

  // Takes over the socket `fd`, connected and non-blocking. The others outlive the loop.
  void adopt(int fd, const HandlerFactory& factory, const ListenerOptions& listener);
  // See Server::call_last() and drain().
  void call_last() { last_call_ = true; }
  void drain();

  // For connections.
  void run_next_round(ServerConnection& connection);
  void wait_for_memory(ServerConnection& connection, MemoryUse use);
  void memory_released() { memory_released_ = true; }
  void bury(ServerConnection& connection);
  // Whether this round has time for another step of a handshake, which is then taken.
  [[nodiscard]] bool take_handshake_turn();
  // Says why a connection was refused before it could be answered; not each, if there are many.
  void log_refusal(std::string_view peer, std::string_view reason);

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] BufferPool& buffers() { return buffers_; }
  [[nodiscard]] MemoryBudget& memory() { return memory_; }
  [[nodiscard]] LoopCounters& counters() { return counters_; }
  [[nodiscard]] std::size_t index() const { return index_; }
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] bool last_call() const { return last_call_; }
  [[nodiscard]] std::string_view date() const { return date_; }
  [[nodiscard]] Clock& clock() { return clock_; }
  // As of the beginning of the round.
  [[nodiscard]] Microseconds now_us() const { return now_us_; }
  [[nodiscard]] Microseconds deadline_us(Microseconds after_us) const { return now_us_ + after_us; }

  // Where answers are put together, and where bytes are received that nobody wants.
  [[nodiscard]] std::string& answer_scratch() { return answer_scratch_; }
  [[nodiscard]] MutableBytes discard_scratch() { return discard_scratch_; }

  // The head parsed last, and of which connection, from which bytes.
  struct ParsedHead {
    RequestHead head;
    const ServerConnection* owner = nullptr;
    const void* bytes = nullptr;
  };
  [[nodiscard]] ParsedHead& parsed_head() { return parsed_head_; }

 private:
  void round();
  [[nodiscard]] int wait_ms() const;
  void wake();
  void update_time();
  void run_posted();
  void run_timers();
  void sweep();
  void serve_waiting();
  void reap();

  template <typename Hook>
  using List = boost::intrusive::list<ServerConnection, boost::intrusive::base_hook<Hook>,
                                      boost::intrusive::constant_time_size<false>>;

  const std::size_t index_;
  const Options& options_;
  Clock& clock_;
  MemoryBudget& memory_;
  BufferPool buffers_;
  LoopCounters counters_;
  const int epoll_;
  const int wake_;  // An eventfd: somebody posted.
  std::atomic<bool> stopping_{false};
  std::mutex posted_mutex_;
  std::vector<std::move_only_function<void()>> posted_;  // Guarded by posted_mutex_.
  Timer sweep_timer_;
  Timer memory_timer_;
  std::vector<Timer*> timers_;
  List<InAll> connections_;
  List<InWaiting> waiting_for_input_;  // Served first: they need little.
  List<InWaiting> waiting_for_body_;
  std::vector<ServerConnection*> next_round_;
  std::vector<ServerConnection*> graves_;
  bool draining_ = false;
  bool last_call_ = false;
  bool memory_released_ = false;
  List<InWaiting> tried_;  // Of those, who were just served in vain.
  bool serving_waiting_ = false;
  std::size_t handshakes_left_ = 0;  // In this round.
  Microseconds next_refusal_log_us_ = 0;
  Microseconds now_us_ = 0;
  Microseconds date_second_ = -1;
  std::string date_;
  std::string answer_scratch_;
  std::vector<std::byte> discard_scratch_;
  ParsedHead parsed_head_;
};

}  // namespace inlet::http
