// Goal: over TLS and behind proxies a connection behaves as it does without: every request gets its
// one answer, every deadline holds, and all memory comes back.
// Method: a server on loopback with certificates made on the spot; clients that speak TLS, or
// pretend to, or send PROXY headers in pieces. Short timeouts stand in for long ones.

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <thread>

#include "base/directory_test.h"
#include "base/limits.h"
#include "base/posix_file.h"
#include "http/certificate_test.h"
#include "http/server.h"
#include "http/socket.h"
#include "http/tls.h"
#include "http/tls_client.h"
#include "http/tls_stream.h"

namespace inlet::http {
namespace {

constexpr int patience_ms = 5000;
constexpr std::size_t large_answer_bytes = 30'000'000;  // More than the kernel will buffer.
constexpr std::uint64_t body_bytes_max = 2U << 20;

// Answers with the body, or with what the path asks for.
class EchoHandler final : public Handler {
 public:
  explicit EchoHandler(Connection& connection) : connection_(connection) {}

  HeadAction on_head(const RequestHead& head) override {
    path_ = head.path;
    if (path_ == "/refuse") {
      connection_.respond({.status = 401, .body = "who?"});
      return HeadAction::answered();
    }
    return HeadAction::take_body(body_bytes_max);
  }
  MutableBytes body_space(std::size_t bytes_needed, std::size_t) override {
    memory_.resize(bytes_needed);
    return memory_;
  }
  void on_body(Bytes body) override {
    answer_ = as_text(body);
    if (path_ == "/peer") answer_ = connection_.peer();
    if (path_ == "/large") answer_ = std::string(large_answer_bytes, 'x');
    connection_.respond({.body = answer_});
  }
  void on_end() override { memory_ = {}; }

 private:
  Connection& connection_;
  std::string path_;
  std::string answer_;
  std::vector<std::byte> memory_;
};

class Client {
 public:
  // Sends bytes as they are until secure() is called.
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    CHECK(::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    CHECK(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(::fcntl(fd_, F_SETFL, O_NONBLOCK) == 0);
  }
  Client(std::uint16_t port, TlsClient& tls) : Client(port) { EXPECT_TRUE(secure(tls)); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    stream_.reset();
    ::close(fd_);
  }

  bool secure(TlsClient& tls) {
    stream_ = tls.open_stream(fd_);
    TlsStream::Step step = TlsStream::Step::wait;
    while ((step = stream_->handshake()) == TlsStream::Step::wait) {
      if (!wait(POLLIN)) return false;
      stream_->note_readable(false);
    }
    return step == TlsStream::Step::done;
  }
  // False if the server has ended the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto count = stream_ ? stream_->send(bytes, {}) : send_some(fd_, bytes);
      if (!count) return false;
      bytes.remove_prefix(*count);
      if (!bytes.empty() && !wait(POLLOUT)) return false;
    }
    return true;
  }
  // The next answer with its body; what there is, if the connection ends.
  std::string answer() {
    while (true) {
      const std::size_t head_end = received_.find("\r\n\r\n");
      if (head_end != std::string::npos) {
        const std::size_t length = received_.find("Content-Length: ");
        const std::size_t bytes = head_end + 4 + std::stoul(received_.substr(length + 16, 20));
        if (received_.size() >= bytes) {
          std::string result = received_.substr(0, bytes);
          received_.erase(0, bytes);
          return result;
        }
      }
      if (!receive(patience_ms)) return std::exchange(received_, "");
    }
  }
  std::string body() {
    const std::string text = answer();
    const std::size_t head_end = text.find("\r\n\r\n");
    return head_end == std::string::npos ? "no answer: " + text : text.substr(head_end + 4);
  }
  int status() {
    const std::string text = answer();
    return text.starts_with("HTTP/1.1 ") ? std::stoi(text.substr(9)) : 0;
  }
  // How the server ended the connection, having said nothing more.
  enum class End : unsigned char { none, orderly, cut };
  End end() {
    while (receive(patience_ms)) {
    }
    return received_.empty() ? end_ : End::none;
  }
  bool ended() { return end() != End::none; }
  bool silent_for(int ms) { return !receive(ms) && received_.empty() && end_ == End::none; }
  // Past TLS, if there is one.
  void send_raw(std::string_view bytes) { CHECK(send_some(fd_, bytes) == bytes.size()); }
  void say_goodbye() { stream_->say_goodbye(); }
  void end_socket() { ::shutdown(fd_, SHUT_WR); }
  TlsStream& stream() { return *stream_; }

