#include "ship/cloudwatch_form.h"

#include <fmt/format.h>

#include "aws/text.h"
#include "sinks/text.h"

namespace inlet::ship {
namespace {

void add(std::string& out, std::string_view key, std::string_view value) {
  fmt::format_to(std::back_inserter(out), "&{}={}", key, aws::percent_encode(value));
}

void append_datum(std::string& out, const health::MetricDatum& datum, std::size_t number,
                  std::string_view time) {
  const std::string member = fmt::format("MetricData.member.{}", number);
  add(out, member + ".MetricName", datum.name);
  add(out, member + ".Unit", datum.unit);
  add(out, member + ".Timestamp", time);
  add(out, member + ".StorageResolution", std::to_string(datum.storage_resolution));
  for (std::size_t i = 0; i < datum.dimensions.size(); i++) {
    const std::string dimension = fmt::format("{}.Dimensions.member.{}", member, i + 1);
    add(out, dimension + ".Name", datum.dimensions[i].first);
    add(out, dimension + ".Value", datum.dimensions[i].second);
  }
  const health::CloudValues& values = datum.values;
  if (values.count() == 1) {
    add(out, member + ".Value", fmt::format("{}", values.values[0]));
    return;
  }
  for (std::size_t i = 0; i < values.values.size(); i++) {
    add(out, fmt::format("{}.Values.member.{}", member, i + 1),
        fmt::format("{}", values.values[i]));
    add(out, fmt::format("{}.Counts.member.{}", member, i + 1),
        fmt::format("{}", values.counts[i]));
  }
}

}  // namespace

std::string put_metric_data_form(const health::PutMetricDataRequest& request) {
  std::string out = "Action=PutMetricData&Version=2010-08-01";
  add(out, "Namespace", request.metric_namespace);
  std::string time;
  sinks::append_rfc3339(time, request.timestamp_us);
  for (std::size_t i = 0; i < request.metrics.size(); i++) {
    append_datum(out, request.metrics[i], i + 1, time);
  }
  return out;
}

}  // namespace inlet::ship
