// emf: figures as lines of CloudWatch's embedded metric format, for its agent to pick up.
//
// "CloudWatch embedded metric format specification" of the CloudWatch User Guide: a line is one
// JSON object of at most 1 MB, a directive has at most 100 metrics, a dimension set at most 30
// keys, a metric at most 100 values.
//
// Latency goes out as {"Values":[…],"Counts":[…],"Min":…,"Max":…,"Sum":…,"Count":…}, from which
// CloudWatch computes any percentile with every request counted. The published schema does not
// have that form, AWS's own OpenTelemetry exporter has (awsemfexporter, cWMetricHistogram). With
// `sampled`, it is the published array of numbers: 100 values that stand for all, so the number of
// requests is not to be had from that metric, and nothing beyond its 99th percentile is.
//
// What the metrics cost: cloud_metrics.h. Pure; any thread.

#pragma once

#include <string>
#include <vector>

#include "health/cloud_metrics.h"

namespace inlet::health {

inline constexpr std::size_t emf_values_max = 100;
inline constexpr std::size_t emf_metrics_max = 100;
inline constexpr std::size_t emf_dimensions_max = 30;
inline constexpr std::size_t emf_line_bytes_max = 1'000'000;

struct EmfOptions {
  std::string metric_namespace = "Inlet";  // Not "AWS/…".
  std::string environment = {};  // "": no dimension Environment, all nodes of the account are one.
  std::string node;
  std::string instance_id = {};  // A field for queries of the log, never a dimension.
  bool per_node = true;
  bool per_sink = false;         // SinkLag and SinkLagBytes by sink as well, of the fleet.
  bool high_resolution = false;  // Kept by the second for 3 hours (StorageResolution 1).
  bool sampled = false;
};

// One line of all metrics and, per_sink, one of each sink; all with line ends.
[[nodiscard]] std::string emf_lines(const EmfOptions& options, const CloudFigures& figures,
                                    Microseconds wall_us);

}  // namespace inlet::health
