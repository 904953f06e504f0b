#include "top/column.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/check.h"
#include "top/text.h"

namespace inlet::top {
namespace {

constexpr std::size_t node_width_max = 32;
constexpr std::size_t cause_width_wanted = 44;  // Before figures of this rank and lesser are shown.
constexpr unsigned rank_below_cause = 112;

enum Id : std::size_t {
  id_node,
  id_status,
  id_requests,
  id_2xx,
  id_3xx,
  id_4xx,
  id_5xx,
  id_p10,
  id_p50,
  id_p75,
  id_p85,
  id_p90,
  id_p95,
  id_p99,
  id_p999,
  id_load1,
  id_user,
  id_nice,
  id_system,
  id_idle,
  id_iowait,
  id_memory,
  id_disk,
  id_in,
  id_out,
  id_commit,
  id_journal,
  id_full,
  id_lag,
  id_cause,
  id_count
};

constexpr std::array<Column, id_count> table = {{
    {"node", "node", Group::always, 8, 0, true},
    {"status", "status", Group::always, 9, 1, false},
    {"requests", "req/s", Group::requests, 6, 3, false},
    {"2xx", "2xx%", Group::requests, 5, 16, false},
    {"3xx", "3xx%", Group::requests, 5, 27, false},
    {"4xx", "4xx%", Group::requests, 5, 9, false},
    {"5xx", "5xx%", Group::requests, 5, 4, false},
    {"p10", "p10", Group::latency, 6, 28, false},
    {"p50", "p50", Group::latency, 6, 10, false},
    {"p75", "p75", Group::latency, 6, 25, false},
    {"p85", "p85", Group::latency, 6, 26, false},
    {"p90", "p90", Group::latency, 6, 22, false},
    {"p95", "p95", Group::latency, 6, 23, false},
    {"p99", "p99", Group::latency, 6, 5, false},
    {"p99.9", "p99.9", Group::latency, 6, 17, false},
    {"load1", "load1", Group::host, 6, 14, false},
    {"user", "user", Group::host, 5, 13, false},
    {"nice", "nice", Group::host, 5, 29, false},
    {"system", "system", Group::host, 7, 20, false},
    {"idle", "idle", Group::host, 5, 21, true},
    {"iowait", "iowait", Group::host, 7, 19, false},
    {"memory", "mem%", Group::host, 5, 12, false},
    {"disk", "disk%", Group::host, 6, 11, false},
    {"in", "in/s", Group::host, 7, 18, false},
    {"out", "out/s", Group::host, 7, 24, false},
    {"commit", "commit", Group::journal, 7, 15, false},
    {"journal", "jrnl%", Group::journal, 6, 6, false},
    {"full", "full in", Group::journal, 8, 8, true},
    {"lag", "lag", Group::journal, 7, 7, false},
    {"cause", "cause", Group::always, 20, 2, true},
}};

Id id_of(const Column& column) { return static_cast<Id>(&column - table.data()); }

Gauge percentile(const std::optional<Flows>& flows, double percent) {
  if (!flows || flows->latency.count() == 0) return std::nullopt;
  return static_cast<double>(flows->latency.percentile_us(percent));
}

Gauge commit_p99(const std::optional<Flows>& flows) {
  if (!flows || flows->commit_latency.count() == 0) return std::nullopt;
  return static_cast<double>(flows->commit_latency.percentile_us(99));
}

Gauge answered(const std::optional<Flows>& flows, std::size_t hundreds) {
  return flows ? flows->answered_percent(hundreds) : std::nullopt;
}

Gauge rate(const std::optional<Flows>& flows, double Flows::* member) {
  return flows ? Gauge((*flows).*member) : std::nullopt;
}

double badness(const Row& row) {
  if (row.reach == Reach::waiting) return -1;
  return static_cast<double>(row.level) + (row.reach == Reach::silent ? 1 : 0);
}

// Of the columns that are figures, and of the status.
Gauge value_of(const Column& column, const Row& row) {
  switch (id_of(column)) {
    case id_status: return badness(row);
    case id_requests: return rate(row.flows, &Flows::requests_per_s);
    case id_2xx: return answered(row.flows, 2);
    case id_3xx: return answered(row.flows, 3);
    case id_4xx: return answered(row.flows, 4);
    case id_5xx: return answered(row.flows, 5);
    case id_p10: return percentile(row.flows, 10);
    case id_p50: return percentile(row.flows, 50);
    case id_p75: return percentile(row.flows, 75);
    case id_p85: return percentile(row.flows, 85);
    case id_p90: return percentile(row.flows, 90);
    case id_p95: return percentile(row.flows, 95);
    case id_p99: return percentile(row.flows, 99);
    case id_p999: return percentile(row.flows, 99.9);
    case id_load1: return row.gauges.load1;
    case id_user: return row.gauges.cpu_user;
    case id_nice: return row.gauges.cpu_nice;
    case id_system: return row.gauges.cpu_system;
    case id_idle: return row.gauges.cpu_idle;
    case id_iowait: return row.gauges.cpu_iowait;
    case id_memory: return row.gauges.memory_percent;
    case id_disk: return row.gauges.disk_percent;
    case id_in: return rate(row.flows, &Flows::network_in_bytes_per_s);
    case id_out: return rate(row.flows, &Flows::network_out_bytes_per_s);
    case id_commit: return commit_p99(row.flows);
    case id_journal: return row.gauges.journal_percent;
    case id_full: return row.gauges.full_in_s;
    case id_lag: return row.gauges.sink_lag_s;
    default: return std::nullopt;
  }
}

std::string figure_text(Id id, double value) {
  switch (id) {
    case id_requests:
    case id_load1: return number_text(value);
    case id_p10:
    case id_p50:
    case id_p75:
    case id_p85:
    case id_p90:
    case id_p95:
    case id_p99:
    case id_p999:
    case id_commit: return latency_text(static_cast<Microseconds>(value));
    case id_in:
    case id_out: return bytes_text(value);
    case id_full:
    case id_lag: return health::duration_text(value);
    default: return percent_text(value);
  }
}

// Whether `a` comes before `b`; what has no figure after what has one.
bool precedes(const Sort& sort, const Row& a, const Row& b) {
  const bool up = sort.column->ascending != sort.reverse;
  const Id id = id_of(*sort.column);
  if (id == id_node) return up ? a.label < b.label : b.label < a.label;
  if (id == id_cause) {
    if (a.cause.empty() || b.cause.empty()) return b.cause.empty() && !a.cause.empty();
    return up ? a.cause < b.cause : b.cause < a.cause;
  }
  const Gauge left_value = value_of(*sort.column, a);
  const Gauge right_value = value_of(*sort.column, b);
  if (!left_value || !right_value) return left_value.has_value() && !right_value.has_value();
  return up ? *left_value < *right_value : *right_value < *left_value;
}

unsigned rank_in(const Column& column, Focus focus) {
  const bool lifted = column.group != Group::always && focus != Focus::overview &&
                      static_cast<int>(column.group) == static_cast<int>(focus);
  const bool first = column.group == Group::always || lifted;
  return first ? column.rank : column.rank + 100;
}
static_assert(static_cast<int>(Group::requests) == static_cast<int>(Focus::requests) &&
              static_cast<int>(Group::latency) == static_cast<int>(Focus::latency) &&
              static_cast<int>(Group::host) == static_cast<int>(Focus::host) &&
              static_cast<int>(Group::journal) == static_cast<int>(Focus::journal));

std::size_t longest(std::span<const Row> rows, const std::string Row::* member) {
  std::size_t most = 0;
  for (const Row& row : rows) most = std::max(most, (row.*member).size());
  return most;
}

}  // namespace

std::string_view name_of(Focus focus) {
  constexpr std::string_view names[] = {"overview", "requests", "latency", "host", "journal"};
  return names[static_cast<std::size_t>(focus)];
}

std::span<const Column> columns() { return table; }

const Column* find_column(std::string_view key) {
  const auto found = std::ranges::find(table, key, &Column::key);
  return found == table.end() ? nullptr : &*found;
}

std::string text_of(const Column& column, const Row& row) {
  const Id id = id_of(column);
  if (id == id_node) return row.label;
  if (id == id_status) return std::string(status_word(row));
  if (id == id_cause) return row.cause;
  const Gauge value = value_of(column, row);
  return value ? figure_text(id, *value) : "-";
}

Sort default_sort() { return {.column = &table[id_status]}; }

void sort_rows(std::vector<Row>& rows, const Sort& sort) {
  CHECK(sort.column != nullptr);
  std::ranges::sort(rows, [&](const Row& a, const Row& b) {
    if (precedes(sort, a, b)) return true;
    if (precedes(sort, b, a)) return false;
    return std::tie(a.label, a.url) < std::tie(b.label, b.url);
  });
}

std::vector<Placed> fit_columns(std::span<const Row> rows, std::size_t width, Focus focus) {
  const std::size_t label = longest(rows, &Row::label);
  const bool all = width == any_width;
  const auto width_of = [&](const Column& column) {
    const Id id = id_of(column);
    if (id == id_node) return std::max(column.width, all ? label : std::min(label, node_width_max));
    if (id == id_cause && all) return std::max(column.width, longest(rows, &Row::cause));
    return column.width;
  };
  std::vector<const Column*> by_rank;
  for (const Column& column : table) by_rank.push_back(&column);
  std::ranges::sort(by_rank, {}, [&](const Column* column) { return rank_in(*column, focus); });

  std::size_t used = 0;
  std::array<bool, id_count> shown{};
  std::size_t kept = std::min(longest(rows, &Row::cause), cause_width_wanted);
  kept -= std::min(kept, table[id_cause].width);
  for (const Column* column : by_rank) {
    const bool lesser = rank_in(*column, focus) >= rank_below_cause;
    const std::size_t more = width_of(*column) + (used == 0 ? 0 : 1) + (lesser ? kept : 0);
    // The first stays whatever happens; nothing lesser takes the room of one that does not fit.
    if (!all && used != 0 && used + more > width) break;
    shown[id_of(*column)] = true;
    used += width_of(*column) + (used == 0 ? 0 : 1);
  }
  std::vector<Placed> out;
  for (const Column& column : table) {
    if (!shown[id_of(column)]) continue;
    out.push_back({.column = &column, .width = width_of(column)});
    if (id_of(column) == id_cause && !all) out.back().width += width - used;
  }
  return out;
}

}  // namespace inlet::top
