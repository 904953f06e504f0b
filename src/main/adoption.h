// adoption: the data directory of a node that is gone, with sinks of the present configuration.
//
// Ids and object names stay those that the other node gave, so a batch it had begun is repeated
// under the same name and replaces its own work.
//
// Any thread.

#pragma once

#include <string>

#include "base/file.h"
#include "main/config.h"

namespace inlet::main {

// `config` with the journal, dead letters and name of `directory`. ErrorKind::reject if that is no
// data directory.
[[nodiscard]] Result<Config> config_for(FileSystem& files, const std::string& directory,
                                        Config config);

}  // namespace inlet::main
