// ship_again: what inlet-ship does beside the running shipper: redrive dead letters, replay a range
// of the journal. Both show a progress bar and stop in order on SIGINT and SIGTERM.

#pragma once

#include <string>

#include "base/file.h"
#include "main/config.h"

namespace inlet::main {

// Each returns an exit code; exit_left_behind if something was not delivered.
int redrive_letters(FileSystem& files, const Config& config, const SinkConfig& sink, bool progress);

// `from` and `to`: a time (RFC 3339) or how long ago ("2h"); `to` empty: now.
int replay_range(FileSystem& files, const Config& config, const SinkConfig& sink,
                 const std::string& from, const std::string& to, bool progress);

}  // namespace inlet::main
