// The load generator of the bench: one thread, epoll, prebuilt requests. Closed loop (rate 0), or
// open loop with Poisson arrivals, where latency counts from the moment a request was due, so a
// server that stalls cannot hide it. `inlet load` is the tool for users; this one knows nothing of
// Inlet, so that the same client measures every server, and it gets out of the way: its own CPU is
// part of what it prints (one JSON object).
//
//   bench_lg --port P [--path /ingest/bench] [--size 1024] [--connections 64] [--rate 0]
//            [--seconds 2] [--warmup 0.3] [--seed 1] [--watch PID] [--wait-first]
//            [--header "Name: value"] [--keyed]
//            [--calm 1] [--beside-rate R --beside-connections N --beside-header "Name: value"]
//            [--trickle N]
//
// --keyed gives each request an Idempotency-Key of its own.
// --calm, in an open loop, leaves out of a latency what this process was late in sending although
// a connection was free (late_p99_us), and never sleeps, with another sender beside it or without.
// --beside-rate adds another sender, open loop, whose answers are counted apart. In one process,
// because two that share a core would wait for each other's time slices, which are longer than what
// is measured. stored, first_s and last_s tell of all it sent, warm-up included: what a limit let
// through, and how long it was asked. --trickle adds connections of that sender which each send a
// large body, byte by byte, a hundred times a second all together and never to the end; they begin
// two seconds earlier, so that a limit has recovered from them.
// --watch PID adds the CPU that process (the server, all its threads) used while it was measured.
// --wait-first sends one request again and again, up to --seconds, until the first 2xx, and prints
// when that came.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace {

using Nanoseconds = std::int64_t;

constexpr std::size_t answer_bytes_max = 4096;
constexpr std::size_t backlog_max = 1'000'000;  // Requests due but without a free connection.
constexpr Nanoseconds second_ns = 1'000'000'000;
constexpr Nanoseconds drain_ns = 2 * second_ns;  // For the last answers, after the last request.
constexpr Nanoseconds retry_ns = 1'000'000;      // Between attempts of --wait-first.
constexpr Nanoseconds trickle_ns = 10'000'000;   // Between bytes.
constexpr std::size_t trickle_body_bytes = 200'000;
constexpr Nanoseconds trickle_lead_ns = 2 * second_ns;

struct Options {
  std::uint16_t port = 0;
  std::string path = "/ingest/bench";
  std::size_t size = 1024;
  std::size_t connections = 64;
  double rate = 0;  // Per second; 0: closed loop.
  double seconds = 2;
  double warmup_seconds = 0.3;
  std::uint64_t seed = 1;
  pid_t watch = 0;
  bool wait_first = false;
  std::string header;  // One more line.
  bool keyed = false;
  bool calm = false;
  double beside_rate = 0;
  std::size_t beside_connections = 16;
  std::string beside_header;
  std::size_t trickle = 0;
};

Nanoseconds now_ns() {
  timespec at{};
  ::clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * second_ns + at.tv_nsec;
}

