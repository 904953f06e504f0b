#include "main/supervision.h"

#include <sys/wait.h>

#include "main/cli.h"

namespace inlet::main {
namespace {

const SinkConfig* find_sink(const Config& config, const std::string& name) {
  const auto found = std::ranges::find(config.sinks, name, &SinkConfig::name);
  return found == config.sinks.end() ? nullptr : &*found;
}

// What a process sees of [log] that does not archive.
LogConfig without_archive(LogConfig log) {
  log.archive.clear();
  log.archive_region.clear();
  log.archive_endpoint.clear();
  log.archive_ca_file.clear();
  return log;
}

// What serve sees of a configuration: of sinks only their names, by which it finds the cursors, and
// which streams they take.
Config serve_view(Config config) {
  std::vector<SinkConfig> seen(config.sinks.size());
  for (std::size_t i = 0; i < seen.size(); i++) {
    seen[i].name = config.sinks[i].name;
    seen[i].replica = config.sinks[i].replica;
    seen[i].streams = config.sinks[i].streams;
  }
  config.sinks = std::move(seen);
  config.cloudwatch.put = false;
  config.cloudwatch.region.clear();
  config.cloudwatch.endpoint.clear();
  config.log = without_archive(std::move(config.log));
  return config;
}

// What every ship sees beside its own sink.
Config ship_view(const Config& config) {
  Config view;
  view.data = config.data;
  view.node = config.node;
  view.server.flush_deadline_us = config.server.flush_deadline_us;
  view.journal = config.journal;
  view.streams = config.streams;
  view.log = without_archive(config.log);
  return view;
}

Config archive_view(const Config& config) {
  Config view;
  view.node = config.node;
  view.server.flush_deadline_us = config.server.flush_deadline_us;
  view.log = config.log;
  return view;
}

Change plan_logs(const Config& before, const Config& after) {
  if (before.log.archive.empty() != after.log.archive.empty()) {
    return before.log.archive.empty() ? Change::start : Change::stop;
  }
  const bool changed = archive_view(before) != archive_view(after);
  return changed && !after.log.archive.empty() ? Change::restart : Change::none;
}

// What the process sees that reports to CloudWatch.
Config report_view(const Config& config) {
  Config view;
  if (!config.cloudwatch.put) return view;
  view.cloudwatch = config.cloudwatch;
  view.node = config.node;
  view.server.admin = config.server.admin;
  view.server.drain_delay_us = config.server.drain_delay_us;
  view.log = without_archive(config.log);
  return view;
}

}  // namespace

Ending classify_status(int wait_status) {
  if (!WIFEXITED(wait_status)) return Ending::fault;
  if (WEXITSTATUS(wait_status) == exit_fine) return Ending::fine;
  return WEXITSTATUS(wait_status) == exit_left_behind ? Ending::left_behind : Ending::fault;
}

Next after_exit(const Exit& exit) {
  if (exit.phase == Phase::stopping || exit.intent == Intent::stop) return Next::gone;
  const bool sends = exit.role == Role::ship || exit.role == Role::logs;
  if (!sends && exit.phase != Phase::running) return Next::gone;
  if (exit.intent == Intent::restart) return Next::start_now;
  if (exit.phase == Phase::logs_draining && exit.ending != Ending::fault) return Next::gone;
  if (exit.role == Role::logs) return Next::start_later;
  if (exit.phase == Phase::ships_draining && exit.ending != Ending::fault) return Next::gone;
  if (exit.phase == Phase::emptying && exit.ending == Ending::fine) return Next::gone;
  return Next::start_later;
}

std::string_view name_of(Phase phase) {
  switch (phase) {
    case Phase::running: return "running";
    case Phase::serve_draining: return "draining";
    case Phase::ships_draining: return "delivering";
    case Phase::emptying: return "emptying";
    case Phase::logs_draining: return "archiving";
    case Phase::stopping: return "stopping";
  }
  std::unreachable();
}

Reload plan_reload(const Config& before, const Config& after) {
  Reload reload;
  if (before.data != after.data || before.journal.path != after.journal.path) {
    reload.refusal = "journal.path cannot change while records wait in " + before.journal.path +
                     "; stop inlet and start it again";
    return reload;
  }
  if (before.log.directory != after.log.directory) {
    reload.refusal =
        "log.directory cannot change while it is written to; stop inlet and start it again";
    return reload;
  }
  reload.serve = serve_view(before) != serve_view(after);
  reload.ingest_listener = before.server.listen != after.server.listen;
  reload.admin_listener = before.server.admin != after.server.admin;
  reload.report = report_view(before) != report_view(after);
  const bool shared_changed = ship_view(before) != ship_view(after);
  for (const SinkConfig& sink : after.sinks) {
    const SinkConfig* const old = find_sink(before, sink.name);
    if (old == nullptr) {
      reload.start.push_back(sink.name);
    } else if (shared_changed || *old != sink) {
      reload.restart.push_back(sink.name);
    }
  }
  for (const SinkConfig& sink : before.sinks) {
    if (find_sink(after, sink.name) == nullptr) reload.stop.push_back(sink.name);
  }
  reload.logs = plan_logs(before, after);
  return reload;
}

}  // namespace inlet::main
