// Goal: percentiles are right within 1 % over the whole range, and merging loses nothing.
// Method: known values, then random values of all magnitudes against a sorted list.

#include "load/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace inlet::loader {
namespace {

TEST(Histogram, is_all_zero_when_empty) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min_us(), 0);
  EXPECT_EQ(histogram.max_us(), 0);
  EXPECT_EQ(histogram.percentile_us(50), 0);
}

TEST(Histogram, is_exact_for_small_values) {
  Histogram histogram;
  for (Microseconds value = 1; value <= 200; value++) histogram.record(value);
  EXPECT_EQ(histogram.percentile_us(0), 1);
  EXPECT_EQ(histogram.percentile_us(50), 100);
  EXPECT_EQ(histogram.percentile_us(99), 198);
  EXPECT_EQ(histogram.percentile_us(99.9), 200);
  EXPECT_EQ(histogram.percentile_us(100), 200);
  EXPECT_EQ(histogram.min_us(), 1);
}

TEST(Histogram, takes_values_at_and_beyond_both_ends) {
  Histogram histogram;
  histogram.record(-5);
  histogram.record(Histogram::value_max_us);
  histogram.record(Histogram::value_max_us + 1);
  EXPECT_EQ(histogram.count(), 3u);
  EXPECT_EQ(histogram.min_us(), 0);
  EXPECT_EQ(histogram.percentile_us(100), Histogram::value_max_us);
}

TEST(Histogram, a_single_value_of_any_size_comes_back_as_it_is) {
  for (Microseconds value = 1; value < Histogram::value_max_us; value = value * 3 / 2 + 1) {
    Histogram histogram;
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
  Histogram histogram;
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
  Histogram one, two, both;
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

}  // namespace
}  // namespace inlet::loader
