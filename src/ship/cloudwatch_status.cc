#include "ship/cloudwatch_status.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>

namespace inlet::ship {
namespace {

using simdjson::SUCCESS;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::size_t sink_name_bytes_max = 64;

std::unexpected<Error> mistrust(std::string_view what) {
  return fail(ErrorKind::corrupt, "the node's status cannot be believed: " + std::string(what));
}

// Empty if it is missing, null or no number.
std::optional<double> number(const object& from, std::string_view name) {
  double value = 0;
  if (from[name].get(value) != SUCCESS || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> count(const object& from, std::string_view name) {
  std::uint64_t value = 0;
  if (from[name].get(value) != SUCCESS) return std::nullopt;
  return value;
}

std::optional<health::LatencyHistogram> read_histogram(const object& from, std::string_view name) {
  object histogram;
  simdjson::dom::array buckets;
  std::uint64_t sum_us = 0;
  if (from[name].get(histogram) != SUCCESS || histogram["sum_us"].get(sum_us) != SUCCESS ||
      histogram["buckets"].get(buckets) != SUCCESS) {
    return std::nullopt;
  }
  health::LatencyHistogram::Counts counts{};
  for (const element pair : buckets) {
    std::uint64_t bucket = 0;
    std::uint64_t times = 0;
    if (pair.at(0).get(bucket) != SUCCESS || pair.at(1).get(times) != SUCCESS ||
        bucket >= counts.size()) {
      return std::nullopt;
    }
    counts[bucket] += times;
  }
  return health::LatencyHistogram(counts, sum_us);
}

bool read_totals(const object& root, health::Totals& out) {
  using health::Flow;
  static constexpr std::pair<std::string_view, Flow> names[] = {
      {"2xx", Flow::answers_2xx},
      {"3xx", Flow::answers_3xx},
      {"4xx", Flow::answers_4xx},
      {"5xx", Flow::answers_5xx},
      {"records", Flow::records},
      {"body_bytes", Flow::body_bytes},
      {"received_bytes", Flow::received_bytes},
      {"commits", Flow::commits},
      {"commits_failed", Flow::commits_failed},
      {"dead_records", Flow::dead_records},
      {"network_in_bytes", Flow::network_in_bytes},
      {"network_out_bytes", Flow::network_out_bytes}};
  static_assert(std::size(names) == health::flows);
  object totals;
  if (root["totals"].get(totals) != SUCCESS) return false;
  for (const auto& [name, flow] : names) {
    const auto value = count(totals, name);
    if (!value) return false;
    out[flow] = *value;
  }
  const auto requests = read_histogram(totals, "latency_us");
  const auto commits = read_histogram(totals, "commit_latency_us");
  if (!requests || !commits) return false;
  out.request_latency = *requests;
  out.commit_latency = *commits;
  return true;
}

std::optional<health::Level> read_level(const object& root) {
  using enum health::Level;
  std::string_view name;
  if (root["health"]["level"].get(name) != SUCCESS) return std::nullopt;
  for (const health::Level level : {ok, info, warning, degraded, severe}) {
    if (name == name_of(level)) return level;
  }
  return std::nullopt;
}

std::optional<health::LoadAverage> read_load(const object& host) {
  health::LoadAverage load{};
  if (host["load"].at(0).get(load.one) != SUCCESS || host["load"].at(1).get(load.five) != SUCCESS ||
      host["load"].at(2).get(load.fifteen) != SUCCESS) {
    return std::nullopt;
  }
  return load;
}

std::optional<health::CpuShares> read_cpu(const object& host) {
  object cpu;
  health::CpuShares shares{};
  if (host["cpu"].get(cpu) != SUCCESS || cpu["user"].get(shares.user) != SUCCESS ||
      cpu["nice"].get(shares.nice) != SUCCESS || cpu["system"].get(shares.system) != SUCCESS ||
      cpu["idle"].get(shares.idle) != SUCCESS || cpu["iowait"].get(shares.iowait) != SUCCESS ||
      cpu["steal"].get(shares.steal) != SUCCESS) {
    return std::nullopt;
  }
  return shares;
}

health::HostFigures read_host(const object& root) {
  health::HostFigures out;
  object host;
  if (root["host"].get(host) != SUCCESS) return out;
  out.load = read_load(host);
  out.cpu = read_cpu(host);
  if (const auto percent = number(host, "memory_used_percent")) {
    // The node knows of what: of the machine's memory, or of its control group's. A "limit" of this
    // many bytes gives the same percentage, to a millionth.
    constexpr std::uint64_t bytes_per_percent = 1'000'000;
    out.group_memory_max_bytes = 100 * bytes_per_percent;
    out.group_memory_used_bytes = static_cast<std::uint64_t>(
        std::llround(std::clamp(*percent, 0.0, 100.0) * bytes_per_percent));
  }
  const auto disk = count(host, "disk_bytes");
  const auto free = count(host, "disk_free_bytes");
  if (disk && free) out.disk = Space{*disk, *free};
  return out;
}

bool read_sinks(const object& root, std::vector<health::SinkLag>& out) {
  simdjson::dom::array sinks;
  if (root["sinks"].get(sinks) != SUCCESS) return false;
  for (const element sink : sinks) {
    std::string_view name;
    double lag_s = 0;
    std::uint64_t lag_bytes = 0;
    if (sink["name"].get(name) != SUCCESS || name.size() > sink_name_bytes_max ||
        sink["lag_s"].get(lag_s) != SUCCESS || sink["lag_bytes"].get(lag_bytes) != SUCCESS) {
      return false;
    }
    if (out.size() == status_sinks_max) break;
    out.push_back({std::string(name), lag_s, lag_bytes});
  }
  return true;
}

}  // namespace

Result<NodeStatus> read_node_status(std::string_view json) {
  simdjson::dom::parser parser;
  object root;
  if (parser.parse(json.data(), json.size()).get(root) != SUCCESS) return mistrust("no JSON");
  NodeStatus out;
  if (root["uptime_s"].get(out.uptime_s) != SUCCESS) return mistrust("uptime_s");
  if (root["draining"].get(out.draining) != SUCCESS) return mistrust("draining");
  if (!read_totals(root, out.totals)) return mistrust("totals");
  const auto level = read_level(root);
  if (!level) return mistrust("health");
  out.level = *level;
  out.host = read_host(root);
  object journal;
  if (root["journal"].get(journal) != SUCCESS) return mistrust("journal");
  const auto used = number(journal, "used_percent");
  if (!used) return mistrust("journal.used_percent");
  out.journal_used_percent = *used;
  out.journal_full_in_s = number(journal, "full_in_s");
  if (!read_sinks(root, out.sinks)) return mistrust("sinks");
  return out;
}

}  // namespace inlet::ship
