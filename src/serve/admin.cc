#include "serve/admin.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/json.h"
#include "base/names.h"
#include "health/prometheus.h"
#include "serve/status_page.h"

namespace inlet::serve {
namespace {

std::string_view name_of(journal::Admission admission) {
  constexpr std::string_view names[] = {"open", "full", "stalled", "failing"};
  return names[static_cast<std::size_t>(admission)];
}

// At the present paces; infinite while the journal does not fill.
double seconds_until_full(const journal::Fullness& fullness) {
  const double pace = fullness.fill_bytes_per_s - fullness.drain_bytes_per_s;
  if (fullness.undelivered_bytes >= fullness.capacity_bytes) return 0;
  if (pace <= 0) return std::numeric_limits<double>::infinity();
  return static_cast<double>(fullness.capacity_bytes - fullness.undelivered_bytes) / pace;
}

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
  const std::vector<SinkFigures> sinks = context.sinks->figures();
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

std::string sinks_json(const AdminContext& context, std::uint64_t next_sequence) {
  std::string out = "[";
  for (const SinkFigures& sink : context.sinks->figures()) {
    if (out.size() > 1) out += ',';
    std::string error;
    append_json_string(error, sink.last_error);
    out += fmt::format(
        R"({{"name":"{}","next_sequence":{},"lag_s":{:.3f},"lag_records":{},"lag_bytes":{},)"
        R"("delivered_records":{},"delivered_bytes":{},"dead_records":{},"lost_records":{},)"
        R"("skipped_records":{},"retries":{},"last_error":{},"last_error_at":"{}"}})",
        sink.name, sink.next_sequence, lag_seconds(context, sink, next_sequence),
        next_sequence - std::min(next_sequence, sink.next_sequence), sink.pending_bytes,
        sink.delivered_records, sink.delivered_bytes, sink.dead_records, sink.lost_records,
        sink.skipped_records, sink.retries, error, sink.last_error_at);
  }
  return out + "]";
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
  out.gauge("inlet_connections", "Open connections.");
  out.sample(server.open);
  out.counter("inlet_connections_accepted_total", "Connections accepted.");
  out.sample(server.accepted);
  out.gauge("inlet_memory_bytes", "Memory reserved for client data.");
  out.sample(std::uint64_t{context.memory.bytes_used()});
  out.gauge("inlet_memory_max_bytes", "Ceiling on that.");
  out.sample(std::uint64_t{context.memory.bytes_max()});
}

}  // namespace

std::string metrics_text(const AdminContext& context) {
  health::PrometheusText out;
  add_doors(out, context);
  const journal::JournalStatus journal = context.door.journal->status();
  add_journal(out, journal);
  add_sinks(out, context, journal.next_sequence);
  return out.text();
}

std::string status_json(const AdminContext& context) {
  const journal::JournalStatus journal = context.door.journal->status();
  const Figures& figures = context.door.figures;
  const http::Counters server = context.server.counters();
  const double full_in_s = seconds_until_full(journal.fullness);
  std::string node;
  append_json_string(node, context.node);
  const double uptime = static_cast<double>(context.clock.steady_us() - context.started_us) / 1e6;
  return fmt::format(
      R"({{"schema":1,"node":{},"version":"{}","uptime_s":{:.1f},"admission":"{}","draining":{},)"
      R"("connections":{},"requests":{},"records_stored":{},"bytes_stored":{},"refused_4xx":{},)"
      R"("refused_5xx":{},"framing_errors":{},"memory_bytes":{},"memory_max_bytes":{},)"
      R"("journal":{{"id":"{:012x}","next_sequence":{},"undelivered_bytes":{},"capacity_bytes":{},)"
      R"("drain_bytes_per_s":{:.0f},"fill_bytes_per_s":{:.0f},"commits":{},"commits_failed":{},)"
      R"("commit_us_mean":{},"records_lost":{},"segments_quarantined":{},"direct":{},)"
      R"("full_in_s":{}}},"sinks":{}}})"
      "\n",
      node, context.version, uptime, name_of(journal.admission),
      context.door.draining.load(std::memory_order_relaxed), server.open, server.requests,
      figures.sum(&LoopFigures::records_stored), figures.sum(&LoopFigures::bytes_stored),
      figures.sum(&LoopFigures::refused_4xx), figures.sum(&LoopFigures::refused_5xx),
      server.framing_errors, context.memory.bytes_used(), context.memory.bytes_max(),
      context.door.journal->journal_id(), journal.next_sequence, journal.fullness.undelivered_bytes,
      journal.fullness.capacity_bytes, journal.fullness.drain_bytes_per_s,
      journal.fullness.fill_bytes_per_s, journal.commits, journal.commits_failed,
      journal.commits == 0 ? 0 : journal.commit_us_total / journal.commits, journal.records_lost,
      journal.segments_quarantined, journal.direct,
      std::isinf(full_in_s) ? "null" : fmt::format("{:.0f}", full_in_s),
      sinks_json(context, journal.next_sequence));
}

http::HeadAction Admin::on_head(const http::RequestHead& head) {
  if (head.method != "GET" && head.method != "HEAD") {
    return answer_problem(405, "this path takes GET, HEAD", "Allow: GET, HEAD\r\n");
  }
  if (head.path == "/metrics") {
    return answer(200, health::prometheus_content_type, metrics_text(context_));
  }
  if (head.path == "/status.json") {
    return answer(200, "application/json", status_json(context_));
  }
  if (head.path == "/") {
    return answer(200, "text/html; charset=utf-8", status_page,
                  "Content-Security-Policy: default-src 'self'; style-src 'unsafe-inline'; "
                  "script-src 'unsafe-inline'\r\n");
  }
  const bool ready_asked = head.path == "/readyz";
  if (!ready_asked && head.path != "/healthz") {
    return answer_problem(404, "there is /, /metrics, /status.json, /healthz and /readyz");
  }
  const journal::Admission admission = context_.door.journal->admission();
  if (admission != journal::Admission::open) {
    return answer_problem(503, std::string("the journal is ") + std::string(name_of(admission)));
  }
  if (ready_asked && context_.door.draining) return answer_problem(503, "this node is draining");
  return answer(200, "application/json", "{\"status\":\"ok\"}\n");
}

http::HeadAction Admin::answer(int status, std::string_view content_type, std::string_view body,
                               std::string_view extra_lines) {
  connection_.respond(
      {.status = status, .content_type = content_type, .body = body, .extra_lines = extra_lines});
  return http::HeadAction::answered();
}

http::HeadAction Admin::answer_problem(int status, std::string_view detail,
                                       std::string_view extra_lines) {
  return answer(status, http::problem_content_type, http::problem_json(status, detail),
                extra_lines);
}

}  // namespace inlet::serve
