// Goal: answers have the bytes that RFC 9110 and RFC 9457 ask for, and nothing that tells on us.
// Method: exact comparison.

#include "http/answer.h"

#include <gtest/gtest.h>

namespace inlet::http {
namespace {

TEST(Answer, head_has_date_length_and_extra_lines_in_order) {
  std::string out;
  append_head(out,
              {.status = 503,
               .content_type = "text/plain",
               .body = "full",
               .extra_lines = "Retry-After: 1\r\n"},
              "D");
  EXPECT_EQ(out,
            "HTTP/1.1 503 Service Unavailable\r\nDate: D\r\nX-Content-Type-Options: nosniff\r\n"
            "Content-Type: text/plain\r\nContent-Length: 4\r\nRetry-After: 1\r\n");
}

TEST(Answer, statuses_without_body_have_no_length) {
  std::string out;
  append_head(out, {.status = 204, .content_type = "text/plain", .body = "x"}, "D");
  EXPECT_EQ(out, "HTTP/1.1 204 No Content\r\nDate: D\r\nX-Content-Type-Options: nosniff\r\n");
}

TEST(Answer, dates_are_in_the_fixed_form) {
  EXPECT_EQ(http_date(784'111'777'999'999), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST(Answer, problems_are_json_whatever_their_detail) {
  EXPECT_EQ(problem_json(404, "no \"x\"\n"),
            R"({"type":"about:blank","title":"Not Found","status":404,"detail":"no \"x\"\n"})");
}

TEST(Answer, every_status_that_is_answered_has_a_text) {
  for (const int status : {200, 202, 400, 401, 403, 404, 405, 408, 411, 413,
                           414, 415, 417, 422, 429, 431, 500, 501, 503, 505}) {
    EXPECT_NE(status_text(status), "Unknown") << status;
  }
  EXPECT_EQ(status_text(299), "Unknown");
}

}  // namespace
}  // namespace inlet::http
