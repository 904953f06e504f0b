// file_name: what log files are called, and in which order they were written.
//
//   PROCESS.log                           open: one process writes it, and holds PROCESS.lock
//   PROCESS-20261123T215500.123456Z.log   rotated at that time (UTC): final, to be shipped
//
// PROCESS is run, serve, access, logs or ship-SINK: [a-z0-9][a-z0-9_.-]*. It has no upper case, so
// the two kinds of names never meet, and a rotated one has one meaning.
//
// Pure; any thread.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace inlet::logs {

inline constexpr std::size_t process_name_bytes_max = 80;

[[nodiscard]] bool is_process_name(std::string_view text);

[[nodiscard]] std::string open_log_name(std::string_view process);
[[nodiscard]] std::string lock_name(std::string_view process);
// The process of "PROCESS.log"; empty for any other name.
[[nodiscard]] std::optional<std::string> parse_open_log(std::string_view name);

struct RotatedLog {
  std::string process;
  Microseconds at_us = 0;  // When it was rotated; years 1970 to 9999.

  bool operator==(const RotatedLog&) const = default;
  [[nodiscard]] std::string name() const;
};
// Empty if RotatedLog::name() does not make such names.
[[nodiscard]] std::optional<RotatedLog> parse_rotated_log(std::string_view name);

// The rotated logs among the names in a directory, oldest first.
[[nodiscard]] std::vector<RotatedLog> rotated_logs(const std::vector<std::string>& names);

// "2026/11/23": the day of a rotated log, as paths say it.
[[nodiscard]] std::string day_path(Microseconds wall_us);

}  // namespace inlet::logs
