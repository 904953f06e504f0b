#include "health/latency_histogram.h"

#include <fmt/format.h>

namespace inlet::health {

static_assert([] {
  for (const Microseconds bound : latency_bounds_us) {
    if (LatencyHistogram::highest_in(LatencyHistogram::bucket_of(bound)) != bound) return false;
  }
  return true;
}());

LatencyHistogram LatencyRecorder::snapshot() const {
  LatencyHistogram::Counts counts;
  for (std::size_t i = 0; i < counts.size(); i++) counts[i] = counts_[i].get();
  return {counts, sum_us_.get()};
}

void append_json(std::string& out, const LatencyHistogram& histogram) {
  fmt::format_to(std::back_inserter(out), R"({{"count":{},"sum_us":{})", histogram.count(),
                 histogram.sum_us());
  for (const Quantile& quantile : quantiles) {
    fmt::format_to(std::back_inserter(out), R"(,"{}":{})", quantile.name,
                   histogram.percentile_us(quantile.percent));
  }
  out += R"(,"buckets":[)";
  const char* separator = "";
  for (std::size_t i = 0; i < LatencyHistogram::buckets; i++) {
    if (histogram.counts()[i] == 0) continue;
    fmt::format_to(std::back_inserter(out), "{}[{},{}]", separator, i, histogram.counts()[i]);
    separator = ",";
  }
  out += "]}";
}

}  // namespace inlet::health
