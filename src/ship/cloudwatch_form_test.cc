// Goal: a request is spelled as the Query protocol wants it, whatever is in its names, and never
// grows beyond what the service takes.
// Method: a form taken apart again; the largest request there can be.

#include "ship/cloudwatch_form.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

namespace inlet::ship {
namespace {

constexpr Microseconds at_us = 1'763'892'030'000'000;  // 2025-11-23T10:00:30Z

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] == '%') {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::map<std::string, std::string> fields_of(std::string_view form) {
  std::map<std::string, std::string> out;
  while (!form.empty()) {
    const std::string_view pair = form.substr(0, form.find('&'));
    form.remove_prefix(std::min(form.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    EXPECT_TRUE(
        out.emplace(decoded(pair.substr(0, equals)), decoded(pair.substr(equals + 1))).second)
        << pair;
  }
  return out;
}

TEST(PutMetricDataForm, says_all_of_a_request) {
  const health::PutMetricDataRequest request{
      .metric_namespace = "Inlet/Größe & Co",
      .timestamp_us = at_us,
      .metrics = {{"Requests", "Count", {}, {{42}, {1}, 42}, 60},
                  {"Latency",
                   "Seconds",
                   {{"Environment", "prod=1"}, {"Node", "a"}},
                   {{0.001, 0.25}, {7, 1}, 0.257},
                   1}}};
  std::map<std::string, std::string> expected = {
      {"Action", "PutMetricData"}, {"Version", "2010-08-01"}, {"Namespace", "Inlet/Größe & Co"}};
  const auto of = [&](int member, std::string_view key, std::string_view value) {
    expected[fmt::format("MetricData.member.{}.{}", member, key)] = value;
  };
  for (const int member : {1, 2}) of(member, "Timestamp", "2025-11-23T10:00:30.000000Z");
  of(1, "MetricName", "Requests");
  of(1, "Unit", "Count");
  of(1, "StorageResolution", "60");
  of(1, "Value", "42");
  of(2, "MetricName", "Latency");
  of(2, "Unit", "Seconds");
  of(2, "StorageResolution", "1");
  of(2, "Dimensions.member.1.Name", "Environment");
  of(2, "Dimensions.member.1.Value", "prod=1");
  of(2, "Dimensions.member.2.Name", "Node");
  of(2, "Dimensions.member.2.Value", "a");
  of(2, "Values.member.1", "0.001");
  of(2, "Counts.member.1", "7");
  of(2, "Values.member.2", "0.25");
  of(2, "Counts.member.2", "1");
  EXPECT_EQ(fields_of(put_metric_data_form(request)), expected);
}

TEST(PutMetricDataForm, gives_one_value_that_came_often_its_count) {
  const health::PutMetricDataRequest request{
      .metric_namespace = "Inlet",
      .timestamp_us = at_us,
      .metrics = {{"Latency", "Seconds", {}, {{0.5}, {3}, 1.5}, 60}}};
  auto fields = fields_of(put_metric_data_form(request));
  EXPECT_EQ(fields["MetricData.member.1.Values.member.1"], "0.5");
  EXPECT_EQ(fields["MetricData.member.1.Counts.member.1"], "3");
  EXPECT_FALSE(fields.contains("MetricData.member.1.Value"));
}

TEST(PutMetricDataForm, stays_below_what_the_service_takes) {
  health::Interval period{.length_us = 60'000'000};
  for (Microseconds i = 1; i < 60'000; i++) {
    period.totals.request_latency.record(i * i);
    period.totals.commit_latency.record(i * 7);
  }
  const health::HostFigures host;
  health::CloudFigures figures{.period = period, .host = host};
  for (int i = 0; i < 1000; i++) {
    figures.sinks.push_back({fmt::format("{:ü>32}{}", "", i), 1.0 / (i + 3), UINT64_MAX});
  }
  const health::EmfOptions options{.metric_namespace = "Inlet",
                                   .environment = std::string(255, '%'),
                                   .node = std::string(64, 'n'),
                                   .per_sink = true};
  const auto requests = put_metric_data(options, figures, at_us);
  ASSERT_GT(requests.size(), 1u);
  for (const auto& request : requests) {
    EXPECT_LT(put_metric_data_form(request).size(), health::put_request_bytes_max);
  }
}

}  // namespace
}  // namespace inlet::ship
