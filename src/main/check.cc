// The command `inlet check`: what a configuration amounts to, and what is wrong with it.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/json.h"
#include "base/posix_file.h"
#include "main/cli.h"

namespace inlet::main {
namespace {

void print_table(const Loaded& loaded) {
  std::size_t key_width = 0;
  std::size_t value_width = 0;
  for (const Setting& setting : loaded.settings) {
    key_width = std::max(key_width, setting.key.size());
    value_width = std::max(value_width, setting.value.size() + 2);
  }
  for (const Setting& setting : loaded.settings) {
    std::string value;
    append_json_string(value, setting.value);
    fmt::print("{:<{}}  {:<{}}  {}\n", setting.key, key_width, value, value_width, setting.origin);
  }
}

void print_json(const Loaded& loaded) {
  std::string out = "{\"settings\":[";
  for (std::size_t i = 0; i < loaded.settings.size(); i++) {
    const Setting& setting = loaded.settings[i];
    out += i == 0 ? "\n{\"key\":" : ",\n{\"key\":";
    append_json_string(out, setting.key);
    out += ",\"value\":";
    append_json_string(out, setting.value);
    out += ",\"origin\":";
    append_json_string(out, setting.origin);
    out += '}';
  }
  out += "],\n\"mistakes\":[";
  for (std::size_t i = 0; i < loaded.mistakes.size(); i++) {
    if (i > 0) out += ',';
    append_json_string(out, loaded.mistakes[i]);
  }
  fmt::print("{}]}}\n", out);
}

}  // namespace

int check_command(int argc, char** argv) {
  CLI::App app("Prints the effective configuration, where each value came from, and every mistake.",
               "inlet check");
  CommonFlags flags;
  bool json = false;
  add_common_flags(app, flags);
  app.add_flag("--json", json, "print one JSON object");
  if (const auto code = parse(app, argc, argv)) return *code;

  PosixFileSystem files;
  const Loaded loaded = load_config(files, flags);
  json ? print_json(loaded) : print_table(loaded);
  std::fflush(stdout);
  for (const std::string& mistake : loaded.mistakes) fmt::print(stderr, "{}\n", mistake);
  return loaded.mistakes.empty() ? exit_fine : exit_mistake;
}

}  // namespace inlet::main
