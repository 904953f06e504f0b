#include "main/cloudwatch_command.h"

#include <fmt/format.h>

#include "main/cli.h"
#include "main/log_config.h"
#include "main/sandbox.h"
#include "main/ship_signals.h"
#include "main/supervisor.h"
#include "main/values.h"

namespace inlet::main {

ship::CloudWatchOptions cloudwatch_options(const Config& config, std::uint64_t seed) {
  const CloudwatchConfig& from = config.cloudwatch;
  ship::CloudWatchOptions options;
  options.status_url = fmt::format("http://{}/status.json", reachable(*config.server.admin));
  options.report = {.what = {.metric_namespace = from.metric_namespace,
                             .environment = from.environment,
                             .node = config.node.name,
                             .per_node = from.per_node,
                             .per_sink = from.per_sink,
                             .high_resolution = from.high_resolution},
                    .period_us = from.period_us,
                    .seed = seed};
  options.endpoint = from.endpoint;
  options.aws.region = from.region;
  options.leave_deadline_us = config.server.drain_delay_us + serve_grace_us;
  return options;
}

int report_to_cloudwatch(FileSystem& files, const Config& config) {
  if (!config.server.admin || config.server.admin->port == 0) {
    return report_mistake(
        "cloudwatch.put needs server.admin with a port of its own: the figures are asked of it");
  }
  SystemClock clock;
  const auto process_log =
      open_process_log(files, clock, config.log, "cloudwatch", logs::Writer::own_thread);
  enter_sandbox(ProcessKind::ship, sandbox_options());
  if (process_log) process_log->start();
  ship::CloudWatch reporter(
      clock, cloudwatch_options(config, static_cast<std::uint64_t>(clock.wall_us())));
  const ShipSignals ear([&] { reporter.flush(); }, [&] { reporter.stop(); });
  reporter.run();
  return exit_fine;  // What was not sent is figures, not records.
}

}  // namespace inlet::main
