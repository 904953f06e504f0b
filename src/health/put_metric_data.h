// put_metric_data: the same figures as requests to CloudWatch's PutMetricData, for where no agent
// tails a file. Here is only what to send; who sends it is a process that may talk to the outside.
//
// "PutMetricData" of the CloudWatch API Reference: a request has at most 1000 metrics and 1 MB, a
// metric at most 150 distinct values with their counts and 30 dimensions. Pure; any thread.

#pragma once

#include <string>
#include <utility>
#include <vector>

#include "health/cloud_metrics.h"
#include "health/emf.h"

namespace inlet::health {

inline constexpr std::size_t put_metrics_max = 1000;
inline constexpr std::size_t put_values_max = 150;
inline constexpr std::size_t put_request_bytes_max = 1'000'000;
// More than any value, count or dimension takes in the request's form encoding, with its key.
inline constexpr std::size_t put_bytes_per_item = 256;
// And what names and dimension values may be at most, each byte encoded as three.
inline constexpr std::size_t put_bytes_per_metric = 12'000;

struct MetricDatum {
  std::string_view name;
  std::string_view unit;
  std::vector<std::pair<std::string_view, std::string>> dimensions;
  CloudValues values;
  int storage_resolution;  // 1 or 60.
};

struct PutMetricDataRequest {
  std::string metric_namespace;
  Microseconds timestamp_us;
  std::vector<MetricDatum> metrics;
};

[[nodiscard]] std::vector<PutMetricDataRequest> put_metric_data(const EmfOptions& options,
                                                                const CloudFigures& figures,
                                                                Microseconds wall_us);

}  // namespace inlet::health
