// cloudwatch_status: what a node says of itself in /status.json, as far as CloudWatch is told it.
//
// Pure; any thread.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "health/cloud_metrics.h"
#include "health/host_figures.h"
#include "health/status_rules.h"
#include "health/totals.h"

namespace inlet::ship {

struct NodeStatus {
  double uptime_s = 0;
  bool draining = false;
  health::Totals totals;  // Since the node started.
  health::Level level = health::Level::ok;
  health::HostFigures host;
  double journal_used_percent = 0;
  std::optional<double> journal_full_in_s;
  std::vector<health::SinkLag> sinks;
};

inline constexpr std::size_t status_sinks_max = 1000;  // More are not looked at.

// ErrorKind::corrupt for anything but such a document.
[[nodiscard]] Result<NodeStatus> read_node_status(std::string_view json);

}  // namespace inlet::ship
