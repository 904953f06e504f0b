// sink_factory: the sink a configuration describes. Only inlet-ship contains it.

#pragma once

#include <memory>
#include <string>

#include "base/file.h"
#include "base/result.h"
#include "base/time.h"
#include "main/config.h"
#include "sinks/sink.h"

namespace inlet::main {

// `run` sets a sink for work beside the shipper's apart where the destination knows its clients by
// name ("" for the shipper). ErrorKind::reject for values that only the sink can judge.
[[nodiscard]] Result<std::unique_ptr<sinks::Sink>> make_sink(FileSystem& files, Clock& clock,
                                                             const Config& config,
                                                             const SinkConfig& sink,
                                                             const std::string& run);

}  // namespace inlet::main
