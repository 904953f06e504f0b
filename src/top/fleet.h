// fleet: every node as it was last seen, and what they are together.
//
// Together: rates and counts add up and histograms merge bucket by bucket, so percentiles are
// exact; CPU and load are the mean; of what can run out or fall behind the worst counts. A node
// that does not answer is a Severe matter of the fleet, and adds nothing to its figures.
//
// Pure; any thread.

#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "health/status_rules.h"
#include "top/node_status.h"

namespace inlet::top {

inline constexpr std::size_t levels = 5;

enum class Reach : unsigned char {
  waiting,    // Not asked yet, or the first answer is still under way.
  answering,  //
  silent,     // The last question was not answered, or with no status.
};

struct Node {
  std::string target;   // As the operator wrote it.
  std::string address;  // "host:port"; of a name that stands for nothing, the target.
  std::string url;      // Names the node, also between looks.
  Reach reach = Reach::waiting;
  std::string name;                  // As it last called itself; empty: it never did.
  std::optional<NodeStatus> status;  // Exactly when answering.
  std::string document;              // That, as it came, if documents are kept.
  std::string why;                   // Exactly when silent: "cannot connect".
  Microseconds since_us = 0;         // Silent since; steady.
};

struct Fleet {
  std::vector<Node> nodes;  // In the order of the targets.
  Microseconds steady_us = 0;
  Microseconds wall_us = 0;
};

enum class Window : unsigned char { seconds_10, minute };
[[nodiscard]] std::string_view name_of(Window window);  // "10s", "1m"
[[nodiscard]] const Flows& flows_of(const NodeStatus& status, Window window);

struct Gauges {
  Gauge load1, cpu_user, cpu_nice, cpu_system, cpu_idle, cpu_iowait, memory_percent, disk_percent,
      journal_percent, full_in_s, sink_lag_s;
};
[[nodiscard]] Gauges gauges_of(const NodeStatus& status);

// One line of the table: the fleet, or a node.
struct Row {
  std::string url;    // Empty: the fleet.
  std::string label;  // The node's name; with its address if several have that name.
  Reach reach = Reach::waiting;
  health::Level level = health::Level::ok;  // A silent one's is severe.
  std::string cause;
  std::optional<Flows> flows;  // Empty: no answer to show.
  Gauges gauges;
};

struct Summary {
  Row row;
  std::size_t silent = 0;
  std::size_t waiting = 0;
  std::array<std::size_t, levels> answering{};  // By level.
};

[[nodiscard]] std::vector<Row> rows_of(const Fleet& fleet, Window window);
[[nodiscard]] Summary summary_of(const Fleet& fleet, Window window);

// "Ok", …, "No answer", "waiting".
[[nodiscard]] std::string_view status_word(const Row& row);
// How long a silent node has been so, and why: "no answer: cannot connect, for 12 s".
[[nodiscard]] std::string silence_text(const Node& node, Microseconds steady_us);

// All answer, and none is Severe: what a script wants to know.
[[nodiscard]] bool is_well(const Fleet& fleet);

}  // namespace inlet::top
