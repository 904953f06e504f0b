#include "main/cloudwatch_command.h"

#include <fmt/format.h>

#include <csignal>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/log.h"
#include "main/cli.h"
#include "main/sandbox.h"
#include "main/supervisor.h"

namespace inlet::main {
namespace {

// Where a process on this machine reaches a listener.
std::string reachable(Address address) {
  if (address.host == "0.0.0.0") address.host = "127.0.0.1";
  if (address.host == "::") address.host = "::1";
  return address.text();
}

void listen_to_signals(const std::stop_token& stop, ship::CloudWatch& reporter) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  bool flushing = false;
  while (true) {
    int signal = 0;
    const int failed = ::sigwait(&set, &signal);
    if (stop.stop_requested()) return;
    if (failed != 0) continue;
    log_info("cloudwatch", "signal", {{"signal", signal}});
    if (signal == SIGTERM && !std::exchange(flushing, true)) {
      reporter.flush();
    } else {
      reporter.stop();
    }
  }
}

}  // namespace

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

int report_to_cloudwatch(const Config& config) {
  if (!config.server.admin || config.server.admin->port == 0) {
    return report_mistake(
        "cloudwatch.put needs server.admin with a port of its own: the figures are asked of it");
  }
  enter_sandbox(ProcessKind::ship, sandbox_options());
  SystemClock clock;
  ship::CloudWatch reporter(
      clock, cloudwatch_options(config, static_cast<std::uint64_t>(clock.wall_us())));
  std::jthread ear(listen_to_signals, std::ref(reporter));
  reporter.run();
  ear.request_stop();
  ::pthread_kill(ear.native_handle(), SIGHUP);
  ear.join();
  return exit_fine;  // What was not sent is figures, not records.
}

}  // namespace inlet::main
