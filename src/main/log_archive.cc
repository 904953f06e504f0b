#include "main/log_archive.h"

#include <csignal>
#include <functional>
#include <thread>

#include "main/cli.h"
#include "main/log_config.h"
#include "main/sandbox.h"
#include "main/ship_signals.h"
#include "ship/log_archive.h"

namespace inlet::main {

std::unique_ptr<sinks::LogStore> make_log_store(FileSystem& files, Clock& clock,
                                                const LogConfig& log) {
  const LogPlace place = log_place(log.archive);
  if (place.bucket.empty()) return std::make_unique<sinks::DirectoryLogStore>(files, place.path);
  sinks::S3LogStoreOptions options;
  options.bucket.name = place.bucket;
  options.bucket.prefix = place.prefix;
  options.bucket.endpoint = log.archive_endpoint;
  options.aws.region = log.archive_region;
  options.aws.fetch.ca_file = log.archive_ca_file;
  return std::make_unique<sinks::S3LogStore>(clock, std::move(options));
}

int archive_logs(FileSystem& files, const Config& config, bool drain) {
  if (config.log.archive.empty()) return report_mistake("no archive of logs is configured");
  SystemClock clock;
  const auto process_log =
      open_process_log(files, clock, config.log, "logs", logs::Writer::own_thread);
  enter_sandbox(ProcessKind::ship, sandbox_options());
  process_log->start();
  const auto store = make_log_store(files, clock, config.log);
  auto archive = ship::LogArchive::open(files, clock, *store,
                                        {.directory = config.log.directory,
                                         .node = config.node.name,
                                         .own = "logs",
                                         .flush_deadline_us = config.server.flush_deadline_us,
                                         .seed = static_cast<std::uint64_t>(clock.wall_us())});
  if (!archive) return report_fault(archive.error());
  if (drain) (*archive)->flush();
  ship::LogArchiveFigures left;
  {
    const ShipSignals ear([&] { (*archive)->flush(); }, [&] { (*archive)->stop(); });
    left = (*archive)->run();
  }
  return left.waiting_files == 0 ? exit_fine : exit_left_behind;
}

}  // namespace inlet::main
