#include "top/report.h"

#include <fmt/format.h>

#include <iterator>

#include "base/json.h"
#include "top/text.h"

namespace inlet::top {
namespace {

template <typename... Values>
void add(std::string& out, fmt::format_string<Values...> format, Values&&... values) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Values>(values)...);
}

void add_text(std::string& out, std::string_view key, std::string_view text) {
  add(out, R"("{}":)", key);
  append_json_string(out, text);
  out += ',';
}

void add_flows(std::string& out, const Flows& flows) {
  add(out, R"({{"length_s":{:.1f},"requests":{:.0f},"requests_per_s":{:.1f})", flows.length_s,
      flows.requests, flows.requests_per_s);
  for (std::size_t i = 0; i < flows.answers.size(); i++) {
    add(out, R"(,"{}xx":{:.0f})", i + 2, flows.answers[i]);
  }
  add(out,
      R"(,"records_per_s":{:.1f},"body_bytes_per_s":{:.0f},"received_bytes_per_s":{:.0f},)"
      R"("commits_per_s":{:.1f},"commits_failed":{:.0f},"dead_records":{:.0f},)"
      R"("network_in_bytes_per_s":{:.0f},"network_out_bytes_per_s":{:.0f},"latency_us":)",
      flows.records_per_s, flows.body_bytes_per_s, flows.received_bytes_per_s, flows.commits_per_s,
      flows.commits_failed, flows.dead_records, flows.network_in_bytes_per_s,
      flows.network_out_bytes_per_s);
  health::append_json(out, flows.latency);
  out += R"(,"commit_latency_us":)";
  health::append_json(out, flows.commit_latency);
  out += '}';
}

void add_gauges(std::string& out, const Gauges& gauges) {
  const std::pair<const char*, Gauge> all[] = {{"load1", gauges.load1},
                                               {"cpu_user", gauges.cpu_user},
                                               {"cpu_nice", gauges.cpu_nice},
                                               {"cpu_system", gauges.cpu_system},
                                               {"cpu_idle", gauges.cpu_idle},
                                               {"cpu_iowait", gauges.cpu_iowait},
                                               {"memory_percent", gauges.memory_percent},
                                               {"disk_percent", gauges.disk_percent},
                                               {"journal_percent", gauges.journal_percent},
                                               {"full_in_s", gauges.full_in_s},
                                               {"sink_lag_s", gauges.sink_lag_s}};
  out += '{';
  for (const auto& [key, value] : all) {
    if (value) {
      add(out, R"("{}":{:.2f},)", key, *value);
    } else {
      add(out, R"("{}":null,)", key);
    }
  }
  out.back() = '}';
}

void add_fleet(std::string& out, const Summary& summary, std::size_t nodes) {
  add(out, R"({{"level":"{}","nodes":{},"answering":{},"silent":{},"waiting":{},"levels":{{)",
      health::name_of(summary.row.level), nodes, nodes - summary.silent - summary.waiting,
      summary.silent, summary.waiting);
  for (std::size_t i = 0; i < levels; i++) {
    add(out, R"({}"{}":{})", i == 0 ? "" : ",", health::name_of(static_cast<health::Level>(i)),
        summary.answering.at(i));
  }
  out += "},";
  add_text(out, "cause", summary.row.cause);
  out += R"("interval":)";
  if (summary.row.flows) {
    add_flows(out, *summary.row.flows);
  } else {
    out += "null";
  }
  out += R"(,"gauges":)";
  add_gauges(out, summary.row.gauges);
  out += '}';
}

void add_node(std::string& out, const Node& node, Microseconds steady_us) {
  constexpr std::string_view states[] = {"waiting", "answering", "silent"};
  out += '{';
  add_text(out, "target", node.target);
  add_text(out, "url", node.url);
  if (node.name.empty()) {
    out += R"("node":null,)";
  } else {
    add_text(out, "node", node.name);
  }
  const bool silent = node.reach == Reach::silent;
  const auto level = node.status ? node.status->level
                     : silent    ? health::Level::severe
                                 : health::Level::ok;
  add(out, R"("state":"{}","level":"{}",)", states[static_cast<std::size_t>(node.reach)],
      health::name_of(level));
  if (silent) {
    add_text(out, "why", node.why);
    add(out, R"("silent_s":{:.1f},)", static_cast<double>(steady_us - node.since_us) / 1e6);
  } else {
    out += R"("why":null,"silent_s":null,)";
  }
  add(out, R"("status":{}}})", node.document.empty() ? "null" : node.document);
}

}  // namespace

std::string report_json(const Fleet& fleet, Window window) {
  std::string out;
  add(out, R"({{"schema":1,"at":"{}","window":"{}","fleet":)", time_text(fleet.wall_us),
      name_of(window));
  add_fleet(out, summary_of(fleet, window), fleet.nodes.size());
  out += R"(,"nodes":[)";
  for (const Node& node : fleet.nodes) {
    if (&node != &fleet.nodes.front()) out += ',';
    add_node(out, node, fleet.steady_us);
  }
  out += "]}\n";
  return out;
}

}  // namespace inlet::top
