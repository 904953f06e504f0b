// Goal: the recovery table is total and unambiguous, and nothing acknowledged is ever cut.
// Method: walk all combinations of facts; decide() itself checks for gaps and overlaps.

#include "journal/recovery.h"

#include <gtest/gtest.h>

namespace inlet::journal {
namespace {

TEST(RecoveryTable, has_exactly_one_row_for_every_combination_of_facts) {
  for (unsigned bits = 0; bits < 16; bits++) {
    const FrameFacts facts{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
    const Decision decision = decide(facts);
    const bool good = facts.intact && facts.in_order;
    EXPECT_EQ(decision == Decision::keep, good) << bits;
    if (facts.acknowledged && !good) {
      EXPECT_EQ(decision, Decision::damaged) << bits;
    }
    if (!facts.acknowledged) {
      EXPECT_NE(decision, Decision::damaged) << bits;
    }
    if (decision == Decision::end) {
      EXPECT_FALSE(facts.intact || facts.leftovers) << bits;
    }
  }
}

}  // namespace
}  // namespace inlet::journal
