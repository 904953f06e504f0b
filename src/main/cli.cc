#include "main/cli.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "main/values.h"

namespace inlet::main {
namespace {

std::vector<std::pair<std::string, std::string>> environment() {
  std::vector<std::pair<std::string, std::string>> out;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; entry++) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    out.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

// The arguments in the order CLI11 takes them; "--admin=" is "--admin" with an empty value.
std::vector<std::string> last_to_first(int argc, char** argv) {
  std::vector<std::string> out;
  for (int i = argc - 1; i > 0; i--) {
    std::string argument = argv[i];
    if (argument.starts_with("--") && argument.find('=') == argument.size() - 1) {
      argument.pop_back();
      out.emplace_back();
    }
    out.push_back(std::move(argument));
  }
  return out;
}

// "journal ls" of "inlet journal ls --x": sentences begin with "inlet:" already.
std::string command_name(const CLI::App& app) {
  const std::string& name = app.get_name();
  std::string out = name.substr(name.find(' ') + 1);
  for (const CLI::App* command : app.get_subcommands()) out += " " + command->get_name();
  return out;
}

// "dead: say ls, cat or redrive".
std::string which_sentence(const CLI::App& app) {
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  std::string list;
  for (const CLI::App* command : commands) {
    if (!list.empty()) list += command == commands.back() ? " or " : ", ";
    list += command->get_name();
  }
  return fmt::format("{}: say {}", command_name(app), list);
}

// Of the first argument that nothing takes.
std::string extra_sentence(const CLI::App& app) {
  const std::vector<std::string> rest = app.remaining(true);
  const std::string extra = rest.empty() ? "" : rest.front();
  const auto parsed = app.get_subcommands();
  const CLI::App& command = parsed.empty() ? app : *parsed.front();
  std::vector<std::string> flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  std::vector<std::string_view> names(flags.begin(), flags.end());
  std::vector<std::string> commands;
  for (const CLI::App* below : command.get_subcommands([](const CLI::App*) { return true; })) {
    commands.push_back(below->get_name());
  }
  names.insert(names.end(), commands.begin(), commands.end());
  const std::string bare = extra.substr(0, extra.find('='));
  return fmt::format("{} does not take {}{}", command_name(app), extra, suggestion(bare, names));
}

}  // namespace

std::vector<std::string> CommonFlags::arguments() const {
  std::vector<std::string> out;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) out.insert(out.end(), {name, value});
  };
  add("--config", config);
  add("--data", data);
  add("--listen", listen);
  if (admin_given) out.insert(out.end(), {"--admin", admin});
  add("--log-level", log_level);
  return out;
}

void add_common_flags(CLI::App& app, CommonFlags& flags) {
  app.add_option("--config", flags.config, "TOML file to read")->type_name("FILE");
  app.add_option("--data", flags.data, "directory for everything kept (default ./data)")
      ->type_name("DIR");
  app.add_option("--listen", flags.listen, "address for clients (default 127.0.0.1:8080)")
      ->type_name("ADDRESS");
  app.add_option_function<std::string>(
         "--admin",
         [&flags](const std::string& value) {
           flags.admin = value;
           flags.admin_given = true;
         },
         "address for operators (default 127.0.0.1:8081, \"\" for none)")
      ->type_name("ADDRESS");
  app.add_option("--log-level", flags.log_level, "debug, info, warn, error or off (default info)")
      ->type_name("LEVEL");
}

std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  if (app.get_version_ptr() == nullptr) {
    app.set_version_flag("--version", fmt::format("inlet {}", version));
  }
  if (app.get_name().empty()) app.name(argv[0]);
  app.get_formatter()->column_width(28);
  try {
    app.parse(last_to_first(argc, argv));
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return exit_fine;
  } catch (const CLI::CallForVersion&) {
    fmt::print("inlet {}\n", version);
    return exit_fine;
  } catch (const CLI::ParseError& error) {
    if (!app.remaining(true).empty()) return report_mistake(extra_sentence(app));
    if (app.get_require_subcommand_min() > 0 && app.get_subcommands().empty()) {
      return report_mistake(which_sentence(app));
    }
    const std::string what = error.what();
    return report_mistake(
        fmt::format("{}: {}", command_name(app), what.substr(0, what.find('\n'))));
  }
}

Loaded load_config(FileSystem& files, const CommonFlags& flags) {
  Sources sources;
  sources.file = flags.config;
  sources.data = flags.data;
  sources.environment = environment();
  sources.host = read_host_facts(files);
  if (!flags.listen.empty()) sources.flags.push_back({"server.listen", "--listen", flags.listen});
  if (flags.admin_given) sources.flags.push_back({"server.admin", "--admin", flags.admin});
  if (!flags.log_level.empty()) {
    sources.flags.push_back({"log.level", "--log-level", flags.log_level});
  }
  return load_config(files, sources);
}

std::optional<Config> require_config(FileSystem& files, const CommonFlags& flags) {
  Loaded loaded = load_config(files, flags);
  for (const std::string& mistake : loaded.mistakes) report_mistake(mistake);
  if (!loaded.mistakes.empty()) return std::nullopt;
  set_log_level(loaded.config.log.level);
  return std::move(loaded.config);
}

int report_fault(const Error& error) {
  fmt::print(stderr, "inlet: {}\n", error.what);
  return exit_fault;
}

int report_mistake(std::string_view sentence) {
  fmt::print(stderr, "inlet: {}\n", sentence);
  return exit_mistake;
}

}  // namespace inlet::main
