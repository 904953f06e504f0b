#include "health/put_metric_data.h"

#include <cmath>

namespace inlet::health {
namespace {

using Dimensions = std::vector<std::pair<std::string_view, std::string>>;

Dimensions dimensions(const EmfOptions& options) {
  Dimensions out;
  if (!options.environment.empty()) out.emplace_back("Environment", options.environment);
  return out;
}

Dimensions with(Dimensions set, std::string_view name, const std::string& value) {
  set.emplace_back(name, value);
  return set;
}

std::size_t bytes_at_most(const MetricDatum& datum) {
  const std::size_t items = 2 * datum.values.values.size() + datum.dimensions.size();
  return put_bytes_per_metric + items * put_bytes_per_item;
}

}  // namespace

std::vector<PutMetricDataRequest> put_metric_data(const EmfOptions& options,
                                                  const CloudFigures& figures,
                                                  Microseconds wall_us) {
  std::vector<MetricDatum> data;
  const int resolution = options.high_resolution ? 1 : 60;
  const Dimensions fleet = dimensions(options);
  const Dimensions node = with(fleet, "Node", options.node);
  for (const CloudMetric& metric : cloud_metrics(figures, put_values_max)) {
    if (metric.of_fleet) {
      data.push_back({metric.name, metric.unit, fleet, metric.values, resolution});
    }
    if (metric.of_node && options.per_node) {
      data.push_back({metric.name, metric.unit, node, metric.values, resolution});
    }
  }
  if (options.per_sink) {
    for (const SinkLag& sink : figures.sinks) {
      if (!std::isfinite(sink.seconds)) continue;
      const Dimensions set = with(fleet, "Sink", sink.name);
      const auto bytes = static_cast<double>(sink.bytes);
      data.push_back({"SinkLag", "Seconds", set, {{sink.seconds}, {1}, sink.seconds}, resolution});
      data.push_back({"SinkLagBytes", "Bytes", set, {{bytes}, {1}, bytes}, resolution});
    }
  }
  std::vector<PutMetricDataRequest> out;
  std::size_t bytes = 0;
  for (MetricDatum& datum : data) {
    const std::size_t more = bytes_at_most(datum);
    if (out.empty() || out.back().metrics.size() == put_metrics_max ||
        bytes + more > put_request_bytes_max) {
      out.push_back({options.metric_namespace, wall_us, {}});
      bytes = 0;
    }
    bytes += more;
    out.back().metrics.push_back(std::move(datum));
  }
  return out;
}

}  // namespace inlet::health
