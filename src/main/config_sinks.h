// config_sinks: what must be true of a sink's values together, whatever its type.
//
// Says what would go wrong before anything is started: a missing bucket, a template with a hole, a
// level the compression does not have, two archives in one another.
//
// Pure; any thread.

#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "main/config.h"

namespace inlet::main {

// Tells `wrong` each mistake in `sink`: the key it is in, and the end of a sentence about it.
void check_sink_values(const SinkConfig& sink, const Config& config,
                       const std::function<void(std::string_view, const std::string&)>& wrong);

}  // namespace inlet::main
