// Goal: requests are complete, rightly framed and spread over the streams; bad headers are refused.
// Method: whole requests compared as text.

#include "load/request.h"

#include <gtest/gtest.h>

namespace inlet::loader {
namespace {

std::string make(RequestMaker& maker, std::uint64_t number) {
  std::string out = "left over from the request before";
  const BodyParts parts = maker.make(number, out);
  return out.append(parts.middle).append(parts.end);
}

RequestMaker::Options options_for(const char* url) { return {.target = *parse_target(url)}; }

TEST(RequestMaker, a_request_is_what_http_asks_for) {
  RequestMaker maker(options_for("http://h:81/ingest/demo?x=1"), std::vector<std::string>{"ab"});
  EXPECT_EQ(make(maker, 1),
            "POST /ingest/demo?x=1 HTTP/1.1\r\nHost: h:81\r\nUser-Agent: inlet-load\r\n"
            "Content-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\nab");
}

TEST(RequestMaker, given_headers_replace_ours) {
  auto options = options_for("http://h/");
  options.headers = {"host: other", "CONTENT-TYPE: text/plain", "X-Key: k"};
  RequestMaker maker(options, std::vector<std::string>{""});
  EXPECT_EQ(make(maker, 1),
            "POST / HTTP/1.1\r\nUser-Agent: inlet-load\r\nhost: other\r\n"
            "CONTENT-TYPE: text/plain\r\nX-Key: k\r\nContent-Length: 0\r\n\r\n");
}

TEST(RequestMaker, numbers_go_round_over_streams_and_lines) {
  auto options = options_for("http://h/s?q");
  options.stream_count = 3;
  const std::string large(20000, 'l');
  RequestMaker maker(options, std::vector<std::string>{"zero", large});
  EXPECT_TRUE(make(maker, 4).starts_with("POST /s-1?q HTTP/1.1\r\n"));
  EXPECT_TRUE(make(maker, 4).ends_with("\r\n\r\nzero"));
  EXPECT_TRUE(make(maker, 5).starts_with("POST /s-2?q HTTP/1.1\r\n"));
  EXPECT_TRUE(make(maker, 5).ends_with("Content-Length: 20000\r\n\r\n" + large));
}

TEST(RequestMaker, numbered_bodies_are_as_long_as_announced) {
  for (const std::size_t bytes : {64u, 1000u, 100000u}) {
    RequestMaker maker(options_for("http://h/s"),
                       BodyMaker({.run = "0123456789abcdef", .bytes = bytes}));
    const std::string request = make(maker, 9);
    const std::size_t body_at = request.find("\r\n\r\n") + 4;
    EXPECT_NE(request.find("Content-Length: " + std::to_string(bytes) + "\r\n"), std::string::npos);
    EXPECT_NE(request.find("Content-Type: application/json\r\n"), std::string::npos);
    EXPECT_EQ(request.size() - body_at, bytes);
    EXPECT_EQ(maker.body_bytes(9), bytes);
  }
}

TEST(RequestMaker, headers_that_break_the_framing_or_the_line_are_refused) {
  for (const char* good : {"A: b", "x-key:v", "Authorization: Bearer a b\tc"}) {
    EXPECT_TRUE(check_header(good)) << good;
  }
  for (const char* bad : {"", "A", ": b", "A b: c", "A: b\r\nC: d", "content-length: 3",
                          "Transfer-Encoding: chunked", "Connection: close", "Expect: x"}) {
    EXPECT_FALSE(check_header(bad)) << bad;
  }
}

}  // namespace
}  // namespace inlet::loader
