// The command `inlet run`: a whole node under one supervisor.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "base/posix_file.h"
#include "main/backlog.h"
#include "main/cli.h"
#include "main/sandbox.h"
#include "main/supervisor.h"

namespace inlet::main {
namespace {

// The children read this copy of the configuration file, so they all run what was checked, whatever
// happens to the original. It is in memory, as it may hold credentials, which are not to be found
// among the data. Its number is above those of the sockets.
constexpr int snapshot_fd = 64;

std::string snapshot_path() { return fmt::format("/proc/self/fd/{}", snapshot_fd); }

constexpr unsigned noexec_seal = 8;  // MFD_NOEXEC_SEAL, since Linux 6.3.

Status adopt(const Loaded& loaded) {
  if (loaded.file.empty()) return {};
  const auto os_error = [] {
    const int os = errno;
    return fail(ErrorKind::retry,
                fmt::format("cannot keep the configuration in memory: {}", std::strerror(os)), os);
  };
  static constexpr unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  Descriptor copy(::memfd_create("inlet-configuration", flags | noexec_seal));
  if (!copy) copy = Descriptor(::memfd_create("inlet-configuration", flags));
  std::string_view rest = loaded.file_text;
  while (!rest.empty()) {
    const ssize_t put = ::write(copy.get(), rest.data(), rest.size());
    if (put <= 0) return os_error();
    rest.remove_prefix(static_cast<std::size_t>(put));
  }
  // What one child gets, another cannot alter.
  static constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(copy.get(), F_ADD_SEALS, seals) != 0) return os_error();
  if (::dup3(copy.get(), snapshot_fd, O_CLOEXEC) < 0) return os_error();
  return {};
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

void print_ready(const std::vector<Listener>& listeners, bool tls) {
  for (const Listener& listener : listeners) {
    if (listener.name == ingest_listener) {
      const std::string_view scheme = tls ? "https" : "http";
      fmt::print("inlet: ready on {}://{}\n", scheme, listener.address.text());
      fmt::print("inlet: try: curl --data-binary hello {}://{}/ingest/first\n", scheme,
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
  const int kept = loaded.file.empty() ? -1 : snapshot_fd;
  if (kept >= 0) child_flags.config = snapshot_path();
  const std::vector<std::string> arguments = child_flags.arguments();
  Command serve{"/proc/self/exe", "inlet", {"serve"}, kept};
  serve.arguments.insert(serve.arguments.end(), arguments.begin(), arguments.end());
  Command report{sibling_program("inlet-ship"), "inlet-ship", {"--cloudwatch"}, kept};
  report.arguments.insert(report.arguments.end(), arguments.begin(), arguments.end());
  return {
      .files = files,
      .clock = clock,
      .serve = std::move(serve),
      .ship =
          [arguments, kept, path = sibling_program("inlet-ship")](const std::string& sink,
                                                                  bool drain) {
            Command ship{path, "inlet-ship", {sink}, kept};
            if (drain) ship.arguments.push_back("--drain");
            ship.arguments.insert(ship.arguments.end(), arguments.begin(), arguments.end());
            return ship;
          },
      .report = std::move(report),
      .load = [&files, flags] { return load_config(files, flags); },
      .adopt = adopt,
      .ready = [tls = !loaded.config.server.tls_cert.empty()](
                   const std::vector<Listener>& listeners) { print_ready(listeners, tls); },
  };
}

Status supervise(FileSystem& files, const CommonFlags& flags, const Loaded& loaded) {
  const Config& config = loaded.config;
  SystemClock clock;
  if (const Status made = files.make_directories(config.data); !made) return made;
  const auto lock = lock_data(files, config.data);
  if (!lock) return fail(lock);
  if (const Status adopted = adopt(loaded); !adopted) return adopted;
  auto listeners = take_or_open_listeners(config.server);
  if (!listeners) return fail(listeners);
  for (const Listener& listener : *listeners) {
    log_info("run", "listening",
             {{"listener", listener.name}, {"address", listener.address.text()}});
  }
  raise_descriptor_limit();
  enter_sandbox(ProcessKind::supervisor, sandbox_options());
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
  protect_files_and_memory(sandbox_options());

  PosixFileSystem files;
  const Loaded loaded = load_config(files, flags);
  for (const std::string& mistake : loaded.mistakes) report_mistake(mistake);
  if (!loaded.mistakes.empty()) return exit_mistake;
  set_log_level(loaded.config.log.level);
  const Status done = supervise(files, flags, loaded);
  return done ? exit_fine : report_fault(done.error());
}

}  // namespace inlet::main
