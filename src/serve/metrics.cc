#include "serve/metrics.h"

#include <algorithm>
#include <cmath>

namespace inlet::serve {
namespace {

using health::Flow;
using health::MetricId;
using health::PrometheusText;

double seconds(std::uint64_t us) { return static_cast<double>(us) / 1e6; }
std::uint64_t flag(bool is) { return is ? 1 : 0; }

void add_doors(PrometheusText& out, const NodeView& node, const health::Totals& totals) {
  const Figures& figures = node.door.figures;
  const http::Counters server = node.server.counters();
  out.add(MetricId::records_stored, figures.sum(&LoopFigures::records_stored));
  out.add(MetricId::stored_bytes, figures.sum(&LoopFigures::bytes_stored));
  out.add(MetricId::store_seconds, seconds(figures.sum(&LoopFigures::store_us_total)));
  out.add(MetricId::replicated_records, figures.sum(&LoopFigures::replicated));
  out.add(MetricId::not_replicated_in_time, figures.sum(&LoopFigures::not_replicated_in_time));
  out.family(MetricId::refusals);
  out.sample(figures.sum(&LoopFigures::refused_4xx), {{"class", "4xx"}});
  out.sample(figures.sum(&LoopFigures::refused_5xx), {{"class", "5xx"}});
  out.add(MetricId::http_requests, server.requests);
  out.family(MetricId::http_responses);
  out.sample(totals[Flow::answers_2xx], {{"class", "2xx"}});
  out.sample(totals[Flow::answers_3xx], {{"class", "3xx"}});
  out.sample(totals[Flow::answers_4xx], {{"class", "4xx"}});
  out.sample(totals[Flow::answers_5xx], {{"class", "5xx"}});
  out.add(MetricId::http_request_duration, totals.request_latency);
  out.add(MetricId::http_framing_errors, server.framing_errors);
  out.add(MetricId::http_memory_refusals, server.memory_refusals);
  out.add(MetricId::http_received_bytes, server.bytes_in);
  out.add(MetricId::tls_handshakes, server.tls_handshakes);
  out.add(MetricId::tls_resumptions, server.tls_resumptions);
  out.add(MetricId::tls_failures, server.tls_failures);
  out.add(MetricId::proxy_refusals, server.proxy_refusals);
  if (server.certificate_ends_s != 0) {
    out.add(MetricId::certificate_ends, static_cast<double>(server.certificate_ends_s));
  }
  out.add(MetricId::certificates_refused, server.certificates_refused);
  out.add(MetricId::connections, server.open);
  out.add(MetricId::connections_accepted, server.accepted);
  out.add(MetricId::memory, std::uint64_t{node.memory.bytes_used()});
  out.add(MetricId::memory_max, std::uint64_t{node.memory.bytes_max()});
  out.add(MetricId::draining, flag(node.door.draining.load(std::memory_order_relaxed)));
}

void add_journal(PrometheusText& out, const journal::JournalStatus& status,
                 const health::Totals& totals) {
  out.add(MetricId::journal_open, flag(status.admission == journal::Admission::open));
  out.add(MetricId::journal_undelivered, status.fullness.undelivered_bytes);
  out.add(MetricId::journal_capacity, status.fullness.capacity_bytes);
  out.add(MetricId::journal_drain, status.fullness.drain_bytes_per_s);
  out.add(MetricId::journal_fill, status.fullness.fill_bytes_per_s);
  out.add(MetricId::journal_full_in, seconds_until_full(status.fullness));
  out.add(MetricId::commits, status.commits);
  out.add(MetricId::commits_failed, status.commits_failed);
  out.add(MetricId::commit_seconds, seconds(status.commit_us_total));
  out.add(MetricId::commit_duration, totals.commit_latency);
  out.add(MetricId::journal_written, status.written_bytes);
  out.add(MetricId::journal_lost_records, status.records_lost);
  out.add(MetricId::journal_quarantined, status.segments_quarantined);
}

void add_sinks(PrometheusText& out, const NodeView& node, std::uint64_t next_sequence) {
  const std::vector<SinkFigures> sinks = node.door.sinks->figures();
  const Microseconds wall_us = node.clock.wall_us();
  const auto each = [&](MetricId id, auto value) {
    out.family(id);
    for (const SinkFigures& sink : sinks) out.sample(value(sink), {{"sink", sink.name}});
  };
  const auto counts = [&](MetricId id, std::uint64_t SinkFigures::* count) {
    each(id, [&](const SinkFigures& sink) { return sink.*count; });
  };
  each(MetricId::sink_lag_seconds, [&](const SinkFigures& sink) {
    return static_cast<double>(lag_us(sink, next_sequence, wall_us)) / 1e6;
  });
  each(MetricId::sink_lag_records, [&](const SinkFigures& sink) {
    return next_sequence - std::min(next_sequence, sink.next_sequence);
  });
  counts(MetricId::sink_lag_bytes, &SinkFigures::pending_bytes);
  each(MetricId::sink_status_time,
       [](const SinkFigures& sink) { return static_cast<double>(sink.updated_us) / 1e6; });
  counts(MetricId::sink_delivered_records, &SinkFigures::delivered_records);
  counts(MetricId::sink_delivered_bytes, &SinkFigures::delivered_bytes);
  counts(MetricId::sink_dead_records, &SinkFigures::dead_records);
  counts(MetricId::sink_lost_records, &SinkFigures::lost_records);
  counts(MetricId::sink_skipped_records, &SinkFigures::skipped_records);
  counts(MetricId::sink_retries, &SinkFigures::retries);
}

void add_tenants(PrometheusText& out, const std::vector<TenantFigures>& tenants) {
  const auto family = [&](MetricId id, Count count) {
    out.family(id);
    for (const TenantFigures& tenant : tenants) {
      out.sample(tenant.of(count), {{"tenant", tenant.name}});
    }
  };
  family(MetricId::tenant_records, Count::records);
  family(MetricId::tenant_bytes, Count::bytes);
  family(MetricId::tenant_duplicates, Count::duplicates);
  family(MetricId::tenant_unfinished, Count::unfinished);
  out.family(MetricId::tenant_refusals);
  for (const TenantFigures& tenant : tenants) {
    for (auto i = static_cast<std::size_t>(first_refusal); i < serve::counts; i++) {
      out.sample(tenant.total[i], {{"tenant", tenant.name}, {"reason", count_names[i]}});
    }
  }
  out.family(MetricId::tenant_undelivered);
  for (const TenantFigures& tenant : tenants) {
    out.sample(tenant.undelivered_bytes, {{"tenant", tenant.name}});
  }
}

void add_keys(PrometheusText& out, const Gate& gate, const IdempotencyStatus& seen) {
  if (gate.keys() != nullptr) {
    const KeyWatchStatus status = gate.keys()->status();
    out.add(MetricId::keys, std::uint64_t{status.keys});
    out.add(MetricId::keys_stale, flag(status.stale));
  }
  out.add(MetricId::idempotency_keys, seen.table.keys);
  out.add(MetricId::idempotency_memory, seen.table.memory_bytes);
  out.add(MetricId::idempotency_window, static_cast<double>(seen.table.window_us) / 1e6);
  out.add(MetricId::idempotency_evicted, seen.table.evicted);
  out.add(MetricId::idempotency_duplicates, seen.table.duplicates);
  out.add(MetricId::idempotency_conflicts, seen.table.other_bodies);
  out.add(MetricId::idempotency_log_failing, flag(seen.log_failing));
}

void add_reports(PrometheusText& out, const NodeView& node) {
  const Vitals& vitals = *node.vitals;
  if (const health::HealthdLog* const log = vitals.healthd()) {
    out.add(MetricId::healthd_lines, log->lines());
    out.add(MetricId::healthd_coarse_lines, log->coarse_lines());
    out.add(MetricId::healthd_dropped_lines, log->dropped());
  }
  if (vitals.emf() != nullptr) {
    out.add(MetricId::emf_failed_writes, vitals.emf()->failed_writes());
  }
  if (node.door.access != nullptr) {
    out.add(MetricId::access_log_lines, node.door.access->lines());
    out.add(MetricId::access_log_dropped_lines, node.door.access->dropped());
  }
  if (vitals.process_log() != nullptr) {
    out.add(MetricId::log_dropped_lines, vitals.process_log()->dropped());
  }
}

}  // namespace

std::string metrics_text(const NodeView& node, health::Exposition format) {
  PrometheusText out(format);
  const health::Totals totals = node.vitals->totals();
  const Vitals::Look look = node.vitals->last_look();
  const journal::JournalStatus journal = node.door.journal->status();
  add_doors(out, node, totals);
  out.add(MetricId::health_level, static_cast<std::uint64_t>(look.verdict.level));
  out.family(MetricId::build_info);
  out.sample(std::uint64_t{1}, {{"version", node.version}});
  add_journal(out, journal, totals);
  add_sinks(out, node, journal.next_sequence);
  add_tenants(out, node.tenants.list());
  add_keys(out, *node.door.gate, node.door.idempotency->status());
  add_reports(out, node);
  add_host(out, look.host);
  out.end();
  return out.text();
}

}  // namespace inlet::serve