 private:
  bool wait(short what, int ms = patience_ms) {
    pollfd waiting{fd_, what, 0};
    return ::poll(&waiting, 1, ms) > 0;
  }
  bool receive(int ms) {
    std::byte piece[65536];
    while (true) {
      const Received got = stream_ ? stream_->receive(piece) : receive_some(fd_, piece);
      if (got.kind == Received::Kind::bytes) {
        received_ += as_text(Bytes(piece).first(got.count));
        return true;
      }
      if (got.kind != Received::Kind::nothing_yet) {
        end_ = got.kind == Received::Kind::end ? End::orderly : End::cut;
        return false;
      }
      if (!wait(POLLIN, ms)) return false;
      if (stream_) stream_->note_readable(false);
    }
  }

  const int fd_;
  std::unique_ptr<TlsStream> stream_;
  std::string received_;
  End end_ = End::none;
};

using End = Client::End;

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

class TlsServerTest : public testing::Test {
 protected:
  TlsServerTest() : directory_(make_test_directory("tls-server")), certificate_({}) {
    write_test_file(directory_ + "/cert.pem", certificate_.cert());
    write_test_file(directory_ + "/key.pem", certificate_.key());
    tls_ = TlsContext::open(
               files_, clock_,
               {.cert_file = directory_ + "/cert.pem", .key_file = directory_ + "/key.pem"})
               .value();
    client_ = TlsClient::open({.host = "127.0.0.1", .ca_file = directory_ + "/cert.pem"}).value();
  }
  ~TlsServerTest() override {
    server_.reset();
    if (memory_) {
      EXPECT_EQ(memory_->bytes_used(), 0U);
    }
    std::filesystem::remove_all(directory_);
  }

  void start(Options options = {}, std::size_t memory_bytes = 64U << 20) {
    listen(ListenerOptions{.tls = tls_.get()}, options, memory_bytes);
  }
  void listen(ListenerOptions listener, Options options = {},
              std::size_t memory_bytes = 64U << 20) {
    options.sweep_us = 20'000;
    memory_ = std::make_unique<MemoryBudget>(memory_bytes);
    server_ = std::make_unique<Server>(options, *memory_, clock_);
    server_->add_listener(
        listen_on_loopback(port_),
        [](Connection& connection) { return std::make_unique<EchoHandler>(connection); },
        std::move(listener));
    server_->start();
  }
  static AddressList list(const std::vector<std::string>& items) {
    return AddressList::parse(items).value();
  }
  template <typename Condition>
  bool eventually(Condition condition) {
    for (int i = 0; i < patience_ms && !condition(); i++) clock_.sleep(1000);
    return condition();
  }
  bool all_closed() {
    return eventually([this] { return server_->counters().open == 0; });
  }

