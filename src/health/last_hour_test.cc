// Goal: the rise of a count in the last hour, no older and no less.
// Method: counts noted by the second over hours.

#include "health/last_hour.h"

#include <gtest/gtest.h>

namespace inlet::health {
namespace {

constexpr Microseconds second_us = 1'000'000;

TEST(LastHour, what_was_there_at_first_is_no_rise) {
  LastHour hour;
  EXPECT_EQ(hour.rise(0, 500), 0u);
  EXPECT_EQ(hour.rise(second_us, 503), 3u);
}

TEST(LastHour, a_rise_is_forgotten_after_an_hour_and_not_before) {
  LastHour hour;
  (void)hour.rise(0, 0);
  std::uint64_t rise = 0;
  for (Microseconds s = 1; s <= 3599; s++) rise = hour.rise(s * second_us, 40);
  EXPECT_EQ(rise, 40u);
  for (Microseconds s = 3600; s <= 3720; s++) rise = hour.rise(s * second_us, 40);
  EXPECT_EQ(rise, 0u);
}

TEST(LastHour, a_steady_flow_is_an_hours_worth) {
  LastHour hour;
  std::uint64_t rise = 0;
  for (Microseconds s = 0; s <= 4 * 3600; s++) {
    rise = hour.rise(s * second_us, static_cast<std::uint64_t>(s));
  }
  EXPECT_GE(rise, 3600u);
  EXPECT_LE(rise, 3660u);
}

TEST(LastHour, a_count_that_fell_begins_again) {
  LastHour hour;
  (void)hour.rise(0, 1000);
  EXPECT_EQ(hour.rise(second_us, 3), 0u);
  EXPECT_EQ(hour.rise(2 * second_us, 5), 2u);
}

}  // namespace
}  // namespace inlet::health
