// cloudwatch_form: a PutMetricData request as CloudWatch's Query protocol writes it.
//
// Of the protocols the service speaks, the one that every server which speaks like it knows too.
// "PutMetricData" and "MetricDatum" of the CloudWatch API Reference.
//
// Pure; any thread.

#pragma once

#include <string>
#include <string_view>

#include "health/put_metric_data.h"

namespace inlet::ship {

inline constexpr std::string_view cloudwatch_form_type =
    "application/x-www-form-urlencoded; charset=utf-8";

// At most health::put_request_bytes_max long.
[[nodiscard]] std::string put_metric_data_form(const health::PutMetricDataRequest& request);

}  // namespace inlet::ship
