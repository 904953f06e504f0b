#include "health/readings.h"

#include <algorithm>

namespace inlet::health {
namespace {

constexpr double latency_percent = 99;

double p99_seconds(const LatencyHistogram& histogram) {
  return static_cast<double>(histogram.percentile_us(latency_percent)) / 1e6;
}

void read_requests(const Interval& minute, std::vector<Reading>& out) {
  const auto add_share = [&](Figure figure, Flow flow) {
    if (minute[flow] < failures_judged_min) return;
    out.push_back({figure, percent_of(minute[flow], minute.requests())});
  };
  add_share(Figure::failed_requests, Flow::answers_5xx);
  add_share(Figure::client_errors, Flow::answers_4xx);
  out.push_back({Figure::request_latency, p99_seconds(minute.totals.request_latency)});
  out.push_back({Figure::commit_latency, p99_seconds(minute.totals.commit_latency)});
  out.push_back({Figure::failed_commits, static_cast<double>(minute[Flow::commits_failed])});
}

void read_journal(const NodeState& node, std::vector<Reading>& out) {
  if (!node.refusing.empty()) out.push_back({Figure::refusing, 1, node.refusing});
  const double used = percent_of(node.journal_used_bytes, node.journal_capacity_bytes);
  out.push_back({Figure::journal_used, used});
  if (node.journal_full_in_s && used >= full_in_judged_from_percent) {
    out.push_back({Figure::journal_full_in, *node.journal_full_in_s});
  }
  out.push_back({Figure::damaged_records, static_cast<double>(node.damaged_records)});
}

void read_sinks(const NodeState& node, std::vector<Reading>& out) {
  for (const SinkState& sink : node.sinks) {
    out.push_back({Figure::sink_lag, sink.lag_s, sink.name});
    if (sink.failing_s) {
      out.push_back({Figure::sink_failing, *sink.failing_s, sink.name, sink.error});
    }
    if (sink.silent_s) out.push_back({Figure::sink_silent, *sink.silent_s, sink.name});
    out.push_back(
        {Figure::sink_dead_records, static_cast<double>(sink.dead_records_last_hour), sink.name});
  }
}

void read_host(const HostFigures& host, std::vector<Reading>& out) {
  if (const auto used = host.disk_used_percent()) out.push_back({Figure::disk_used, *used});
  if (const auto used = host.memory_used_percent()) out.push_back({Figure::memory_used, *used});
  if (host.cpu) {
    // Waiting for the disk is not work.
    out.push_back({Figure::cpu_used, 100 - host.cpu->idle - host.cpu->iowait});
  }
  const ProcessFigures& process = host.process;
  if (process.open_descriptors && process.descriptors_max) {
    out.push_back({Figure::descriptors_used,
                   percent_of(*process.open_descriptors, *process.descriptors_max)});
  }
}

}  // namespace

double percent_of(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

std::vector<Reading> readings_of(const NodeState& node) {
  std::vector<Reading> out;
  read_requests(node.minute, out);
  read_journal(node, out);
  read_sinks(node, out);
  read_host(node.host, out);
  out.push_back({Figure::client_memory_used,
                 percent_of(node.client_memory_bytes, node.client_memory_max_bytes)});
  if (node.draining) out.push_back({Figure::draining, 1});
  if (node.keys_stale_s) out.push_back({Figure::keys_stale, *node.keys_stale_s});
  for (const CertificateState& certificate : node.certificates) {
    out.push_back({Figure::certificate_days_left, certificate.days_left, certificate.name});
  }
  out.push_back({Figure::healthd_dropped, static_cast<double>(node.healthd_dropped_last_hour)});
  return out;
}

}  // namespace inlet::health
