// Goal: requests hold what PutMetricData takes, and the same figures as the embedded metrics.
// Method: the API's limits over a node with few sinks and one with thousands.

#include "health/put_metric_data.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace inlet::health {
namespace {

constexpr Microseconds now_us = 1'790'000'000'000'000;

void check(const PutMetricDataRequest& request) {
  EXPECT_EQ(request.metric_namespace, "Inlet");
  EXPECT_EQ(request.timestamp_us, now_us);
  EXPECT_FALSE(request.metrics.empty());
  EXPECT_LE(request.metrics.size(), 1000u);
  std::size_t bytes = 0;
  for (const MetricDatum& metric : request.metrics) {
    EXPECT_FALSE(metric.values.values.empty());
    EXPECT_LE(metric.values.values.size(), 150u);
    EXPECT_EQ(metric.values.values.size(), metric.values.counts.size());
    EXPECT_LE(metric.dimensions.size(), 30u);
    EXPECT_TRUE(metric.storage_resolution == 1 || metric.storage_resolution == 60);
    for (const double value : metric.values.values) EXPECT_TRUE(std::isfinite(value));
    // The form encoding names each value: "MetricData.member.1000.Values.member.150=...&".
    bytes += metric.values.values.size() * 2 * 80 + metric.dimensions.size() * 2 * 80 + 400;
  }
  EXPECT_LE(bytes, 1'000'000u);
}

TEST(PutMetricData, has_each_metric_once_for_each_scope) {
  Interval period{.length_us = 60'000'000};
  period.totals[Flow::answers_2xx] = 10;
  for (Microseconds i = 1; i <= 100'000; i++) {
    period.totals.request_latency.record(i * i % 3'000'000);
  }
  HostFigures host;
  host.load = LoadAverage{2, 1, 1};
  const EmfOptions options{.environment = "prod", .node = "a", .high_resolution = true};
  const auto requests = put_metric_data(options, {.period = period, .host = host}, now_us);
  ASSERT_EQ(requests.size(), 1u);
  check(requests[0]);
  const auto of = [&](std::string_view name) {
    std::vector<MetricDatum> out;
    std::ranges::copy_if(requests[0].metrics, std::back_inserter(out),
                         [&](const MetricDatum& metric) { return metric.name == name; });
    return out;
  };
  ASSERT_EQ(of("Requests").size(), 2u);
  EXPECT_EQ(of("Requests")[0].dimensions.size(), 1u);
  EXPECT_EQ(of("Requests")[1].dimensions.size(), 2u);
  EXPECT_EQ(of("Requests")[1].values.values, std::vector<double>{10});
  EXPECT_EQ(of("LoadAverage1min").size(), 1u);
  EXPECT_EQ(of("Latency")[0].values.count(), 100'000u);
  EXPECT_EQ(of("Latency")[0].storage_resolution, 1);
  EXPECT_EQ(of("CPUUser").size(), 0u);
}

TEST(PutMetricData, is_cut_into_requests_the_api_takes) {
  const Interval period{.length_us = 60'000'000};
  const HostFigures host;
  CloudFigures figures{.period = period, .host = host};
  for (int i = 0; i < 2000; i++) figures.sinks.push_back({fmt::format("s{}", i), 1, 2});
  const auto requests = put_metric_data({.node = "a", .per_sink = true}, figures, now_us);
  std::size_t metrics = 0;
  for (const PutMetricDataRequest& request : requests) {
    check(request);
    metrics += request.metrics.size();
  }
  EXPECT_GT(requests.size(), 4u);
  EXPECT_GE(metrics, 4000u);
}

TEST(PutMetricData, leaves_out_sinks_whose_lag_is_no_number) {
  const Interval period{.length_us = 60'000'000};
  const HostFigures host;
  const CloudFigures figures{.period = period, .host = host, .sinks = {{"lost", HUGE_VAL, 2}}};
  for (const auto& request : put_metric_data({.node = "a", .per_sink = true}, figures, now_us)) {
    check(request);
  }
}

}  // namespace
}  // namespace inlet::health
