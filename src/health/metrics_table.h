// metrics_table: metrics of a node, each once: name, type, unit, labels, meaning.
//
// An exposition takes names and types from here (prometheus.h), a page for people can be made from
// here. Names are fixed: dashboards and alarms rely on them.
//
// Pure; any thread.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace inlet::health {

enum class MetricType : std::uint8_t { counter, gauge, histogram };

enum class MetricId : std::uint8_t {
  records_stored,
  stored_bytes,
  store_seconds,
  replicated_records,
  not_replicated_in_time,
  refusals,
  http_requests,
  http_responses,
  http_request_duration,
  http_framing_errors,
  http_memory_refusals,
  http_received_bytes,
  tls_handshakes,
  tls_resumptions,
  tls_failures,
  proxy_refusals,
  certificate_ends,
  certificates_refused,
  connections,
  connections_accepted,
  memory,
  memory_max,
  draining,
  health_level,
  build_info,
  journal_open,
  journal_undelivered,
  journal_capacity,
  journal_drain,
  journal_fill,
  journal_full_in,
  commits,
  commits_failed,
  commit_seconds,
  commit_duration,
  journal_written,
  journal_lost_records,
  journal_quarantined,
  sink_lag_seconds,
  sink_lag_records,
  sink_lag_bytes,
  sink_status_time,
  sink_delivered_records,
  sink_delivered_bytes,
  sink_dead_records,
  sink_lost_records,
  sink_skipped_records,
  sink_retries,
  tenant_records,
  tenant_bytes,
  tenant_duplicates,
  tenant_unfinished,
  tenant_refusals,
  tenant_undelivered,
  keys,
  keys_stale,
  idempotency_keys,
  idempotency_memory,
  idempotency_window,
  idempotency_evicted,
  idempotency_duplicates,
  idempotency_conflicts,
  idempotency_log_failing,
  healthd_lines,
  healthd_coarse_lines,
  healthd_dropped_lines,
  emf_failed_writes,
  host_load1,
  host_load5,
  host_load15,
  host_cpu,
  host_memory,
  host_memory_available,
  host_group_memory,
  host_group_memory_max,
  host_group_cpus,
  host_disk,
  host_disk_free,
  host_network_in,
  host_network_out,
  process_cpu,
  process_open_fds,
  process_max_fds,
  process_virtual_memory,
  process_resident_memory,
  process_start_time,
  process_threads,
};
inline constexpr std::size_t metrics_count =
    static_cast<std::size_t>(MetricId::process_threads) + 1;

struct Metric {
  MetricId id;
  std::string_view name;
  MetricType type;
  std::string_view unit;    // "": a number without one.
  std::string_view labels;  // Separated by commas.
  std::string_view help;    // One line, no backslash.
};

