#include "health/emf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "base/check.h"
#include "base/json.h"

namespace inlet::health {
namespace {

constexpr std::size_t value_bytes_max = 25;  // Of a double as text, with its comma.
static_assert(emf_metrics_max * (2 * emf_values_max * value_bytes_max + 4096) < emf_line_bytes_max);

void append_number(std::string& out, double value) {
  CHECK(std::isfinite(value));
  fmt::format_to(std::back_inserter(out), "{}", value);
}

template <typename T>
void append_array(std::string& out, std::span<const T> values) {
  out += '[';
  for (std::size_t i = 0; i < values.size(); i++) {
    fmt::format_to(std::back_inserter(out), "{}{}", i == 0 ? "" : ",", values[i]);
  }
  out += ']';
}

// emf_values_max values at even ranks of all there are.
std::vector<double> sample(const CloudValues& values) {
  std::vector<double> out;
  const double all = static_cast<double>(values.count());
  double passed = 0;
  for (std::size_t i = 0; i < values.values.size(); i++) {
    passed += static_cast<double>(values.counts[i]);
    while (out.size() < emf_values_max &&
           (static_cast<double>(out.size()) + 0.5) / emf_values_max * all < passed) {
      out.push_back(values.values[i]);
    }
  }
  return out;
}

void append_target(std::string& out, const CloudValues& values, bool sampled) {
  const std::uint64_t count = values.count();
  if (count == 1) return append_number(out, values.values[0]);
  if (sampled) {
    const std::vector<double> chosen = sample(values);
    return append_array(out, std::span<const double>(chosen));
  }
  out += R"({"Values":)";
  append_array(out, std::span<const double>(values.values));
  out += R"(,"Counts":)";
  append_array(out, std::span<const std::uint64_t>(values.counts));
  const auto [least, greatest] = std::ranges::minmax(values.values);
  fmt::format_to(std::back_inserter(out), R"(,"Min":{},"Max":{},"Sum":{},"Count":{}}})", least,
                 greatest, values.sum, count);
}

// A JSON array of the names of one dimension set.
std::string dimension_set(const EmfOptions& options, std::string_view more) {
  std::string out = "[";
  if (!options.environment.empty()) out += R"("Environment")";
  if (!more.empty()) {
    if (out.size() > 1) out += ',';
    append_json_string(out, more);
  }
  return out + "]";
}

void append_directive(std::string& out, const EmfOptions& options, std::string_view dimensions,
                      std::span<const CloudMetric* const> metrics) {
  CHECK(metrics.size() <= emf_metrics_max);
  out += R"({"Namespace":)";
  append_json_string(out, options.metric_namespace);
  fmt::format_to(std::back_inserter(out), R"(,"Dimensions":[{}],"Metrics":[)", dimensions);
  const char* separator = "";
  for (const CloudMetric* metric : metrics) {
    fmt::format_to(std::back_inserter(out), R"({}{{"Name":"{}","Unit":"{}")", separator,
                   metric->name, metric->unit);
    if (options.high_resolution) out += R"(,"StorageResolution":1)";
    out += '}';
    separator = ",";
  }
  out += "]}";
}

void append_member(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  fmt::format_to(std::back_inserter(out), R"(,"{}":)", name);
  append_json_string(out, value);
}

// Metrics with the same dimension sets share a directive.
void append_directives(std::string& out, const EmfOptions& options,
                       const std::vector<CloudMetric>& metrics) {
  const std::string fleet = dimension_set(options, "");
  const std::string node = dimension_set(options, "Node");
  const char* separator = "";
  const auto add = [&](const std::string& dimensions, bool of_fleet, bool of_node) {
    std::vector<const CloudMetric*> chosen;
    for (const CloudMetric& metric : metrics) {
      const bool node_wanted = metric.of_node && options.per_node;
      if (metric.of_fleet == of_fleet && node_wanted == of_node) chosen.push_back(&metric);
    }
    if (chosen.empty()) return;
    out += separator;
    separator = ",";
    append_directive(out, options, dimensions, chosen);
  };
  add(fleet, true, false);
  add(fleet + "," + node, true, true);
  add(node, false, true);
}

std::string node_line(const EmfOptions& options, const CloudFigures& figures,
                      Microseconds wall_us) {
  const std::vector<CloudMetric> metrics = cloud_metrics(figures, emf_values_max);
  std::string out =
      fmt::format(R"({{"_aws":{{"Timestamp":{},"CloudWatchMetrics":[)", wall_us / 1000);
  append_directives(out, options, metrics);
  out += "]}";
  append_member(out, "Environment", options.environment);
  append_member(out, "Node", options.node);
  append_member(out, "InstanceId", options.instance_id);
  for (const CloudMetric& metric : metrics) {
    fmt::format_to(std::back_inserter(out), R"(,"{}":)", metric.name);
    append_target(out, metric.values, options.sampled);
  }
  return out + "}\n";
}

std::string sink_line(const EmfOptions& options, const SinkLag& sink, Microseconds wall_us) {
  const CloudMetric lag{.name = "SinkLag", .unit = "Seconds"};
  const CloudMetric bytes{.name = "SinkLagBytes", .unit = "Bytes"};
  const std::array<const CloudMetric*, 2> metrics = {&lag, &bytes};
  std::string out =
      fmt::format(R"({{"_aws":{{"Timestamp":{},"CloudWatchMetrics":[)", wall_us / 1000);
  append_directive(out, options, dimension_set(options, "Sink"), metrics);
  out += "]}";
  append_member(out, "Environment", options.environment);
  append_member(out, "Node", options.node);
  append_member(out, "Sink", sink.name);
  out += R"(,"SinkLag":)";
  append_number(out, sink.seconds);
  fmt::format_to(std::back_inserter(out), R"(,"SinkLagBytes":{}}})", sink.bytes);
  return out + "\n";
}

}  // namespace

std::string emf_lines(const EmfOptions& options, const CloudFigures& figures,
                      Microseconds wall_us) {
  std::string out = node_line(options, figures, wall_us);
  if (!options.per_sink) return out;
  for (const SinkLag& sink : figures.sinks) {
    if (std::isfinite(sink.seconds)) out += sink_line(options, sink, wall_us);
  }
  return out;
}

}  // namespace inlet::health
