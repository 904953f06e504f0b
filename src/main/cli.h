// cli: how a command is called, how it ends, and what it prints when it cannot go on.
//
// Each command is a function taking its own argc and argv (argv[0] is "inlet COMMAND"), builds its
// own CLI::App and hands it to parse(). Exit codes of every command:
//
//   0  it did what was asked
//   1  a fault of the world: disk, network, another process
//   2  a mistake in the command line or the configuration; nothing was started
//   3  ship and adopt only: it stopped in order, and records stay behind in the journal
//
// A fault is one sentence on standard error, "inlet: WHAT: CAUSE".

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "main/config.h"

namespace CLI {
class App;
}

namespace inlet::main {

inline constexpr int exit_fine = 0;
inline constexpr int exit_fault = 1;
inline constexpr int exit_mistake = 2;
inline constexpr int exit_left_behind = 3;

// The commands, one file each.
int run_command(int argc, char** argv);
int serve_command(const Config& config);  // Called with a configuration free of mistakes.
int ship_command(int argc, char** argv);
int check_command(int argc, char** argv);
int journal_command(int argc, char** argv);
int load_command(int argc, char** argv);
int dead_command(int argc, char** argv);
int key_command(int argc, char** argv);
int replay_command(int argc, char** argv);
int audit_command(int argc, char** argv);
int receipt_command(int argc, char** argv);
int health_command(int argc, char** argv);
int top_command(int argc, char** argv);  // Becomes the program inlet-top.
int upgrade_command(int argc, char** argv);
int drain_command(int argc, char** argv);
int adopt_command(int argc, char** argv);

// Becomes the program inlet-ship, with these arguments; returns only if that fails.
int become_ship(const std::vector<std::string>& words);

// The flags that run, serve, ship, check and journal share.
struct CommonFlags {
  std::string config;
  std::string data;
  std::string listen;
  std::string admin;
  bool admin_given = false;  // --admin= turns the admin listener off.
  std::string log_level;

  // The same flags again, to start another process of ours with.
  [[nodiscard]] std::vector<std::string> arguments() const;
};
void add_common_flags(CLI::App& app, CommonFlags& flags);

// Parses; empty to go on, or the exit code after --help or a mistake (already printed).
[[nodiscard]] std::optional<int> parse(CLI::App& app, int argc, char** argv);

// Reads the configuration the flags, the environment and this machine describe.
[[nodiscard]] Loaded load_config(FileSystem& files, const CommonFlags& flags);
// The same for a command that needs it right: sets the log level; empty after printing the mistakes
// (exit with exit_mistake).
[[nodiscard]] std::optional<Config> require_config(FileSystem& files, const CommonFlags& flags);

// Prints "inlet: " and the sentence, and returns the exit code that goes with it.
int report_fault(const Error& error);
int report_mistake(std::string_view sentence);

inline constexpr std::string_view version = "0.1.0";

}  // namespace inlet::main
