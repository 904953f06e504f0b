// Goal: only what its specification allows is taken for a name of a request, and every request gets
// one.
// Method: heads with the specifications' examples, and with fields one change away from right.

#include "serve/trace.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace inlet::serve {
namespace {

const std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const std::string root = "1-67891233-abcdef012345678912345678";

class TraceTest : public testing::Test {
 protected:
  // Of a request with these header lines.
  Trace read(const std::vector<std::string>& lines) {
    text_ = "POST /ingest/a HTTP/1.1\r\nHost: x\r\n";
    for (const std::string& line : lines) text_ += line + "\r\n";
    text_ += "\r\n";
    const http::HeadResult result = http::parse_head(text_, head_);
    EXPECT_EQ(result.kind, http::HeadResult::Kind::complete) << text_;
    return read_trace(head_);
  }
  std::string_view id_of(const std::string& value) {
    return read({"X-Request-Id: " + value}).request_id;
  }
  std::string_view parent_of(const std::string& value) {
    return read({"traceparent: " + value}).parent;
  }

  std::string text_;
  http::RequestHead head_;
};

TEST_F(TraceTest, is_empty_where_nothing_is_sent) {
  const Trace trace = read({});
  EXPECT_EQ(trace.request_id, "");
  EXPECT_EQ(trace.of_record(), "");
  EXPECT_EQ(trace.trace_id, "");
  EXPECT_EQ(trace.amzn_root, "");
}

TEST_F(TraceTest, takes_a_request_id_of_harmless_characters) {
  for (const std::string id :
       {"a", "req-1", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "A.b_c~d:e/f=", "user+1@host"}) {
    EXPECT_EQ(id_of(id), id);
  }
  EXPECT_EQ(id_of(std::string(128, 'x')), std::string(128, 'x'));
  EXPECT_EQ(id_of(std::string(129, 'x')), "");
}

TEST_F(TraceTest, takes_no_request_id_that_could_be_more_than_a_name) {
  for (const std::string id : {"",    "a b",     "a,b",  "a;b",         "\"a\"", "a\\n", "<a>",
                               "{a}", "a%0d%0a", "a\tb", "caf\xc3\xa9", "\xff",  "$(a)", "`a`",
                               "a'b", "a|b",     "a&b",  "a?b",         "a#b",   "a*b"}) {
    EXPECT_EQ(id_of(id), "") << id;
  }
}

TEST_F(TraceTest, takes_no_field_that_is_sent_twice) {
  const Trace trace = read({"X-Request-Id: a", "x-request-id: a", "traceparent: " + parent,
                            "Traceparent: " + parent, "X-Amzn-Trace-Id: Root=" + root,
                            "x-amzn-trace-id: Root=" + root, "X-REQUEST-ID: a"});
  EXPECT_EQ(trace.request_id, "");
  EXPECT_EQ(trace.of_record(), "");
  EXPECT_EQ(trace.amzn_root, "");
}

TEST_F(TraceTest, takes_a_traceparent_of_this_version_and_of_later_ones) {
  EXPECT_EQ(parent_of(parent), parent);
  EXPECT_EQ(read({"TraceParent: " + parent}).trace_id, "0af7651916cd43dd8448eb211c80319c");
  const std::string later = "cc" + parent.substr(2);
  EXPECT_EQ(parent_of(later), later);
  EXPECT_EQ(parent_of(later + "-what.the-future-brings"), later + "-what.the-future-brings");
}

TEST_F(TraceTest, takes_no_malformed_traceparent) {
  const auto with = [](std::size_t at, const std::string& text) {
    return std::string(parent).replace(at, text.size(), text);
  };
  for (const std::string& value :
       {std::string("00"), parent.substr(0, 54), parent + "-01", parent + "0", parent + " ,x",
        with(0, "ff"), with(0, "0g"), with(2, "_"), with(3, "0AF7"), with(3, std::string(32, '0')),
        with(36, std::string(16, '0')), with(53, "0x"), with(0, "cc") + "x",
        with(0, "cc") + "-" + std::string(128, 'x')}) {
    const Trace trace = read({"traceparent: " + value});
    EXPECT_EQ(trace.parent, "") << value;
    EXPECT_EQ(trace.trace_id, "") << value;
  }
}

TEST_F(TraceTest, finds_the_root_among_what_a_load_balancer_adds) {
  const std::vector<std::string> values = {
      "Root=" + root, "Self=1-67891234-12456789abcdef012345678;Root=" + root,
      "Self=1-1;Root=" + root + ";CalledFrom=app", "Root=" + root + "; Parent=53995c3f42cd8ad8"};
  for (const std::string& value : values) {
    const Trace trace = read({"X-Amzn-Trace-Id: " + value});
    EXPECT_EQ(trace.amzn, value);
    EXPECT_EQ(trace.amzn_root, root);
    EXPECT_EQ(trace.of_record(), value);
  }
}

TEST_F(TraceTest, takes_no_root_that_is_none_and_no_field_with_strange_bytes) {
  for (const std::string& value : std::vector<std::string>{
           "Root=", "Root=1-2-3", "root=" + root, "Self=" + root, "Root=" + root + "x", "x;y;;z",
           ";", "=", "Root=2" + root.substr(1)}) {
    EXPECT_EQ(read({"X-Amzn-Trace-Id: " + value}).amzn_root, "") << value;
  }
  EXPECT_EQ(read({"X-Amzn-Trace-Id: Root=" + root + ";a=\xff"}).amzn, "");
  EXPECT_EQ(read({"X-Amzn-Trace-Id: a=" + std::string(512, 'x')}).amzn, "");
}

TEST_F(TraceTest, keeps_the_traceparent_where_both_are_sent) {
  const Trace trace = read({"X-Amzn-Trace-Id: Root=" + root, "traceparent: " + parent});
  EXPECT_EQ(trace.of_record(), parent);
  EXPECT_EQ(trace.amzn_root, root);
}

TEST(RequestIds, are_different_and_take_themselves_for_request_ids) {
  std::set<std::string> seen;
  for (const std::uint64_t prefix : {0U, 1U, 77U}) {
    RequestIds ids(prefix);
    for (int i = 0; i < 10'000; i++) {
      const std::string id(ids.next());
      ASSERT_EQ(id.size(), own_request_id_chars);
      ASSERT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
      ASSERT_TRUE(seen.insert(id).second);
    }
  }
}

}  // namespace
}  // namespace inlet::serve
