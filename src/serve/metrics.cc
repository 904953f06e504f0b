#include "serve/metrics.h"

#include <algorithm>
#include <limits>

#include "health/prometheus.h"

namespace inlet::serve {
namespace {

void add_journal(health::PrometheusText& out, const journal::JournalStatus& status) {
  out.gauge("inlet_journal_open", "1 while records are accepted.");
  out.sample(std::uint64_t{status.admission == journal::Admission::open});
  out.gauge("inlet_journal_undelivered_bytes", "Journal held by records some sink still needs.");
  out.sample(status.fullness.undelivered_bytes);
  out.gauge("inlet_journal_capacity_bytes", "Journal possible, by quota and by the file system.");
  out.sample(status.fullness.capacity_bytes);
  out.gauge("inlet_journal_drain_bytes_per_second", "Pace of the slowest sink.");
  out.sample(status.fullness.drain_bytes_per_s);
  out.gauge("inlet_journal_fill_bytes_per_second", "Pace of new records.");
  out.sample(status.fullness.fill_bytes_per_s);
  out.gauge("inlet_journal_full_in_seconds", "Until the journal is full, at the present paces.");
  out.sample(seconds_until_full(status.fullness));
  out.counter("inlet_commits_total", "Flushed writes.");
  out.sample(status.commits);
  out.counter("inlet_commits_failed_total", "Writes the disk refused.");
  out.sample(status.commits_failed);
  out.counter("inlet_commit_seconds_total", "Time spent in flushed writes.");
  out.sample(static_cast<double>(status.commit_us_total) / 1e6);
  out.counter("inlet_journal_written_bytes_total", "Bytes written, padding included.");
  out.sample(status.written_bytes);
  out.counter("inlet_journal_lost_records_total",
              "Acknowledged records found damaged when the journal was opened.");
  out.sample(status.records_lost);
  out.counter("inlet_journal_quarantined_segments_total", "Damaged segments set aside.");
  out.sample(status.segments_quarantined);
}

double lag_seconds(const AdminContext& context, const SinkFigures& sink,
                   std::uint64_t next_sequence) {
  return static_cast<double>(lag_us(sink, next_sequence, context.clock.wall_us())) / 1e6;
}

void add_sinks(health::PrometheusText& out, const AdminContext& context,
               std::uint64_t next_sequence) {
  const std::vector<SinkFigures> sinks = context.door.sinks->figures();
  const auto each = [&](auto value) {
    for (const SinkFigures& sink : sinks) out.sample(value(sink), {{"sink", sink.name}});
  };
  const auto counts = [&](std::string_view name, std::string_view help,
                          std::uint64_t SinkFigures::* count) {
    out.counter(name, help);
    each([&](const SinkFigures& sink) { return sink.*count; });
  };
  out.gauge("inlet_sink_lag_seconds", "Age of the oldest record the sink has not got.");
  each([&](const SinkFigures& sink) { return lag_seconds(context, sink, next_sequence); });
  out.gauge("inlet_sink_lag_records", "Records the sink has not got.");
  each([&](const SinkFigures& sink) {
    return next_sequence - std::min(next_sequence, sink.next_sequence);
  });
  out.gauge("inlet_sink_lag_bytes",
            "Journal the sink has still to read, as its shipper last said.");
  each([](const SinkFigures& sink) { return sink.pending_bytes; });
  out.gauge("inlet_sink_status_timestamp_seconds", "When its shipper last wrote its status.");
  each([](const SinkFigures& sink) { return static_cast<double>(sink.updated_us) / 1e6; });
  counts("inlet_sink_delivered_records_total", "Records delivered.",
         &SinkFigures::delivered_records);
  counts("inlet_sink_delivered_bytes_total", "Bytes of their bodies.",
         &SinkFigures::delivered_bytes);
  counts("inlet_sink_dead_records_total", "Records set aside as dead letters.",
         &SinkFigures::dead_records);
  counts("inlet_sink_lost_records_total", "Records damaged in the journal.",
         &SinkFigures::lost_records);
  counts("inlet_sink_skipped_records_total", "Records that are not for the sink.",
         &SinkFigures::skipped_records);
  counts("inlet_sink_retries_total", "Failed attempts since its process started.",
         &SinkFigures::retries);
}

void add_doors(health::PrometheusText& out, const AdminContext& context) {
  const Figures& figures = context.door.figures;
  const http::Counters server = context.server.counters();
  out.counter("inlet_records_stored_total", "Records acknowledged.");
  out.sample(figures.sum(&LoopFigures::records_stored));
  out.counter("inlet_stored_bytes_total", "Bytes of acknowledged bodies.");
  out.sample(figures.sum(&LoopFigures::bytes_stored));
  out.counter("inlet_store_seconds_total", "Sum over records, from the last byte to the answer.");
  out.sample(static_cast<double>(figures.sum(&LoopFigures::store_us_total)) / 1e6);
  out.counter("inlet_replicated_records_total", "Records acknowledged as replicated.");
  out.sample(figures.sum(&LoopFigures::replicated));
  out.counter("inlet_not_replicated_in_time_total",
              "Records acknowledged with 202 because the replica did not confirm in time.");
  out.sample(figures.sum(&LoopFigures::not_replicated_in_time));
  out.counter("inlet_refusals_total", "Requests refused by the application.");
  out.sample(figures.sum(&LoopFigures::refused_4xx), {{"class", "4xx"}});
  out.sample(figures.sum(&LoopFigures::refused_5xx), {{"class", "5xx"}});
  out.counter("inlet_http_requests_total", "Answers sent.");
  out.sample(server.requests);
  out.counter("inlet_http_framing_errors_total", "Requests malformed, too large or too slow.");
  out.sample(server.framing_errors);
  out.counter("inlet_http_memory_refusals_total", "503 because no memory came free in time.");
  out.sample(server.memory_refusals);
  out.counter("inlet_http_received_bytes_total", "Bytes read from clients.");
  out.sample(server.bytes_in);
  out.counter("inlet_tls_handshakes_total", "TLS handshakes completed.");
  out.sample(server.tls_handshakes);
  out.counter("inlet_tls_resumptions_total", "Those of them with a ticket.");
  out.sample(server.tls_resumptions);
  out.counter("inlet_tls_failures_total", "TLS handshakes refused, broken or too slow.");
  out.sample(server.tls_failures);
  out.counter("inlet_proxy_refusals_total", "Connections without a PROXY header we believe.");
  out.sample(server.proxy_refusals);
  out.gauge("inlet_certificate_ends_timestamp_seconds",
            "When the first of the certificates in use ends; 0: there is none.");
  out.sample(static_cast<double>(server.certificate_ends_s));
  out.counter("inlet_certificates_refused_total", "New certificates that could not be used.");
  out.sample(server.certificates_refused);
  out.gauge("inlet_connections", "Open connections.");
  out.sample(server.open);
  out.counter("inlet_connections_accepted_total", "Connections accepted.");
  out.sample(server.accepted);
  out.gauge("inlet_memory_bytes", "Memory reserved for client data.");
  out.sample(std::uint64_t{context.memory.bytes_used()});
  out.gauge("inlet_memory_max_bytes", "Ceiling on that.");
  out.sample(std::uint64_t{context.memory.bytes_max()});
}

void add_tenants(health::PrometheusText& out, const std::vector<TenantFigures>& tenants) {
  const auto counts = [&](std::string_view name, std::string_view help, Count count) {
    out.counter(name, help);
    for (const TenantFigures& tenant : tenants) {
      out.sample(tenant.of(count), {{"tenant", tenant.name}});
    }
  };
  counts("inlet_tenant_records_total", "Records of the tenant acknowledged.", Count::records);
  counts("inlet_tenant_bytes_total", "Bytes of their bodies.", Count::bytes);
  counts("inlet_tenant_duplicates_total", "Requests whose record was stored before.",
         Count::duplicates);
  counts("inlet_tenant_unfinished_total", "Requests whose body never came whole.",
         Count::unfinished);
  out.counter("inlet_tenant_refusals_total", "Requests of the tenant refused, by reason.");
  for (const TenantFigures& tenant : tenants) {
    for (auto i = static_cast<std::size_t>(first_refusal); i < serve::counts; i++) {
      out.sample(tenant.total[i], {{"tenant", tenant.name}, {"reason", count_names[i]}});
    }
  }
  out.gauge("inlet_tenant_undelivered_bytes", "Journal held by the tenant's records.");
  for (const TenantFigures& tenant : tenants) {
    out.sample(tenant.undelivered_bytes, {{"tenant", tenant.name}});
  }
}

void add_keys(health::PrometheusText& out, const Gate& gate) {
  if (gate.keys() == nullptr) return;
  const KeyWatchStatus status = gate.keys()->status();
  out.gauge("inlet_keys", "API keys in force.");
  out.sample(std::uint64_t{status.keys});
  out.gauge("inlet_keys_stale", "1 while the file of keys cannot be used as it is.");
  out.sample(std::uint64_t{status.stale});
}

void add_idempotency(health::PrometheusText& out, const IdempotencyStatus& status) {
  out.gauge("inlet_idempotency_keys", "Idempotency keys remembered.");
  out.sample(status.table.keys);
  out.gauge("inlet_idempotency_memory_bytes", "Memory they take.");
  out.sample(status.table.memory_bytes);
  out.gauge("inlet_idempotency_window_seconds", "How far back they are remembered.");
  out.sample(static_cast<double>(status.table.window_us) / 1e6);
  out.counter("inlet_idempotency_evicted_total", "Keys forgotten early, for want of room.");
  out.sample(status.table.evicted);
  out.counter("inlet_idempotency_duplicates_total", "Requests found to be repeats.");
  out.sample(status.table.duplicates);
  out.counter("inlet_idempotency_conflicts_total", "Requests whose key had another body.");
  out.sample(status.table.other_bodies);
  out.gauge("inlet_idempotency_log_failing", "1 while keys would not survive a restart.");
  out.sample(std::uint64_t{status.log_failing});
}

}  // namespace

double seconds_until_full(const journal::Fullness& fullness) {
  const double pace = fullness.fill_bytes_per_s - fullness.drain_bytes_per_s;
  if (fullness.undelivered_bytes >= fullness.capacity_bytes) return 0;
  if (pace <= 0) return std::numeric_limits<double>::infinity();
  return static_cast<double>(fullness.capacity_bytes - fullness.undelivered_bytes) / pace;
}

std::string metrics_text(const AdminContext& context) {
  health::PrometheusText out;
  add_doors(out, context);
  const journal::JournalStatus journal = context.door.journal->status();
  add_journal(out, journal);
  add_sinks(out, context, journal.next_sequence);
  add_tenants(out, context.tenants.list());
  add_keys(out, *context.door.gate);
  add_idempotency(out, context.door.idempotency->status());
  return out.text();
}

}  // namespace inlet::serve
