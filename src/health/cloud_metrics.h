// cloud_metrics: what CloudWatch is told, whichever way it is told (emf.h, put_metric_data.h).
//
// CloudWatch bills every combination of a metric's name and dimensions as one custom metric (in
// 2026 about 0.30 USD a month, prorated by the hour). So there is a short list, and two scopes:
//
//   fleet   dimensions as configured (none, or Environment): billed once however many nodes report;
//           CloudWatch merges them: sums of counts, maxima, percentiles over all requests.
//   node    the same and Node: billed once for each node.
//
// cloud_metric_table says which metric has which scope: 24 of the fleet, 11 of each node; with
// EmfOptions::per_sink 2 more for each sink. Ten nodes: 24 + 110 = 134 metrics, some 40 USD a
// month.
//
// Pure; any thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "health/host_figures.h"
#include "health/status_rules.h"
#include "health/totals.h"

namespace inlet::health {

// Which values a metric has in one period.
struct CloudValues {
  std::vector<double> values;         // Distinct.
  std::vector<std::uint64_t> counts;  // How often each came.
  double sum = 0;

  [[nodiscard]] std::uint64_t count() const;
};

struct CloudMetric {
  std::string_view name;
  std::string_view unit;  // One of CloudWatch's.
  bool of_fleet;
  bool of_node;
  CloudValues values;
};

struct SinkLag {
  std::string name;
  double seconds;
  std::uint64_t bytes;
};

struct CloudFigures {
  const Interval& period;  // Since the last report: counts are differences.
  const HostFigures& host;
  Level level = Level::ok;
  double journal_used_percent = 0;
  std::optional<double> journal_full_in_s = {};  // Empty or infinite: not sent.
  std::vector<SinkLag> sinks = {};
};

struct CloudMetricRow {
  std::string_view name;
  std::string_view unit;
  bool of_fleet;
  bool of_node;
  std::string_view help;
};
[[nodiscard]] std::span<const CloudMetricRow> cloud_metric_table();

// Of each metric, at most `values_max` distinct values. Absent and empty figures are left out.
[[nodiscard]] std::vector<CloudMetric> cloud_metrics(const CloudFigures& figures,
                                                     std::size_t values_max);

// A histogram's buckets in seconds as at most `values_max` values, each the upper bound of what it
// stands for: neighbours are joined, pair by pair, until they fit.
[[nodiscard]] CloudValues values_of(const LatencyHistogram& histogram, std::size_t values_max);

}  // namespace inlet::health
