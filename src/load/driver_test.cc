// Goal: requests leave on time, every number is settled once, and latency hides nothing.
// Method: a small HTTP server on a thread of its own that answers, stalls, refuses and breaks by
// script.

#include "load/driver.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <map>
#include <thread>

namespace inlet::loader {
namespace {

// What to do with the n-th request, from 1, of all connections together.
struct Reaction {
  std::string answer;
  Microseconds pause_us = 0;
  bool close = false;  // After the answer, if any.
};
using Script = std::function<Reaction(int)>;

std::string ok() { return "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"id\":\"abc-1\"}"; }
std::string status(const char* line) {
  return std::string("HTTP/1.1 ") + line + "\r\nContent-Length: 0\r\n\r\n";
}

class Server {
 public:
  explicit Server(Script script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_, any, bytes), 0);
    EXPECT_EQ(::listen(listener_, 128), 0);
    EXPECT_EQ(::getsockname(listener_, any, &bytes), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    stop_ = true;
    thread_.join();
    for (const auto& [fd, text] : clients_) ::close(fd);
    ::close(listener_);
  }
  [[nodiscard]] Target target() const {
    return *parse_target("http://127.0.0.1:" + std::to_string(port_) + "/ingest/s");
  }
  [[nodiscard]] int requests() const { return requests_; }

 private:
  void serve() {
    while (!stop_) {
      std::vector<pollfd> fds = {{listener_, POLLIN, 0}};
      for (const auto& [fd, text] : clients_) fds.push_back({fd, POLLIN, 0});
      if (::poll(fds.data(), fds.size(), 10) <= 0) continue;
      if ((fds[0].revents & POLLIN) != 0) clients_[::accept(listener_, nullptr, nullptr)];
      for (std::size_t i = 1; i < fds.size(); i++) {
        if (fds[i].revents != 0 && !read(fds[i].fd)) {
          ::close(fds[i].fd);
          clients_.erase(fds[i].fd);
        }
      }
    }
  }
  // False to close.
  bool read(int fd) {
    char buffer[65536];
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    std::string& text = clients_[fd];
    text.append(buffer, static_cast<std::size_t>(got));
    const std::size_t body_at = text.find("\r\n\r\n");
    if (body_at == std::string::npos) return true;
    const std::size_t length_at = text.find("Content-Length: ");
    const std::size_t whole = body_at + 4 + std::stoul(text.substr(length_at + 16));
    if (text.size() < whole) return true;
    text.erase(0, whole);
    const Reaction reaction = script_(++requests_);
    if (reaction.pause_us > 0) SystemClock().sleep(reaction.pause_us);
    ::send(fd, reaction.answer.data(), reaction.answer.size(), MSG_NOSIGNAL);
    return !reaction.close;
  }

  const Script script_;
  int listener_;
  int port_ = 0;
  std::map<int, std::string> clients_;
  std::atomic<int> requests_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Fate {
  int times = 0;
  int status = 0;
  std::uint32_t attempts = 0;
  std::string id;
};

class Witness final : public Listener {
 public:
  void settled(const Request& request, int status, std::string_view id) override {
    Fate& fate = fates[request.number];
    fate = {fate.times + 1, status, request.attempts, std::string(id)};
  }
  void second(const Second&) override { seconds++; }
  void tick() override { ticks++; }