// CPU used so far by all threads of a process; 0 if there is none.
double process_cpu_seconds(pid_t process) {
  clockid_t clock{};
  timespec used{};
  if (process == 0 || ::clock_getcpuclockid(process, &clock) != 0) return 0;
  if (::clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

// Latencies by powers of two, each in 128 steps: a relative error below 1 %.
class Histogram {
 public:
  void add(Nanoseconds value) {
    counts_[slot(static_cast<std::uint64_t>(std::max<Nanoseconds>(value, 0)))]++;
    total_++;
    max_ = std::max(max_, value);
  }
  [[nodiscard]] double quantile_us(double quantile) const {
    const auto rank = static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(total_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); i++) {
      seen += counts_[i];
      if (seen >= rank && seen > 0) return static_cast<double>(middle(i)) / 1000;
    }
    return 0;
  }
  [[nodiscard]] double max_us() const { return static_cast<double>(max_) / 1000; }

 private:
  static constexpr std::uint64_t steps = 128;
  static std::size_t slot(std::uint64_t value) {
    if (value < steps) return value;
    const int shift = 63 - __builtin_clzll(value) - 7;
    return static_cast<std::size_t>(shift + 1) * steps + (value >> shift) - steps;
  }
  static std::uint64_t middle(std::size_t slot) {
    if (slot < steps) return slot;
    const std::size_t shift = slot / steps - 1;
    return ((slot % steps + steps) << shift) + ((std::uint64_t{1} << shift) >> 1);
  }

  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(58 * steps);
  std::uint64_t total_ = 0;
  Nanoseconds max_ = 0;
};

struct Connection {
  int fd = -1;
  Nanoseconds free_ns = 0;  // Since when.
  Nanoseconds due_ns = 0;   // Of the request in flight.
  Nanoseconds late_ns = 0;  // Of sending it, for which the server had no part.
  std::size_t sent = 0;
  bool busy = false;
  bool wants_write = false;
  std::string answer;
  std::string request;  // Its own copy, if each has a key.
};

struct Tally {
  std::uint64_t ok = 0;
  std::uint64_t refused = 0;  // Answers other than 2xx,
  std::uint64_t limited = 0;  // of these 429 with a Retry-After.
  std::uint64_t broken = 0;   // Connections lost.
  std::uint64_t unsent = 0;   // Due, but no connection came free.
  Histogram latency;
  Histogram late;
  // Of all, counted or not.
  std::uint64_t stored = 0;
  Nanoseconds first_ns = 0;  // Sent.
  Nanoseconds last_ns = 0;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options), random_(options.seed) {
    request_ = "POST " + options.path +
               " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(options.port) +
               "\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
               std::to_string(options.size) + "\r\n";
    if (!options.header.empty()) request_ += options.header + "\r\n";
    if (options.keyed) {
      request_ += "Idempotency-Key: ";
      key_at_ = request_.size();
      request_ += std::string(key_digits, '0') + "\r\n";
      next_key_ = static_cast<std::uint64_t>(now_ns());  // Of no earlier run.
    }
    request_ += "\r\n";
    for (std::size_t i = 0; i < options.size; i++) {
      request_ += static_cast<char>('a' + random_() % 26);
    }
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll_ >= 0);
    connections_.resize(options.connections);
    if (options.keyed) {
      for (Connection& connection : connections_) connection.request = request_;
    }
  }

  void start(Nanoseconds now) {
    for (Connection& connection : connections_) open(connection);
    start_ns_ = now + static_cast<Nanoseconds>(options_.warmup_seconds * 1e9);
    end_ns_ = start_ns_ + static_cast<Nanoseconds>(options_.seconds * 1e9);
    next_due_ns_ = now_ns();
    if (options_.rate == 0) {
      for (Connection& connection : connections_) send_request(connection, now_ns());
    }
  }

  // False: the time is over. Waits only if nobody else is to have a turn.
  bool turn(bool may_wait) {
    if (now_ns() >= end_ns_) return false;
    if (!started_ && now_ns() >= start_ns_) {
      started_ = true;
      load_cpu_seconds_ = -process_cpu_seconds(::getpid());
      server_cpu_seconds_ = -process_cpu_seconds(options_.watch);
    }
    if (options_.rate > 0) send_due();
    poll(may_wait ? wait_ms() : 0);
    return true;
  }

  void end() {
    load_cpu_seconds_ += process_cpu_seconds(::getpid());
    server_cpu_seconds_ += process_cpu_seconds(options_.watch);
    drain();
  }

  [[nodiscard]] const Tally& tally() const { return tally_; }

  void print(const Tally* beside) const {
    const auto us = [&](double quantile) { return tally_.latency.quantile_us(quantile); };
    std::printf(
        "{\"ok\":%llu,\"refused\":%llu,\"broken\":%llu,\"unsent\":%llu,\"seconds\":%.3f,"
        "\"rate\":%.1f,\"load_cpu\":%.3f,\"server_cpu\":%.4f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_"
        "us\":%.1f,"
        "\"p999_us\":%.1f,\"max_us\":%.1f,\"late_p99_us\":%.1f",
        static_cast<unsigned long long>(tally_.ok), static_cast<unsigned long long>(tally_.refused),
        static_cast<unsigned long long>(tally_.broken),
        static_cast<unsigned long long>(tally_.unsent), options_.seconds,
        static_cast<double>(tally_.ok) / options_.seconds, load_cpu_seconds_ / options_.seconds,
        server_cpu_seconds_ / options_.seconds, us(0.5), us(0.9), us(0.99), us(0.999),
        tally_.latency.max_us(), tally_.late.quantile_us(0.99));
    if (beside != nullptr) {
      const std::uint64_t others = beside->refused - beside->limited + beside->broken;
      const auto seconds = [](Nanoseconds ns) { return static_cast<double>(ns) / 1e9; };
      std::printf(
          ",\"beside\":{\"ok\":%llu,\"limited\":%llu,\"other\":%llu,\"stored\":%llu,"
          "\"first_s\":%.6f,\"last_s\":%.6f}",
          static_cast<unsigned long long>(beside->ok),
          static_cast<unsigned long long>(beside->limited), static_cast<unsigned long long>(others),
          static_cast<unsigned long long>(beside->stored), seconds(beside->first_ns),
          seconds(beside->last_ns));
    }
    std::printf("}\n");
  }

 private:
  void open(Connection& connection) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;
    ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connection.fd < 0 ||
        ::connect(connection.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      std::fprintf(stderr, "lg: cannot connect to port %d: %s\n", options_.port,
                   std::strerror(errno));
      std::exit(1);
    }
    const auto index = static_cast<std::uint64_t>(&connection - connections_.data());
    epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
    CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event) == 0);
    connection.busy = false;
    connection.wants_write = false;
    connection.answer.clear();
    set_free(connection);
  }

  void set_free(Connection& connection) {
    connection.free_ns = now_ns();
    if (options_.rate > 0) idle_.push_back(&connection);
  }

  // Counts a lost connection and opens it anew; in the closed loop it goes on at once.
  void reopen(Connection& connection) {
    if (counts(connection)) tally_.broken++;
    const bool was_idle = !connection.busy;
    ::close(connection.fd);
    if (options_.rate > 0 && was_idle) std::erase(idle_, &connection);
    open(connection);
    if (options_.rate == 0 && now_ns() < end_ns_) send_request(connection, now_ns());
  }

  [[nodiscard]] bool counts(const Connection& connection) const {
    return options_.rate > 0 ? connection.due_ns >= start_ns_ && connection.due_ns < end_ns_
                             : started_ && now_ns() < end_ns_;
  }

  void send_request(Connection& connection, Nanoseconds due_ns) {
    connection.due_ns = due_ns;
    connection.sent = 0;
    connection.busy = true;
    if (options_.keyed) {
      std::uint64_t key = next_key_++;
      for (std::size_t i = key_digits; i-- > 0; key /= 10) {
        connection.request[key_at_ + i] = static_cast<char>('0' + key % 10);
      }
    }
    go_on_sending(connection);
  }

  void go_on_sending(Connection& connection) {
    while (connection.sent < request_.size()) {
      const std::string& request = options_.keyed ? connection.request : request_;
      const ssize_t put = ::send(connection.fd, request.data() + connection.sent,
                                 request.size() - connection.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (put <= 0) break;  // Full, or broken: epoll says which.
      connection.sent += static_cast<std::size_t>(put);
    }
    const bool wants_write = connection.sent < request_.size();
    if (wants_write == connection.wants_write) return;
    connection.wants_write = wants_write;
    const auto index = static_cast<std::uint64_t>(&connection - connections_.data());
    epoll_event event{.events = EPOLLIN | (wants_write ? EPOLLOUT : 0U), .data = {.u64 = index}};
    CHECK(::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event) == 0);
  }

  // Open loop: hands what is due by now to free connections, oldest first.
  void send_due() {
    const Nanoseconds now = now_ns();
    while (next_due_ns_ <= now && next_due_ns_ < end_ns_) {
      if (due_.size() < backlog_max) {
        due_.push_back(next_due_ns_);
      } else {
        tally_.unsent++;
      }
      next_due_ns_ += static_cast<Nanoseconds>(gap_(random_) / options_.rate * 1e9) + 1;
    }
    while (!due_.empty() && !idle_.empty()) {
      Connection& connection = *idle_.front();
      idle_.pop_front();
      const Nanoseconds due_ns = due_.front();
      due_.pop_front();
      tally_.last_ns = now_ns();
      if (tally_.first_ns == 0) tally_.first_ns = tally_.last_ns;
      connection.late_ns = tally_.last_ns - std::max(due_ns, connection.free_ns);
      send_request(connection, due_ns);
    }
  }

  // Waits in epoll only if the next request is more than a millisecond away, else polls: a timer is
  // too coarse for arrivals microseconds apart, and the client has a core of its own.
  [[nodiscard]] int wait_ms() const {
    if (options_.rate == 0) return 100;
    return next_due_ns_ - now_ns() > 2'000'000 ? 1 : 0;
  }

  void poll(int timeout_ms) {
    epoll_event events[256];
    const int count = ::epoll_wait(epoll_, events, 256, timeout_ms);
    for (int i = 0; i < count; i++) {
      Connection& connection = connections_[events[i].data.u64];
      if ((events[i].events & EPOLLOUT) != 0) go_on_sending(connection);
      if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(connection);
    }
  }

  void receive(Connection& connection) {
    char buffer[answer_bytes_max];
    const ssize_t got = ::recv(connection.fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return reopen(connection);
    connection.answer.append(buffer, static_cast<std::size_t>(got));
    const std::size_t head = connection.answer.find("\r\n\r\n");
    if (head == std::string::npos) {
      if (connection.answer.size() > answer_bytes_max) reopen(connection);
      return;
    }
    if (connection.answer.size() < head + 4 + body_bytes(connection.answer, head)) return;
    finish(connection, head);
  }

  static std::size_t body_bytes(const std::string& answer, std::size_t head) {
    constexpr std::string_view name = "\r\ncontent-length:";
    const auto same = [](char a, char b) { return std::tolower(a) == b; };
    const auto end = answer.begin() + static_cast<std::ptrdiff_t>(head);
    const auto at = std::search(answer.begin(), end, name.begin(), name.end(), same);
    return at == end ? 0 : std::strtoull(&*at + name.size(), nullptr, 10);
  }

  void finish(Connection& connection, std::size_t head) {
    const Nanoseconds now = now_ns();
    // "Connection: close", or an answer that came before the request was sent.
    const bool closes =
        connection.answer.find("lose\r\n") < head || connection.sent < request_.size();
    const bool is_ok = connection.answer.compare(9, 1, "2") == 0;
    if (is_ok) tally_.stored++;
    if (counts(connection)) {
      if (is_ok) {
        tally_.ok++;
        tally_.latency.add(now - connection.due_ns - (options_.calm ? connection.late_ns : 0));
        tally_.late.add(connection.late_ns);
      } else {
        tally_.refused++;
        if (connection.answer.compare(9, 3, "429") == 0 &&
            connection.answer.find("\r\nRetry-After: ") < head) {
          tally_.limited++;
        }
      }
    }
    connection.answer.clear();
    connection.busy = false;
    if (closes) return reopen_quietly(connection);
    set_free(connection);
    if (options_.rate == 0 && now < end_ns_) send_request(connection, now);
  }

  void reopen_quietly(Connection& connection) {
    ::close(connection.fd);
    open(connection);
    if (options_.rate == 0 && now_ns() < end_ns_) send_request(connection, now_ns());
  }

  // Open loop only: what was due in time is still waited for, or the slowest would not count.
  void drain() {
    if (options_.rate == 0) return;
    const Nanoseconds give_up_ns = now_ns() + drain_ns;
    while (now_ns() < give_up_ns && (idle_.size() < connections_.size() || !due_.empty())) {
      send_due();
      poll(1);
    }
    tally_.unsent += due_.size() + (connections_.size() - idle_.size());
  }

  const Options options_;
  std::mt19937_64 random_;
  std::exponential_distribution<double> gap_{1.0};
  static constexpr std::size_t key_digits = 20;

  std::string request_;
  std::size_t key_at_ = 0;  // In a request, if each has a key.
  std::uint64_t next_key_ = 0;
  int epoll_ = -1;
  std::vector<Connection> connections_;
  std::deque<Connection*> idle_;
  std::deque<Nanoseconds> due_;
  Nanoseconds next_due_ns_ = 0;
  Nanoseconds start_ns_ = 0;
  Nanoseconds end_ns_ = 0;
  bool started_ = false;
  double load_cpu_seconds_ = 0;
  double server_cpu_seconds_ = 0;
  Tally tally_;
};

