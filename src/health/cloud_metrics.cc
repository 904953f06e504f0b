#include "health/cloud_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/check.h"

namespace inlet::health {
namespace {

using Kind = void (*)(const CloudFigures& figures, std::size_t values_max, CloudValues& out);

void add(CloudValues& out, double value) {
  if (!std::isfinite(value)) return;  // CloudWatch takes no other.
  out.values.push_back(value);
  out.counts.push_back(1);
  out.sum += value;
}

void add(CloudValues& out, const std::optional<double>& value) {
  if (value) add(out, *value);
}

template <Flow flow>
void count(const CloudFigures& figures, std::size_t, CloudValues& out) {
  add(out, static_cast<double>(figures.period[flow]));
}

template <double CpuShares::* share>
void cpu(const CloudFigures& figures, std::size_t, CloudValues& out) {
  if (figures.host.cpu) add(out, *figures.host.cpu.*share);
}

// Equal values are one with a count.
void add_each(CloudValues& out, std::vector<double> values, std::size_t values_max) {
  std::ranges::sort(values, std::greater<>());  // If any must go, the least.
  for (const double value : values) {
    if (!out.values.empty() && out.values.back() == value) {
      out.counts.back()++;
      out.sum += value;
    } else if (out.values.size() < values_max) {
      add(out, value);
    }
  }
}

struct Source {
  CloudMetricRow row;
  Kind read;
};

constexpr bool fleet = true;
constexpr bool node = true;

constexpr std::array sources = std::to_array<Source>({
    {{"Requests", "Count", fleet, node, "Answers sent."},
     [](const CloudFigures& f, std::size_t, CloudValues& out) {
       add(out, static_cast<double>(f.period.requests()));
     }},
    {{"Responses2xx", "Count", fleet, !node, "Of these, with such a status."},
     count<Flow::answers_2xx>},
    {{"Responses3xx", "Count", fleet, !node, "The same."}, count<Flow::answers_3xx>},
    {{"Responses4xx", "Count", fleet, !node, "The same."}, count<Flow::answers_4xx>},
    {{"Responses5xx", "Count", fleet, node, "The same."}, count<Flow::answers_5xx>},
    {{"Latency", "Seconds", fleet, node, "From requests to their answers; take percentiles."},
     [](const CloudFigures& f, std::size_t values_max, CloudValues& out) {
       out = values_of(f.period.totals.request_latency, values_max);
     }},
    {{"CommitLatency", "Seconds", fleet, !node, "Flushed writes; take percentiles."},
     [](const CloudFigures& f, std::size_t values_max, CloudValues& out) {
       out = values_of(f.period.totals.commit_latency, values_max);
     }},
    {{"RecordsStored", "Count", fleet, !node, "Records acknowledged."}, count<Flow::records>},
    {{"BytesStored", "Bytes", fleet, !node, "Of their bodies."}, count<Flow::body_bytes>},
    {{"BytesReceived", "Bytes", fleet, !node, "Read from clients."}, count<Flow::received_bytes>},
    {{"CommitsFailed", "Count", fleet, !node, "Writes the disk refused."},
     count<Flow::commits_failed>},
    {{"DeadRecords", "Count", fleet, !node, "Set aside by sinks."}, count<Flow::dead_records>},
    {{"JournalUsed", "Percent", fleet, node, "Take the maximum."},
     [](const CloudFigures& f, std::size_t, CloudValues& out) {
       add(out, f.journal_used_percent);
     }},
    {{"JournalFullIn", "Seconds", fleet, !node, "At the present paces; take the minimum."},
     [](const CloudFigures& f, std::size_t, CloudValues& out) { add(out, f.journal_full_in_s); }},
    {{"SinkLag", "Seconds", fleet, !node, "Of each sink; take the maximum."},
     [](const CloudFigures& f, std::size_t values_max, CloudValues& out) {
       std::vector<double> lags;
       for (const SinkLag& sink : f.sinks) lags.push_back(sink.seconds);
       add_each(out, std::move(lags), values_max);
     }},
    {{"HealthLevel", "None", fleet, node,
      "As EnvironmentHealth: 0 Ok, 1 Info, 15 Warning, 20 Degraded, 25 Severe; take the maximum."},
     [](const CloudFigures& f, std::size_t, CloudValues& out) { add(out, eb_value_of(f.level)); }},
    {{"NetworkIn", "Bytes", fleet, node, "By all interfaces but the loopback."},
     count<Flow::network_in_bytes>},
    {{"NetworkOut", "Bytes", fleet, node, "The same."}, count<Flow::network_out_bytes>},
    {{"CPUUser", "Percent", fleet, !node, "Of all processors' time."}, cpu<&CpuShares::user>},
    {{"CPUSystem", "Percent", fleet, !node, "The same."}, cpu<&CpuShares::system>},
    {{"CPUIdle", "Percent", fleet, node, "The same."}, cpu<&CpuShares::idle>},
    {{"CPUIowait", "Percent", fleet, !node, "The same."}, cpu<&CpuShares::iowait>},
    {{"LoadAverage1min", "None", !fleet, node, "As Elastic Beanstalk names it."},
     [](const CloudFigures& f, std::size_t, CloudValues& out) {
       if (f.host.load) add(out, f.host.load->one);
     }},
    {{"MemoryUsed", "Percent", fleet, node, "Of the machine or the container."},
     [](const CloudFigures& f, std::size_t, CloudValues& out) {
       add(out, f.host.memory_used_percent());
     }},
    {{"DiskUsed", "Percent", fleet, node, "Of the journal's file system."},
     [](const CloudFigures& f, std::size_t, CloudValues& out) {
       add(out, f.host.disk_used_percent());
     }},
});

constexpr auto rows = [] {
  std::array<CloudMetricRow, sources.size()> out{};
  for (std::size_t i = 0; i < sources.size(); i++) out[i] = sources[i].row;
  return out;
}();

// How many buckets are used when 2^`step` neighbours are one.
std::size_t groups_used(const LatencyHistogram& histogram, unsigned step) {
  std::size_t used = 0;
  std::size_t last = LatencyHistogram::buckets;
  for (std::size_t i = 0; i < LatencyHistogram::buckets; i++) {
    if (histogram.counts()[i] == 0 || i >> step == last) continue;
    last = i >> step;
    used++;
  }
  return used;
}

}  // namespace

std::uint64_t CloudValues::count() const {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

std::span<const CloudMetricRow> cloud_metric_table() { return rows; }

CloudValues values_of(const LatencyHistogram& histogram, std::size_t values_max) {
  CHECK(values_max >= 1);
  unsigned step = 0;
  while (groups_used(histogram, step) > values_max) step++;
  CloudValues out{.sum = static_cast<double>(histogram.sum_us()) / 1e6};
  std::size_t last = LatencyHistogram::buckets;
  for (std::size_t i = 0; i < LatencyHistogram::buckets; i++) {
    if (histogram.counts()[i] == 0) continue;
    if (i >> step != last) {
      last = i >> step;
      const std::size_t end = std::min(((last + 1) << step) - 1, LatencyHistogram::buckets - 1);
      out.values.push_back(static_cast<double>(LatencyHistogram::highest_in(end)) / 1e6);
      out.counts.push_back(0);
    }
    out.counts.back() += histogram.counts()[i];
  }
  return out;
}

std::vector<CloudMetric> cloud_metrics(const CloudFigures& figures, std::size_t values_max) {
  std::vector<CloudMetric> out;
  for (const Source& source : sources) {
    CloudMetric metric{.name = source.row.name,
                       .unit = source.row.unit,
                       .of_fleet = source.row.of_fleet,
                       .of_node = source.row.of_node,
                       .values = {}};
    source.read(figures, values_max, metric.values);
    if (!metric.values.values.empty()) out.push_back(std::move(metric));
  }
  return out;
}

}  // namespace inlet::health
