// The command `inlet drain`: a running node stops accepting and delivers all it has.
//
// For what ends machines: the node's processes are there until they are told to end, so this can be
// waited for from inside a container whose first process the node is.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "base/posix_file.h"
#include "main/cli.h"
#include "main/leftover.h"
#include "main/node_state.h"
#include "main/progress.h"

namespace inlet::main {
namespace {

constexpr Microseconds look_us = 100'000;
constexpr std::uint32_t patience_s = 3600;

struct DrainFlags {
  std::string data = "./data";
  std::uint32_t timeout_s = patience_s;
  bool json = false;
  bool progress = false;
};

int report_leftovers(const std::vector<Leftover>& left, bool json) {
  if (json) {
    fmt::print("{}\n", leftover_json(left));
  } else if (records_left(left) == 0) {
    fmt::print("everything is delivered\n");
  }
  std::fflush(stdout);
  for (const std::string& sentence : leftover_sentences(left)) {
    fmt::print(stderr, "inlet: {}\n", sentence);
  }
  return records_left(left) == 0 ? exit_fine : exit_fault;
}

// Nothing is added any more, and nothing is on its way out.
bool is_at_rest(FileSystem& files, const std::string& data) {
  const auto now = read_node_state(files, data);
  if (!now) return now.error().kind == ErrorKind::reject;  // It has ended.
  return now->phase == "empty";
}

int wait_until_empty(FileSystem& files, const NodeState& node, const DrainFlags& flags) {
  SystemClock clock;
  const Microseconds until_us = clock.steady_us() + Microseconds{flags.timeout_s} * 1'000'000;
  ProgressBar bar(clock, "drain", "records", flags.progress);
  std::uint64_t most = 0;
  while (true) {
    const bool at_rest = is_at_rest(files, flags.data);  // Looked at before what is left.
    const auto left = read_leftovers(files, node.journal, node.sinks);
    if (!left) return report_fault(left.error());
    most = std::max(most, records_left(*left));
    if (at_rest || clock.steady_us() >= until_us) {
      bar.clear();
      if (!at_rest) {
        fmt::print(stderr, "inlet: after {} s the node still delivers and goes on with it\n",
                   flags.timeout_s);
      }
      const int code = report_leftovers(*left, flags.json);
      return at_rest ? code : exit_fault;
    }
    bar.update(most - records_left(*left), most);
    clock.sleep(look_us);
  }
}

}  // namespace

int drain_command(int argc, char** argv) {
  CLI::App app(
      "Tells a running node to stop accepting, as SIGTERM does, and to deliver all it has, "
      "however long it takes; waits for that. The node then stays, empty, until it is told to "
      "end. Exit 0: every sink has everything. 1: not in time, and what is left.",
      "inlet drain");
  DrainFlags flags;
  app.add_option("--data", flags.data, "Directory of the node (default ./data)")
      ->type_name("DIR")
      ->envname("INLET_DATA");
  app.add_option("--timeout", flags.timeout_s, "Seconds to wait (default 3600)")->type_name("S");
  app.add_flag("--json", flags.json, "Print what is left as one JSON object");
  app.add_flag("--progress", flags.progress, "A line a second, even if not on a terminal");
  if (const auto code = parse(app, argc, argv)) return *code;
  PosixFileSystem files;
  const auto node = read_node_state(files, flags.data);
  if (!node) return report_fault(node.error());
  if (node->phase == "running") {
    if (const Status asked = ask_node(*node, Wish::drain); !asked) {
      return report_fault(asked.error());
    }
  }
  return wait_until_empty(files, *node, flags);
}

}  // namespace inlet::main
