// The program `inlet-top`, which `inlet top` becomes: shows the health of a fleet, live, or once
// for scripts. Exit codes, besides those of every command (cli.h): with --once and --json, 1 also
// says that a node does not answer or is Severe.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/posix_file.h"
#include "main/cli.h"
#include "main/values.h"
#include "top/report.h"
#include "top/watch.h"

namespace inlet::main {
namespace {

constexpr double interval_s_min = 0.2;
constexpr double interval_s_max = 60;

struct TopFlags {
  std::vector<std::string> targets;
  bool once = false;
  bool json = false;
  double interval_s = 1;
  std::string sort = "status";
  bool reverse = false;
  std::string window = "10s";
  std::string ca_file;
};

void add_flags(CLI::App& app, TopFlags& flags) {
  app.add_option("TARGET", flags.targets,
                 "nodes by their admin address: HOST[:8081], http(s)://HOST[:PORT][/PATH], or "
                 "dns:NAME[:8081] for every address of a name")
      ->required()
      ->type_name("");
  app.add_flag("--once", flags.once, "print the table once; exit 1 if a node is silent or Severe");
  app.add_flag("--json", flags.json, "print one JSON document instead; exits like --once");
  app.add_option("--interval", flags.interval_s, "seconds between two looks (default 1)")
      ->type_name("S")
      ->check(CLI::Range(interval_s_min, interval_s_max));
  app.add_option("--sort", flags.sort, "the column to sort by (default status, worst first)")
      ->type_name("COLUMN");
  app.add_flag("--reverse", flags.reverse, "the other way round");
  app.add_option("--window", flags.window, "over which figures are taken: 10s (default) or 1m")
      ->type_name("TIME")
      ->check(CLI::IsMember({"10s", "1m"}));
  app.add_option("--ca-file", flags.ca_file,
                 "who must have signed the nodes' certificates, in PEM (default: whom the system "
                 "trusts)")
      ->type_name("FILE");
}

// The flags, understood.
struct Plan {
  top::PollerOptions polling;
  top::ViewOptions viewing;
};

Status read_flags(const TopFlags& flags, Plan& plan) {
  const auto wrong = [](std::string what) { return fail(ErrorKind::reject, std::move(what)); };
  for (const std::string& text : flags.targets) {
    auto target = top::parse_target(text);
    if (!target) return fail(target);
    plan.polling.targets.push_back(std::move(*target));
  }
  if (flags.targets.size() > top::nodes_max) {
    return wrong(fmt::format("top watches at most {} nodes", top::nodes_max));
  }
  const top::Column* const column = top::find_column(flags.sort);
  if (column == nullptr) {
    std::vector<std::string_view> keys;
    for (const top::Column& each : top::columns()) keys.push_back(each.key);
    return wrong(fmt::format("--sort {} is not a column{}; there are {}", flags.sort,
                             suggestion(flags.sort, keys), fmt::join(keys, ", ")));
  }
  plan.viewing.sort = {.column = column, .reverse = flags.reverse};
  plan.viewing.window = flags.window == "1m" ? top::Window::minute : top::Window::seconds_10;
  plan.polling.interval_us = static_cast<Microseconds>(flags.interval_s * 1e6);
  plan.polling.ca_file = flags.ca_file;
  plan.polling.keep_documents = flags.json;
  if (flags.ca_file.empty()) return {};
  PosixFileSystem files;
  const auto opened = files.open(flags.ca_file, {});
  if (!opened) return wrong("--ca-file: " + opened.error().what);
  return {};
}

// Of the terminal; not cut where there is none.
std::size_t output_width() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return top::any_width;
  return size.ws_col;
}

int print_once(Clock& clock, const Plan& plan, bool json) {
  const top::Fleet fleet = top::look_once(clock, plan.polling);
  const char* const no_color = std::getenv("NO_COLOR");
  const bool coloured = ::isatty(STDOUT_FILENO) != 0 && (no_color == nullptr || *no_color == '\0');
  fmt::print("{}", json ? top::report_json(fleet, plan.viewing.window)
                        : top::table_text(fleet, plan.viewing.window, plan.viewing.sort,
                                          output_width(), coloured));
  return top::is_well(fleet) ? exit_fine : exit_fault;
}

int show_fleet(int argc, char** argv) {
  CLI::App app(
      "Shows the health of a fleet, live: all nodes together, then each with its status and the "
      "cause.",
      "inlet top");
  TopFlags flags;
  add_flags(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  Plan plan;
  if (const Status read = read_flags(flags, plan); !read) return report_mistake(read.error().what);
  SystemClock clock;
  if (flags.once || flags.json) return print_once(clock, plan, flags.json);
  const Status watched = top::watch(clock, plan.polling, plan.viewing);
  return watched ? exit_fine : report_mistake(watched.error().what);
}

}  // namespace
}  // namespace inlet::main

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // A node that hangs up is an error to handle.
  return inlet::main::show_fleet(argc, argv);
}
