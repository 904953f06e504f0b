// Goal: the text is what a Prometheus server parses, whatever the values and labels.
// Method: by example, against the exposition format's rules for escapes and infinities.

#include "health/prometheus.h"

#include <gtest/gtest.h>

#include <limits>

namespace inlet::health {
namespace {

TEST(PrometheusText, writes_families_samples_and_escapes) {
  PrometheusText out;
  out.counter("inlet_records_total", "Records stored.");
  out.sample(std::uint64_t{18446744073709551615U});
  out.gauge("inlet_lag_seconds", "Age of the oldest record not delivered.");
  out.sample(0.25, {{"sink", "a\"b\\c\nd"}});
  out.sample(std::numeric_limits<double>::infinity(), {{"sink", "x"}, {"kind", "y"}});
  EXPECT_EQ(out.text(),
            "# HELP inlet_records_total Records stored.\n"
            "# TYPE inlet_records_total counter\n"
            "inlet_records_total 18446744073709551615\n"
            "# HELP inlet_lag_seconds Age of the oldest record not delivered.\n"
            "# TYPE inlet_lag_seconds gauge\n"
            "inlet_lag_seconds{sink=\"a\\\"b\\\\c\\nd\"} 0.25\n"
            "inlet_lag_seconds{sink=\"x\",kind=\"y\"} +Inf\n");
}

}  // namespace
}  // namespace inlet::health
