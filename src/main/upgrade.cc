// The command `inlet upgrade`: a running node becomes what stands at its path now.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

#include "base/posix_file.h"
#include "main/cli.h"
#include "main/node_state.h"
#include "main/progress.h"

namespace inlet::main {
namespace {

constexpr Microseconds look_us = 50'000;
constexpr std::uint32_t patience_s = 180;  // Beyond all that a supervisor waits for.

int report_outcome(const UpgradeNote& note) {
  if (note.outcome == "upgraded") {
    fmt::print("upgraded from {} to {}\n", note.from, note.to);
    return exit_fine;
  }
  const std::string what = note.outcome == "refused" ? "refused, nothing was changed"
                           : note.outcome == "returned"
                               ? fmt::format("went back to version {}", note.from)
                               : note.outcome;
  return report_fault({ErrorKind::reject, fmt::format("upgrade {}: {}", what, note.why)});
}

// What `node` says about the upgrade that it was not under way with before; retry: nothing yet.
Result<UpgradeNote> look(FileSystem& files, const std::string& data, const NodeState& node) {
  const auto now = read_node_state(files, data);
  if (!now && now.error().kind == ErrorKind::reject) {
    return fail(ErrorKind::reject, "the node ended while it was upgraded; " + now.error().what);
  }
  if (!now) return fail(now);
  if (now->pid != node.pid) {
    return fail(ErrorKind::reject, "the node was started anew while it was upgraded");
  }
  if (now->upgrade.id == node.upgrade.id) return fail(ErrorKind::retry, "it has not begun");
  return now->upgrade;
}

int wait_for_upgrade(FileSystem& files, Clock& clock, const std::string& data,
                     const NodeState& node, std::uint32_t timeout_s, bool progress) {
  const Microseconds until_us = clock.steady_us() + Microseconds{timeout_s} * 1'000'000;
  ProgressLine line(progress);
  std::string stage;
  while (clock.steady_us() < until_us) {
    const auto note = look(files, data, node);
    if (!note && note.error().kind == ErrorKind::reject) return report_fault(note.error());
    if (note && !note->outcome.empty()) {
      line.clear();
      return report_outcome(*note);
    }
    if (note && note->stage != stage) line.show("upgrade: " + (stage = note->stage));
    clock.sleep(look_us);
  }
  return report_fault({ErrorKind::retry, fmt::format("no answer within {} s", timeout_s)});
}

}  // namespace

int upgrade_command(int argc, char** argv) {
  CLI::App app(
      "Makes a running node the version that stands now at the path it was started from: tests "
      "it, then replaces serve, each ship and the supervisor, on the same sockets; goes back if "
      "the new version does not hold. The configuration stays as it is in force.",
      "inlet upgrade");
  std::string data = "./data";
  std::uint32_t timeout_s = patience_s;
  bool progress = false;
  app.add_option("--data", data, "Directory of the node (default ./data)")
      ->type_name("DIR")
      ->envname("INLET_DATA");
  app.add_option("--timeout", timeout_s, "Seconds to wait for the end of it")->type_name("S");
  app.add_flag("--progress", progress, "Say each step, even if not on a terminal");
  if (const auto code = parse(app, argc, argv)) return *code;
  PosixFileSystem files;
  SystemClock clock;
  const auto node = read_node_state(files, data);
  if (!node) return report_fault(node.error());
  if (node->phase != "running") {
    return report_fault({ErrorKind::reject, "the node ends: it is " + node->phase});
  }
  if (!node->upgrade.stage.empty()) {
    return report_fault({ErrorKind::reject, "an upgrade is under way"});
  }
  if (const Status asked = ask_node(*node, Wish::upgrade); !asked) {
    return report_fault(asked.error());
  }
  return wait_for_upgrade(files, clock, data, *node, timeout_s, progress);
}

}  // namespace inlet::main
