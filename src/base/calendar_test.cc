// Goal: every time people write by RFC 3339 is understood to the microsecond, nothing else is.
// Method: the RFC's own examples, edges of each field, and texts one change away from right.

#include "base/calendar.h"

#include <gtest/gtest.h>

namespace inlet {
namespace {

TEST(Calendar, reads_what_rfc_3339_writes) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_rfc3339("1985-04-12T23:20:50.52Z"), 482196050'520'000);
  EXPECT_EQ(parse_rfc3339("1996-12-19T16:39:57-08:00"), 851042397'000'000);
  EXPECT_EQ(parse_rfc3339("1990-12-31T23:59:60Z"), 662688000'000'000);
  EXPECT_EQ(parse_rfc3339("2026-11-23 10:00:00.123456789+00:00"), 1795428000'123'456);
  EXPECT_EQ(parse_rfc3339("2026-11-23"), 1795392000'000'000);
  EXPECT_EQ(parse_rfc3339("2024-02-29T00:00:00z"), 1709164800'000'000);
}

TEST(Calendar, refuses_everything_else) {
  for (const auto* text : {"",
                           "2026",
                           "2026-11",
                           "2026-11-2",
                           "2026-13-01",
                           "2026-00-01",
                           "2025-02-29",
                           "2026-11-31",
                           "1969-12-31",
                           "2026-11-23T",
                           "2026-11-23T10:00",
                           "2026-11-23T10:00:00",
                           "2026-11-23T24:00:00Z",
                           "2026-11-23T10:60:00Z",
                           "2026-11-23T10:00:61Z",
                           "2026-11-23T10:00:00.Z",
                           "2026-11-23T10:00:00.1234567890Z",
                           "2026-11-23T10:00:00+2:00",
                           "2026-11-23T10:00:00+24:00",
                           "2026-11-23T10:00:00Z ",
                           " 2026-11-23",
                           "2026-1a-23",
                           "+026-11-23",
                           "2026-11-23X10:00:00Z"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

}  // namespace
}  // namespace inlet