// Connections of which each sends a body that does not end.
class Trickle {
 public:
  Trickle(const Options& options, Nanoseconds now) : next_ns_(now) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string head =
        "POST " + options.path +
        " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " + std::to_string(trickle_body_bytes) +
        "\r\n" + (options.beside_header.empty() ? "" : options.beside_header + "\r\n") + "\r\n" +
        std::string(trickle_body_bytes / 4, 'x');
    for (std::size_t i = 0; i < options.trickle; i++) {
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
      CHECK(::send(fd, head.data(), head.size(), MSG_NOSIGNAL) > 0);
      sockets_.push_back(fd);
    }
  }

  void turn(Nanoseconds now) {
    if (sockets_.empty() || now < next_ns_) return;
    next_ns_ = now + trickle_ns;
    // One that was refused is gone; that is the server's right.
    (void)::send(sockets_[next_++ % sockets_.size()], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

 private:
  std::vector<int> sockets_;  // Closed by the end of the process.
  std::size_t next_ = 0;
  Nanoseconds next_ns_;
};

Options beside(const Options& options) {
  Options other = options;
  other.rate = options.beside_rate;
  other.connections = options.beside_connections;
  other.header = options.beside_header;
  other.seed = options.seed + 1'000'003;
  return other;
}

void run(const Options& options) {
  Load load(options);
  std::optional<Load> other;
  if (options.beside_rate > 0) other.emplace(beside(options));
  Trickle trickle(options, now_ns());
  Nanoseconds now = now_ns();
  const Nanoseconds start_ns = now + (options.trickle > 0 ? trickle_lead_ns : 0);
  for (; now < start_ns; now = now_ns()) trickle.turn(now);
  load.start(now);
  if (other) other->start(now);
  while (load.turn(!other && !options.calm)) {
    if (other) other->turn(false);
    trickle.turn(now_ns());
  }
  load.end();
  if (other) other->end();
  load.print(other ? &other->tally() : nullptr);
}

// True once the server has answered one small request with a 2xx.
bool accepted_one(const Options& options) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string request = "POST " + options.path +
                              " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                              "Content-Length: 5\r\n" +
                              (options.header.empty() ? "" : options.header + "\r\n") + "\r\nfirst";
  char answer[64] = {};
  const bool answered = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                        ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0 &&
                        ::recv(fd, answer, sizeof answer - 1, 0) > 12;
  ::close(fd);
  return answered && std::strncmp(answer, "HTTP/1.1 2", 10) == 0;
}