  PosixFileSystem files_;
  SystemClock clock_;
  const std::string directory_;
  const TestCertificate certificate_;
  std::unique_ptr<TlsContext> tls_;
  std::unique_ptr<TlsClient> client_;
  std::unique_ptr<MemoryBudget> memory_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
};

std::string post(std::string_view path, std::string_view body, std::string_view fields = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: a\r\n{}Content-Length: {}\r\n\r\n{}", path, fields,
                     body.size(), body);
}
std::string letters(std::size_t bytes) {
  std::string text(bytes, ' ');
  for (std::size_t i = 0; i < bytes; i++) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

TEST_F(TlsServerTest, bodies_of_all_sizes_arrive_and_return_whole) {
  start();
  Client client(port_, *client_);
  EXPECT_STREQ(client.stream().version(), "TLSv1.3");
  for (const std::size_t bytes : {0U, 1U, 4096U, 16'384U, 20'480U, 70'000U, 262'144U, 1U << 20}) {
    const std::string body = letters(bytes);
    ASSERT_TRUE(client.send(post("/echo", body)));
    ASSERT_EQ(client.body(), body) << bytes;
  }
  EXPECT_EQ(server_->counters().tls_handshakes, 1U);
  EXPECT_EQ(server_->counters().accepted, 1U);
  EXPECT_EQ(server_->counters().certificate_ends_s, tls_->not_after_s());
}

TEST_F(TlsServerTest, pipelined_requests_are_answered_in_order) {
  start();
  Client client(port_, *client_);
  std::string requests;
  for (int i = 0; i < 500; i++) requests += post("/echo", std::to_string(i));
  ASSERT_TRUE(client.send(requests));
  for (int i = 0; i < 500; i++) ASSERT_EQ(client.body(), std::to_string(i));
}

TEST_F(TlsServerTest, random_splits_change_nothing) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  start();
  Client client(port_, *client_);
  for (int i = 0; i < 200; i++) {
    const std::string body = letters(std::uniform_int_distribution<std::size_t>(0, 60'000)(random));
    const std::string bytes = post("/echo", body);
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const std::size_t most = i % 3 == 0 ? 700 : 40'000;
      const auto piece =
          std::min(rest.size(), std::uniform_int_distribution<std::size_t>(1, most)(random));
      ASSERT_TRUE(client.send(rest.substr(0, piece)));
      rest.remove_prefix(piece);
    }
    ASSERT_EQ(client.body(), body) << i;
  }
}

TEST_F(TlsServerTest, an_idle_connection_keeps_only_its_share) {
  start();
  Client client(port_, *client_);
  ASSERT_TRUE(client.send(post("/echo", letters(100'000))));
  EXPECT_EQ(client.body().size(), 100'000U);
  // One spare buffer of each size may stay with the loop.
  const std::size_t most = tls_idle_bytes + 2 * limits::read_buffer_bytes_large;
  EXPECT_TRUE(eventually([&] { return memory_->bytes_used() <= most; })) << memory_->bytes_used();
  Client silent(port_);
  EXPECT_TRUE(eventually([this] { return server_->counters().open == 2; }));
  EXPECT_LE(memory_->bytes_used(), most);  // Nothing sent, nothing held.
}

TEST_F(TlsServerTest, without_memory_to_read_ahead_a_large_body_still_comes) {
  const std::size_t least = tls_idle_bytes + tls_busy_bytes + limits::read_buffer_bytes_large +
                            limits::read_buffer_bytes_small;
  static_assert(limits::read_buffer_bytes_large < tls_ahead_bytes);
  start({}, least);
  Client client(port_, *client_);
  const std::string body = letters(500'000);
  ASSERT_TRUE(client.send(post("/echo", body)));
  EXPECT_EQ(client.body(), body);
}

TEST_F(TlsServerTest, the_end_is_announced) {
  start();
  Client asked(port_, *client_);
  ASSERT_TRUE(asked.send(post("/echo", "x", "Connection: close\r\n")));
  EXPECT_TRUE(asked.answer().contains("\r\nConnection: close\r\n"));
  EXPECT_EQ(asked.end(), End::orderly);
}

TEST_F(TlsServerTest, an_idle_connection_is_ended_in_order) {
  start({.idle_us = 60'000});
  Client client(port_, *client_);
  ASSERT_TRUE(client.send(post("/echo", "x")));
  EXPECT_EQ(client.body(), "x");
  EXPECT_EQ(client.end(), End::orderly);
}

TEST_F(TlsServerTest, a_peer_that_says_goodbye_still_gets_its_answer) {
  start();
  Client client(port_, *client_);
  ASSERT_TRUE(client.send(post("/echo", "the last")));
  client.say_goodbye();
  client.end_socket();
  EXPECT_EQ(client.body(), "the last");
  EXPECT_EQ(client.end(), End::orderly);
}

TEST_F(TlsServerTest, a_cut_in_the_middle_of_a_request_ends_it) {
  start();
  for (const bool announced : {false, true}) {
    Client client(port_, *client_);
    ASSERT_TRUE(client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"));
    if (announced) client.say_goodbye();
    client.end_socket();
    EXPECT_TRUE(client.ended());
  }
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(server_->counters().requests, 0U);
}

TEST_F(TlsServerTest, a_refusal_comes_before_the_body) {
  start();
  Client client(port_, *client_);
  ASSERT_TRUE(client.send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"));
  EXPECT_EQ(client.status(), 401);
  EXPECT_EQ(client.end(), End::orderly);
  Client waits(port_, *client_);
  ASSERT_TRUE(waits.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_FALSE(waits.silent_for(100));
}

TEST_F(TlsServerTest, who_speaks_plain_http_is_told) {
  start();
  Client client(port_);
  ASSERT_TRUE(client.send(post("/echo", "x")));
  const std::string answer = client.answer();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  EXPECT_TRUE(answer.contains("https")) << answer;
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(server_->counters().tls_failures, 1U);
}

TEST_F(TlsServerTest, who_speaks_nothing_sensible_is_ended) {
  start();
  Client garbage(port_);
  ASSERT_TRUE(garbage.send(letters(3000)));
  garbage.answer();
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(server_->counters().tls_failures, 1U);
  {
    const Client looked(port_);  // As a load balancer's health check does.
  }
  EXPECT_TRUE(eventually([this] { return server_->counters().accepted == 2; }));
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(server_->counters().tls_failures, 1U);
}

TEST_F(TlsServerTest, a_handshake_has_the_time_of_a_head) {
  start({.header_us = 100'000});
  Client silent(port_);
  EXPECT_TRUE(silent.ended());
  Client half(port_);
  ASSERT_TRUE(half.send("\x16\x03\x01"));
  EXPECT_TRUE(half.ended());
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(server_->counters().tls_failures, 2U);
}

TEST_F(TlsServerTest, a_part_of_a_record_is_the_beginning_of_a_head) {
  start({.header_us = 100'000, .idle_us = 60'000'000});
  Client client(port_, *client_);
  ASSERT_TRUE(client.send(post("/echo", "x")));
  EXPECT_EQ(client.body(), "x");
  // The head of a record, past TLS; then nothing.
  client.send_raw("\x17\x03\x03\x10");
  EXPECT_EQ(client.status(), 408);
  EXPECT_TRUE(all_closed());
}

TEST_F(TlsServerTest, a_client_that_does_not_read_is_dropped) {
  start({.write_us = 200'000});
  Client client(port_, *client_);
  ASSERT_TRUE(client.send(post("/large", "")));
  EXPECT_TRUE(all_closed());
  Client patient(port_, *client_);
  ASSERT_TRUE(patient.send(post("/large", "")));
  EXPECT_EQ(patient.body().size(), large_answer_bytes);
}

TEST_F(TlsServerTest, many_handshakes_at_once_all_succeed) {
  start({.loops = 2});
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; t++) {
      threads.emplace_back([&] {
        for (int i = 0; i < 25; i++) {
          Client client(port_, *client_);
          client.send(post("/echo", std::to_string(i)));
          good += client.body() == std::to_string(i);
        }
      });
    }
  }
  EXPECT_EQ(good, 200);
  EXPECT_EQ(server_->counters().tls_handshakes, 200U);
  EXPECT_TRUE(all_closed());
}

TEST_F(TlsServerTest, without_memory_a_handshake_waits_and_then_gives_up) {
  start({.memory_wait_us = 100'000}, tls_idle_bytes);
  Client client(port_);
  EXPECT_FALSE(client.secure(*client_));
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(server_->counters().memory_refusals, 1U);
}

TEST_F(TlsServerTest, draining_ends_idle_connections_in_order) {
  start();
  Client client(port_, *client_);
  ASSERT_TRUE(client.send(post("/echo", "x")));
  EXPECT_EQ(client.body(), "x");
  const Client silent(port_);
  EXPECT_TRUE(eventually([this] { return server_->counters().open == 2; }));
  server_->drain();
  EXPECT_EQ(client.end(), End::orderly);
  EXPECT_TRUE(all_closed());
}

// ---- Behind proxies.

std::string proxy_header() {
  using std::string_literals::operator""s;
  return "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0\0\x02\x01\xC6\x33\x64\x02\x12\x67\x01\xBB"s;
}

TEST_F(TlsServerTest, a_proxy_header_says_who_the_peer_is) {
  listen({.proxy_protocol = true, .trusted_proxies = list({"127.0.0.0/8"})});
  Client client(port_);
  ASSERT_TRUE(client.send(proxy_header() + post("/peer", "") + post("/peer", "")));
  EXPECT_EQ(client.body(), "192.0.2.1");
  EXPECT_EQ(client.body(), "192.0.2.1");
}

TEST_F(TlsServerTest, a_proxy_header_comes_before_tls_in_any_split) {
  listen({.tls = tls_.get(), .proxy_protocol = true, .trusted_proxies = list({"127.0.0.0/8"})});
  const std::string header = proxy_header();
  for (std::size_t split = 1; split < header.size(); split++) {
    Client client(port_);
    ASSERT_TRUE(client.send(header.substr(0, split)));
    ASSERT_TRUE(client.send(header.substr(split)));
    ASSERT_TRUE(client.secure(*client_)) << split;
    ASSERT_TRUE(client.send(post("/peer", "")));
    ASSERT_EQ(client.body(), "192.0.2.1");
  }
}

TEST_F(TlsServerTest, no_proxy_header_or_a_bad_one_ends_the_connection) {
  listen({.proxy_protocol = true, .trusted_proxies = list({"127.0.0.0/8"})},
         {.header_us = 100'000});
  for (const std::string& bytes :
       {post("/peer", ""), std::string("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
        proxy_header().substr(0, 20)}) {
    Client client(port_);
    ASSERT_TRUE(client.send(bytes));
    EXPECT_TRUE(client.ended());
  }
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(server_->counters().proxy_refusals, 3U);
  EXPECT_EQ(server_->counters().requests, 0U);
}

TEST_F(TlsServerTest, a_proxy_that_is_not_trusted_is_not_believed) {
  listen({.proxy_protocol = true, .trusted_proxies = list({"10.0.0.0/8"})});
  Client client(port_);
  client.send(proxy_header() + post("/peer", ""));
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(server_->counters().proxy_refusals, 1U);
}

TEST_F(TlsServerTest, forwarded_addresses_count_per_request_and_only_from_the_trusted) {
  listen({.trusted_proxies = list({"127.0.0.0/8", "10.0.0.0/8"})});
  Client client(port_);
  ASSERT_TRUE(client.send(post("/peer", "", "X-Forwarded-For: 203.0.113.7, 10.1.1.1\r\n") +
                          post("/peer", "", "X-Forwarded-For: 2001:db8::7\r\n") +
                          post("/peer", "", "X-Forwarded-For: nonsense\r\n") + post("/peer", "")));
  for (const char* expected : {"203.0.113.7", "2001:db8::7", "127.0.0.1", "127.0.0.1"}) {
    EXPECT_EQ(client.body(), expected);
  }
}

TEST_F(TlsServerTest, after_a_proxy_header_its_source_must_be_trusted_for_more) {
  listen({.proxy_protocol = true, .trusted_proxies = list({"127.0.0.0/8"})});
  Client client(port_);
  ASSERT_TRUE(client.send(proxy_header() + post("/peer", "", "X-Forwarded-For: 203.0.113.7\r\n")));
  EXPECT_EQ(client.body(), "192.0.2.1");
}

TEST_F(TlsServerTest, without_trusted_proxies_nothing_is_believed) {
  listen({});
  Client client(port_);
  ASSERT_TRUE(client.send(post("/peer", "", "X-Forwarded-For: 203.0.113.7\r\n")));
  EXPECT_EQ(client.body(), "127.0.0.1");
}

}  // namespace
}  // namespace inlet::http
