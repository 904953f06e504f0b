// Goal: every head has exactly one reading, or is rejected with its status, however it is split.
// Method: tables of sound and unsound heads; every prefix of each; random damage, seed printed.

#include "http/head.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace inlet::http {
namespace {

using Kind = HeadResult::Kind;

HeadResult parse(std::string_view bytes) {
  RequestHead head;
  return parse_head(bytes, head);
}

std::string post(std::string_view fields) {
  return fmt::format("POST /ingest/demo HTTP/1.1\r\nHost: a\r\n{}\r\n", fields);
}

std::string get(std::string_view target, std::string_view host = "Host: a\r\n") {
  return fmt::format("GET {} HTTP/1.1\r\n{}\r\n", target, host);
}

std::vector<std::string> sound_heads() {
  return {
      get("/"),
      fmt::format("\r\n{}", get("/")),
      get("/a/b?c=d&e=/?"),
      get("http://a/b?c"),
      get("HTTP://A:80/b"),
      get("https://a:443?c"),
      "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
      "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
      get("/", "Host: [::1]:8080\r\n"),
      get("/", "Host: 0.0.0.0=5000\r\n"),
      get("/", "hOST:\ta%20b.example:\t\r\n"),
      post("Content-Length: 003\r\n"),
      post("Content-Length: 9223372036854775807\r\n"),
      post("Transfer-Encoding: Chunked\t\r\n"),
      post("Expect: 100-Continue\r\nContent-Length: 1\r\n"),
      post("X-Text: D\xfcsseldorf\tand more\r\nEmpty:\r\n!#$%&'*+-.^_`|~: odd name\r\n"),
  };
}

struct Rejected {
  std::string bytes;
  int status;
};

std::vector<Rejected> unsound_request_lines() {
  return {
      {fmt::format("\n{}", get("/")), 400},
      {fmt::format("\r\n\r\n{}", get("/")), 400},
      {fmt::format(" {}", get("/")), 400},
      {"GET  / HTTP/1.1\r\n", 400},
      {"GET / HTTP/1.1 \r\n", 400},
      {"GET / HTTP/1.1\n", 400},
      {"GET / HTTP/1.1\rX", 400},
      {"GET /\r\n", 400},
      {"GET / http/1.1\r\n", 400},
      {"GET / HTTP/1.11\r\n", 400},
      {"GET / HTTP/11\r\n", 400},
      {"GET / HTTP/1.2\r\n", 505},
      {"GET / HTTP/0.9\r\n", 505},
      {"PRI * HTTP/2.0\r\n", 505},
      {"G(T / HTTP/1.1\r\n", 400},
      {std::string("\x16\x03\x01", 3), 400},
      {std::string("GET /\0 HTTP/1.1\r\n", 17), 400},
      {"GET /\x7f HTTP/1.1\r\n", 400},
      {"GET /\xc3\xa9 HTTP/1.1\r\n", 400},
      {"GET /\t HTTP/1.1\r\n", 400},
      {fmt::format("{:A>{}} / HTTP/1.1\r\n", "", method_bytes_max + 1), 501},
      {get("*"), 400},
      {get("a/b"), 400},
      {get("a:443"), 400},
      {get("ftp://a/"), 400},
      {get("http:///b"), 400},
      {get("http://u@a/"), 400},
      {get("http://b/"), 400},
      {get("http://a:81/"), 400},
      {"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
  };
}

std::vector<Rejected> unsound_fields() {
  return {
      {get("/", ""), 400},
      {get("/", "Host: a\r\nHost: a\r\n"), 400},
      {get("/", "Host:\r\n"), 400},
      {get("/", "Host: a b\r\n"), 400},
      {get("/", "Host: a, b\r\n"), 400},
      {get("/", "Host: a,b\r\n"), 400},
      {get("/", "Host: u@a\r\n"), 400},
      {get("/", "Host: a/b\r\n"), 400},
      {get("/", "Host: a:b\r\n"), 400},
      {get("/", "Host: a:65536\r\n"), 400},
      {get("/", "Host: a%2\r\n"), 400},
      {get("/", "Host: [::1\r\n"), 400},
      {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {post("Content-Length: 1\r\nContent-Length: 1\r\n"), 400},
      {post("Content-Length: 1, 1\r\n"), 400},
      {post("Content-Length: 1 1\r\n"), 400},
      {post("Content-Length: +1\r\n"), 400},
      {post("Content-Length: -1\r\n"), 400},
      {post("Content-Length: 0x1\r\n"), 400},
      {post("Content-Length:\r\n"), 400},
      {post("Content-Length: 9223372036854775808\r\n"), 400},
      {post("Content-Length: 18446744073709551617\r\n"), 400},
      {post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400},
      {post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), 400},
      {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {post("Transfer-Encoding: chunked, chunked\r\n"), 400},
      {post("Transfer-Encoding: chunked, gzip\r\n"), 400},
      {post("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {post("Transfer-Encoding: deflate\r\n"), 501},
      {post("Transfer-Encoding: identity\r\n"), 400},
      {post("Transfer-Encoding: xchunked\r\n"), 400},
      {post("Transfer-Encoding: \x0b"
            "chunked\r\n"),
       400},
      {post("Transfer-Encoding: chunked;a=b\r\n"), 400},
      {post("Transfer-Encoding: \"chunked\"\r\n"), 400},
      {post("Transfer-Encoding:\r\n"), 400},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {post("Content-Length : 1\r\n"), 400},
      {post(" Content-Length: 1\r\n"), 400},
      {post("X: a\r\n b\r\n"), 400},
      {post("X: a\r\n\tb\r\n"), 400},
      {post("X\r\n"), 400},
      {post(": a\r\n"), 400},
      {post("X(: a\r\n"), 400},
      {post("X: a\nY: b\r\n"), 400},
      {post("X: a\rY: b\r\n"), 400},
      {post(std::string("X: a\0b\r\n", 8)), 400},
      {post("X: a\x01\r\n"), 400},
      {post("X: a\x7f\r\n"), 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n\rX", 400},
  };
}

TEST(Head, sound_heads_are_complete_at_their_last_byte_and_not_before) {
  for (const std::string& bytes : sound_heads()) {
    for (std::size_t length = 0; length < bytes.size(); length++) {
      ASSERT_EQ(parse(bytes.substr(0, length)).kind, Kind::incomplete) << bytes << " at " << length;
    }
    for (const std::string_view next : {"", "\r", "GET / HTTP/1.1\r\n", "\xff"}) {
      const HeadResult result = parse(fmt::format("{}{}", bytes, next));
      ASSERT_EQ(result.kind, Kind::complete) << bytes << result.detail;
      ASSERT_EQ(result.bytes, bytes.size()) << bytes;
    }
  }
}

TEST(Head, unsound_heads_are_rejected_the_same_wherever_they_are_split) {
  std::vector<Rejected> table = unsound_request_lines();
  for (Rejected& more : unsound_fields()) table.push_back(std::move(more));
  for (const Rejected& row : table) {
    const HeadResult whole = parse(row.bytes);
    ASSERT_EQ(whole.kind, Kind::rejected) << row.bytes;
    EXPECT_EQ(whole.status, row.status) << row.bytes << whole.detail;
    for (std::size_t length = 0; length < row.bytes.size(); length++) {
      const HeadResult part = parse(row.bytes.substr(0, length));
      ASSERT_NE(part.kind, Kind::complete) << row.bytes;
      if (part.kind == Kind::rejected) {
        ASSERT_STREQ(part.detail, whole.detail) << row.bytes;
      }
    }
  }
}

TEST(Head, the_target_is_split_by_its_form) {
  struct Row {
    std::string bytes;
    std::string_view path, query;
  };
  const Row rows[] = {
      {get("/a?b?c"), "/a", "b?c"},
      {get("/a?"), "/a", ""},
      {get("/a?b#c"), "/a", "b"},
      {get("/a#b?c"), "/a", ""},
      {get("//a/b"), "//a/b", ""},
      {get("http://a/b?c=d"), "/b", "c=d"},
      {get("http://a"), "/", ""},
      {get("http://A:80?c"), "/", "c"},
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", ""},
      {"CONNECT a:1 HTTP/1.1\r\nHost: b\r\n\r\n", "a:1", ""},
  };
  for (const Row& row : rows) {
    RequestHead head;
    ASSERT_EQ(parse_head(row.bytes, head).kind, Kind::complete) << row.bytes;
    EXPECT_EQ(head.path, row.path) << row.bytes;
    EXPECT_EQ(head.query, row.query) << row.bytes;
  }
}

TEST(Head, fields_are_found_whatever_their_case_and_trimmed) {
  const std::string bytes = post("X-One: \t a b \t\r\nx-one: second\r\nEmpty: \r\n");
  RequestHead head;
  ASSERT_EQ(parse_head(bytes, head).kind, Kind::complete);
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.fields().size(), 4U);
  EXPECT_EQ(head.field("x-ONE"), "a b");
  EXPECT_EQ(head.field("empty"), "");
  EXPECT_EQ(head.field("missing"), std::nullopt);
}

TEST(Head, framing_and_connection_are_understood) {
  RequestHead head;
  const auto read = [&head](const std::string& bytes) {
    EXPECT_EQ(parse_head(bytes, head).kind, Kind::complete) << bytes;
  };
  read(post("Content-Length: 12\r\n"));
  EXPECT_EQ(head.content_length, 12U);
  EXPECT_FALSE(head.chunked);
  EXPECT_TRUE(head.keep_alive);
  read(post("transfer-encoding: chunked\r\nConnection: a, CLOSE\r\n"));
  EXPECT_TRUE(head.chunked);
  EXPECT_EQ(head.content_length, std::nullopt);
  EXPECT_FALSE(head.keep_alive);
  read("GET / HTTP/1.0\r\n\r\n");
  EXPECT_FALSE(head.keep_alive);
  EXPECT_EQ(head.minor_version, 0U);
  read("GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.expect_continue);
  read(post("Expect: 100-continue\r\n"));
  EXPECT_TRUE(head.expect_continue);
  read(post("Expect: tea\r\n"));
  EXPECT_TRUE(head.expect_other);
}

TEST(Head, limits_hold_at_the_byte) {
  const auto with_target = [](std::size_t line_bytes) {
    const std::size_t rest = std::string_view("GET / HTTP/1.1").size();
    return get(fmt::format("/{:a>{}}", "", line_bytes - rest));
  };
  EXPECT_EQ(parse(with_target(limits::request_line_bytes_max)).kind, Kind::complete);
  EXPECT_EQ(parse(with_target(limits::request_line_bytes_max + 1)).status, 414);
  EXPECT_EQ(parse(fmt::format("GET /{:a>20000}", "")).status, 414);

  const auto with_fields = [](std::size_t count) {
    std::string fields;
    for (std::size_t i = 1; i < count; i++) fields += "X: y\r\n";
    return post(fields);
  };
  EXPECT_EQ(parse(with_fields(limits::fields_max)).kind, Kind::complete);
  EXPECT_EQ(parse(with_fields(limits::fields_max + 1)).status, 431);

  const auto with_head = [](std::size_t bytes) {
    return post(fmt::format("X: {:a>{}}\r\n", "", bytes - post("X: \r\n").size()));
  };
  EXPECT_EQ(parse(with_head(limits::head_bytes_max)).kind, Kind::complete);
  EXPECT_EQ(parse(with_head(limits::head_bytes_max + 1)).status, 431);
  EXPECT_EQ(parse(with_head(limits::head_bytes_max + 1).substr(0, limits::head_bytes_max)).status,
            431);
}

TEST(Head, random_damage_never_makes_the_outcome_depend_on_the_split) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&random](std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(random);
  };
  constexpr std::string_view spice(
      "\r\n\t :;,/?#%\0\x7f\xff"
      "a0",
      16);
  const std::vector<std::string> heads = sound_heads();
  for (int i = 0; i < 10'000; i++) {
    std::string bytes = heads[below(heads.size())];
    for (std::size_t damage = below(4); damage > 0; damage--) {
      const std::size_t at = below(bytes.size());
      const char c = spice[below(spice.size())];
      if (below(2) == 0) {
        bytes[at] = c;
      } else {
        bytes.insert(at, 1, c);
      }
    }
    const HeadResult whole = parse(bytes);
    const HeadResult part = parse(bytes.substr(0, below(bytes.size() + 1)));
    if (part.kind == Kind::incomplete) continue;
    ASSERT_EQ(part.kind, whole.kind) << bytes;
    ASSERT_EQ(part.bytes, whole.bytes) << bytes;
    ASSERT_STREQ(part.detail, whole.detail) << bytes;
  }
}

}  // namespace
}  // namespace inlet::http
