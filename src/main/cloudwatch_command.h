// cloudwatch_command: what `inlet-ship --cloudwatch` does: the reports of ship/cloudwatch.h, until
// a signal ends them.
//
// SIGTERM: the node is leaving, report to its end. SIGINT or SIGHUP: report once more and end.

#pragma once

#include <cstdint>

#include "main/config.h"
#include "ship/cloudwatch.h"

namespace inlet::main {

// config.server.admin is set.
[[nodiscard]] ship::CloudWatchOptions cloudwatch_options(const Config& config, std::uint64_t seed);

// Returns the exit code. The caller has blocked SIGTERM, SIGINT and SIGHUP.
int report_to_cloudwatch(FileSystem& files, const Config& config);

}  // namespace inlet::main
