// proc_text: what Linux's /proc and control groups say, parsed.
//
// Pure; any thread. Empty means: the text is not what the kernel writes, or does not say.
// Formats: proc(5), and "Control Group v2" of the kernel's documentation.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace inlet::health {

struct LoadAverage {
  double one, five, fifteen;  // Minutes.
};
[[nodiscard]] std::optional<LoadAverage> parse_loadavg(std::string_view text);

// Clock ticks since boot, of all processors. Guests' time is in user and nice already.
struct CpuTicks {
  std::uint64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0,
                steal = 0;
  [[nodiscard]] std::uint64_t total() const {
    return user + nice + system + idle + iowait + irq + softirq + steal;
  }
};
struct Stat {
  CpuTicks ticks;
  std::optional<std::uint64_t> boot_s;  // Since 1970.
};
[[nodiscard]] std::optional<Stat> parse_stat(std::string_view text);

// Percent of all processors' time; system holds interrupts, and all five and steal make 100.
struct CpuShares {
  double user, nice, system, idle, iowait, steal;
};
// Empty if no tick passed.
[[nodiscard]] std::optional<CpuShares> cpu_between(const CpuTicks& earlier, const CpuTicks& later);

struct Memory {
  std::uint64_t total_bytes;
  std::uint64_t available_bytes;
};
// Kernels before 3.14 have no MemAvailable: then free, buffers and cache.
[[nodiscard]] std::optional<Memory> parse_meminfo(std::string_view text);

struct Traffic {
  std::uint64_t in_bytes;
  std::uint64_t out_bytes;
};
// Sums over all interfaces but lo.
[[nodiscard]] std::optional<Traffic> parse_net_dev(std::string_view text);

struct ProcessStat {
  std::uint64_t cpu_ticks;  // User and system.
  std::uint64_t threads;
  std::uint64_t start_ticks;  // After boot.
  std::uint64_t virtual_bytes;
  std::uint64_t resident_pages;
};
// /proc/self/stat; the name in parentheses may hold anything.
[[nodiscard]] std::optional<ProcessStat> parse_process_stat(std::string_view text);

// The soft limit on open files in /proc/self/limits; empty for "unlimited".
[[nodiscard]] std::optional<std::uint64_t> parse_open_files_limit(std::string_view text);

// Our group under version 2 in /proc/self/cgroup: "/" in most containers.
[[nodiscard]] std::optional<std::string> parse_cgroup(std::string_view text);
// memory.max, memory.current; empty for "max".
[[nodiscard]] std::optional<std::uint64_t> parse_bytes(std::string_view text);
// The value of one key in memory.stat.
[[nodiscard]] std::optional<std::uint64_t> parse_keyed(std::string_view text, std::string_view key);
// cpu.max in processors: "150000 100000" is 1.5; empty for "max 100000".
[[nodiscard]] std::optional<double> parse_cpu_max(std::string_view text);

}  // namespace inlet::health