// In the order of MetricId.
inline constexpr std::array<Metric, metrics_count> metrics_table = {{
    // The door.
    {MetricId::records_stored, "inlet_records_stored_total", MetricType::counter, "records", "",
     "Records acknowledged."},
    {MetricId::stored_bytes, "inlet_stored_bytes_total", MetricType::counter, "bytes", "",
     "Bytes of acknowledged bodies."},
    {MetricId::store_seconds, "inlet_store_seconds_total", MetricType::counter, "seconds", "",
     "Sum over records, from the last byte to the answer."},
    {MetricId::replicated_records, "inlet_replicated_records_total", MetricType::counter, "records",
     "", "Records acknowledged as replicated."},
    {MetricId::not_replicated_in_time, "inlet_not_replicated_in_time_total", MetricType::counter,
     "records", "", "Records acknowledged with 202 because the replica did not confirm in time."},
    {MetricId::refusals, "inlet_refusals_total", MetricType::counter, "requests", "class",
     "Requests refused by the application."},
    {MetricId::http_requests, "inlet_http_requests_total", MetricType::counter, "requests", "",
     "Answers sent, by either listener."},
    {MetricId::http_responses, "inlet_http_responses_total", MetricType::counter, "requests",
     "class", "Answers to clients, by the class of their status."},
    {MetricId::http_request_duration, "inlet_http_request_duration_seconds", MetricType::histogram,
     "seconds", "", "From a request's first byte to its answer."},
    {MetricId::http_framing_errors, "inlet_http_framing_errors_total", MetricType::counter,
     "requests", "", "Requests malformed, too large or too slow."},
    {MetricId::http_memory_refusals, "inlet_http_memory_refusals_total", MetricType::counter,
     "requests", "", "503 because no memory came free in time."},
    {MetricId::http_received_bytes, "inlet_http_received_bytes_total", MetricType::counter, "bytes",
     "", "Bytes read from clients."},
    {MetricId::tls_handshakes, "inlet_tls_handshakes_total", MetricType::counter, "handshakes", "",
     "TLS handshakes completed."},
    {MetricId::tls_resumptions, "inlet_tls_resumptions_total", MetricType::counter, "handshakes",
     "", "Those of them with a ticket."},
    {MetricId::tls_failures, "inlet_tls_failures_total", MetricType::counter, "handshakes", "",
     "TLS handshakes refused, broken or too slow."},
    {MetricId::proxy_refusals, "inlet_proxy_refusals_total", MetricType::counter, "connections", "",
     "Connections without a PROXY header we believe."},
    {MetricId::certificate_ends, "inlet_certificate_ends_timestamp_seconds", MetricType::gauge,
     "seconds", "", "When the first of the certificates in use ends; absent without TLS."},
    {MetricId::certificates_refused, "inlet_certificates_refused_total", MetricType::counter,
     "certificates", "", "New certificates that could not be used."},
    {MetricId::connections, "inlet_connections", MetricType::gauge, "connections", "",
     "Open connections."},
    {MetricId::connections_accepted, "inlet_connections_accepted_total", MetricType::counter,
     "connections", "", "Connections accepted."},
    {MetricId::memory, "inlet_memory_bytes", MetricType::gauge, "bytes", "",
     "Memory reserved for client data."},
    {MetricId::memory_max, "inlet_memory_max_bytes", MetricType::gauge, "bytes", "",
     "Ceiling on that."},
    {MetricId::draining, "inlet_draining", MetricType::gauge, "", "",
     "1 while the node is about to leave."},
    {MetricId::health_level, "inlet_health_level", MetricType::gauge, "", "",
     "0 Ok, 1 Info, 2 Warning, 3 Degraded, 4 Severe."},
    {MetricId::build_info, "inlet_build_info", MetricType::gauge, "", "version", "Always 1."},
    // The journal.
    {MetricId::journal_open, "inlet_journal_open", MetricType::gauge, "", "",
     "1 while records are accepted."},
    {MetricId::journal_undelivered, "inlet_journal_undelivered_bytes", MetricType::gauge, "bytes",
     "", "Journal held by records some sink still needs."},
    {MetricId::journal_capacity, "inlet_journal_capacity_bytes", MetricType::gauge, "bytes", "",
     "Journal possible, by quota and by the file system."},
    {MetricId::journal_drain, "inlet_journal_drain_bytes_per_second", MetricType::gauge, "bytes/s",
     "", "Pace of the slowest sink."},
    {MetricId::journal_fill, "inlet_journal_fill_bytes_per_second", MetricType::gauge, "bytes/s",
     "", "Pace of new records."},
    {MetricId::journal_full_in, "inlet_journal_full_in_seconds", MetricType::gauge, "seconds", "",
     "Until the journal is full, at the present paces."},
    {MetricId::commits, "inlet_commits_total", MetricType::counter, "commits", "",
     "Flushed writes."},
    {MetricId::commits_failed, "inlet_commits_failed_total", MetricType::counter, "commits", "",
     "Writes the disk refused."},
    {MetricId::commit_seconds, "inlet_commit_seconds_total", MetricType::counter, "seconds", "",
     "Time spent in flushed writes."},
    {MetricId::commit_duration, "inlet_commit_duration_seconds", MetricType::histogram, "seconds",
     "", "Flushed writes."},
    {MetricId::journal_written, "inlet_journal_written_bytes_total", MetricType::counter, "bytes",
     "", "Bytes written, padding included."},
    {MetricId::journal_lost_records, "inlet_journal_lost_records_total", MetricType::counter,
     "records", "", "Acknowledged records found damaged when the journal was opened."},
    {MetricId::journal_quarantined, "inlet_journal_quarantined_segments_total", MetricType::counter,
     "segments", "", "Damaged segments set aside."},
    // The sinks.
    {MetricId::sink_lag_seconds, "inlet_sink_lag_seconds", MetricType::gauge, "seconds", "sink",
     "Age of the oldest record the sink has not got."},
    {MetricId::sink_lag_records, "inlet_sink_lag_records", MetricType::gauge, "records", "sink",
     "Records the sink has not got."},
    {MetricId::sink_lag_bytes, "inlet_sink_lag_bytes", MetricType::gauge, "bytes", "sink",
     "Journal the sink has still to read, as its shipper last said."},
    {MetricId::sink_status_time, "inlet_sink_status_timestamp_seconds", MetricType::gauge,
     "seconds", "sink", "When its shipper last wrote its status."},
    {MetricId::sink_delivered_records, "inlet_sink_delivered_records_total", MetricType::counter,
     "records", "sink", "Records delivered."},
    {MetricId::sink_delivered_bytes, "inlet_sink_delivered_bytes_total", MetricType::counter,
     "bytes", "sink", "Bytes of their bodies."},
    {MetricId::sink_dead_records, "inlet_sink_dead_records_total", MetricType::counter, "records",
     "sink", "Records set aside as dead letters."},
    {MetricId::sink_lost_records, "inlet_sink_lost_records_total", MetricType::counter, "records",
     "sink", "Records damaged in the journal."},
    {MetricId::sink_skipped_records, "inlet_sink_skipped_records_total", MetricType::counter,
     "records", "sink", "Records that are not for the sink."},
    {MetricId::sink_retries, "inlet_sink_retries_total", MetricType::counter, "attempts", "sink",
     "Failed attempts since its process started."},
    // The tenants: the busiest by name, the others summed as "other".
    {MetricId::tenant_records, "inlet_tenant_records_total", MetricType::counter, "records",
     "tenant", "Records of the tenant acknowledged."},
    {MetricId::tenant_bytes, "inlet_tenant_bytes_total", MetricType::counter, "bytes", "tenant",
     "Bytes of their bodies."},
    {MetricId::tenant_duplicates, "inlet_tenant_duplicates_total", MetricType::counter, "requests",
     "tenant", "Requests whose record was stored before."},
    {MetricId::tenant_unfinished, "inlet_tenant_unfinished_total", MetricType::counter, "requests",
     "tenant", "Requests whose body never came whole."},
    {MetricId::tenant_refusals, "inlet_tenant_refusals_total", MetricType::counter, "requests",
     "tenant,reason", "Requests of the tenant refused, by reason."},
    {MetricId::tenant_undelivered, "inlet_tenant_undelivered_bytes", MetricType::gauge, "bytes",
     "tenant", "Journal held by the tenant's records."},
    // Keys.
    {MetricId::keys, "inlet_keys", MetricType::gauge, "keys", "",
     "API keys in force; absent where none are required."},
    {MetricId::keys_stale, "inlet_keys_stale", MetricType::gauge, "", "",
     "1 while the file of keys cannot be used as it is."},
    {MetricId::idempotency_keys, "inlet_idempotency_keys", MetricType::gauge, "keys", "",
     "Idempotency keys remembered."},
    {MetricId::idempotency_memory, "inlet_idempotency_memory_bytes", MetricType::gauge, "bytes", "",
     "Memory they take."},
    {MetricId::idempotency_window, "inlet_idempotency_window_seconds", MetricType::gauge, "seconds",
     "", "How far back they are remembered."},
    {MetricId::idempotency_evicted, "inlet_idempotency_evicted_total", MetricType::counter, "keys",
     "", "Keys forgotten early, for want of room."},
    {MetricId::idempotency_duplicates, "inlet_idempotency_duplicates_total", MetricType::counter,
     "requests", "", "Requests found to be repeats."},
    {MetricId::idempotency_conflicts, "inlet_idempotency_conflicts_total", MetricType::counter,
     "requests", "", "Requests whose key had another body."},
    {MetricId::idempotency_log_failing, "inlet_idempotency_log_failing", MetricType::gauge, "", "",
     "1 while keys would not survive a restart."},
    // Reports about all this.
    {MetricId::healthd_lines, "inlet_healthd_lines_total", MetricType::counter, "lines", "",
     "Requests written to the healthd log."},
    {MetricId::healthd_coarse_lines, "inlet_healthd_coarse_lines_total", MetricType::counter,
     "lines", "", "Of these, those that came too fast and have no path and a mean time."},
    {MetricId::healthd_dropped_lines, "inlet_healthd_dropped_lines_total", MetricType::counter,
     "lines", "", "Requests that could not be written to the healthd log."},
    {MetricId::emf_failed_writes, "inlet_emf_failed_writes_total", MetricType::counter, "writes",
     "", "Periods whose figures could not be written for CloudWatch."},
    // The machine, or the container.
    {MetricId::host_load1, "inlet_host_load1", MetricType::gauge, "", "",
     "Load average of a minute."},
    {MetricId::host_load5, "inlet_host_load5", MetricType::gauge, "", "",
     "Load average of five minutes."},
    {MetricId::host_load15, "inlet_host_load15", MetricType::gauge, "", "",
     "Load average of fifteen minutes."},
    {MetricId::host_cpu, "inlet_host_cpu_percent", MetricType::gauge, "percent", "mode",
     "Share of all processors' time since the look before: user, nice, system, idle, iowait, "
     "steal."},
    {MetricId::host_memory, "inlet_host_memory_bytes", MetricType::gauge, "bytes", "",
     "Memory of the machine."},
    {MetricId::host_memory_available, "inlet_host_memory_available_bytes", MetricType::gauge,
     "bytes", "", "Of that, what processes could have."},
    {MetricId::host_group_memory, "inlet_host_cgroup_memory_bytes", MetricType::gauge, "bytes", "",
     "Memory the control group uses, without droppable pages of files."},
    {MetricId::host_group_memory_max, "inlet_host_cgroup_memory_max_bytes", MetricType::gauge,
     "bytes", "", "The control group's limit."},
    {MetricId::host_group_cpus, "inlet_host_cgroup_cpus", MetricType::gauge, "cpus", "",
     "Processors the control group may use."},
    {MetricId::host_disk, "inlet_host_disk_bytes", MetricType::gauge, "bytes", "",
     "Size of the file system with the journal."},
    {MetricId::host_disk_free, "inlet_host_disk_free_bytes", MetricType::gauge, "bytes", "",
     "Free on it."},
    {MetricId::host_network_in, "inlet_host_network_receive_bytes_total", MetricType::counter,
     "bytes", "", "Received by all interfaces but the loopback."},
    {MetricId::host_network_out, "inlet_host_network_transmit_bytes_total", MetricType::counter,
     "bytes", "", "Sent by them."},
    // This process, as all Prometheus clients name it.
    {MetricId::process_cpu, "process_cpu_seconds_total", MetricType::counter, "seconds", "",
     "Total user and system CPU time spent in seconds."},
    {MetricId::process_open_fds, "process_open_fds", MetricType::gauge, "descriptors", "",
     "Number of open file descriptors."},
    {MetricId::process_max_fds, "process_max_fds", MetricType::gauge, "descriptors", "",
     "Maximum number of open file descriptors."},
    {MetricId::process_virtual_memory, "process_virtual_memory_bytes", MetricType::gauge, "bytes",
     "", "Virtual memory size in bytes."},
    {MetricId::process_resident_memory, "process_resident_memory_bytes", MetricType::gauge, "bytes",
     "", "Resident memory size in bytes."},
    {MetricId::process_start_time, "process_start_time_seconds", MetricType::gauge, "seconds", "",
     "Start time of the process since unix epoch in seconds."},
    {MetricId::process_threads, "process_threads", MetricType::gauge, "threads", "",
     "Number of OS threads in the process."},
}};

[[nodiscard]] constexpr const Metric& metric(MetricId id) {
  return metrics_table[static_cast<std::size_t>(id)];
}

static_assert([] {
  for (std::size_t i = 0; i < metrics_count; i++) {
    if (static_cast<std::size_t>(metrics_table[i].id) != i) return false;
    if (metrics_table[i].name.ends_with("_total") !=
        (metrics_table[i].type == MetricType::counter)) {
      return false;
    }
  }
  return true;
}());

[[nodiscard]] std::string_view name_of(MetricType type);
// The table as a page for people.
[[nodiscard]] std::string metrics_markdown();

}  // namespace inlet::health
