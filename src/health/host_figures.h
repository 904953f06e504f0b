// host_figures: how the machine, the container and this process are doing.
//
// What cannot be read is absent, never an error: other kernels, other containers and tight
// sandboxes are no reason to stop.
//
// One thread: the CPU's shares are between one look and the next.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.h"
#include "health/proc_text.h"

namespace inlet::health {

struct ProcessFigures {
  std::optional<double> cpu_seconds;
  std::optional<double> start_s;  // Since 1970.
  std::optional<std::uint64_t> resident_bytes;
  std::optional<std::uint64_t> virtual_bytes;
  std::optional<std::uint64_t> threads;
  std::optional<std::uint64_t> open_descriptors;
  std::optional<std::uint64_t> descriptors_max;
};

struct HostFigures {
  std::optional<LoadAverage> load;
  std::optional<CpuShares> cpu;  // Since the look before.
  std::optional<Memory> memory;
  std::optional<Traffic> network;  // Since boot.
  std::optional<Space> disk;       // Of the file system that holds the journal.
  // Of our control group, if it has limits. Used: without pages of files that could be dropped.
  std::optional<std::uint64_t> group_memory_max_bytes;
  std::optional<std::uint64_t> group_memory_used_bytes;
  std::optional<double> group_cpus;
  ProcessFigures process;

  // Percent of the group's memory if that is limited, else of the machine's.
  [[nodiscard]] std::optional<double> memory_used_percent() const;
  [[nodiscard]] std::optional<double> disk_used_percent() const;
};

struct HostPaths {
  std::string disk = ".";  // Any path on the file system to look at.
  std::string proc = "/proc";
  std::string cgroup = "/sys/fs/cgroup";
};

class HostReader {
 public:
  HostReader(FileSystem& files, HostPaths paths) : files_(files), paths_(std::move(paths)) {}

  // A dozen small reads, some 0.2 ms: once a second is fine, an event loop is not the place.
  [[nodiscard]] HostFigures look();

 private:
  [[nodiscard]] std::string text_of(const std::string& path);
  [[nodiscard]] ProcessFigures process(std::optional<std::uint64_t> boot_s);
  [[nodiscard]] std::optional<std::uint64_t> open_descriptors(const std::string& path);
  void look_at_group(HostFigures& out);

  FileSystem& files_;
  const HostPaths paths_;
  std::optional<CpuTicks> before_;
  std::optional<std::uint64_t> listed_;  // Open descriptors, if they had to be listed.
  int looks_since_listed_ = 0;
};

inline constexpr std::size_t proc_text_bytes_max = 64U << 10;  // Of one file; the rest is ignored.

}  // namespace inlet::health
