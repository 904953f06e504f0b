// Goal: every request ends with its answer or with the right fault, whatever comes back, within its
//   timeouts and in bounded memory; and nothing is sent twice.
// Method: raw servers that send exactly the bytes of each case, also random ones; a resolver of
//   names that hangs.

#include "fetch/client.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <atomic>
#include <condition_variable>
#include <latch>
#include <random>
#include <set>

#include "fetch/raw_server.h"

namespace {

// Names that end in ".hangs" are looked up until release(), or for so long that a test fails.
class HangingNames {
 public:
  void hang() {
    std::unique_lock lock(mutex_);
    const int since = releases_;
    hanging_++;
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return releases_ > since; });
    hanging_--;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    releases_++;
    changed_.notify_all();
  }
  bool wait_for_one() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5), [&] { return hanging_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int hanging_ = 0;
  int releases_ = 0;
};

// Never destroyed: a thread of libcurl's may come late.
HangingNames& hanging_names = *new HangingNames;

}  // namespace

// In the place of the C library's, for libcurl.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** found) {
  if (name != nullptr && std::string_view(name).ends_with(".hangs")) {
    hanging_names.hang();
    return EAI_AGAIN;
  }
  using Real = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Real>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, found);
}

namespace inlet::fetch {
namespace {

constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds patience_us = 20 * second_us;
constexpr Microseconds soon_us = second_us / 5;  // For what is to time out.

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
      ::unsetenv(name);
  }

  Request post(const std::string& url, std::string body = "body") {
    return {.method = "POST", .url = url, .headers = {}, .body = std::move(body)};
  }

  // The response to one request.
  Response fetch(Request request) { return fetch(client_, std::move(request)); }
  static Response fetch(Client& client, Request request) {
    const std::uint64_t id = client.start(std::move(request));
    const auto response = client.finish(patience_us);
    EXPECT_TRUE(response.has_value());
    if (!response) return {};
    EXPECT_EQ(response->id, id);
    EXPECT_EQ(client.under_way(), 0U);
    EXPECT_EQ(response->fault == Fault::none, response->why.empty()) << response->why;
    EXPECT_EQ(response->fault == Fault::none, response->status != 0) << response->why;
    return *response;
  }

  // What becomes of an answer of exactly these bytes.
  Response fetch_bytes(const std::string& bytes, Microseconds timeout_us = patience_us) {
    RawServer server([&](RawConnection& peer) {
      if (peer.read()) peer.send(bytes);
    });
    Request request = post(server.url());
    request.timeout_us = timeout_us;
    return fetch(std::move(request));
  }

  // What becomes of an answer that repeats some bytes for ever.
  Response fetch_endless(const std::string& start, const std::string& piece) {
    RawServer server([&](RawConnection& peer) {
      if (!peer.read()) return;
      peer.send(start);
      while (peer.send(piece)) continue;
    });
    Request request = post(server.url());
    request.response_bytes_max = 100'000;
    return fetch(std::move(request));
  }

  Client client_{ClientOptions{}};
};

TEST_F(ClientTest, a_request_arrives_as_it_was_made_and_its_answer_comes_back) {
  RawRequest seen;
  RawServer server([&](RawConnection& peer) {
    seen = peer.read().value_or(RawRequest());
    peer.answer(201, "made", "X-One: 1\r\nx-ONE: 2\r\nEmpty:\r\n");
    peer.wait_until_closed();
  });
  const std::string body(300'000, 'b');
  Request request = post(server.url("/a/../b?c=%20d"), body);
  request.headers = {{"X-Mine", "yes"}, {"X-Empty", ""}};
  const Response response = fetch(std::move(request));
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.body, "made");
  EXPECT_EQ(response.header("x-one"), "1");
  EXPECT_EQ(response.header("empty"), "");
  EXPECT_EQ(response.header("absent"), "");
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/a/../b?c=%20d");
  EXPECT_EQ(seen.body, body);
  EXPECT_EQ(seen.headers["x-mine"], "yes");
  EXPECT_EQ(seen.headers.count("x-empty"), 1U);
  EXPECT_EQ(seen.headers["user-agent"], "inlet");
  EXPECT_EQ(seen.headers["host"], "127.0.0.1:" + std::to_string(server.port()));
  EXPECT_EQ(seen.headers.count("expect"), 0U);
  EXPECT_EQ(seen.headers.count("content-type"), 0U);
}

