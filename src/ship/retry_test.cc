// Goal: every answer of a sink leads to one decision, and waits are as long as the table in retry.h
//   says, for ever.
// Method: all combinations; waits at the edges of the random number and after very many attempts.

#include "ship/retry.h"

#include <gtest/gtest.h>

#include <limits>

namespace inlet::ship {
namespace {

using sinks::Outcome;

TEST(Decisions, are_made_for_every_combination) {
  for (const bool any_rejected : {false, true}) {
    EXPECT_EQ(decide(Outcome::delivered, any_rejected),
              any_rejected ? Decision::set_aside : Decision::advance);
    EXPECT_EQ(decide(Outcome::retry, any_rejected), Decision::repeat);
    EXPECT_EQ(decide(Outcome::slow_down, any_rejected), Decision::repeat);
  }
}

TEST(Decisions, every_kind_of_error_of_our_own_is_waited_out) {
  for (const ErrorKind kind : {ErrorKind::retry, ErrorKind::overload, ErrorKind::reject,
                               ErrorKind::corrupt, ErrorKind::stopped}) {
    EXPECT_EQ(outcome_of(kind), kind == ErrorKind::overload ? Outcome::slow_down : Outcome::retry);
  }
}

// The least and the greatest wait: 2^64 - 1 and 0 are both multiples of every spread's edge only by
// chance, so the range is walked instead.
struct Range {
  Microseconds least = std::numeric_limits<Microseconds>::max();
  Microseconds greatest = 0;
};
Range range(const RetryOptions& options, Outcome outcome, std::uint64_t attempts,
            Microseconds asked_us = 0) {
  Range seen;
  for (std::uint64_t random = 0; random < 2000; random++) {
    const Microseconds wait = retry_wait_us(options, outcome, attempts, asked_us, random);
    seen.least = std::min(seen.least, wait);
    seen.greatest = std::max(seen.greatest, wait);
  }
  return seen;
}

TEST(Waits, double_up_to_the_cap_and_stay_there_for_ever) {
  const RetryOptions options{.base_us = 10, .cap_us = 1000, .asked_max_us = 5000};
  const std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
  const std::pair<std::uint64_t, Microseconds> steps[] = {
      {1, 10}, {2, 20}, {3, 40}, {7, 640}, {8, 1000}, {9, 1000}, {70, 1000}, {last, 1000}};
  for (const auto& [attempts, ceiling] : steps) {
    const Range retry = range(options, Outcome::retry, attempts);
    EXPECT_EQ(retry.least, 0) << attempts;
    EXPECT_EQ(retry.greatest, ceiling) << attempts;
    const Range slow_down = range(options, Outcome::slow_down, attempts);
    EXPECT_EQ(slow_down.least, ceiling / 2) << attempts;
    EXPECT_EQ(slow_down.greatest, ceiling) << attempts;
  }
}

TEST(Waits, follow_what_the_destination_asks_for_within_reason) {
  const RetryOptions options{.base_us = 10, .cap_us = 1000, .asked_max_us = 5000};
  for (const Outcome outcome : {Outcome::retry, Outcome::slow_down}) {
    const Range asked = range(options, outcome, 3, 2000);
    EXPECT_EQ(asked.least, 2000);
    EXPECT_EQ(asked.greatest, 2010);
    EXPECT_EQ(range(options, outcome, 3, 1'000'000).greatest, 5010);
  }
}

TEST(Waits, default_to_a_tenth_of_a_second_up_to_half_a_minute) {
  const RetryOptions options;
  const std::uint64_t edge = 100'000;
  EXPECT_EQ(retry_wait_us(options, Outcome::retry, 1, 0, edge), 100'000);
  EXPECT_EQ(retry_wait_us(options, Outcome::retry, 100, 0, 30'000'000), 30'000'000);
}

}  // namespace
}  // namespace inlet::ship
