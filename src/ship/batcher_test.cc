// Goal: a batch ends at its limits and no sooner.
// Method: each limit alone, at its edge.

#include "ship/batcher.h"

#include <gtest/gtest.h>

namespace inlet::ship {
namespace {

constexpr BatchLimits limits{.batch_bytes = 100, .batch_records = 3, .batch_age_us = 50};

TEST(Batcher, is_full_by_bytes) {
  Batcher batcher(limits);
  EXPECT_FALSE(batcher.full());
  batcher.add(99, 0);
  EXPECT_FALSE(batcher.full());
  batcher.add(1, 0);
  EXPECT_TRUE(batcher.full());
  EXPECT_EQ(batcher.bytes(), 100U);
}

TEST(Batcher, is_full_by_records) {
  Batcher batcher(limits);
  for (int i = 0; i < 2; i++) batcher.add(1, 0);
  EXPECT_FALSE(batcher.full());
  batcher.add(1, 0);
  EXPECT_TRUE(batcher.full());
}

TEST(Batcher, takes_one_record_larger_than_all_limits) {
  Batcher batcher({.batch_bytes = 0, .batch_records = 0, .batch_age_us = 0});
  EXPECT_FALSE(batcher.full());
  batcher.add(1, 0);
  EXPECT_TRUE(batcher.full());
}

TEST(Batcher, is_due_when_its_first_record_is_old_enough) {
  Batcher batcher(limits);
  batcher.add(1, 1000);
  batcher.add(1, 1040);
  EXPECT_EQ(batcher.due_in_us(1000), 50);
  EXPECT_EQ(batcher.due_in_us(1049), 1);
  EXPECT_EQ(batcher.due_in_us(1050), 0);
  EXPECT_EQ(batcher.due_in_us(5000), 0);
}

TEST(Batcher, starts_over_when_cleared) {
  Batcher batcher(limits);
  batcher.add(100, 0);
  batcher.clear();
  EXPECT_FALSE(batcher.full());
  EXPECT_EQ(batcher.records(), 0U);
  batcher.add(1, 2000);
  EXPECT_EQ(batcher.due_in_us(2000), 50);
}

}  // namespace
}  // namespace inlet::ship
