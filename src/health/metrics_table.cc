#include "health/metrics_table.h"

#include <fmt/format.h>

#include "health/status_rules.h"

namespace inlet::health {

std::string_view name_of(MetricType type) {
  constexpr std::string_view names[] = {"counter", "gauge", "histogram"};
  return names[static_cast<std::size_t>(type)];
}

std::string metrics_markdown() {
  std::string out =
      "# Metrics\n\n"
      "`GET /metrics` on the admin listener, as Prometheus text or, where asked for, OpenMetrics.\n"
      "This page is written from `src/health/metrics_table.h` by `./dev format`. Histograms have\n"
      "bounds at every power of two microseconds and half-way between, so those of several nodes\n"
      "may be added.\n\n"
      "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n";
  for (const Metric& row : metrics_table) {
    fmt::format_to(std::back_inserter(out), "| `{}` | {} | {} | {} | {} |\n", row.name,
                   name_of(row.type), row.unit, row.labels, row.help);
  }
  out +=
      "\n## Status\n\n"
      "`inlet_health_level`, `/status.json`, the dashboard and `inlet top` say Ok, Info, Warning,\n"
      "Degraded or Severe, and why. The levels are those of Elastic Beanstalk's enhanced health;\n"
      "AWS publishes no thresholds for them, these are ours (`src/health/status_rules.cc`). A\n"
      "client that sends nonsense never makes a node worse than Info.\n\n";
  return out + rules_markdown();
}

}  // namespace inlet::health