  std::map<std::uint64_t, Fate> fates;
  int seconds = 0;
  int ticks = 0;
};

struct Outcome {
  Status started;
  Figures figures;
  Witness witness;
};

Outcome drive(const Target& target, Driver::Options options, std::size_t body_bytes = 200) {
  SystemClock clock;
  options.address = *resolve(target);
  RequestMaker requests({.target = target},
                        BodyMaker({.run = "0123456789abcdef", .bytes = body_bytes}));
  Outcome outcome;
  Driver driver(options, clock, requests, outcome.witness);
  outcome.started = driver.start();
  while (outcome.started && driver.run_once()) {
  }
  outcome.figures = driver.figures();
  for (const auto& [number, fate] : outcome.witness.fates) EXPECT_EQ(fate.times, 1) << number;
  if (!outcome.witness.fates.empty()) {
    EXPECT_EQ(outcome.witness.fates.begin()->first, 1u);
    EXPECT_EQ(outcome.witness.fates.rbegin()->first, outcome.witness.fates.size());
  }
  return outcome;
}

TEST(Driver, sends_at_the_rate_asked_for_and_settles_every_number) {
  Server server([](int) { return Reaction{.answer = ok()}; });
  const Outcome outcome =
      drive(server.target(), {.rate_per_s = 500, .connections = 4, .duration_us = 1'200'000});
  const Figures& figures = outcome.figures;
  EXPECT_NEAR(static_cast<double>(figures.sent), 600, 100);
  EXPECT_EQ(figures.accepted, figures.sent);
  EXPECT_EQ(figures.by_status[200], figures.sent);
  EXPECT_EQ(figures.latency.count(), figures.sent);
  EXPECT_EQ(figures.body_bytes_accepted, figures.sent * 200);
  EXPECT_EQ(figures.measured_us, 1'200'000);
  EXPECT_GT(figures.cpu_us, 0);
  EXPECT_EQ(outcome.witness.fates.size(), figures.sent);
  EXPECT_EQ(outcome.witness.fates.begin()->second.id, "abc-1");
  EXPECT_GE(outcome.witness.seconds, 1);
  EXPECT_GT(outcome.witness.ticks, 10);
}

TEST(Driver, an_open_loop_shows_a_stall_in_every_request_it_delayed) {
  const auto stall_once = [](int number) {
    return Reaction{.answer = ok(), .pause_us = number == 300 ? 300'000 : 0};
  };
  Server open_server(stall_once);
  const Outcome open =
      drive(open_server.target(), {.rate_per_s = 1000, .connections = 2, .duration_us = 1'000'000});
  // 300 of 1000 requests were due during the stall, and wait 150 ms on average.
  EXPECT_GT(open.figures.latency.percentile_us(90), 150'000);
  EXPECT_GT(open.figures.latency.percentile_us(80), 60'000);
  EXPECT_GT(open.figures.latency.max_us(), 290'000);
  EXPECT_EQ(open.figures.unsent, 0u);
  EXPECT_NEAR(static_cast<double>(open.figures.sent), 1000, 150);

  // A closed loop hides it: only the two requests in flight saw the stall.
  Server closed_server(stall_once);
  const Outcome closed =
      drive(closed_server.target(), {.connections = 2, .duration_us = 1'000'000});
  EXPECT_GT(closed.figures.latency.max_us(), 290'000);
  EXPECT_LT(closed.figures.latency.percentile_us(90), 50'000);
}

TEST(Driver, what_no_connection_was_free_for_in_time_counts_as_unsent) {
  Server server([](int) { return Reaction{.answer = ok(), .pause_us = 20'000}; });
  const Outcome outcome = drive(server.target(), {.rate_per_s = 1000,
                                                  .pacing = Pacing::even,
                                                  .connections = 1,
                                                  .duration_us = 600'000,
                                                  .timeout_us = 100'000});
  EXPECT_LT(outcome.figures.sent, 40u);
  EXPECT_NEAR(static_cast<double>(outcome.figures.sent + outcome.figures.unsent), 600, 2);
  EXPECT_LT(outcome.figures.latency.max_us(), 400'000);
}

TEST(Driver, counts_answers_by_status_and_goes_on_after_close) {
  Server server([](int number) {
    switch (number % 4) {
      case 0: return Reaction{.answer = status("503 Full")};
      case 1: return Reaction{.answer = ok()};
      case 2: return Reaction{.answer = status("400 Bad\r\nConnection: close"), .close = true};
      default: return Reaction{.answer = status("202 Accepted")};
    }
  });
  const Outcome outcome = drive(server.target(), {.connections = 3, .duration_us = 500'000});
  const Figures& figures = outcome.figures;
  EXPECT_GT(figures.sent, 100u);
  EXPECT_EQ(figures.sent, figures.answered(2) + figures.answered(4) + figures.answered(5));
  EXPECT_NEAR(static_cast<double>(figures.by_status[503]), static_cast<double>(figures.sent) / 4,
              2);
  EXPECT_NEAR(static_cast<double>(figures.accepted), static_cast<double>(figures.sent) / 2, 2);
  EXPECT_EQ(figures.broken + figures.malformed + figures.timeouts + figures.refused, 0u);
}

TEST(Driver, counts_broken_connections_malformed_answers_and_timeouts_apart) {
  Server server([](int number) {
    switch (number) {
      case 10: return Reaction{.answer = "", .close = true};
      case 20: return Reaction{.answer = "SSH-2.0-OpenSSH\r\n\r\n"};
      case 30: return Reaction{.answer = status("200 OK") + "x"};
      case 40: return Reaction{.answer = "HTTP/1.1 200 OK\r\nContent-Le"};  // And then nothing.
      case 50:
        return Reaction{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", .close = true};
      default: return Reaction{.answer = ok()};
    }
  });
  const Outcome outcome =
      drive(server.target(),
            {.rate_per_s = 100, .connections = 2, .duration_us = 1'000'000, .timeout_us = 400'000});
  EXPECT_EQ(outcome.figures.broken, 1u);
  EXPECT_EQ(outcome.figures.malformed, 3u);
  EXPECT_EQ(outcome.figures.timeouts, 1u);
  EXPECT_EQ(outcome.figures.accepted + 5, outcome.figures.sent);
}

TEST(Driver, with_retry_every_number_is_sent_again_until_it_is_accepted) {
  Server server([](int number) {
    if (number % 3 == 0) return Reaction{.answer = status("503 Full")};
    if (number % 7 == 0) return Reaction{.answer = "", .close = true};
    return Reaction{.answer = ok()};
  });
  const Outcome outcome =
      drive(server.target(),
            {.rate_per_s = 200, .connections = 3, .duration_us = 500'000, .retry = true});
  EXPECT_EQ(outcome.figures.given_up, 0u);
  EXPECT_EQ(outcome.figures.accepted, outcome.witness.fates.size());
  EXPECT_EQ(outcome.figures.repeats, outcome.figures.sent - outcome.figures.accepted);
  EXPECT_GT(outcome.figures.repeats, 10u);
  for (const auto& [number, fate] : outcome.witness.fates) EXPECT_EQ(fate.status, 200) << number;
}

TEST(Driver, gives_up_what_is_under_way_when_the_drain_time_is_over) {
  Server server([](int number) {
    if (number == 1) return Reaction{.answer = ok()};
    return Reaction{.answer = number % 2 == 0 ? status("503 Full") : ""};
  });
  const Outcome outcome = drive(server.target(), {.rate_per_s = 100,
                                                  .connections = 4,
                                                  .duration_us = 200'000,
                                                  .drain_us = 300'000,
                                                  .retry = true});
  EXPECT_GT(outcome.figures.given_up, 0u);
  EXPECT_EQ(outcome.figures.given_up + 1, outcome.witness.fates.size());
}

TEST(Driver, the_warm_up_leaves_no_trace_in_the_figures) {
  Server server(
      [](int number) { return Reaction{.answer = ok(), .pause_us = number == 1 ? 500'000 : 0}; });
  const Outcome outcome = drive(
      server.target(),
      {.rate_per_s = 200, .connections = 4, .duration_us = 1'500'000, .warmup_us = 1'000'000});
  EXPECT_LT(outcome.figures.latency.max_us(), 450'000);
  EXPECT_EQ(outcome.figures.measured_us, 500'000);
  EXPECT_NEAR(static_cast<double>(outcome.figures.sent), 100, 40);
  EXPECT_GT(outcome.witness.fates.size(), outcome.figures.sent + 50);
}

TEST(Driver, large_bodies_arrive_whole) {
  Server server([](int) { return Reaction{.answer = ok()}; });
  const Outcome outcome =
      drive(server.target(), {.connections = 2, .duration_us = 300'000}, 3'000'000);
  EXPECT_GT(outcome.figures.accepted, 0u);
  EXPECT_EQ(outcome.figures.accepted, outcome.figures.sent);
}

TEST(Driver, says_so_when_nobody_listens) {
  Target target;
  {
    Server server([](int) { return Reaction{}; });
    target = server.target();
  }
  const Outcome outcome = drive(target, {.connections = 3});
  ASSERT_FALSE(outcome.started);
  EXPECT_EQ(outcome.started.error().os, ECONNREFUSED);
  EXPECT_TRUE(outcome.witness.fates.empty());
}

TEST(Driver, stops_early_when_told_to) {
  Server server([](int) { return Reaction{.answer = ok()}; });
  SystemClock clock;
  const Target target = server.target();
  RequestMaker requests({.target = target}, BodyMaker({.run = "0123456789abcdef"}));
  Witness witness;
  Driver driver({.address = *resolve(target), .rate_per_s = 100, .duration_us = 60'000'000}, clock,
                requests, witness);
  ASSERT_TRUE(driver.start());
  const Microseconds start_us = clock.steady_us();
  while (clock.steady_us() - start_us < 200'000) driver.run_once();
  driver.stop();
  while (driver.run_once()) {
  }
  EXPECT_LT(clock.steady_us() - start_us, 1'000'000);
  EXPECT_GE(driver.figures().measured_us, 200'000);
  EXPECT_LT(driver.figures().measured_us, 1'000'000);
  EXPECT_EQ(driver.figures().accepted, driver.figures().sent);
}

}  // namespace
}  // namespace inlet::loader
