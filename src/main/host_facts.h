// host_facts: what this machine, or the container we are in, gives us to work with.
//
// Defaults depend on it (config.h). It is read once and passed in, so that tests can set it.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"

namespace inlet::main {

struct HostFacts {
  std::string host_name;
  std::uint32_t cores = 1;  // That we may run on, and that the control group pays for.
  std::optional<std::uint64_t> memory_limit_bytes;  // Of our control group, if it has one.
  std::uint64_t descriptors_max = 1024;             // Open files this process may have.
};

[[nodiscard]] HostFacts read_host_facts(FileSystem& files);

// The parts of it that parse what the kernel shows, for both versions of control groups.
// "max" and v1's huge number both mean no limit.
[[nodiscard]] std::optional<std::uint64_t> parse_memory_limit(std::string_view text);
// cpu.max: "150000 100000" is 2 cores; empty for "max 100000".
[[nodiscard]] std::optional<std::uint32_t> parse_cpu_limit(std::string_view text);

// The host name made a valid name (base/names.h): lower case, anything else a '-'.
[[nodiscard]] std::string node_name(std::string_view host_name);

}  // namespace inlet::main