TEST_F(ClientTest, a_proxy_of_the_environment_is_used_unless_the_request_is_direct) {
  RawServer server([](RawConnection& peer) {
    if (peer.read()) peer.answer(200, "near");
  });
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);  // Where nobody listens.
  Request request = post(server.url());
  EXPECT_EQ(fetch(request).fault, Fault::connect);
  request.direct = true;
  EXPECT_EQ(fetch(request).body, "near");
  ::unsetenv("http_proxy");
}

TEST_F(ClientTest, every_method_sends_a_body_or_none) {
  for (const std::string method : {"GET", "HEAD", "DELETE", "POST", "PUT", "PATCH"}) {
    RawRequest seen;
    RawServer server([&](RawConnection& peer) {
      while (auto request = peer.read()) {
        seen = *request;
        peer.answer(200, method == "HEAD" ? "" : "ok");
      }
    });
    const bool sends = method.starts_with('P');
    for (const std::string body : {"", "text"}) {
      Request request = post(server.url(), body);
      request.method = method;
      EXPECT_EQ(fetch(std::move(request)).status, 200) << method;
      EXPECT_EQ(seen.method, method);
      EXPECT_EQ(seen.body, sends ? body : "") << method;
      EXPECT_EQ(seen.headers.count("content-length"), sends ? 1U : 0U) << method;
    }
  }
}

TEST_F(ClientTest, answers_in_every_notation_are_read) {
  const std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nRetry-After: 9\r\n\r\n";
  const Response response = fetch_bytes(chunked);
  EXPECT_EQ(response.body, "abcde");
  EXPECT_EQ(response.header("retry-after"), "") << "a trailer";
  EXPECT_EQ(fetch_bytes("HTTP/1.1 204 No Content\r\n\r\n").status, 204);
  EXPECT_EQ(fetch_bytes("HTTP/1.0 200 OK\r\n\r\nto the end").body, "to the end");
  EXPECT_EQ(fetch_bytes("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nokmore").body, "ok");
}

TEST_F(ClientTest, interim_answers_are_passed_over) {
  const Response response = fetch_bytes(
      "HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Final: 1\r\n\r\nok");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "ok");
  EXPECT_EQ(response.header("x-interim"), "");
  EXPECT_EQ(response.header("x-final"), "1");
}

TEST_F(ClientTest, folded_header_lines_do_no_harm) {
  RawServer server([](RawConnection& peer) {
    for (int i = 0; peer.read(); i++) {
      if (i % 2 == 0) {
        peer.answer(200, "ok", "X-Long: a\r\n  b\r\n");
      } else {
        peer.send("HTTP/1.1 200 OK\r\n folded\r\nContent-Length: 0\r\n\r\n");
      }
    }
  });
  for (int i = 0; i < 20; i++) static_cast<void>(fetch(post(server.url())));
}

