// The program `inlet`: finds the command that was asked for.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "base/posix_file.h"
#include "main/cli.h"
#include "main/process.h"
#include "main/values.h"

namespace inlet::main {
namespace {

int serve_with_config(int argc, char** argv) {
  CLI::App app("Accepts requests and stores them; makes no outgoing connection.", "inlet serve");
  CommonFlags flags;
  add_common_flags(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  PosixFileSystem files;
  const auto config = require_config(files, flags);
  return config ? serve_command(*config) : exit_mistake;
}

struct CommandRow {
  std::string_view name;
  std::string_view what;
  int (*function)(int argc, char** argv);
};
constexpr CommandRow commands[] = {
    {"run", "Supervises a whole node: serve and one ship per sink.", run_command},
    {"serve", "Accepts requests and stores them in the journal.", serve_with_config},
    {"ship", "Delivers the journal to one sink.", ship_command},
    {"top", "Shows the health of a fleet, live.", top_command},
    {"health", "Asks a node whether it can store records; for health checks without a shell.",
     health_command},
    {"check", "Prints the effective configuration and every mistake in it.", check_command},
    {"key", "Makes, lists, replaces and revokes the keys that clients come in with.", key_command},
    {"journal", "Lists, prints or verifies what is in the journal.", journal_command},
    {"dead", "Lists, prints or redrives records that a sink would not take.", dead_command},
    {"replay", "Delivers a range of the journal to a sink again.", replay_command},
    {"audit", "Says whether the books balance: stored = delivered + pending + dead.",
     audit_command},
    {"receipt", "Says where a record is, and what became of it at each sink.", receipt_command},
    {"upgrade", "Replaces a running node by what stands at its path now, without a gap.",
     upgrade_command},
    {"drain", "Ends a running node's door and waits until everything is delivered.", drain_command},
    {"adopt", "Delivers what another node's data directory still holds.", adopt_command},
    {"load", "Sends requests at a given rate and reports latencies.", load_command},
};

void print_usage() {
  fmt::print(
      "inlet {}: the front door for customer data. It answers 2xx only when the bytes are "
      "safe on disk.\n\nusage: inlet COMMAND [--help] [flags]\n\n",
      version);
  for (const CommandRow& command : commands) fmt::print("  {:<9} {}\n", command.name, command.what);
  fmt::print(
      "\nTo try it: inlet run, then\n  curl --data-binary hello "
      "http://127.0.0.1:8080/ingest/first\n");
}

int dispatch(int argc, char** argv) {
  if (argc < 2) {
    print_usage();
    return exit_mistake;
  }
  const std::string_view word = argv[1];
  if (word == "--help" || word == "-h" || word == "help") {
    print_usage();
    return exit_fine;
  }
  if (word == "--version") {
    fmt::print("inlet {}\n", version);
    return exit_fine;
  }
  std::vector<std::string_view> names = {"--help", "--version"};
  for (const CommandRow& command : commands) {
    names.push_back(command.name);
    if (command.name == word) {
      std::string name = "inlet " + std::string(word);
      std::vector<char*> arguments = {name.data()};
      arguments.insert(arguments.end(), argv + 2, argv + argc);
      const int count = static_cast<int>(arguments.size());
      arguments.push_back(nullptr);
      return command.function(count, arguments.data());
    }
  }
  if (word.starts_with("--") && !nearest(word, std::span(names).first(2))) {
    return report_mistake(
        fmt::format("{} comes after the command, as in inlet run {}", word, word));
  }
  return report_mistake(fmt::format("{} is not a command{}", word, suggestion(word, names)));
}

}  // namespace
}  // namespace inlet::main

int main(int argc, char** argv) {
  const std::string_view word = argc < 2 ? "" : argv[1];
  if (word == "run" || word == "serve" || word == "ship") inlet::main::hold_signals();
  return inlet::main::dispatch(argc, argv);
}
