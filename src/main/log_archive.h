// log_archive: what `inlet-ship --logs` does: archives rotated log files until a signal ends it.
//
// SIGTERM: archive all there is within flush_deadline, then end. SIGINT or SIGHUP: end after the
// step in hand; what is left waits in log.directory for the next start.

#pragma once

#include <memory>

#include "base/file.h"
#include "base/time.h"
#include "main/config.h"
#include "sinks/log_store.h"

namespace inlet::main {

// config.log.archive is set.
[[nodiscard]] std::unique_ptr<sinks::LogStore> make_log_store(FileSystem& files, Clock& clock,
                                                              const LogConfig& log);

// Returns the exit code. The caller has blocked SIGTERM, SIGINT and SIGHUP. `drain`: to end when
// everything is archived.
int archive_logs(FileSystem& files, const Config& config, bool drain);

}  // namespace inlet::main
