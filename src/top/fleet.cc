#include "top/fleet.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace inlet::top {
namespace {

using health::Level;

constexpr std::size_t causes_shown_max = 8;  // Of the fleet.

std::string joined_causes(const NodeStatus& status) {
  std::string out;
  for (const Cause& cause : status.causes) {
    if (!out.empty()) out += "; ";
    out += cause.text;
  }
  return out;
}

// The mean of those that have the figure; the most, or the least, of them.
class Mean {
 public:
  void add(Gauge value) {
    if (!value) return;
    sum_ += *value;
    count_++;
  }
  [[nodiscard]] Gauge get() const {
    return count_ == 0 ? Gauge() : Gauge(sum_ / static_cast<double>(count_));
  }

 private:
  double sum_ = 0;
  std::size_t count_ = 0;
};

void take_most(Gauge& out, Gauge value) {
  if (value && (!out || *value > *out)) out = value;
}
void take_least(Gauge& out, Gauge value) {
  if (value && (!out || *value < *out)) out = value;
}

Gauges together(const std::vector<Row>& rows) {
  Gauges out;
  for (const auto member : {&Gauges::load1, &Gauges::cpu_user, &Gauges::cpu_nice,
                            &Gauges::cpu_system, &Gauges::cpu_idle, &Gauges::cpu_iowait}) {
    Mean mean;
    for (const Row& row : rows) mean.add(row.gauges.*member);
    out.*member = mean.get();
  }
  for (const Row& row : rows) {
    take_most(out.memory_percent, row.gauges.memory_percent);
    take_most(out.disk_percent, row.gauges.disk_percent);
    take_most(out.journal_percent, row.gauges.journal_percent);
    take_most(out.sink_lag_s, row.gauges.sink_lag_s);
    take_least(out.full_in_s, row.gauges.full_in_s);
  }
  return out;
}

// The causes of all, worst nodes first: "a: journal full in 7 min; b: no answer: ...".
std::string fleet_cause(std::vector<const Row*> rows) {
  std::ranges::sort(rows, [](const Row* a, const Row* b) {
    return a->level != b->level ? a->level > b->level : a < b;  // Of one level as they stand.
  });
  std::string out;
  std::size_t shown = 0;
  for (const Row* row : rows) {
    if (row->cause.empty() || row->reach == Reach::waiting) continue;
    if (shown++ == causes_shown_max) return out + "; and others";
    if (!out.empty()) out += "; ";
    out += fmt::format("{}: {}", row->label, row->cause);
  }
  return out;
}

Row row_of(const Node& node, Window window, Microseconds steady_us) {
  Row row{.url = node.url,
          .label = node.name.empty() ? node.address : node.name,
          .reach = node.reach,
          .level = Level::ok,
          .cause = {},
          .flows = std::nullopt,
          .gauges = {}};
  if (node.reach == Reach::silent) {
    row.level = Level::severe;
    row.cause = silence_text(node, steady_us);
  }
  if (!node.status) return row;
  row.level = node.status->level;
  row.cause = joined_causes(*node.status);
  row.flows = flows_of(*node.status, window);
  row.gauges = gauges_of(*node.status);
  return row;
}

}  // namespace

std::string_view name_of(Window window) { return window == Window::minute ? "1m" : "10s"; }

const Flows& flows_of(const NodeStatus& status, Window window) {
  return window == Window::minute ? status.last_minute : status.last_10s;
}

Gauges gauges_of(const NodeStatus& status) {
  const HostStatus& host = status.host;
  Gauges out{.load1 = host.load1,
             .cpu_user = host.cpu_user,
             .cpu_nice = host.cpu_nice,
             .cpu_system = host.cpu_system,
             .cpu_idle = host.cpu_idle,
             .cpu_iowait = host.cpu_iowait,
             .memory_percent = host.memory_used_percent,
             .disk_percent = host.disk_used_percent,
             .journal_percent = status.journal.used_percent,
             .full_in_s = std::nullopt,
             .sink_lag_s = std::nullopt};
  // As the status rules see it: any burst would worry an empty journal.
  if (out.journal_percent.value_or(100) >= health::full_in_judged_from_percent) {
    out.full_in_s = status.journal.full_in_s;
  }
  for (const SinkStatus& sink : status.sinks) take_most(out.sink_lag_s, sink.lag_s);
  return out;
}

std::vector<Row> rows_of(const Fleet& fleet, Window window) {
  std::map<std::string_view, std::size_t> names;
  for (const Node& node : fleet.nodes) names[node.name]++;
  std::vector<Row> out;
  out.reserve(fleet.nodes.size());
  for (const Node& node : fleet.nodes) {
    out.push_back(row_of(node, window, fleet.steady_us));
    if (!node.name.empty() && names[node.name] > 1) out.back().label += "@" + node.address;
  }
  return out;
}

Summary summary_of(const Fleet& fleet, Window window) {
  const std::vector<Row> rows = rows_of(fleet, window);
  Summary out;
  out.row.label = fmt::format("{} {}", rows.size(), rows.size() == 1 ? "node" : "nodes");
  std::vector<const Row*> pointers;
  for (const Row& row : rows) {
    pointers.push_back(&row);
    if (row.reach == Reach::silent) out.silent++;
    if (row.reach == Reach::waiting) out.waiting++;
    if (row.reach == Reach::answering) out.answering.at(static_cast<std::size_t>(row.level))++;
    out.row.level = std::max(out.row.level, row.level);
    if (!row.flows) continue;
    if (!out.row.flows) out.row.flows.emplace();
    out.row.flows->merge(*row.flows);
  }
  const bool knows = out.waiting < rows.size();
  out.row.reach = knows ? Reach::answering : Reach::waiting;
  out.row.cause = fleet_cause(std::move(pointers));
  out.row.gauges = together(rows);
  return out;
}

std::string_view status_word(const Row& row) {
  if (row.reach == Reach::waiting) return "waiting";
  return row.reach == Reach::silent ? "No answer" : health::name_of(row.level);
}

std::string silence_text(const Node& node, Microseconds steady_us) {
  const auto lasted_s = static_cast<double>(steady_us - node.since_us) / 1e6;
  if (lasted_s < 1) return fmt::format("no answer: {}", node.why);
  return fmt::format("no answer: {}, for {}", node.why, health::duration_text(lasted_s));
}

bool is_well(const Fleet& fleet) {
  return !fleet.nodes.empty() && std::ranges::all_of(fleet.nodes, [](const Node& node) {
    return node.status && node.status->level != Level::severe;
  });
}

}  // namespace inlet::top
