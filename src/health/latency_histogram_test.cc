// Goal: what loops record is what readers get, and nodes' histograms merge to exactly one.
// Method: known values through recorders against one histogram of them all; a writer and a reader
// at the same time.

#include "health/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "health/json_reader_test.h"

namespace inlet::health {
namespace {

TEST(LatencyRecorder, merging_the_snapshots_of_many_is_the_histogram_of_all_their_values) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> magnitude(0, 20);
  constexpr std::size_t nodes = 7;
  const auto recorders = std::make_unique<LatencyRecorder[]>(nodes);
  LatencyRecorder all;
  for (int i = 0; i < 20000; i++) {
    const auto value = static_cast<Microseconds>(std::exp(magnitude(random)));
    recorders[random() % nodes].record(value);
    all.record(value);
  }
  LatencyHistogram merged;
  for (std::size_t i = 0; i < nodes; i++) merged.merge(recorders[i].snapshot());
  EXPECT_EQ(merged, all.snapshot());
}

TEST(LatencyRecorder, quantiles_are_within_one_in_32_of_the_sorted_list) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> magnitude(0, 21.9);  // Up to about an hour.
  LatencyRecorder recorder;
  std::vector<Microseconds> values(50000);
  for (Microseconds& value : values) {
    value = static_cast<Microseconds>(std::exp(magnitude(random)));
    recorder.record(value);
  }
  std::ranges::sort(values);
  const LatencyHistogram histogram = recorder.snapshot();
  for (const Quantile& quantile : quantiles) {
    const auto tenths = static_cast<std::size_t>(std::lround(quantile.percent * 10));
    const auto exact = static_cast<double>(values[(tenths * values.size() + 999) / 1000 - 1]);
    const auto got = static_cast<double>(histogram.percentile_us(quantile.percent));
    EXPECT_GE(got, exact) << quantile.name;
    EXPECT_LE(got, exact * (1 + 1.0 / 32)) << quantile.name;
  }
}

TEST(LatencyRecorder, takes_values_beyond_both_ends) {
  LatencyRecorder recorder;
  recorder.record(-1);
  recorder.record(Microseconds{1} << 40);
  const LatencyHistogram histogram = recorder.snapshot();
  EXPECT_EQ(histogram.count(), 2u);
  EXPECT_EQ(histogram.percentile_us(100), LatencyHistogram::value_max_us);
}

TEST(LatencyRecorder, a_reader_never_sees_counts_go_back_and_in_the_end_sees_all) {
  constexpr std::uint64_t values = 200'000;
  LatencyRecorder recorder;
  std::jthread writer([&] {
    for (std::uint64_t i = 0; i < values; i++) recorder.record(static_cast<Microseconds>(i % 5000));
  });
  LatencyHistogram before;
  while (before.count() < values) {
    const LatencyHistogram now = recorder.snapshot();
    const LatencyHistogram since = now.since(before);  // Checks every bucket.
    ASSERT_EQ(before.count() + since.count(), now.count());
    before = now;
  }
  EXPECT_EQ(before.count(), values);
}

TEST(LatencyHistogram, the_bounds_shown_to_prometheus_rise_and_are_bucket_bounds) {
  EXPECT_EQ(latency_bounds_us.front(), 64);
  EXPECT_EQ(latency_bounds_us[1], 96);
  EXPECT_EQ(latency_bounds_us.back(), Microseconds{1} << 26);
  EXPECT_TRUE(std::ranges::is_sorted(latency_bounds_us, std::less_equal<>()));
}

TEST(LatencyHistogram, its_json_says_enough_to_build_it_again) {
  LatencyRecorder recorder;
  for (Microseconds value = 1; value < 10'000'000; value = value * 4 / 3 + 1) {
    recorder.record(value);
  }
  const LatencyHistogram histogram = recorder.snapshot();
  std::string text;
  append_json(text, histogram);
  const JsonValue json = parse_json(text);
  LatencyHistogram::Counts counts{};
  for (const JsonValue& pair : json.at("buckets").items) {
    counts[static_cast<std::size_t>(pair.items.at(0).number)] =
        static_cast<std::uint64_t>(pair.items.at(1).number);
  }
  EXPECT_EQ(LatencyHistogram(counts, static_cast<std::uint64_t>(json.at("sum_us").number)),
            histogram);
  EXPECT_EQ(static_cast<Microseconds>(json.at("p99.9").number), histogram.percentile_us(99.9));
  EXPECT_EQ(static_cast<std::uint64_t>(json.at("count").number), histogram.count());
}

}  // namespace
}  // namespace inlet::health
