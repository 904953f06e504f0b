// The program `inlet-ship SINK`: delivers the journal to one sink until told to end;
// `inlet-ship --cloudwatch`: reports to CloudWatch; `inlet-ship --logs`: archives log files.
//
// SIGTERM: deliver what is committed within flush_deadline, then exit; SIGINT or SIGHUP: exit after
// the step in hand, the cursor says where to go on. Signals are blocked from the start, so one that
// comes early is kept until it can be obeyed.

#include <fmt/format.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/posix_file.h"
#include "main/adoption.h"
#include "main/backlog.h"
#include "main/cli.h"
#include "main/cloudwatch_command.h"
#include "main/log_archive.h"
#include "main/log_config.h"
#include "main/process.h"
#include "main/sandbox.h"
#include "main/ship_again.h"
#include "main/ship_signals.h"
#include "main/sink_factory.h"
#include "main/values.h"
#include "ship/ship_service.h"

namespace inlet::main {
namespace {

constexpr Microseconds adoption_us = 10LL * 365 * 24 * 3600 * 1'000'000;  // However long it takes.
constexpr Microseconds replica_poll_us = 1'000;  // Clients wait for this sink.

ship::ShipServiceOptions service_options(Clock& clock, const Config& config,
                                         const SinkConfig& sink) {
  ship::ShipServiceOptions options;
  options.journal_directory = config.journal.path;
  options.dead_directory = config.data + "/dead";
  options.dead_bytes_max = sink.dead_bytes_max;
  options.flush_deadline_us = config.server.flush_deadline_us;
  options.shipper.sink = sink.name;
  options.shipper.node = config.node.name;
  options.shipper.streams = sink.streams;
  if (sink.replica) options.shipper.poll_us = replica_poll_us;
  options.shipper.batch = {.batch_bytes = sink.batch_bytes,
                           .batch_records = sink.batch_records,
                           .batch_age_us = sink.batch_age_us};
  options.shipper.seed = static_cast<std::uint64_t>(clock.wall_us());
  return options;
}

// `drain`: whether to end when everything committed is delivered.
int deliver(FileSystem& files, const Config& config, const SinkConfig& sink, bool drain) {
  SystemClock clock;
  const auto process_log =
      open_process_log(files, clock, config.log, "ship-" + sink.name, logs::Writer::own_thread);
  enter_sandbox(ProcessKind::ship, sandbox_options());
  if (process_log) process_log->start();
  const auto destination = make_sink(files, clock, config, sink, "");
  if (!destination) return report_mistake(destination.error().what);
  auto service =
      ship::ShipService::start(files, clock, **destination, service_options(clock, config, sink));
  if (!service) return report_fault(service.error());
  if (drain) (*service)->flush();
  {
    const ShipSignals ear([&] { (*service)->flush(); }, [&] { (*service)->stop(); });
    (*service)->run();
  }
  // Asked of the files, not of the service: it is stopped perhaps before it has read the journal.
  const auto backlog = read_backlog(files, config.journal.path, sink.name);
  if (!backlog) return report_fault(backlog.error());
  return backlog->records() == 0 ? exit_fine : exit_left_behind;
}

int ship(int argc, char** argv) {
  protect_files_and_memory(sandbox_options());
  CLI::App app("Delivers the journal to one sink. SIGTERM delivers what is committed and ends.",
               "inlet ship");
  CommonFlags flags;
  std::string name;
  bool drain = false;
  bool redrive = false;
  bool progress = false;
  bool cloudwatch = false;
  bool logs = false;
  std::string replay_from;
  std::string replay_to;
  std::string adopted;
  add_common_flags(app, flags);
  app.add_option("SINK", name, "name of the sink");
  app.add_flag("--cloudwatch", cloudwatch, "report to CloudWatch instead, see [cloudwatch]");
  app.add_flag("--logs", logs, "archive rotated log files instead, see [log]");
  app.add_flag("--drain", drain, "deliver what is committed within flush_deadline, then exit");
  app.add_flag("--redrive", redrive, "send the sink's dead letters to it again, then exit");
  app.add_option("--replay-from", replay_from, "deliver again what came since then, then exit");
  app.add_option("--replay-to", replay_to, "and before then (default: now)");
  app.add_option("--adopt", adopted, "")->group("");  // For inlet adopt: in no help.
  app.add_flag("--progress", progress, "a line a second, even if not on a terminal");
  if (const auto code = parse(app, argc, argv)) return *code;

  PosixFileSystem files;
  auto config = require_config(files, flags);
  if (!config) return exit_mistake;
  if (cloudwatch) return report_to_cloudwatch(files, *config);
  if (logs) return archive_logs(files, *config, drain);
  if (name.empty()) return report_mistake("SINK is required");
  if (!adopted.empty()) {
    auto theirs = config_for(files, adopted, std::move(*config));
    if (!theirs) return report_mistake(theirs.error().what);
    config = std::move(*theirs);
    config->server.flush_deadline_us = adoption_us;
  }
  std::vector<std::string_view> names;
  for (const SinkConfig& sink : config->sinks) names.push_back(sink.name);
  const auto sink = std::ranges::find(config->sinks, name, &SinkConfig::name);
  if (sink == config->sinks.end()) {
    return report_mistake(fmt::format("no sink is called {}{}", name, suggestion(name, names)));
  }
  if (redrive) return redrive_letters(files, *config, *sink, progress);
  if (!replay_from.empty()) {
    return replay_range(files, *config, *sink, replay_from, replay_to, progress);
  }
  return deliver(files, *config, *sink, drain);
}

}  // namespace
}  // namespace inlet::main

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);       // A destination that hangs up is an error to handle.
  ::prctl(PR_SET_NAME, "inlet-ship");  // Started by way of /proc, it would be called otherwise.
  inlet::main::hold_signals();
  return inlet::main::ship(argc, argv);
}
