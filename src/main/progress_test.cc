// Goal: the line says how far the work is, how fast, and how long it takes, and never misleads.
// Method: the text for given numbers.

#include "main/progress.h"

#include <gtest/gtest.h>

namespace inlet::main {
namespace {

TEST(Progress, shows_part_numbers_pace_and_what_is_left) {
  EXPECT_EQ(
      progress_text("redrive out", "records", 12'000, 48'000, 4'000'000),
      "redrive out  [#####               ]  25 %  12,000 of 48,000 records  3,000/s  about 12 "
      "s left");
  EXPECT_EQ(progress_text("replay", "records", 1'000'000, 1'000'000, 2'000'000),
            "replay  [####################] 100 %  1,000,000 of 1,000,000 records  500,000/s");
}

TEST(Progress, guesses_nothing_before_there_is_something_to_guess_from) {
  EXPECT_EQ(progress_text("x", "records", 0, 10, 9'000'000),
            "x  [                    ]   0 %  0 of 10 records");
  EXPECT_EQ(progress_text("x", "records", 5, 10, 10),
            "x  [##########          ]  50 %  5 of 10 records");
  EXPECT_EQ(progress_text("x", "records", 0, 0, 10),
            "x  [####################] 100 %  0 of 0 records");
}

}  // namespace
}  // namespace inlet::main
