// The command `inlet run`: a whole node under one supervisor.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>

#include "base/log.h"
#include "base/posix_file.h"
#include "main/backlog.h"
#include "main/cli.h"
#include "main/supervisor.h"

namespace inlet::main {
namespace {

// The children read this copy, so they all run what was checked, whatever happens to the original.
std::string snapshot_path(const Config& config) { return config.data + "/run.toml"; }

Status replace_file(FileSystem& files, const std::string& path, std::string_view text) {
  auto file = files.open(path + ".tmp", {.write = true, .create = true, .truncate = true});
  if (!file) return fail(file);
  if (const Status put = write_all(**file, as_bytes(text), 0, Flush::no); !put) return put;
  return files.rename(path + ".tmp", path);
}

Status adopt(FileSystem& files, const Loaded& loaded) {
  if (loaded.file.empty()) return {};
  return replace_file(files, snapshot_path(loaded.config), loaded.file_text);
}

Result<std::unique_ptr<FileLock>> lock_data(FileSystem& files, const std::string& data) {
  const std::string path = data + "/run.lock";
  auto lock = files.lock(path);
  if (lock) {
    auto file = files.open(path, {.write = true, .truncate = true});
    if (!file) return fail(file);
    const Status put = write_all(**file, as_bytes(std::to_string(::getpid())), 0, Flush::no);
    if (!put) return fail(put);
    return lock;
  }
  if (lock.error().os != EWOULDBLOCK) return lock;
  std::string owner = "?";
  if (auto file = files.open(path, {}); file) {
    owner.resize(20);
    const auto got = (*file)->read_at(std::as_writable_bytes(std::span(owner)), 0);
    owner.resize(got ? *got : 0);
  }
  return fail(ErrorKind::reject,
              fmt::format("data directory {} is in use by process {}", data, owner));
}

// What to type into curl to reach a listener: a wildcard address is reached by loopback.
std::string reachable(Address address) {
  if (address.host == "0.0.0.0") address.host = "127.0.0.1";
  if (address.host == "::") address.host = "::1";
  return address.text();
}

void print_ready(const std::vector<Listener>& listeners) {
  for (const Listener& listener : listeners) {
    if (listener.name == ingest_listener) {
      fmt::print("inlet: ready on http://{}\n", listener.address.text());
      fmt::print("inlet: try: curl --data-binary hello http://{}/ingest/first\n",
                 reachable(listener.address));
    } else {
      fmt::print("inlet: dashboard on http://{}/\n", reachable(listener.address));
    }
  }
  std::fflush(stdout);
  notify_ready();
}

void report_left_behind(FileSystem& files, const Config& config) {
  for (const SinkConfig& sink : config.sinks) {
    const auto backlog = read_backlog(files, config.journal.path, sink.name);
    if (!backlog) {
      report_fault(backlog.error());
    } else if (backlog->records() > 0) {
      fmt::print(stderr, "inlet: {}\n", describe_backlog(*backlog, sink.name));
    }
  }
}

Supervisor::World make_world(FileSystem& files, Clock& clock, const CommonFlags& flags,
                             const Loaded& loaded) {
  CommonFlags child_flags = flags;
  child_flags.data = loaded.config.data;
  if (!loaded.file.empty()) child_flags.config = snapshot_path(loaded.config);
  const std::vector<std::string> arguments = child_flags.arguments();
  Command serve{"/proc/self/exe", "inlet", {"serve"}};
  serve.arguments.insert(serve.arguments.end(), arguments.begin(), arguments.end());
  return {
      .files = files,
      .clock = clock,
      .serve = std::move(serve),
      .ship =
          [arguments, path = sibling_program("inlet-ship")](const std::string& sink, bool drain) {
            Command ship{path, "inlet-ship", {sink}};
            if (drain) ship.arguments.push_back("--drain");
            ship.arguments.insert(ship.arguments.end(), arguments.begin(), arguments.end());
            return ship;
          },
      .load = [&files, flags] { return load_config(files, flags); },
      .adopt = [&files](const Loaded& next) { return adopt(files, next); },
      .ready = print_ready,
  };
}

Status supervise(FileSystem& files, const CommonFlags& flags, const Loaded& loaded) {
  const Config& config = loaded.config;
  SystemClock clock;
  if (const Status made = files.make_directories(config.data); !made) return made;
  const auto lock = lock_data(files, config.data);
  if (!lock) return fail(lock);
  if (const Status adopted = adopt(files, loaded); !adopted) return adopted;
  auto listeners = take_or_open_listeners(config.server);
  if (!listeners) return fail(listeners);
  for (const Listener& listener : *listeners) {
    log_info("run", "listening",
             {{"listener", listener.name}, {"address", listener.address.text()}});
  }
  raise_descriptor_limit();
  Supervisor supervisor(make_world(files, clock, flags, loaded), config, std::move(*listeners));
  const Status ran = supervisor.run();
  report_left_behind(files, supervisor.config());
  return ran;
}

}  // namespace

int run_command(int argc, char** argv) {
  CLI::App app(
      "Supervises a whole node: opens the sockets, starts serve and one ship per sink, and "
      "starts again what dies. SIGTERM drains, SIGHUP reloads.",
      "inlet run");
  CommonFlags flags;
  add_common_flags(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;

  PosixFileSystem files;
  const Loaded loaded = load_config(files, flags);
  for (const std::string& mistake : loaded.mistakes) report_mistake(mistake);
  if (!loaded.mistakes.empty()) return exit_mistake;
  set_log_level(loaded.config.log.level);
  const Status done = supervise(files, flags, loaded);
  return done ? exit_fine : report_fault(done.error());
}

}  // namespace inlet::main
