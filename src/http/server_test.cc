// Goal: over real sockets, every request gets its one answer and every connection its right end.
// Method: a server on loopback with an application that does what the path says; clients that send
// raw bytes, in pieces or at once, and compare raw answers. Short timeouts stand in for long ones.

#include "http/server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/limits.h"

namespace inlet::http {
namespace {

constexpr std::uint64_t body_bytes_max = 1U << 20;
constexpr std::size_t large_answer_bytes = 30'000'000;  // More than the kernel will buffer.
constexpr int patience_ms = 5000;

// What the application was asked, counted over all connections.
struct Seen {
  std::atomic<int> heads{0}, bodies{0}, ends{0}, spaces{0};
  std::atomic<bool> memory_refused{false};
  Server* server = nullptr;
  std::mutex mutex;
  std::vector<std::jthread> late;  // Guarded by mutex.
};

class TestHandler final : public Handler {
 public:
  TestHandler(Connection& connection, Seen& seen) : connection_(connection), seen_(seen) {}

  HeadAction on_head(const RequestHead& head) override {
    seen_.heads++;
    path_ = head.path;
    if (path_ == "/refuse") {
      connection_.respond({.status = 401, .body = "who?"});
      return HeadAction::answered();
    }
    return HeadAction::take_body(body_bytes_max);
  }

  MutableBytes body_space(std::size_t bytes_needed, std::size_t bytes_so_far) override {
    seen_.spaces++;
    if (seen_.memory_refused) return {};
    CHECK(bytes_so_far <= memory_.size());
    memory_.resize(bytes_needed);
    return memory_;
  }

  void on_body(Bytes body) override {
    seen_.bodies++;
    CHECK(connection_.head().path == path_);
    answer_ = as_text(body);
    if (path_ == "/size") answer_ = std::to_string(body.size());
    if (path_ == "/large") answer_ = std::string(large_answer_bytes, 'x');
    if (path_ != "/late") return connection_.respond({.body = answer_});
    // As the journal does: from another thread, some time later.
    const std::lock_guard lock(seen_.mutex);
    seen_.late.emplace_back([this] {
      std::this_thread::sleep_for(std::chrono::milliseconds(400));
      seen_.server->post(connection_.loop_index(),
                         [this] { connection_.respond({.body = "late"}); });
    });
  }

  void on_end() override {
    seen_.ends++;
    memory_ = {};
  }

 private:
  Connection& connection_;
  Seen& seen_;
  std::string path_;
  std::string answer_;
  std::vector<std::byte> memory_;
};

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    CHECK(::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    CHECK(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  // False if the server has reset the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  void end() { ::shutdown(fd_, SHUT_WR); }

  // The next answer with its body, by its Content-Length; what there is, if the connection ends.
  std::string answer(bool with_body = true) {
    while (true) {
      const std::size_t head_end = received_.find("\r\n\r\n");
      if (head_end != std::string::npos) {
        std::size_t bytes = head_end + 4;
        const std::size_t length = received_.find("Content-Length: ");
        if (with_body && length < head_end) bytes += std::stoul(received_.substr(length + 16, 20));
        if (received_.size() >= bytes) {
          std::string result = received_.substr(0, bytes);
          received_.erase(0, bytes);
          return result;
        }
      }
      if (!receive(patience_ms)) return std::exchange(received_, "");
    }
  }
  int status() {
    const std::string text = answer();
    return text.starts_with("HTTP/1.1 ") ? std::stoi(text.substr(9)) : 0;
  }
  std::string body() {
    const std::string text = answer();
    const std::size_t head_end = text.find("\r\n\r\n");
    return head_end == std::string::npos ? "no answer: " + text : text.substr(head_end + 4);
  }
  // Whether the server ends the connection, having said nothing more.
  bool ended() {
    while (receive(patience_ms)) {
    }
    return received_.empty() && ended_;
  }
  bool silent_for(int ms) { return !receive(ms) && received_.empty() && !ended_; }

 private:
  bool receive(int ms) {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, ms) <= 0) return false;
    char piece[65536];
    const ssize_t count = ::recv(fd_, piece, sizeof piece, 0);
    if (count <= 0) {
      ended_ = true;
      return false;
    }
    received_.append(piece, static_cast<std::size_t>(count));
    return true;
  }

