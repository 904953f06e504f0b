// status_rules: is this node well, and if not, why; in one table.
//
// The levels are those of Elastic Beanstalk's enhanced health. AWS publishes no thresholds for them
// ("a moderate number", "a high number", "a very high number" of failures: Elastic Beanstalk
// Developer Guide, "Health colors and statuses"), so the thresholds here are ours.
//
// Pure; any thread.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace inlet::health {

enum class Level : std::uint8_t { ok, info, warning, degraded, severe };

[[nodiscard]] std::string_view name_of(Level level);  // "Ok", "Info", …
// What Elastic Beanstalk's metric EnvironmentHealth says for it: 0, 1, 15, 20, 25.
[[nodiscard]] int eb_value_of(Level level);

// What is judged. An absent figure is no cause.
enum class Figure : std::uint8_t {
  refusing,               // 1: the journal takes no records. Subject: why ("full").
  failed_requests,        // Percent answered 5xx in the last minute.
  client_errors,          // Percent answered 4xx in the last minute.
  request_latency,        // Seconds, the 99th percentile of the last minute.
  commit_latency,         // The same of flushed writes.
  failed_commits,         // Writes the disk refused in the last minute.
  journal_used,           // Percent of the space there is.
  journal_full_in,        // Seconds, at the present paces.
  damaged_records,        // Acknowledged records found damaged since the start.
  sink_lag,               // Seconds. Subject: the sink, also of the next three.
  sink_failing,           // Seconds since the first of its failures in a row. Detail: the last.
  sink_silent,            // Seconds since its shipper wrote its status.
  sink_dead_records,      // Set aside in the last hour.
  disk_used,              // Percent.
  memory_used,            // Percent of the machine or the container.
  client_memory_used,     // Percent of the ceiling on clients' data.
  cpu_used,               // Percent.
  descriptors_used,       // Percent.
  draining,               // 1: the node is about to leave.
  keys_stale,             // Seconds since the file of keys could last be read.
  certificate_days_left,  // Subject: the certificate's file.
  healthd_dropped,        // Lines that could not be written in the last hour.
};
inline constexpr std::size_t figures_judged = 22;

struct Reading {
  Figure figure;
  double value;
  std::string subject = {};
  std::string detail = {};
};

struct Cause {
  Level level;
  Figure figure;
  std::string text;  // "sink archive is 340 s behind"
};

struct Verdict {
  Level level = Level::ok;
  std::vector<Cause> causes;  // Worst first, within a level in the order of the table.
};

[[nodiscard]] Verdict judge(const std::vector<Reading>& readings);

// `{"level":"Warning","causes":[{"level":"Warning","text":"…"},…]}`
void append_json(std::string& out, const Verdict& verdict);

inline constexpr double no_threshold = std::numeric_limits<double>::quiet_NaN();

// One line of the table. A level is reached at its threshold, from below or, for what runs out,
// from above; the highest reached counts.
struct Rule {
  enum class Bad : std::uint8_t { high, low };

  Figure figure;
  Bad bad;
  std::array<double, 4> at;  // Info, Warning, Degraded, Severe; or no_threshold.
  // How the cause reads: {value}, {duration} (of seconds), {expiry} (of days), {subject} and
  // {detail} are filled in.
  std::string_view text;
};

[[nodiscard]] const std::array<Rule, figures_judged>& rules();
[[nodiscard]] Level level_of(const Rule& rule, double value);

// The table as one for people.
[[nodiscard]] std::string rules_markdown();

// Fewer failures than this in a minute say nothing about a node, whatever their share.
inline constexpr std::uint64_t failures_judged_min = 3;
// A cause is a line: more of a detail is cut off, at a whole character of UTF-8.
inline constexpr std::size_t detail_bytes_max = 160;
// A journal emptier than this is not asked when it will be full: any burst would worry.
inline constexpr double full_in_judged_from_percent = 10;

// "45 s", "7 min", "3 h", "12 days".
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace inlet::health
