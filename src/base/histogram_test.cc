// Goal: percentiles are right within a bucket over the whole range, and merging loses nothing.
// Method: known values, the buckets' own bounds, then random values of all magnitudes against a
// sorted list.

#include "base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace inlet {
namespace {

using Fine = Histogram<7, 36>;
using Coarse = Histogram<5, 32>;

TEST(Histogram, is_all_zero_when_empty) {
  const Fine histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min_us(), 0);
  EXPECT_EQ(histogram.max_us(), 0);
  EXPECT_EQ(histogram.percentile_us(50), 0);
}

TEST(Histogram, is_exact_for_small_values) {
  Fine histogram;
  for (Microseconds value = 1; value <= 200; value++) histogram.record(value);
  EXPECT_EQ(histogram.percentile_us(0), 1);
  EXPECT_EQ(histogram.percentile_us(50), 100);
  EXPECT_EQ(histogram.percentile_us(99), 198);
  EXPECT_EQ(histogram.percentile_us(99.9), 200);
  EXPECT_EQ(histogram.percentile_us(100), 200);
  EXPECT_EQ(histogram.min_us(), 1);
}

TEST(Histogram, takes_values_at_and_beyond_both_ends) {
  Fine histogram;
  histogram.record(-5);
  histogram.record(Fine::value_max_us);
  histogram.record(Fine::value_max_us + 1);
  EXPECT_EQ(histogram.count(), 3u);
  EXPECT_EQ(histogram.min_us(), 0);
  EXPECT_EQ(histogram.percentile_us(100), Fine::value_max_us);
}

TEST(Histogram, a_single_value_of_any_size_comes_back_as_it_is) {
  for (Microseconds value = 1; value < Fine::value_max_us; value = value * 3 / 2 + 1) {
    Fine histogram;
    histogram.record(value);
    EXPECT_EQ(histogram.percentile_us(50), value);
  }
}

// A percentile in thousandths, so that the rank is found without floating point: 99.9 % of 100,000
// is the 99,900th value, where 99.9 / 100 * 100000 is a little more.
void expect_percentiles_within_one_percent(unsigned seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> magnitude(0, 24);
  Fine histogram;
  std::vector<Microseconds> values(100000);
  for (Microseconds& value : values) {
    value = static_cast<Microseconds>(std::exp(magnitude(random)));
    histogram.record(value);
  }
  std::sort(values.begin(), values.end());
  for (const std::size_t thousandths :
       {100, 10000, 50000, 75000, 90000, 95000, 99000, 99900, 99990}) {
    const std::size_t rank = (thousandths * values.size() + 99999) / 100000;
    const auto exact = static_cast<double>(values[rank - 1]);
    const double percent = static_cast<double>(thousandths) / 1000;
    const auto got = static_cast<double>(histogram.percentile_us(percent));
    EXPECT_GE(got, exact) << percent;
    EXPECT_LE(got, exact * 1.01) << percent;
  }
}

TEST(Histogram, percentiles_are_within_one_percent_of_the_sorted_list) {
  expect_percentiles_within_one_percent(442668665);  // Failed once.
  expect_percentiles_within_one_percent(std::random_device()());
}

TEST(Histogram, merging_equals_recording_everything_in_one) {
  Fine one, two, both;
  for (Microseconds value = 1; value < 3000000; value = value * 9 / 8 + 1) {
    (value % 2 == 0 ? one : two).record(value);
    both.record(value);
  }
  one.merge(two);
  for (double percent = 0; percent <= 100; percent += 0.5) {
    ASSERT_EQ(one.percentile_us(percent), both.percentile_us(percent)) << percent;
  }
  EXPECT_EQ(one.count(), both.count());
  EXPECT_EQ(one.min_us(), both.min_us());
  one.clear();
  EXPECT_EQ(one.count(), 0u);
}

template <typename Any>
void expect_buckets_tile_the_range() {
  Microseconds expected = 0;
  for (std::size_t i = 0; i < Any::buckets; i++) {
    ASSERT_EQ(Any::lowest_in(i), expected);
    ASSERT_EQ(Any::bucket_of(Any::lowest_in(i)), i);
    ASSERT_EQ(Any::bucket_of(Any::highest_in(i)), i);
    expected = Any::highest_in(i) + 1;
  }
  EXPECT_EQ(expected, Any::value_max_us + 1);
}

TEST(Histogram, buckets_tile_the_whole_range_without_gap_or_overlap) {
  expect_buckets_tile_the_range<Fine>();
  expect_buckets_tile_the_range<Coarse>();
}

TEST(Histogram, a_bucket_is_never_wider_than_its_precision) {
  for (std::size_t i = 2; i < Coarse::buckets; i++) {
    const auto low = static_cast<double>(Coarse::lowest_in(i));
    ASSERT_LE(static_cast<double>(Coarse::highest_in(i)) - low, low / 32) << i;
  }
}

TEST(Histogram, counts_up_to_a_bucket_bound_are_exact) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> magnitude(0, 21);
  Coarse histogram;
  std::vector<Microseconds> values(20000);
  for (Microseconds& value : values) {
    value = static_cast<Microseconds>(std::exp(magnitude(random)));
    histogram.record(value);
  }
  for (std::size_t i = 0; i < Coarse::buckets; i += 7) {
    const Microseconds bound = Coarse::highest_in(i);
    const auto exact = std::ranges::count_if(values, [&](auto value) { return value <= bound; });
    ASSERT_EQ(histogram.count_up_to(bound), static_cast<std::uint64_t>(exact)) << bound;
  }
}

TEST(Histogram, what_was_recorded_since_an_earlier_state_is_the_difference) {
  Coarse before, after, only_later;
  for (Microseconds value = 1; value < 100000; value = value * 5 / 4 + 1) {
    before.record(value);
    after.record(value);
  }
  for (Microseconds value = 3; value < 5000; value = value * 3 / 2 + 1) {
    after.record(value);
    only_later.record(value);
  }
  const Coarse since = after.since(before);
  EXPECT_EQ(since.counts(), only_later.counts());
  EXPECT_EQ(since.count(), only_later.count());
  EXPECT_EQ(since.sum_us(), only_later.sum_us());
  EXPECT_EQ(since.min_us(), 3);
  EXPECT_GE(since.max_us(), only_later.max_us());
  EXPECT_EQ(after.since(after).count(), 0u);
  EXPECT_EQ(after.since(after).percentile_us(99), 0);
}

}  // namespace
}  // namespace inlet