TEST_F(ClientTest, answers_without_end_are_faults) {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  const std::string block(16'000, 'x');
  EXPECT_EQ(fetch_endless("", "HTTP/1.1 100 Continue\r\n\r\n").fault, Fault::answer);
  EXPECT_EQ(fetch_endless(head, "X-Header: " + block + "\r\n").fault, Fault::answer);
  EXPECT_EQ(fetch_endless(head, "a: b\r\n").fault, Fault::answer);
  EXPECT_EQ(fetch_endless(head + "X-Header: ", block).fault, Fault::answer);
  EXPECT_EQ(fetch_endless(head + "\r\n", block).fault, Fault::answer);
  EXPECT_EQ(fetch_endless(head + "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n").fault,
            Fault::answer);
  EXPECT_EQ(fetch_endless(head + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n").fault,
            Fault::answer);
}

TEST_F(ClientTest, a_body_may_be_as_long_as_allowed_and_no_longer) {
  for (const std::size_t more : {0U, 1U}) {
    RawServer server([&](RawConnection& peer) {
      if (peer.read()) peer.answer(200, std::string(1000 + more, 'x'));
    });
    Request request = post(server.url());
    request.response_bytes_max = 1000;
    EXPECT_EQ(fetch(std::move(request)).fault, more == 0 ? Fault::none : Fault::answer);
  }
}

TEST_F(ClientTest, garbage_is_a_fault) {
  for (const std::string bytes :
       {"SSH-2.0-OpenSSH_9.2\r\n", "\r\n\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const Response response = fetch_bytes(bytes);
    EXPECT_TRUE(response.fault == Fault::answer || response.fault == Fault::interrupted)
        << bytes << response.status;
  }
}

TEST_F(ClientTest, an_answer_that_breaks_off_is_an_interruption) {
  EXPECT_EQ(fetch_bytes("").fault, Fault::interrupted);
  EXPECT_EQ(fetch_bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab").fault,
            Fault::interrupted);
  EXPECT_EQ(fetch_bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab").fault,
            Fault::interrupted);
  RawServer server([](RawConnection& peer) {
    if (!peer.read()) return;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab");
    peer.reset();
  });
  const Response response = fetch(post(server.url()));
  EXPECT_EQ(response.fault, Fault::interrupted);
  EXPECT_NE(response.why.find("127.0.0.1:" + std::to_string(server.port())), std::string::npos);
}

TEST_F(ClientTest, a_refusal_counts_also_when_it_breaks_off) {
  const Response response = fetch_bytes("HTTP/1.1 413 Large\r\nContent-Length: 99\r\n\r\ntoo lar");
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.body, "too lar");
}

TEST_F(ClientTest, redirects_are_not_followed) {
  std::atomic<int> requests = 0;
  RawServer server([&](RawConnection& peer) {
    while (peer.read()) {
      requests++;
      peer.answer(302, "", "Location: /elsewhere\r\n");
    }
  });
  const Response response = fetch(post(server.url()));
  EXPECT_EQ(response.status, 302);
  EXPECT_EQ(response.header("location"), "/elsewhere");
  EXPECT_EQ(requests, 1);
}

TEST_F(ClientTest, a_port_where_nobody_listens_is_a_fault_of_the_connection) {
  RawServer server([](RawConnection&) {});
  const std::string url = server.url();
  server.stop();
  EXPECT_EQ(fetch(post(url)).fault, Fault::connect);
}

TEST_F(ClientTest, a_server_without_tls_is_a_fault_of_tls) {
  RawServer server([](RawConnection& peer) {
    peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    peer.wait_until_closed();
  });
  Request request = post("https" + server.url().substr(4));
  request.timeout_us = patience_us;
  EXPECT_EQ(fetch(std::move(request)).fault, Fault::tls);
}

TEST_F(ClientTest, an_unknown_name_is_a_fault_of_the_name) {
  const Response response = fetch(post("http://nobody.invalid/?key=secret"));
  EXPECT_EQ(response.fault, Fault::resolve);
  EXPECT_NE(response.why.find("nobody.invalid"), std::string::npos) << response.why;
  EXPECT_EQ(response.why.find("secret"), std::string::npos) << response.why;
}

TEST_F(ClientTest, a_name_that_hangs_holds_nobody_up) {
  RawServer server([](RawConnection& peer) {
    while (peer.read()) peer.answer(200);
  });
  Request hanging = post("http://name.hangs/");
  hanging.timeout_us = soon_us;
  const std::uint64_t hanging_id = client_.start(std::move(hanging));
  const std::uint64_t other_id = client_.start(post(server.url()));
  const auto first = client_.finish(patience_us);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id, other_id);
  const auto second = client_.finish(patience_us);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->id, hanging_id);
  EXPECT_EQ(second->fault, Fault::resolve);

  const std::uint64_t third_id = client_.start(post("http://third.hangs/"));
  EXPECT_FALSE(client_.finish(0));
  client_.cancel(third_id);
  EXPECT_TRUE(hanging_names.wait_for_one()) << "the client waited for the name";
  hanging_names.release();
}

