// The command `inlet replay`: delivers a range of the journal to a sink again. Becomes inlet-ship,
// where the sinks are.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/posix_file.h"
#include "main/cli.h"

namespace inlet::main {

int replay_command(int argc, char** argv) {
  CLI::App app(
      "Delivers what a sink has got already to it again, as far back as the journal reaches "
      "(journal.retain).",
      "inlet replay");
  CommonFlags flags;
  std::string sink;
  std::string from;
  std::string to;
  bool progress = false;
  add_common_flags(app, flags);
  app.add_option("--sink", sink, "The sink")->required();
  app.add_option("--from", from,
                 "Received at or after this time: 2026-11-23T10:00:00Z, or 2h for two hours ago")
      ->required();
  app.add_option("--to", to, "Received before this time (default: now)");
  app.add_flag("--progress", progress, "a line a second, even if not on a terminal");
  if (const auto code = parse(app, argc, argv)) return *code;
  std::vector<std::string> words = {sink, "--replay-from", from};
  if (!to.empty()) words.insert(words.end(), {"--replay-to", to});
  if (progress) words.emplace_back("--progress");
  for (std::string& word : flags.arguments()) words.push_back(std::move(word));
  return become_ship(words);
}

}  // namespace inlet::main
