// metrics: what /metrics says of a node: every figure of health/metrics_table.h.
//
// Series per tenant are bounded: the busiest by name, the others summed (tenants.h).
//
// Any thread.

#pragma once

#include <string>

#include "health/prometheus.h"
#include "serve/status.h"

namespace inlet::serve {

[[nodiscard]] std::string metrics_text(const NodeView& node, health::Exposition format);

}  // namespace inlet::serve
