// Goal: the text is what a Prometheus server parses, whatever the values and labels, in the format
// it asked for.
// Method: by example, against the rules of both formats for names, escapes, bounds and infinities;
// the Accept headers that Prometheus servers send.

#include "health/prometheus.h"

#include <gtest/gtest.h>

#include <limits>

#include "health/host_figures.h"

namespace inlet::health {
namespace {

TEST(PrometheusText, writes_families_samples_and_escapes) {
  PrometheusText out;
  out.family(MetricId::records_stored);
  out.sample(std::uint64_t{18446744073709551615U});
  out.family(MetricId::sink_lag_seconds);
  out.sample(0.25, {{"sink", "a\"b\\c\nd"}});
  out.sample(std::numeric_limits<double>::infinity(), {{"sink", "x"}, {"kind", "y"}});
  out.sample(std::numeric_limits<double>::quiet_NaN());
  out.end();
  EXPECT_EQ(out.text(),
            "# HELP inlet_records_stored_total Records acknowledged.\n"
            "# TYPE inlet_records_stored_total counter\n"
            "inlet_records_stored_total 18446744073709551615\n"
            "# HELP inlet_sink_lag_seconds Age of the oldest record the sink has not got.\n"
            "# TYPE inlet_sink_lag_seconds gauge\n"
            "inlet_sink_lag_seconds{sink=\"a\\\"b\\\\c\\nd\"} 0.25\n"
            "inlet_sink_lag_seconds{sink=\"x\",kind=\"y\"} +Inf\n"
            "inlet_sink_lag_seconds NaN\n");
}

TEST(PrometheusText, openmetrics_names_counters_without_total_and_ends_with_eof) {
  PrometheusText out(Exposition::openmetrics);
  out.family(MetricId::records_stored);
  out.sample(std::uint64_t{7});
  out.family(MetricId::connections);
  out.sample(std::uint64_t{3});
  out.end();
  EXPECT_EQ(out.text(),
            "# HELP inlet_records_stored Records acknowledged.\n"
            "# TYPE inlet_records_stored counter\n"
            "inlet_records_stored_total 7\n"
            "# HELP inlet_connections Open connections.\n"
            "# TYPE inlet_connections gauge\n"
            "inlet_connections 3\n"
            "# EOF\n");
}

TEST(PrometheusText, a_histogram_counts_exactly_up_to_each_bound) {
  LatencyHistogram histogram;
  for (const Microseconds value : {1, 64, 65, 96, 97, 1000, 70'000'000}) histogram.record(value);
  PrometheusText out;
  out.family(MetricId::http_request_duration);
  out.sample(histogram, {{"node", "a"}});
  const std::string& text = out.text();
  const std::string name = "inlet_http_request_duration_seconds";
  for (const std::string& line : {
           "# TYPE " + name + " histogram\n",
           name + "_bucket{node=\"a\",le=\"0.000064\"} 2\n",
           name + "_bucket{node=\"a\",le=\"0.000096\"} 4\n",
           name + "_bucket{node=\"a\",le=\"0.000128\"} 5\n",
           name + "_bucket{node=\"a\",le=\"0.000768\"} 5\n",
           name + "_bucket{node=\"a\",le=\"0.001024\"} 6\n",
           name + "_bucket{node=\"a\",le=\"67.108864\"} 6\n",
           name + "_bucket{node=\"a\",le=\"+Inf\"} 7\n",
           name + "_sum{node=\"a\"} 70.001323\n",
           name + "_count{node=\"a\"} 7\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
  EXPECT_EQ(text.find("e-"), std::string::npos) << "no exponents";
}

TEST(PrometheusText, leaves_out_what_is_absent) {
  PrometheusText out;
  add_host(out, {});
  EXPECT_EQ(out.text(), "");
  HostFigures host;
  host.cpu = CpuShares{1, 2, 3, 4, 5, 85};
  host.process.threads = 4;
  add_host(out, host);
  EXPECT_NE(out.text().find("inlet_host_cpu_percent{mode=\"iowait\"} 5\n"), std::string::npos);
  EXPECT_NE(out.text().find("process_threads 4\n"), std::string::npos);
  EXPECT_EQ(out.text().find("load"), std::string::npos);
}

TEST(Negotiation, gives_openmetrics_to_those_who_ask_for_it) {
  const auto takes_openmetrics = [](std::string_view accept) {
    return negotiate(accept) == Exposition::openmetrics;
  };
  EXPECT_FALSE(takes_openmetrics(""));
  EXPECT_FALSE(takes_openmetrics("*/*"));
  EXPECT_FALSE(takes_openmetrics("text/html,application/xhtml+xml,*/*;q=0.8"));
  // Prometheus 2 and 3.
  EXPECT_TRUE(
      takes_openmetrics("application/openmetrics-text;version=1.0.0,"
                        "application/openmetrics-text;version=0.0.1;q=0.75,"
                        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
  EXPECT_TRUE(
      takes_openmetrics("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
                        "application/openmetrics-text;version=0.0.1;q=0.4,"
                        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,*/*;q=0.2"));
  EXPECT_TRUE(takes_openmetrics("Application/OpenMetrics-Text ; version=1.0.0 ; Q=0.9"));
  EXPECT_TRUE(takes_openmetrics("application/openmetrics-text"));
  EXPECT_FALSE(takes_openmetrics("application/openmetrics-text;version=0.0.1"));
  EXPECT_FALSE(takes_openmetrics("application/openmetrics-text;q=0.4,text/plain"));
  EXPECT_FALSE(takes_openmetrics("application/openmetrics-text;q=0"));
  EXPECT_FALSE(takes_openmetrics("application/openmetrics-text;q=x"));
  EXPECT_FALSE(takes_openmetrics(",;;,=;q=,"));
  EXPECT_EQ(content_type(Exposition::prometheus), prometheus_content_type);
  EXPECT_EQ(content_type(Exposition::openmetrics), openmetrics_content_type);
}

}  // namespace
}  // namespace inlet::health
