// The command `inlet dead ls | cat | redrive`: records that a sink would not take.
//
// ls and cat read the files; redrive becomes inlet-ship, where the sinks are.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/posix_file.h"
#include "codec/dead_letter.h"
#include "load/archive.h"
#include "main/cli.h"
#include "main/values.h"

namespace inlet::main {
namespace {

// The sinks that have dead letters or could have: the configuration's, and folders of others.
Result<std::vector<std::string>> sinks_to_show(FileSystem& files, const Config& config,
                                               const std::string& wanted) {
  std::vector<std::string> names;
  for (const SinkConfig& sink : config.sinks) names.push_back(sink.name);
  const auto folders = files.list(config.data + "/dead");
  if (!folders && folders.error().os != ENOENT) return fail(folders);
  if (folders) names.insert(names.end(), folders->begin(), folders->end());
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  if (wanted.empty()) return names;
  if (std::ranges::find(names, wanted) != names.end()) return std::vector{wanted};
  const std::vector<std::string_view> known(names.begin(), names.end());
  return fail(ErrorKind::reject,
              fmt::format("no sink is called {}{}", wanted, suggestion(wanted, known)));
}

using OnLetter = std::function<void(std::string_view line, const Result<codec::DeadLetter>&)>;

Status for_each_letter(FileSystem& files, const std::string& directory, const OnLetter& on_letter) {
  loader::Archive archive(files, directory);
  return archive.read_new(
      [&](std::string_view line, bool) {
        on_letter(line, codec::parse_dead_letter(line));
        return true;
      },
      [] { return true; });
}

struct Group {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
};

int list_letters(FileSystem& files, const Config& config, const std::vector<std::string>& sinks) {
  fmt::print("{:<16}  {:>9}  {:>12}  {:<32}  {}\n", "sink", "records", "bytes", "stream", "reason");
  std::uint64_t damaged = 0;
  for (const std::string& sink : sinks) {
    std::map<std::pair<std::string, std::string>, Group> groups;
    const Status read = for_each_letter(
        files, config.data + "/dead/" + sink,
        [&](std::string_view, const Result<codec::DeadLetter>& letter) {
          if (!letter) {
            damaged++;
            return;
          }
          Group& group = groups[{letter->tenant + "/" + letter->stream, letter->reason}];
          group.records++;
          group.bytes += letter->body.size();
        });
    if (!read) return report_fault(read.error());
    for (const auto& [key, group] : groups) {
      fmt::print("{:<16}  {:>9}  {:>12}  {:<32}  {}\n", sink, group.records, group.bytes, key.first,
                 key.second);
    }
    if (groups.empty()) fmt::print("{:<16}  {:>9}  {:>12}\n", sink, 0, 0);
  }
  if (damaged == 0) return exit_fine;
  fmt::print(stderr, "inlet: {} lines are not dead letters\n", damaged);
  return exit_fault;
}

int print_letters(FileSystem& files, const Config& config, const std::vector<std::string>& sinks,
                  bool bodies) {
  std::uint64_t damaged = 0;
  for (const std::string& sink : sinks) {
    const Status read =
        for_each_letter(files, config.data + "/dead/" + sink,
                        [&](std::string_view line, const Result<codec::DeadLetter>& letter) {
                          damaged += letter ? 0 : 1;
                          const std::string_view shown = bodies && letter ? letter->body : line;
                          std::fwrite(shown.data(), 1, shown.size(), stdout);
                          if (!bodies) std::fputc('\n', stdout);
                        });
    if (!read) return report_fault(read.error());
  }
  if (damaged == 0) return exit_fine;
  fmt::print(stderr, "inlet: {} lines are not dead letters\n", damaged);
  return exit_fault;
}

}  // namespace

int dead_command(int argc, char** argv) {
  CLI::App app("Records that a sink would not take: look at them, send them again.", "inlet dead");
  CommonFlags flags;
  std::string sink;
  bool bodies = false;
  bool progress = false;
  app.require_subcommand(1);
  CLI::App& ls = *app.add_subcommand("ls", "Count them, by sink, stream and reason.");
  CLI::App& cat = *app.add_subcommand("cat", "Print them, one JSON line each.");
  CLI::App& redrive = *app.add_subcommand("redrive", "Send a sink's dead letters to it again.");
  for (CLI::App* command : {&ls, &cat, &redrive}) add_common_flags(*command, flags);
  for (CLI::App* command : {&ls, &cat}) command->add_option("--sink", sink, "Only this sink");
  redrive.add_option("--sink", sink, "The sink")->required();
  redrive.add_flag("--progress", progress, "a line a second, even if not on a terminal");
  cat.add_flag("--bodies", bodies, "Print the bodies as they came, nothing else");
  if (const auto code = parse(app, argc, argv)) return *code;

  PosixFileSystem files;
  const auto config = require_config(files, flags);
  if (!config) return exit_mistake;
  const auto sinks = sinks_to_show(files, *config, sink);
  if (!sinks && sinks.error().kind == ErrorKind::reject) return report_mistake(sinks.error().what);
  if (!sinks) return report_fault(sinks.error());
  if (ls.parsed()) return list_letters(files, *config, *sinks);
  if (cat.parsed()) return print_letters(files, *config, *sinks, bodies);
  std::vector<std::string> words = {sink, "--redrive"};
  if (progress) words.emplace_back("--progress");
  for (std::string& word : flags.arguments()) words.push_back(std::move(word));
  return become_ship(words);
}

}  // namespace inlet::main
