// Goal: times, encodings and values of answers are read and written as AWS does, and what is
//   malformed is told from what is not.
// Method: examples, each next to the nearest that is wrong.

#include "aws/text.h"

#include <gtest/gtest.h>

namespace inlet::aws {
namespace {

constexpr Microseconds then_us = 1'795'428'000'000'000;  // 2026-11-23T10:00:00Z.

TEST(aws_text, only_unreserved_characters_stay_as_they_are) {
  EXPECT_EQ(percent_encode("AZaz09-._~"), "AZaz09-._~");
  EXPECT_EQ(percent_encode("tenant=a/b c+\xC3\xA9", true), "tenant%3Da/b%20c%2B%C3%A9");
  EXPECT_EQ(percent_encode("a/b"), "a%2Fb");
}

TEST(aws_text, times_as_signatures_write_them) {
  EXPECT_EQ(basic_time(then_us), "20261123T100000Z");
  EXPECT_EQ(basic_time(0), "19700101T000000Z");
}

TEST(aws_text, elements_of_xml) {
  const std::string_view error =
      "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message> a &lt;b&gt; &amp;amp; "
      "&quot;c&quot; </Message></Error>";
  EXPECT_EQ(xml_element(error, "Code"), "SlowDown");
  EXPECT_EQ(xml_element(error, "Message"), "a <b> &amp; \"c\"");
  EXPECT_EQ(xml_element(error, "Error"), "");  // Has elements in it.
  EXPECT_EQ(xml_element(error, "Region"), "");
  EXPECT_EQ(xml_element("<Code>cut", "Code"), "");
  EXPECT_EQ(xml_element("<C>" + std::string(value_bytes_max + 1, 'x') + "</C>", "C"), "");
}

TEST(aws_text, strings_of_json) {
  EXPECT_EQ(json_string(R"({"a":"x\n","b":1})", "a"), "x\n");
  EXPECT_EQ(json_string(R"({"a":"x","b":1})", "b"), "");
  EXPECT_EQ(json_string(R"({"a":"x"})", "c"), "");
  EXPECT_EQ(json_string(R"(["a"])", "a"), "");
  EXPECT_EQ(json_string(R"({"a":"x")", "a"), "");
  EXPECT_EQ(json_string("", "a"), "");
}

TEST(aws_text, tokens_can_stand_in_a_header) {
  EXPECT_TRUE(is_token("AQ/+=x"));
  for (const std::string& wrong :
       {std::string(), std::string("a b"), std::string("a\r\nX: y"), std::string("\xC3\xA9"),
        std::string(token_bytes_max + 1, 'a')}) {
    EXPECT_FALSE(is_token(wrong));
  }
}

}  // namespace
}  // namespace inlet::aws
