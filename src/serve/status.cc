#include "serve/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <thread>

#include "base/json.h"
#include "base/names.h"

namespace inlet::serve {
namespace {

constexpr Microseconds ten_seconds_us = 10'000'000;
constexpr Microseconds minute_us = 60'000'000;

template <typename T>
std::string or_null(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "null";
}

std::string percent_or_null(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}", *value) : "null";
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string host_json(const health::HostFigures& host) {
  std::string load = "null";
  std::string cpu = "null";
  if (host.load)
    load = fmt::format("[{},{},{}]", host.load->one, host.load->five, host.load->fifteen);
  if (host.cpu) {
    cpu = fmt::format(
        R"({{"user":{:.1f},"nice":{:.1f},"system":{:.1f},"idle":{:.1f},"iowait":{:.1f},)"
        R"("steal":{:.1f}}})",
        host.cpu->user, host.cpu->nice, host.cpu->system, host.cpu->idle, host.cpu->iowait,
        host.cpu->steal);
  }
  const auto bytes_of = [](const auto& from, auto member) {
    return from ? fmt::format("{}", (*from).*member) : std::string("null");
  };
  return fmt::format(
      R"({{"cpus":{},"load":{},"cpu":{},"memory_bytes":{},"memory_available_bytes":{},)"
      R"("memory_used_percent":{},"disk_bytes":{},"disk_free_bytes":{},"disk_used_percent":{}}})",
      std::max(1U, std::thread::hardware_concurrency()), load, cpu,
      bytes_of(host.memory, &health::Memory::total_bytes),
      bytes_of(host.memory, &health::Memory::available_bytes),
      percent_or_null(host.memory_used_percent()), bytes_of(host.disk, &Space::total_bytes),
      bytes_of(host.disk, &Space::free_bytes), percent_or_null(host.disk_used_percent()));
}

std::string process_json(const health::ProcessFigures& process) {
  return fmt::format(
      R"({{"cpu_s":{},"resident_bytes":{},"threads":{},"open_fds":{},"max_fds":{}}})",
      or_null(process.cpu_seconds), or_null(process.resident_bytes), or_null(process.threads),
      or_null(process.open_descriptors), or_null(process.descriptors_max));
}

std::string journal_json(const journal::Journal& of, const journal::JournalStatus& journal) {
  const double full_in_s = seconds_until_full(journal.fullness);
  return fmt::format(
      R"({{"id":"{:012x}","next_sequence":{},"undelivered_bytes":{},"capacity_bytes":{},)"
      R"("used_percent":{:.1f},"drain_bytes_per_s":{:.0f},"fill_bytes_per_s":{:.0f},"commits":{},)"
      R"("commits_failed":{},"commit_us_mean":{},"records_lost":{},"segments_quarantined":{},)"
      R"("direct":{},"full_in_s":{}}})",
      of.journal_id(), journal.next_sequence, journal.fullness.undelivered_bytes,
      journal.fullness.capacity_bytes,
      health::percent_of(journal.fullness.undelivered_bytes, journal.fullness.capacity_bytes),
      journal.fullness.drain_bytes_per_s, journal.fullness.fill_bytes_per_s, journal.commits,
      journal.commits_failed, journal.commits == 0 ? 0 : journal.commit_us_total / journal.commits,
      journal.records_lost, journal.segments_quarantined, journal.direct,
      std::isinf(full_in_s) ? "null" : fmt::format("{:.0f}", full_in_s));
}

std::string sinks_json(const NodeView& node, std::uint64_t next_sequence) {
  const Microseconds wall_us = node.clock.wall_us();
  std::string out = "[";
  for (const SinkFigures& sink : node.door.sinks->figures()) {
    if (out.size() > 1) out += ',';
    const auto age = [&](Microseconds then_us) -> std::string {
      if (then_us == 0) return "null";
      return fmt::format("{:.1f}", static_cast<double>(age_us(then_us, wall_us)) / 1e6);
    };
    out += fmt::format(
        R"({{"name":"{}","next_sequence":{},"lag_s":{:.3f},"lag_records":{},"lag_bytes":{},)"
        R"("delivered_records":{},"delivered_bytes":{},"dead_records":{},"lost_records":{},)"
        R"("skipped_records":{},"retries":{},"last_error":{},"last_error_at":{},)"
        R"("failing_s":{},"status_age_s":{}}})",
        sink.name, sink.next_sequence,
        static_cast<double>(lag_us(sink, next_sequence, wall_us)) / 1e6,
        next_sequence - std::min(next_sequence, sink.next_sequence), sink.pending_bytes,
        sink.delivered_records, sink.delivered_bytes, sink.dead_records, sink.lost_records,
        sink.skipped_records, sink.retries, quoted(sink.last_error), quoted(sink.last_error_at),
        age(sink.failing_since_us), age(sink.updated_us));
  }
  return out + "]";
}

std::string tenants_json(const NodeView& node) {
  std::string out = "[";
  for (const TenantFigures& tenant : node.tenants.list()) {
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
  return fmt::format(R"({{"count":{},"stale":{},"reason":{}}})", status.keys, status.stale,
                     quoted(status.reason));
}

void append_health(std::string& out, const NodeView& node, const Vitals::Look& look) {
  out += R"("health":)";
  append_json(out, look.verdict);
  out += R"(,"last_10s":)";
  append_json(out, node.vitals->window().over(ten_seconds_us));
  out += R"(,"last_minute":)";
  append_json(out, node.vitals->window().over(minute_us));
  out += R"(,"totals":)";
  append_json(out,
              health::between({}, node.vitals->totals(), node.clock.steady_us() - node.started_us));
  out += fmt::format(R"(,"host":{},"process":{},)", host_json(look.host),
                     process_json(look.host.process));
}

void append_points(std::string& out, std::string_view name,
                   const std::vector<health::Point>& points) {
  out += fmt::format(R"(,"{}":[)", name);
  for (std::size_t i = 0; i < points.size(); i++) {
    if (i > 0) out += ',';
    append_json(out, points[i]);
  }
  out += ']';
}

}  // namespace

std::string_view name_of(journal::Admission admission) {
  constexpr std::string_view names[] = {"open", "full", "stalled", "failing"};
  return names[static_cast<std::size_t>(admission)];
}

double seconds_until_full(const journal::Fullness& fullness) {
  const double pace = fullness.fill_bytes_per_s - fullness.drain_bytes_per_s;
  if (fullness.undelivered_bytes >= fullness.capacity_bytes) return 0;
  if (pace <= 0) return std::numeric_limits<double>::infinity();
  return static_cast<double>(fullness.capacity_bytes - fullness.undelivered_bytes) / pace;
}

std::string status_json(const NodeView& node) {
  const journal::JournalStatus journal = node.door.journal->status();
  const Figures& figures = node.door.figures;
  const http::Counters server = node.server.counters();
  const double uptime_s = static_cast<double>(node.clock.steady_us() - node.started_us) / 1e6;
  std::string out =
      fmt::format(R"({{"schema":2,"node":{},"version":"{}","at":"{}","uptime_s":{:.1f},)",
                  quoted(node.node), node.version, rfc3339_seconds(node.clock.wall_us()), uptime_s);
  append_health(out, node, node.vitals->last_look());
  out += fmt::format(
      R"("admission":"{}","draining":{},"connections":{},"requests":{},"records_stored":{},)"
      R"("bytes_stored":{},"refused_4xx":{},"refused_5xx":{},"framing_errors":{},)"
      R"("memory_bytes":{},"memory_max_bytes":{},"journal":{},"sinks":{},"tenants":{},"keys":{}}})"
      "\n",
      name_of(journal.admission), node.door.draining.load(std::memory_order_relaxed), server.open,
      server.requests, figures.sum(&LoopFigures::records_stored),
      figures.sum(&LoopFigures::bytes_stored), figures.sum(&LoopFigures::refused_4xx),
      figures.sum(&LoopFigures::refused_5xx), server.framing_errors, node.memory.bytes_used(),
      node.memory.bytes_max(), journal_json(*node.door.journal, journal),
      sinks_json(node, journal.next_sequence), tenants_json(node),
      key_status_json(*node.door.gate));
  return out;
}

std::string history_json(const NodeView& node) {
  std::string out = fmt::format(R"({{"schema":1,"node":{},"at":"{}")", quoted(node.node),
                                rfc3339_seconds(node.clock.wall_us()));
  append_points(out, "minutes", node.vitals->window().minutes());
  append_points(out, "seconds", node.vitals->window().seconds());
  return out + "}\n";
}

std::string keys_json(const NodeView& node) {
  const Gate& gate = *node.door.gate;
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

}  // namespace inlet::serve