TEST_F(ClientTest, what_cannot_be_sent_is_a_fault_and_nothing_is_sent) {
  RawServer server([](RawConnection& peer) {
    while (peer.read()) peer.answer(200);
  });
  std::vector<Request> requests;
  for (const std::string url :
       {"", "no url", "file:///etc/passwd", "ftp://127.0.0.1/", "http://", "http://a b/"}) {
    requests.push_back(post(url));
  }
  requests.push_back(post(server.url("/\r\nX: y")));
  requests.push_back(post(server.url()));
  requests.back().headers = {{"X-Bad", "a\r\nX-More: b"}};
  requests.push_back(post(server.url()));
  requests.back().headers = {{"X Bad", "a"}};
  requests.push_back(post(server.url()));
  requests.back().method = "PO ST";
  for (Request& request : requests) {
    const std::string url = request.url;
    EXPECT_EQ(fetch(std::move(request)).fault, Fault::connect) << url;
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(ClientTest, a_silent_server_is_an_interruption_after_the_timeout) {
  RawServer server([](RawConnection& peer) { peer.wait_until_closed(); });
  Request request = post(server.url());
  request.timeout_us = soon_us;
  EXPECT_EQ(fetch(std::move(request)).fault, Fault::interrupted);
}

TEST_F(ClientTest, an_answer_that_trickles_is_an_interruption_after_the_timeout) {
  RawServer server([](RawConnection& peer) {
    peer.read();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx");
    peer.wait_until_closed();
  });
  Request request = post(server.url());
  request.timeout_us = soon_us;
  EXPECT_EQ(fetch(std::move(request)).fault, Fault::interrupted);
}

TEST_F(ClientTest, connections_are_kept) {
  RawServer server([](RawConnection& peer) {
    while (peer.read()) peer.answer(200, "ok");
  });
  for (int i = 0; i < 20; i++) EXPECT_EQ(fetch(post(server.url())).status, 200);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, nothing_is_sent_twice_when_a_kept_connection_breaks) {
  for (const std::string method : {"POST", "GET"}) {
    std::atomic<int> requests = 0;
    RawServer server([&](RawConnection& peer) {
      while (peer.read()) {
        if (++requests == 2) return peer.reset();
        peer.answer(200);
      }
    });
    Request request = post(server.url());
    request.method = method;
    EXPECT_EQ(fetch(request).status, 200);
    EXPECT_EQ(fetch(request).fault, Fault::interrupted) << method;
    EXPECT_EQ(requests, 2) << method;
    EXPECT_EQ(fetch(request).status, 200) << method;
  }
}

TEST_F(ClientTest, requests_run_in_parallel) {
  constexpr int count = 16;
  std::latch all_there(count);
  RawServer server([&](RawConnection& peer) {
    const auto request = peer.read();
    all_there.arrive_and_wait();  // No answer before all requests are there.
    if (request) peer.answer(200, request->body);
  });
  std::map<std::uint64_t, std::string> expected;
  for (int i = 0; i < count; i++) {
    const std::string body = "body " + std::to_string(i);
    expected[client_.start(post(server.url(), body))] = body;
  }
  EXPECT_EQ(client_.under_way(), std::size_t{count});
  while (!expected.empty()) {
    const auto response = client_.finish(patience_us);
    ASSERT_TRUE(response);
    ASSERT_EQ(response->status, 200) << response->why;
    EXPECT_EQ(response->body, expected[response->id]);
    expected.erase(response->id);
  }
}

TEST_F(ClientTest, no_more_connections_than_allowed_and_every_request_gets_its_turn) {
  constexpr int count = 30;
  constexpr int allowed = 3;
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;
  int under_way = 0;
  int most = 0;
  RawServer server([&](RawConnection& peer) {
    while (peer.read()) {
      std::unique_lock lock(mutex);
      arrived++;
      most = std::max(most, ++under_way);
      changed.notify_all();  // No answer before as many as may be are there.
      changed.wait(lock, [&] { return most >= allowed || arrived == count; });
      under_way--;
      lock.unlock();
      peer.answer(200);
    }
  });
  Client client({.connections_max = allowed});
  std::set<std::uint64_t> ids;
  for (int i = 0; i < count; i++) ids.insert(client.start(post(server.url())));
  while (const auto response = client.finish(patience_us)) {
    EXPECT_EQ(response->status, 200) << response->why;
    EXPECT_EQ(ids.erase(response->id), 1U);
  }
  EXPECT_TRUE(ids.empty());
  EXPECT_EQ(most, allowed);
  EXPECT_EQ(server.connections(), allowed);
}

TEST_F(ClientTest, a_request_that_never_gets_its_turn_times_out_unsent) {
  RawServer server([](RawConnection& peer) { peer.wait_until_closed(); });
  Client client({.connections_max = 1});
  const std::uint64_t first = client.start(post(server.url()));
  Request late = post(server.url());
  late.timeout_us = soon_us;
  const std::uint64_t second = client.start(std::move(late));
  const auto response = client.finish(patience_us);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->id, second);
  EXPECT_EQ(response->fault, Fault::connect);
  EXPECT_EQ(server.connections(), 1);
  client.cancel(first);
}

TEST_F(ClientTest, a_cancelled_request_has_no_answer_and_others_do) {
  RawServer silent([](RawConnection& peer) { peer.wait_until_closed(); });
  RawServer server([](RawConnection& peer) {
    while (peer.read()) peer.answer(200);
  });
  Client client({.connections_max = 2});
  const std::uint64_t active = client.start(post(silent.url()));
  EXPECT_FALSE(client.finish(0));
  const std::uint64_t invalid = client.start(post("no url"));
  const std::uint64_t second = client.start(post(silent.url()));
  const std::uint64_t waiting = client.start(post(silent.url()));
  const std::uint64_t wanted = client.start(post(server.url()));
  EXPECT_EQ(client.under_way(), 5U);
  for (const std::uint64_t id : {active, invalid, second, waiting, std::uint64_t{12345}}) {
    client.cancel(id);
  }
  EXPECT_EQ(client.under_way(), 1U);
  const auto response = client.finish(patience_us);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->id, wanted);
  EXPECT_FALSE(client.finish(patience_us)) << "nothing is under way";
}

