// driver: sends numbered requests on time over a set of connections and counts what became of them.
//
// Open loop (rate above 0): requests are due at the pacer's times whatever the server does, and
// latency counts from when a request was due, so a server that stalls shows the stall in every
// request it delayed, not only in the ones it was holding. Closed loop (rate 0): each connection
// sends its next request when the last was answered.
//
// A request that is due waits, without costing memory, until a connection is free; after timeout_us
// of waiting, or at the end of the load, it counts as unsent. Requests due during the warm-up are
// sent but leave no trace in the figures.
//
// Invariants:
//   - a number is given to a request when it first leaves; numbers have no gaps, from 1.
//   - every number ends in exactly one call of Listener::settled().
//   - with retry, a number is sent again until it is accepted or the drain time is over.
//
// One thread.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "load/connection.h"
#include "load/histogram.h"
#include "load/pacing.h"
#include "load/request.h"

namespace inlet::loader {

inline constexpr std::size_t connections_max = 100000;
inline constexpr std::size_t repeats_max = 1U << 20;  // Requests waiting to be sent again.

struct Figures {
  std::uint64_t sent = 0;  // Each repeat counts.
  std::uint64_t body_bytes_sent = 0;
  std::uint64_t accepted = 0;  // Answered 2xx.
  std::uint64_t body_bytes_accepted = 0;
  std::array<std::uint64_t, 600> by_status{};
  std::uint64_t timeouts = 0;   // No whole answer within the timeout.
  std::uint64_t refused = 0;    // Connections that could not be made.
  std::uint64_t broken = 0;     // Connections lost with a request in flight.
  std::uint64_t malformed = 0;  // Answers that were not HTTP.
  std::uint64_t unsent = 0;     // Due, but no connection was free in time.
  std::uint64_t repeats = 0;    // Of `sent`: because of retry.
  std::uint64_t given_up = 0;   // Numbers that retry did not get accepted in time.
  Microseconds measured_us = 0;
  Microseconds cpu_us = 0;  // Of the loading thread, while measuring.
  Histogram latency;        // Due to whole answer, of those accepted.
  Histogram lateness;       // Due to first leaving: the time spent waiting for a connection.

  [[nodiscard]] std::uint64_t answered(int status_class) const;  // 2: 200 to 299, …
};

// The last second, for a progress line.
struct Second {
  Microseconds since_start_us = 0;
  Microseconds length_us = 0;
  std::uint64_t accepted = 0;
  std::uint64_t refused_4xx = 0;
  std::uint64_t failed_5xx = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t lost = 0;  // Refused, broken and malformed.
  std::size_t in_flight = 0;
  bool warming_up = false;
  Histogram latency;
};

class Listener {
 public:
  virtual ~Listener() = default;
  // A number's fate is known. `status` is 0 if it was never answered; `id` may be empty.
  virtual void settled(const Request& request, int status, std::string_view id) = 0;
  virtual void second(const Second& second) = 0;
  // Every tick_us, and once at the end: time to write what was gathered.
  virtual void tick() = 0;
};

class Driver {
 public:
  struct Options {
    Address address;
    Security* security = nullptr;  // Null: plain. Outlives the driver.
    double rate_per_s = 0;         // 0: closed loop.
    Pacing pacing = Pacing::poisson;
    std::uint64_t seed = 0;
    std::size_t connections = 1;
    Microseconds duration_us = 10'000'000;  // The warm-up included.
    Microseconds warmup_us = 0;
    Microseconds timeout_us = 10'000'000;  // Of one request, and of connecting.
    Microseconds drain_us = 10'000'000;    // For what is under way when the load ends.
    bool retry = false;
  };
  static constexpr Microseconds tick_us = 20'000;

  // All outlive the driver.
  Driver(Options options, Clock& clock, RequestMaker& requests, Listener& listener);
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;
  ~Driver();

  // Opens the connections and starts the schedule. An error if not even one can be opened.
  [[nodiscard]] Status start();
  // Sends what is due, waits for the next event, handles it. False when all is over.
  bool run_once();
  // First call: nothing new is sent any more. Second call: what is under way is given up.
  void stop();

  [[nodiscard]] const Figures& figures() const { return figures_; }

 private:
  struct Slot {
    Connection connection;
    Microseconds reopen_us = 0;
    std::uint32_t failures = 0;  // In a row.
    bool queued = false;         // Stands in idle_.
    bool answered = false;       // Since it was opened.
  };
  struct Repeat {
    Microseconds not_before_us;
    Request request;
    bool operator>(const Repeat& other) const { return not_before_us > other.not_before_us; }
  };

  Status open_all();
  void open(std::uint32_t index);
  void drop(std::uint32_t index, bool failed);
  void become_idle(std::uint32_t index);

  void dispatch();
  std::optional<Request> next_request(Microseconds now_us);
  void count_unsent();
  void send(std::uint32_t index, Request request);

  void wait_for_events();
  void handle(std::uint32_t index, std::uint32_t events);
  void receive(std::uint32_t index);
  void answered(std::uint32_t index);
  void lost(std::uint32_t index);
  void failed(const Request& request, int status, int retry_after_s);

  void tick();
  void report_second();
  void start_measuring();
  void finish();
  // No new number while so many may have to be sent again.
  [[nodiscard]] bool is_full() const { return repeats_.size() + in_flight_ >= repeats_max; }
  [[nodiscard]] bool measured(const Request& request) const {
    return request.due_us >= measure_from_us_;
  }

  const Options options_;
  Clock& clock_;
  RequestMaker& requests_;
  Listener& listener_;
  int epoll_ = -1;
  std::optional<Pacer> pacer_;
  std::mt19937_64 random_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> idle_;  // A ring of connections that may be free; checked on use.
  std::size_t idle_first_ = 0;
  std::size_t idle_count_ = 0;
  std::priority_queue<Repeat, std::vector<Repeat>, std::greater<>> repeats_;
  std::string receive_buffer_;

  std::uint64_t last_number_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t connecting_ = 0;
  int last_error_ = 0;
  std::string last_error_text_;
  Microseconds start_us_ = 0;
  Microseconds measure_from_us_ = 0;
  Microseconds end_us_ = 0;
  Microseconds give_up_us_ = 0;
  Microseconds due_us_ = 0;  // Of the next request of the schedule.
  Microseconds next_tick_us_ = 0;
  Microseconds second_start_us_ = 0;
  Microseconds cpu_before_us_ = 0;
  bool measuring_ = false;
  bool schedule_over_ = false;
  bool finished_ = false;
  Figures figures_;
  Second second_;
};

}  // namespace inlet::loader
