// Goal: the three notations of RFC 9110, 5.6.7 are read, and nothing else is.
// Method: the examples of the RFC, edges of the calendar, and every text that differs from a valid
//   one by a byte, all decided by hand or by the clock library.

#include "fetch/http_date.h"

#include <gtest/gtest.h>

#include <string>

namespace inlet::fetch {
namespace {

constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds example_us = 784'111'777 * second_us;

TEST(HttpDate, the_examples_of_the_specification_are_one_time) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", example_us), example_us);
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", example_us), example_us);
  EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994", example_us), example_us);
}

TEST(HttpDate, edges_of_the_calendar) {
  const auto parse = [](std::string_view text) { return parse_http_date(text, example_us); };
  EXPECT_EQ(parse("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
  EXPECT_EQ(parse("Tue, 29 Feb 2000 23:59:59 GMT"), 951'868'799 * second_us);
  EXPECT_EQ(parse("Sat, 31 Dec 2016 23:59:60 GMT"), 1'483'228'800 * second_us) << "leap second";
  EXPECT_FALSE(parse("Thu, 29 Feb 2001 00:00:00 GMT"));
  EXPECT_FALSE(parse("Mon, 29 Feb 2000 00:00:00 GMT")) << "it was a Tuesday";
  EXPECT_FALSE(parse("Sun, 00 Nov 1994 08:49:37 GMT"));
  EXPECT_FALSE(parse("Sun, 06 Nov 1994 24:00:00 GMT"));
  EXPECT_FALSE(parse("Sun, 06 Nov 1994 08:60:00 GMT"));
  EXPECT_FALSE(parse("Sun, 06 Nov 1994 08:49:61 GMT"));
}

TEST(HttpDate, a_year_of_two_digits_is_at_most_fifty_years_ahead) {
  constexpr Microseconds in_2026_us = 1'790'000'000 * second_us;
  EXPECT_EQ(parse_http_date("Friday, 06-Nov-76 08:49:37 GMT", in_2026_us),
            Microseconds{3'371'878'177} * second_us)
      << "2076";
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-77 08:49:37 GMT", in_2026_us),
            Microseconds{247'654'177} * second_us)
      << "1977";
  constexpr Microseconds in_1999_us = 940'000'000 * second_us;
  EXPECT_EQ(parse_http_date("Monday, 06-Nov-00 08:49:37 GMT", in_1999_us),
            Microseconds{973'500'577} * second_us)
      << "2000";
}

TEST(HttpDate, no_byte_may_be_missing_or_added) {
  for (const std::string text : {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                 "Sun Nov  6 08:49:37 1994"}) {
    for (std::size_t i = 0; i < text.size(); i++) {
      std::string shorter = text;
      shorter.erase(i, 1);
      EXPECT_FALSE(parse_http_date(shorter, example_us)) << shorter;
      std::string longer = text;
      longer.insert(i, 1, '\t');
      EXPECT_FALSE(parse_http_date(longer, example_us)) << longer;
      std::string other = text;
      other[i] = '!';
      EXPECT_FALSE(parse_http_date(other, example_us)) << other;
    }
    EXPECT_FALSE(parse_http_date(text + " ", example_us));
  }
  EXPECT_FALSE(parse_http_date("", example_us));
}

}  // namespace
}  // namespace inlet::fetch