TEST_F(ClientTest, a_client_may_end_with_requests_under_way) {
  RawServer silent([](RawConnection& peer) { peer.wait_until_closed(); });
  Client client({.connections_max = 2});
  for (int i = 0; i < 5; i++) static_cast<void>(client.start(post(silent.url())));
  EXPECT_FALSE(client.finish(0));
}

TEST_F(ClientTest, random_answers_end_every_request) {
  const unsigned seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  const std::string valid =
      "HTTP/1.1 200 OK\r\nServer: s\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
      "5\r\nabcde\r\n0\r\n\r\n";
  for (int i = 0; i < 300; i++) {
    std::string bytes = valid.substr(0, 1 + random() % valid.size());
    for (unsigned j = random() % 4; j > 0; j--) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    fetch_bytes(bytes, 5 * second_us);
    ASSERT_FALSE(HasFailure()) << "seed " << seed << " case " << i << ": " << bytes;
  }
}

TEST(RetryAfter, seconds_and_dates_are_understood_and_nothing_else) {
  constexpr Microseconds now_us = 784'111'777 * second_us;  // Sun, 06 Nov 1994 08:49:37 GMT.
  const auto after = [&](std::string_view value) { return retry_after_us(value, now_us); };
  EXPECT_EQ(after("120"), 120 * second_us);
  EXPECT_EQ(after("0"), 0);
  EXPECT_EQ(after("007"), 7 * second_us);
  EXPECT_EQ(after("99999999999999999999999999"), Microseconds{365} * 24 * 3600 * second_us);
  EXPECT_EQ(after("Sun, 06 Nov 1994 08:50:37 GMT"), 60 * second_us);
  EXPECT_EQ(after("Sunday, 06-Nov-94 08:50:37 GMT"), 60 * second_us);
  EXPECT_EQ(after("Sun Nov  6 08:50:37 1994"), 60 * second_us);
  EXPECT_EQ(after("Sun, 06 Nov 1994 08:00:00 GMT"), 0) << "past";
  for (const std::string_view value : {"", " 5", "5 ", "+5", "-5", "5.5", "0x10", "soon", "5,6",
                                       "Sun, 06 Nov 1994 08:50:37", "1e3"}) {
    EXPECT_EQ(after(value), 0) << value;
  }
}

}  // namespace
}  // namespace inlet::fetch
