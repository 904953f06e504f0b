// node_status: what a node says about itself, read from its /status.json.
//
// The document comes from a host that may be wrong, broken or not ours: it is read under bounds,
// and one that does not fit is refused as a whole, with the reason. A gauge that is null, missing,
// negative (a clock was set back) or beyond all reason is absent; one of another type is a fault.
//
// Pure; any thread.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "health/latency_histogram.h"
#include "health/status_rules.h"

namespace inlet::top {

inline constexpr std::int64_t status_schema = 2;
inline constexpr std::size_t status_bytes_max = 4U << 20;
inline constexpr std::size_t list_entries_max = 4096;  // Causes, sinks, tenants: of each.
inline constexpr double gauge_max = 1e18;
inline constexpr std::uint64_t bucket_count_max = std::uint64_t{1} << 40;
inline constexpr std::uint64_t sum_us_max = std::uint64_t{1} << 53;

using Gauge = std::optional<double>;

// What happened in an interval, of one node or, merged, of several.
struct Flows {
  double length_s = 0;
  double requests = 0;
  std::array<double, 4> answers{};  // 2xx, 3xx, 4xx, 5xx.
  double requests_per_s = 0;
  double records_per_s = 0;
  double body_bytes_per_s = 0;
  double received_bytes_per_s = 0;
  double commits_per_s = 0;
  double commits_failed = 0;
  double dead_records = 0;
  double network_in_bytes_per_s = 0;
  double network_out_bytes_per_s = 0;
  health::LatencyHistogram latency;
  health::LatencyHistogram commit_latency;

  // Of another node at the same time: rates and counts add up, histograms merge bucket by bucket.
  void merge(const Flows& other);
  // Percent of the requests; empty without requests.
  [[nodiscard]] Gauge answered_percent(std::size_t hundreds) const;  // 2..5
};

struct HostStatus {
  Gauge cpus, load1, load5, load15;
  Gauge cpu_user, cpu_nice, cpu_system, cpu_idle, cpu_iowait, cpu_steal;  // Percent.
  Gauge memory_bytes, memory_available_bytes, memory_used_percent;
  Gauge disk_bytes, disk_free_bytes, disk_used_percent;
  Gauge process_cpu_s, resident_bytes, threads, open_fds, max_fds;
};

struct JournalStatus {
  Gauge next_sequence, undelivered_bytes, capacity_bytes, used_percent, drain_bytes_per_s,
      fill_bytes_per_s, commits, commits_failed, commit_us_mean, records_lost, segments_quarantined,
      full_in_s;
};

struct SinkStatus {
  std::string name, last_error, last_error_at;
  Gauge lag_s, lag_records, lag_bytes, delivered_records, delivered_bytes, dead_records,
      lost_records, skipped_records, retries, status_age_s;
};

struct TenantStatus {
  std::string name;
  Gauge records, bytes, refused, undelivered_bytes;
};

struct Cause {
  health::Level level = health::Level::ok;
  std::string text;
};

struct NodeStatus {
  std::string node, version, at, admission;
  health::Level level = health::Level::ok;
  std::vector<Cause> causes;
  bool draining = false;
  Gauge uptime_s, connections, requests, records_stored, bytes_stored, refused_4xx, refused_5xx,
      framing_errors, memory_bytes, memory_max_bytes;
  Flows last_10s, last_minute;
  HostStatus host;
  JournalStatus journal;
  std::vector<SinkStatus> sinks;
  std::vector<TenantStatus> tenants;
  Gauge keys_stale;         // 1: the file of keys cannot be read.
  std::string keys_reason;  // Why.
};

// Errors are of kind corrupt and say where: "journal.used_percent is not a number".
[[nodiscard]] Result<NodeStatus> parse_status(std::string_view json);

}  // namespace inlet::top