  const int fd_;
  std::string received_;
  bool ended_ = false;
};

int listen_on_loopback(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0);
  CHECK(::listen(fd, 128) == 0);
  CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port = ntohs(address.sin_port);
  return fd;
}

class ServerTest : public testing::Test {
 protected:
  void start(Options options = {}, std::size_t memory_bytes = 64U << 20) {
    options.sweep_us = 20'000;
    memory_ = std::make_unique<MemoryBudget>(memory_bytes);
    server_ = std::make_unique<Server>(options, *memory_, clock_);
    seen_.server = server_.get();
    server_->add_listener(listen_on_loopback(port_), [this](Connection& connection) {
      return std::make_unique<TestHandler>(connection, seen_);
    });
    server_->start();
  }
  void TearDown() override {
    seen_.late.clear();
    if (!server_) return;
    eventually([this] { return seen_.ends == seen_.heads; });
    EXPECT_EQ(seen_.ends, seen_.heads);
    server_.reset();
    EXPECT_EQ(memory_->bytes_used(), 0U);
  }
  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < patience_ms && !condition(); i++) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
  }

  SystemClock clock_;
  std::unique_ptr<MemoryBudget> memory_;
  Seen seen_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
};

std::string post(std::string_view path, std::string_view body, std::string_view fields = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: a\r\n{}Content-Length: {}\r\n\r\n{}", path, fields,
                     body.size(), body);
}
std::string chunked_head(std::string_view path, std::string_view fields = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: a\r\n{}Transfer-Encoding: chunked\r\n\r\n", path,
                     fields);
}
std::string chunk(std::string_view data) {
  return fmt::format("{:x}\r\n{}\r\n", data.size(), data);
}
std::string letters(std::size_t bytes) {
  std::string text(bytes, ' ');
  for (std::size_t i = 0; i < bytes; i++) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

TEST_F(ServerTest, connections_are_kept_and_answers_have_their_fields) {
  start();
  Client client(port_);
  for (const std::string_view body : {"one", "", "three"}) {
    client.send(post("/echo", body));
    const std::string answer = client.answer();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\nDate: ")) << answer;
    EXPECT_TRUE(answer.contains("\r\nX-Content-Type-Options: nosniff\r\n")) << answer;
    EXPECT_FALSE(answer.contains("Connection:")) << answer;
    EXPECT_TRUE(answer.ends_with(fmt::format("\r\n\r\n{}", body))) << answer;
  }
  EXPECT_TRUE(eventually([this] { return server_->counters().requests == 3; }));
  EXPECT_EQ(server_->counters().accepted, 1U);
  EXPECT_EQ(server_->counters().open, 1U);
}

TEST_F(ServerTest, pipelined_requests_are_answered_in_order) {
  start();
  Client client(port_);
  std::string requests;
  for (int i = 0; i < 500; i++) {
    requests += i % 2 == 0 ? post("/echo", std::to_string(i))
                           : chunked_head("/echo") + chunk(std::to_string(i)) + "0\r\n\r\n";
  }
  std::jthread sender([&] { client.send(requests); });
  for (int i = 0; i < 500; i++) ASSERT_EQ(client.body(), std::to_string(i));
}

TEST_F(ServerTest, the_last_request_of_a_connection_says_so) {
  start();
  Client asked(port_);
  asked.send(post("/echo", "x", "Connection: close\r\n") + post("/echo", "never"));
  EXPECT_TRUE(asked.answer().contains("\r\nConnection: close\r\n"));
  EXPECT_TRUE(asked.ended());

  Client old(port_);
  old.send("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(old.answer().contains("\r\nConnection: keep-alive\r\n"));
  old.send("GET /echo HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.answer().contains("\r\nConnection: close\r\n"));
  EXPECT_TRUE(old.ended());
}

TEST_F(ServerTest, head_is_answered_without_a_body) {
  start();
  Client client(port_);
  client.send("HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n" + post("/echo", "next"));
  EXPECT_TRUE(
      client.answer(false).contains(fmt::format("\r\nContent-Length: {}\r\n", large_answer_bytes)));
  EXPECT_EQ(client.body(), "next");
}

TEST_F(ServerTest, bodies_of_all_sizes_arrive_whole) {
  start();
  Client client(port_);
  for (const std::size_t bytes :
       {1U, 4000U, 4096U, 5000U, 20'300U, 20'480U, 21'000U, 70'000U, 1'000'000U, 1U << 20}) {
    const std::string body = letters(bytes);
    client.send(post("/echo", body));
    ASSERT_EQ(client.body(), body) << bytes;
    client.send(chunked_head("/echo"));
    for (std::size_t at = 0; at < bytes; at += 50'000) client.send(chunk(body.substr(at, 50'000)));
    client.send("0\r\nTrailer: dropped\r\n\r\n" + post("/echo", "next"));
    ASSERT_EQ(client.body(), body) << bytes;
    ASSERT_EQ(client.body(), "next");
  }
  EXPECT_GT(seen_.spaces, 0);
}

TEST_F(ServerTest, memory_is_only_asked_for_when_bytes_have_come) {
  start();
  Client client(port_);
  client.send("POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + letters(3000));
  EXPECT_TRUE(client.silent_for(100));
  EXPECT_EQ(seen_.spaces, 0);
  client.send(letters(997'000));
  EXPECT_EQ(client.body(), "1000000");
  EXPECT_EQ(seen_.spaces, 5);  // 64 KiB, doubled until it fits.
}

TEST_F(ServerTest, random_splits_change_nothing) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  start();
  Client client(port_);
  for (int i = 0; i < 300; i++) {
    const std::string body = letters(std::uniform_int_distribution<std::size_t>(0, 30'000)(random));
    std::string bytes = i % 2 == 0 ? post("/echo", body) : chunked_head("/echo");
    if (i % 2 == 1) {
      for (std::size_t at = 0; at < body.size(); at += 7000) bytes += chunk(body.substr(at, 7000));
      bytes += "0\r\n\r\n";
    }
    std::string_view rest = bytes;
    while (!rest.empty()) {
      std::size_t piece = std::uniform_int_distribution<std::size_t>(1, 8000)(random);
      piece = std::min(rest.size(), i % 3 == 0 ? 1 + piece % 100 : piece);
      ASSERT_TRUE(client.send(rest.substr(0, piece)));
      rest.remove_prefix(piece);
    }
    ASSERT_EQ(client.body(), body);
  }
}

TEST_F(ServerTest, continue_is_said_once_and_only_when_the_body_is_wanted) {
  start();
  Client wanted(port_);
  const std::string_view asking = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  wanted.send(fmt::format("POST /echo HTTP/1.1\r\n{}", asking));
  EXPECT_EQ(wanted.answer(), "HTTP/1.1 100 Continue\r\n\r\n");
  wanted.send("ok");
  EXPECT_EQ(wanted.body(), "ok");
  wanted.send(post("/echo", "at once", "Expect: 100-continue\r\n"));
  EXPECT_EQ(wanted.body(), "at once");

  Client refused(port_);
  refused.send(fmt::format("POST /refuse HTTP/1.1\r\n{}", asking));
  const std::string refusal = refused.answer();
  EXPECT_TRUE(refusal.starts_with("HTTP/1.1 401 ")) << refusal;
  EXPECT_TRUE(refusal.contains("Connection: close")) << refusal;
  EXPECT_TRUE(refused.ended());

  Client too_large(port_);
  too_large.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n");
  EXPECT_EQ(too_large.status(), 413);
  EXPECT_TRUE(too_large.ended());

  Client unknown(port_);
  unknown.send(post("/echo", "x", "Expect: tea\r\n"));
  EXPECT_EQ(unknown.status(), 417);
}

TEST_F(ServerTest, bodies_beyond_the_limit_are_refused) {
  start();
  Client declared(port_);
  declared.send(fmt::format("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                            body_bytes_max + 1));
  EXPECT_EQ(declared.status(), 413);
  EXPECT_TRUE(declared.ended());

  Client chunked(port_);
  chunked.send(chunked_head("/echo"));
  const std::string piece = chunk(letters(64U << 10));
  for (int i = 0; i < 16; i++) chunked.send(piece);
  EXPECT_TRUE(chunked.silent_for(50));
  chunked.send(chunk("x"));
  EXPECT_EQ(chunked.status(), 413);

  Client claimed(port_);
  claimed.send(chunked_head("/echo") + "fffffffffff\r\nx");
  EXPECT_EQ(claimed.status(), 413);
  EXPECT_TRUE(eventually([this] { return server_->counters().framing_errors == 3; }));
}

TEST_F(ServerTest, broken_framing_gets_one_problem_and_the_end) {
  start();
  const std::string_view broken[] = {
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\nHost: a\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
      "POST /refuse HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
  };
  for (const std::string_view bytes : broken) {
    Client client(port_);
    client.send(fmt::format("{}{}", bytes, post("/echo", "never")));
    const std::string answer = client.answer();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << bytes << answer;
    EXPECT_TRUE(answer.contains("Content-Type: application/problem+json")) << answer;
    EXPECT_TRUE(answer.contains("Connection: close")) << answer;
    EXPECT_TRUE(client.ended()) << bytes;
  }
  EXPECT_EQ(seen_.bodies, 0);
}

TEST_F(ServerTest, the_answer_is_readable_even_if_the_client_goes_on_sending) {
  start();
  Client client(port_);
  client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" +
              letters(200'000));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(client.status(), 413);
  EXPECT_TRUE(client.ended());
}

TEST_F(ServerTest, a_refused_small_body_leaves_the_connection_usable) {
  start();
  Client client(port_);
  client.send(post("/refuse", letters(60'000)) + post("/echo", "a"));
  EXPECT_EQ(client.status(), 401);
  EXPECT_EQ(client.body(), "a");
  client.send(chunked_head("/refuse") + chunk(letters(9000)) + "0\r\n\r\n" + post("/echo", "b"));
  EXPECT_EQ(client.status(), 401);
  EXPECT_EQ(client.body(), "b");
  client.send("GET /refuse HTTP/1.1\r\nHost: a\r\n\r\n" + post("/echo", "c"));
  EXPECT_EQ(client.status(), 401);
  EXPECT_EQ(client.body(), "c");
}

TEST_F(ServerTest, a_refused_large_or_hesitant_body_ends_the_connection) {
  start({.refusal_hold_us = 50'000});
  Client large(port_);
  large.send(post("/refuse", letters(100'000)));
  EXPECT_TRUE(large.answer().contains("Connection: close"));
  EXPECT_TRUE(large.ended());

  Client endless(port_);
  endless.send(chunked_head("/refuse"));
  for (int i = 0; i < 20; i++) endless.send(chunk(letters(5000)));
  EXPECT_TRUE(endless.answer().contains("Connection: close"));
  EXPECT_TRUE(endless.ended());

  Client hesitant(port_);
  hesitant.send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  const std::string answer = hesitant.answer();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 401 ")) << answer;
  EXPECT_TRUE(answer.contains("Connection: close")) << answer;
}

TEST_F(ServerTest, late_answers_outlive_every_deadline_and_the_client) {
  start({.header_us = 100'000,
         .body_us = 100'000,
         .body_grace_us = 50'000,
         .idle_us = 100'000,
         .write_us = 100'000});
  Client client(port_);
  client.send(post("/late", "x"));
  {
    Client gone(port_), large(port_);
    gone.send(post("/late", "x"));
    large.send(post("/late", letters(50'000)));
    EXPECT_TRUE(eventually([this] { return seen_.bodies == 3; }));
  }
  EXPECT_EQ(client.body(), "late");
  EXPECT_TRUE(eventually([this] { return seen_.ends == 3; }));
}

TEST_F(ServerTest, a_client_that_half_closes_still_gets_its_answer) {
  start();
  Client client(port_);
  client.send(post("/late", "x"));
  client.end();
  EXPECT_EQ(client.body(), "late");
  EXPECT_TRUE(client.ended());
  Client halfway(port_);
  halfway.send(post("/echo", "x") + "POST /echo HTT");
  halfway.end();
  EXPECT_EQ(halfway.body(), "x");
  EXPECT_TRUE(halfway.ended());
  EXPECT_TRUE(eventually([this] { return server_->counters().open == 0; }));
}

TEST_F(ServerTest, slow_clients_are_told_so_and_idle_ones_are_not) {
  start({.header_us = 150'000, .body_us = 300'000, .idle_us = 150'000});
  Client nothing(port_), header(port_), body(port_), idle(port_);
  header.send("GET / HTTP/1.1\r\nHo");
  body.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  idle.send(post("/echo", "x"));
  EXPECT_EQ(idle.body(), "x");
  EXPECT_TRUE(nothing.ended());
  EXPECT_EQ(header.status(), 408);
  EXPECT_TRUE(header.ended());
  EXPECT_EQ(body.status(), 408);
  EXPECT_TRUE(body.ended());
  EXPECT_TRUE(idle.ended());
}

TEST_F(ServerTest, a_body_must_keep_up_its_rate) {
  start({.body_grace_us = 100'000, .body_bytes_per_second_min = 10'000});
  Client slow(port_), fast(port_);
  slow.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  fast.send("POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  for (int i = 0; i < 10; i++) {
    slow.send("x");
    fast.send(letters(10'000));
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
  EXPECT_EQ(fast.body(), "100000");
  EXPECT_EQ(slow.status(), 408);
}

TEST_F(ServerTest, an_answer_that_is_not_read_ends_the_connection) {
  start({.write_us = 200'000});
  Client reader(port_), sleeper(port_);
  sleeper.send(post("/large", ""));
  reader.send(post("/large", "") + post("/echo", "next"));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(reader.body() == std::string(large_answer_bytes, 'x'));
  EXPECT_EQ(reader.body(), "next");
  EXPECT_TRUE(eventually([this] { return server_->counters().open == 1; }));
}

TEST_F(ServerTest, without_memory_requests_wait_and_then_are_refused) {
  start({.memory_wait_us = 200'000}, limits::read_buffer_bytes_small);
  Client first(port_), second(port_), third(port_);
  first.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  second.send(post("/echo", "second"));
  EXPECT_TRUE(second.silent_for(50));
  first.send("1");
  EXPECT_EQ(first.body(), "1");
  EXPECT_EQ(second.body(), "second");

  first.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  third.send(post("/echo", "third"));
  const std::string refusal = third.answer();
  EXPECT_TRUE(refusal.starts_with("HTTP/1.1 503 ")) << refusal;
  EXPECT_TRUE(refusal.contains("\r\nRetry-After: 1\r\n")) << refusal;
  EXPECT_TRUE(third.ended());
  first.send("1");
  EXPECT_EQ(first.body(), "1");
  EXPECT_EQ(server_->counters().memory_refusals, 1U);
}

TEST_F(ServerTest, a_body_waits_for_the_applications_memory) {
  start({.memory_wait_us = 300'000});
  seen_.memory_refused = true;
  Client lucky(port_);
  lucky.send(post("/size", letters(100'000)));
  EXPECT_TRUE(lucky.silent_for(100));
  seen_.memory_refused = false;
  EXPECT_EQ(lucky.body(), "100000");
  seen_.memory_refused = true;
  Client unlucky(port_);
  unlucky.send(post("/size", letters(100'000)));
  EXPECT_EQ(unlucky.status(), 503);
}

TEST_F(ServerTest, of_many_idle_connections_each_is_closed_in_time) {
  start({.idle_us = 200'000});
  constexpr int count = 450;  // Swept in slices; and few enough for the usual limit of files.
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < count; i++) {
    clients.push_back(std::make_unique<Client>(port_));
    clients.back()->send(post("/echo", "x"));
    EXPECT_EQ(clients.back()->body(), "x");
  }
  EXPECT_TRUE(eventually([this] { return server_->counters().open == 0; }));
  for (const auto& client : clients) EXPECT_TRUE(client->ended());
  EXPECT_EQ(server_->counters().accepted, static_cast<std::uint64_t>(count));
}

TEST_F(ServerTest, an_idle_connection_holds_no_buffer) {
  start();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 100; i++) clients.push_back(std::make_unique<Client>(port_));
  for (const auto& client : clients) {
    client->send(post("/echo", "x"));
    EXPECT_EQ(client->body(), "x");
  }
  EXPECT_TRUE(
      eventually([this] { return memory_->bytes_used() <= limits::read_buffer_bytes_small; }));
}

TEST_F(ServerTest, accepting_pauses_at_the_most_and_goes_on) {
  start({.connections_max = 2, .accept_retry_us = 10'000});
  auto first = std::make_unique<Client>(port_);
  Client second(port_), third(port_);
  first->send(post("/echo", "1"));
  second.send(post("/echo", "2"));
  third.send(post("/echo", "3"));
  EXPECT_EQ(first->body(), "1");
  EXPECT_EQ(second.body(), "2");
  EXPECT_TRUE(third.silent_for(50));
  first.reset();
  EXPECT_EQ(third.body(), "3");
  EXPECT_GT(server_->counters().accept_pauses, 0U);
}

TEST_F(ServerTest, several_loops_share_the_connections) {
  start({.loops = 3});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 30; i++) clients.push_back(std::make_unique<Client>(port_));
  for (const auto& client : clients) client->send(post("/late", "x"));
  for (const auto& client : clients) EXPECT_EQ(client->body(), "late");
  EXPECT_EQ(server_->counters().open, 30U);
}

TEST_F(ServerTest, after_the_last_call_answers_end_their_connections_and_new_ones_are_served) {
  start();
  Client kept(port_), quiet(port_);
  for (Client* client : {&kept, &quiet}) {
    client->send(post("/echo", "x"));
    EXPECT_FALSE(client->answer().contains("Connection: close"));
  }
  server_->call_last();
  EXPECT_TRUE(eventually([this] {
    Client fresh(port_);
    fresh.send(post("/echo", "x"));
    return fresh.answer().contains("Connection: close");
  }));
  kept.send(post("/echo", "x"));
  EXPECT_TRUE(kept.answer().contains("Connection: close"));
  EXPECT_TRUE(kept.ended());
  quiet.send(post("/echo", "x"));
  EXPECT_TRUE(quiet.answer().contains("Connection: close"));
}

TEST_F(ServerTest, draining_answers_what_is_in_progress_and_closes_the_rest) {
  start();
  Client idle(port_), busy(port_), halfway(port_);
  idle.send(post("/echo", "x"));
  EXPECT_EQ(idle.body(), "x");
  busy.send(post("/late", "x"));
  halfway.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Le");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  server_->drain();
  EXPECT_TRUE(idle.ended());
  halfway.send("ngth: 1\r\n\r\nx");
  EXPECT_TRUE(halfway.answer().contains("Connection: close"));
  EXPECT_TRUE(halfway.ended());
  EXPECT_TRUE(busy.answer().contains("Connection: close"));
  EXPECT_TRUE(busy.ended());
  EXPECT_TRUE(eventually([this] { return server_->counters().open == 0; }));
}

}  // namespace
}  // namespace inlet::http
