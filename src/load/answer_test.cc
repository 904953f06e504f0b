// Goal: an answer reads the same however its bytes are split, and nothing odd passes for one.
// Method: every split in two and byte by byte, over a list of good and of bad answers.

#include "load/answer.h"

#include <gtest/gtest.h>

#include <vector>

namespace inlet::loader {
namespace {

struct Seen {
  AnswerState state = AnswerState::more;
  int status = 0;
  bool closes = false;
  int retry_after_s = 0;
  std::string id = {};
  std::size_t left_over = 0;  // Bytes that were not this answer's.

  bool operator==(const Seen&) const = default;
};

Seen parse(std::string_view text, const std::vector<std::size_t>& cuts, bool then_ends) {
  AnswerParser parser;
  Seen seen;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= cuts.size() && seen.state == AnswerState::more; i++) {
    const std::size_t stop = i < cuts.size() ? cuts[i] : text.size();
    std::string_view piece = text.substr(start, stop - start);
    start = stop;
    seen.state = parser.feed(piece);
    seen.left_over = piece.size() + text.size() - stop;
  }
  if (then_ends && seen.state == AnswerState::more) seen.state = parser.end();
  if (seen.state == AnswerState::done) {
    seen.status = parser.status();
    seen.closes = parser.closes();
    seen.retry_after_s = parser.retry_after_s();
    seen.id = parser.id();
  }
  if (seen.state == AnswerState::bad) seen.left_over = 0;
  return seen;
}

void expect_for_every_split(std::string_view text, const Seen& expected, bool then_ends = false) {
  ASSERT_EQ(parse(text, {}, then_ends), expected) << text;
  std::vector<std::size_t> all;
  for (std::size_t i = 1; i < text.size(); i++) {
    all.push_back(i);
    ASSERT_EQ(parse(text, {i}, then_ends), expected) << "cut at " << i << " of\n" << text;
  }
  ASSERT_EQ(parse(text, all, then_ends), expected) << "byte by byte\n" << text;
}

TEST(AnswerParser, reads_an_answer_with_a_length) {
  expect_for_every_split(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-LENGTH: 21\r\n"
      "Inlet-Durability: disk\r\n\r\n{\"id\":\"ab-1\",\"b\":123}",
      {.state = AnswerState::done, .status = 200, .id = "ab-1"});
}

TEST(AnswerParser, leaves_the_next_answer_alone) {
  expect_for_every_split("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200",
                         {.state = AnswerState::done, .status = 202, .left_over = 12});
}

TEST(AnswerParser, skips_interim_answers) {
  expect_for_every_split(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      {.state = AnswerState::done, .status = 200});
}

TEST(AnswerParser, reads_chunks_extensions_and_trailers) {
  expect_for_every_split(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;x=\"y\"\r\n{\"id\"\r\nA\r\n:\"abcdefg\"\r\n1 \r\n}\r\n0\r\nX: y\r\n\r\n",
      {.state = AnswerState::done, .status = 200, .id = "abcdefg"});
}

TEST(AnswerParser, a_body_without_a_length_ends_with_the_connection) {
  const std::string text = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n{\"id\": \"q\"}";
  expect_for_every_split(text, {.state = AnswerState::more});
  expect_for_every_split(
      text, {.state = AnswerState::done, .status = 200, .closes = true, .id = "q"}, true);
}

TEST(AnswerParser, an_answer_cut_short_is_bad) {
  expect_for_every_split("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
                         {.state = AnswerState::bad}, true);
  expect_for_every_split("HTTP/1.1 200 OK\r\nConten", {.state = AnswerState::bad}, true);
  expect_for_every_split("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
                         {.state = AnswerState::bad}, true);
}

TEST(AnswerParser, knows_whether_the_connection_goes_on) {
  expect_for_every_split(
      "HTTP/1.1 503 Full\r\nConnection: x, Close\r\nContent-Length: 0\r\n"
      "Retry-After: 7\r\n\r\n",
      {.state = AnswerState::done, .status = 503, .closes = true, .retry_after_s = 7});
  expect_for_every_split("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
                         {.state = AnswerState::done, .status = 200, .closes = true});
  expect_for_every_split("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
                         {.state = AnswerState::done, .status = 200});
  expect_for_every_split("HTTP/1.1 204\r\n\r\n", {.state = AnswerState::done, .status = 204});
  expect_for_every_split(
      "HTTP/1.1 503 Full\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n"
      "Content-Length: 0\r\n\r\n",
      {.state = AnswerState::done, .status = 503});
}

TEST(AnswerParser, refuses_what_could_be_misread) {
  for (const char* text : {
           "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 20\r\n\r\n",
           "HTTP/1.1 101 Switching\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nab\n",
           "GET / HTTP/1.1\r\n\r\n",
       }) {
    expect_for_every_split(text, {.state = AnswerState::bad});
  }
}

TEST(AnswerParser, its_memory_is_bounded) {
  AnswerParser parser;
  const std::string junk(1000, 'j');
  AnswerState state = AnswerState::more;
  std::size_t fed = 0;
  while (state == AnswerState::more && fed < 1000000) {
    std::string_view piece = junk;
    state = parser.feed(piece);
    fed += junk.size();
  }
  EXPECT_EQ(state, AnswerState::bad);
  EXPECT_LE(fed, answer_head_bytes_max + 2 * junk.size());

  const std::string line = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
                           std::string(answer_line_bytes_max, 'x') + "\r\n";
  EXPECT_EQ(parse(line, {}, false).state, AnswerState::bad);
}

TEST(AnswerParser, an_id_is_taken_only_from_a_plain_string) {
  const auto id_in = [](const std::string& body) {
    return parse("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                     body,
                 {}, false)
        .id;
  };
  EXPECT_EQ(id_in(R"({"a":1, "id" :2,"id":"x-9"})"), "x-9");
  EXPECT_EQ(id_in(R"({"id":7})"), "");
  EXPECT_EQ(id_in("{\"id\":\"a b\"}"), "");
  EXPECT_EQ(id_in("{\"id\":\"a"), "");
  EXPECT_EQ(id_in(std::string(300, ' ') + R"({"id":"late"})"), "");
}

}  // namespace
}  // namespace inlet::loader