void wait_first(const Options& options) {
  const Nanoseconds give_up_ns = now_ns() + static_cast<Nanoseconds>(options.seconds * 1e9);
  const timespec pause{.tv_sec = 0, .tv_nsec = retry_ns};
  bool accepted = accepted_one(options);
  while (!accepted && now_ns() < give_up_ns) {
    ::nanosleep(&pause, nullptr);
    accepted = accepted_one(options);
  }
  std::printf("{\"accepted\":%s,\"at_ns\":%lld}\n", accepted ? "true" : "false",
              static_cast<long long>(now_ns()));
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    const std::string_view name = argv[i];
    if (name == "--wait-first" || name == "--keyed") {
      (name == "--keyed" ? options.keyed : options.wait_first) = true;
      continue;
    }
    const char* const value = i + 1 < argc ? argv[++i] : "";
    if (name == "--port")
      options.port = static_cast<std::uint16_t>(std::atoi(value));
    else if (name == "--path")
      options.path = value;
    else if (name == "--size")
      options.size = std::strtoull(value, nullptr, 10);
    else if (name == "--connections")
      options.connections = std::strtoull(value, nullptr, 10);
    else if (name == "--rate")
      options.rate = std::atof(value);
    else if (name == "--seconds")
      options.seconds = std::atof(value);
    else if (name == "--warmup")
      options.warmup_seconds = std::atof(value);
    else if (name == "--seed")
      options.seed = std::strtoull(value, nullptr, 10);
    else if (name == "--header")
      options.header = value;
    else if (name == "--calm")
      options.calm = std::atoi(value) != 0;
    else if (name == "--beside-rate")
      options.beside_rate = std::atof(value);
    else if (name == "--beside-connections")
      options.beside_connections = std::strtoull(value, nullptr, 10);
    else if (name == "--beside-header")
      options.beside_header = value;
    else if (name == "--trickle")
      options.trickle = std::strtoull(value, nullptr, 10);
    else if (name == "--watch")
      options.watch = std::atoi(value);
    else {
      std::fprintf(stderr, "lg: there is no option %s\n", argv[i - 1]);
      std::exit(2);
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (options.port == 0 || options.connections == 0) {
    std::fprintf(stderr, "lg: --port and at least one connection are needed\n");
    return 2;
  }
  if (options.wait_first) {
    wait_first(options);
    return 0;
  }
  run(options);
  return 0;
}
