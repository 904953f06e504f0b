#include "serve/admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/names.h"
#include "health/prometheus.h"
#include "serve/metrics.h"
#include "serve/status_page.h"

namespace inlet::serve {
namespace {

std::string_view name_of(journal::Admission admission) {
  constexpr std::string_view names[] = {"open", "full", "stalled", "failing"};
  return names[static_cast<std::size_t>(admission)];
}

double lag_seconds(const AdminContext& context, const SinkFigures& sink,
                   std::uint64_t next_sequence) {
  return static_cast<double>(lag_us(sink, next_sequence, context.clock.wall_us())) / 1e6;
}

std::string sinks_json(const AdminContext& context, std::uint64_t next_sequence) {
  std::string out = "[";
  for (const SinkFigures& sink : context.door.sinks->figures()) {
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

std::string tenants_json(const AdminContext& context) {
  std::string out = "[";
  for (const TenantFigures& tenant : context.tenants.list()) {
    if (out.size() > 1) out += ',';
    std::uint64_t refused = 0;
    for (auto i = static_cast<std::size_t>(first_refusal); i < counts; i++) {
      refused += tenant.total[i];
    }
    out += fmt::format(R"({{"name":"{}","records":{},"bytes":{},"refused":{},)"
                       R"("undelivered_bytes":{}}})",
                       tenant.name, tenant.of(Count::records), tenant.of(Count::bytes), refused,
                       tenant.undelivered_bytes);
  }
  return out + "]";
}

// null: none are required.
std::string key_status_json(const Gate& gate) {
  if (gate.keys() == nullptr) return "null";
  const KeyWatchStatus status = gate.keys()->status();
  std::string reason;
  append_json_string(reason, status.reason);
  return fmt::format(R"({{"count":{},"stale":{},"reason":{}}})", status.keys, status.stale, reason);
}

// What keys were used for since this process began; nothing of it is secret.
std::string keys_json(const Gate& gate) {
  std::string out = R"({"schema":1,"keys":[)";
  bool first = true;
  for (const KeyFigures& key :
       gate.keys() == nullptr ? std::vector<KeyFigures>() : gate.keys()->figures()) {
    const std::string last =
        key.last_used_us == 0 ? "null" : '"' + rfc3339_seconds(key.last_used_us) + '"';
    out += fmt::format(R"({}{{"id":"{}","tenant":"{}","uses":{},"last_used_at":{}}})",
                       first ? "" : ",", key.id, key.tenant, key.uses, last);
    first = false;
  }
  return out + "]}\n";
}

}  // namespace

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
      R"("full_in_s":{}}},"sinks":{},"tenants":{},"keys":{}}})"
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
      sinks_json(context, journal.next_sequence), tenants_json(context),
      key_status_json(*context.door.gate));
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
  if (head.path == "/keys.json") {
    return answer(200, "application/json", keys_json(*context_.door.gate));
  }
  if (head.path == "/") {
    return answer(200, "text/html; charset=utf-8", status_page,
                  "Content-Security-Policy: default-src 'self'; style-src 'unsafe-inline'; "
                  "script-src 'unsafe-inline'\r\n");
  }
  if (head.path.starts_with(receipts_prefix)) {
    return open_receipt(head.path.substr(receipts_prefix.size()));
  }
  const bool ready_asked = head.path == "/readyz";
  if (!ready_asked && head.path != "/healthz") {
    return answer_problem(
        404,
        "there is /, /metrics, /status.json, /keys.json, /receipts/{id}, /healthz and /readyz");
  }
  const journal::Admission admission = context_.door.journal->admission();
  if (admission != journal::Admission::open) {
    return answer_problem(503, std::string("the journal is ") + std::string(name_of(admission)));
  }
  if (ready_asked && context_.door.draining) return answer_problem(503, "this node is draining");
  return answer(200, "application/json", "{\"status\":\"ok\"}\n");
}

http::HeadAction Admin::open_receipt(std::string_view id) {
  const auto parsed = parse_record_id(id);
  if (!parsed) {
    const ReceiptAnswer malformed = malformed_answer();
    return answer(malformed.status, malformed.content_type, malformed.body, malformed.extra_lines);
  }
  question_ = {*parsed, "", 0};
  return http::HeadAction::take_body(0);
}

void Admin::on_body(Bytes) {
  question_.next_sequence = context_.door.journal->status().next_sequence;
  context_.door.receipts->ask(static_cast<unsigned>(connection_.loop_index()), question_,
                              [this](const ReceiptAnswer& found) {
                                answer(found.status, found.content_type, found.body,
                                       found.extra_lines);
                              });
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
