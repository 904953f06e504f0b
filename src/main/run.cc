// The command `inlet run`: a whole node under one supervisor.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

#include "base/log.h"
#include "base/posix_file.h"
#include "journal/catalog.h"
#include "journal/cursor.h"
#include "main/backlog.h"
#include "main/cli.h"
#include "main/data_lock.h"
#include "main/handover.h"
#include "main/log_config.h"
#include "main/sandbox.h"
#include "main/supervisor.h"
#include "main/values.h"

namespace inlet::main {
namespace {

// The children read this copy of the configuration file, so they all run what was checked, whatever
// happens to the original. It is in memory, as it may hold credentials, which are not to be found
// among the data. Its number is above those of the sockets.
constexpr int snapshot_fd = 64;

std::string snapshot_path() { return fmt::format("/proc/self/fd/{}", snapshot_fd); }

constexpr std::string_view take_over_flag = "--take-over";
constexpr std::string_view rehearse_flag = "--rehearse";

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

// What to start this program with again, and the other of its edition.
struct Programs {
  std::string inlet;     // Where the next edition of it is looked for.
  std::string ship;      // The one that goes with this supervisor, whatever becomes of its file.
  Descriptor ship_file;  // Keeps it.
  std::vector<std::string> words;  // Of the command line, from "run" on.
};

Programs find_programs(int argc, char** argv) {
  Programs programs;
  programs.inlet = started_from();
  programs.ship = sibling_program("inlet-ship");
  programs.ship_file = Descriptor(::open(programs.ship.c_str(), O_PATH | O_CLOEXEC));
  if (programs.ship_file) {
    programs.ship = fmt::format("/proc/self/fd/{}", programs.ship_file.get());
  }
  programs.words = {"run"};
  for (int i = 1; i < argc; i++) {
    if (std::string_view(argv[i]) == take_over_flag) {
      i++;  // What the upgrade before left was for us alone.
    } else {
      programs.words.emplace_back(argv[i]);
    }
  }
  return programs;
}

// Beside the file that `inlet` leads to now.
std::string candidate_ship(const std::string& inlet) {
  std::error_code error;
  const auto real = std::filesystem::canonical(inlet, error);
  return parent_directory(error ? inlet : real.string()) + "/inlet-ship";
}

std::string ship_program(const Programs& programs, Edition edition) {
  return edition == Edition::running ? programs.ship : candidate_ship(programs.inlet);
}

Command candidate_test(const Programs& programs, const std::vector<std::string>& arguments,
                       int kept) {
  Command test{programs.inlet, "inlet", {"run"}, kept};
  test.arguments.insert(test.arguments.end(), arguments.begin(), arguments.end());
  test.arguments.insert(test.arguments.end(),
                        {std::string(rehearse_flag), std::to_string(handover_version)});
  return test;
}

// Comes back only if it fails.
Error become_candidate(const Programs& programs, int lock, int kept, Handover handover) {
  handover.lock = lock;
  handover.configuration = kept;
  const auto left = leave_handover(handover);
  Error error{ErrorKind::retry, left ? "" : left.error().what};
  if (left) {
    std::vector<std::string> words = {programs.inlet};
    words.insert(words.end(), programs.words.begin(), programs.words.end());
    words.insert(words.end(), {std::string(take_over_flag), std::to_string(left->get())});
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv(programs.inlet.c_str(), arguments.data());
    error.what = fmt::format("cannot become {}: {}", programs.inlet, std::strerror(errno));
  }
  withdraw_handover(handover);
  return error;
}

// `what`: a sink, --logs or --cloudwatch.
Command ship_command_of(const Programs& programs, Edition edition, const std::string& what,
                        bool drain, const std::vector<std::string>& arguments, int kept) {
  Command ship{ship_program(programs, edition), "inlet-ship", {what}, kept, true};
  if (drain) ship.arguments.push_back("--drain");
  ship.arguments.insert(ship.arguments.end(), arguments.begin(), arguments.end());
  return ship;
}

void report_logs_left(FileSystem& files, const LogConfig& log) {
  if (log.archive.empty()) return;
  const auto names = files.list(log.directory);
  const std::size_t count = names ? logs::rotated_logs(*names).size() : 0;
  if (count == 0) return;
  fmt::print(stderr, "inlet: {} log files wait in {} to be archived\n", count, log.directory);
}

Supervisor::World make_world(FileSystem& files, Clock& clock, const CommonFlags& flags,
                             const Loaded& loaded, const Programs& programs, int lock,
                             logs::ProcessLog* log) {
  CommonFlags child_flags = flags;
  child_flags.data = loaded.config.data;
  const int kept = loaded.file.empty() ? -1 : snapshot_fd;
  if (kept >= 0) child_flags.config = snapshot_path();
  const std::vector<std::string> arguments = child_flags.arguments();
  return {
      .files = files,
      .clock = clock,
      .serve =
          [arguments, kept, &programs](Edition edition) {
            const bool own = edition == Edition::running;
            Command serve{own ? "/proc/self/exe" : programs.inlet, "inlet", {"serve"}, kept, true};
            serve.arguments.insert(serve.arguments.end(), arguments.begin(), arguments.end());
            return serve;
          },
      .ship =
          [arguments, kept, &programs](Edition edition, const std::string& sink, bool drain) {
            return ship_command_of(programs, edition, sink, drain, arguments, kept);
          },
      .logs =
          [arguments, kept, &programs](Edition edition, bool drain) {
            return ship_command_of(programs, edition, "--logs", drain, arguments, kept);
          },
      .report =
          [arguments, kept, &programs](Edition edition) {
            return ship_command_of(programs, edition, "--cloudwatch", false, arguments, kept);
          },
      .tests =
          [arguments, kept, &programs] {
            return std::vector<Command>{
                candidate_test(programs, arguments, kept),
                {candidate_ship(programs.inlet), "inlet-ship", {"--version"}}};
          },
      .become =
          [kept, lock, &programs](Handover handover) {
            return become_candidate(programs, lock, kept, std::move(handover));
          },
      .load = [&files, flags] { return load_config(files, flags); },
      .adopt = adopt,
      .ready = [tls = !loaded.config.server.tls_cert.empty()](
                   const std::vector<Listener>& listeners) { print_ready(listeners, tls); },
      .log = log,
  };
}

Result<std::vector<Listener>> take_sockets(const Handover& handover) {
  std::vector<Listener> listeners;
  for (const Handover::Socket& socket : handover.sockets) {
    auto listener = take_listener(socket.name, Descriptor(socket.fd));
    if (!listener) return fail(listener);
    listeners.push_back(std::move(*listener));
  }
  return listeners;
}

// Objects written by whoever adopts this directory are to have the names this node would give.
Status note_name(FileSystem& files, const Config& config) {
  const std::string path = fmt::format("{}/{}", config.data, node_name_file);
  auto file = files.open(path, {.write = true, .create = true, .truncate = true});
  if (!file) return fail(file);
  return write_all(**file, as_bytes(config.node.name), 0, Flush::yes);
}

Status supervise(FileSystem& files, const CommonFlags& flags, const Loaded& loaded,
                 const Programs& programs, const std::optional<Handover>& before) {
  const Config& config = loaded.config;
  SystemClock clock;
  if (const Status made = files.make_directories(config.data); !made) return made;
  const auto lock = before ? Result<Descriptor>(Descriptor(before->lock)) : lock_data(config.data);
  if (!lock) return fail(lock);
  const auto process_log = open_process_log(files, clock, config.log, "run", logs::Writer::caller);
  if (const Status noted = note_name(files, config); !noted) log_warn("run", noted.error().what);
  if (const Status adopted = adopt(loaded); !adopted) return adopted;
  auto listeners = before ? take_sockets(*before) : take_or_open_listeners(config.server);
  if (!listeners) return fail(listeners);
  for (const Listener& listener : *listeners) {
    log_info("run", "listening",
             {{"listener", listener.name}, {"address", listener.address.text()}});
  }
  raise_descriptor_limit();
  enter_sandbox(ProcessKind::supervisor, sandbox_options());
  Supervisor supervisor(
      make_world(files, clock, flags, loaded, programs, lock->get(), process_log.get()), config,
      std::move(*listeners));
  if (before) supervisor.take_over(*before);
  const Status ran = supervisor.run();
  report_left_behind(files, supervisor.config());
  report_logs_left(files, supervisor.config().log);
  return ran;
}

// Whether this program could take over from the one that asks: it understands what that leaves,
// the configuration, and the journal. Changes nothing.
int rehearse(FileSystem& files, const Config& config, int version_of_handover) {
  if (version_of_handover != handover_version) {
    return report_fault({ErrorKind::reject, "the running version cannot be taken over from"});
  }
  const std::string& journal = config.journal.path;
  if (files.list(journal)) {
    const auto catalog = journal::read_catalog(files, journal, journal::Look::quick);
    if (!catalog) return report_fault(catalog.error());
    for (const SinkConfig& sink : config.sinks) {
      const auto cursor = journal::read_cursor(files, journal, sink.name);
      if (!cursor) return report_fault(cursor.error());
    }
  }
  fmt::print("inlet {}\n", version);
  return exit_fine;
}

}  // namespace

int run_command(int argc, char** argv) {
  CLI::App app(
      "Supervises a whole node: opens the sockets, starts serve and one ship per sink, and "
      "starts again what dies. SIGTERM drains, SIGHUP reloads.",
      "inlet run");
  CommonFlags flags;
  int take_over = -1;
  int rehearsed = -1;
  add_common_flags(app, flags);
  // Between us and ourselves: in no help.
  app.add_option(std::string(take_over_flag), take_over)->group("");
  app.add_option(std::string(rehearse_flag), rehearsed)->group("");
  if (const auto code = parse(app, argc, argv)) return *code;
  protect_files_and_memory(sandbox_options());

  PosixFileSystem files;
  std::optional<Handover> before;
  CommonFlags first = flags;
  if (take_over >= 0) {
    auto handover = take_handover(take_over);
    if (!handover) return report_fault(handover.error());
    before = std::move(*handover);
    // What is in force goes on; SIGHUP reads the file itself.
    if (before->configuration >= 0) {
      first.config = fmt::format("/proc/self/fd/{}", before->configuration);
    }
  }
  const Loaded loaded = load_config(files, first);
  for (const std::string& mistake : loaded.mistakes) report_mistake(mistake);
  if (!loaded.mistakes.empty()) return exit_mistake;
  set_log_level(loaded.config.log.level);
  if (rehearsed >= 0) return rehearse(files, loaded.config, rehearsed);
  const Status done = supervise(files, flags, loaded, find_programs(argc, argv), before);
  return done ? exit_fine : report_fault(done.error());
}

}  // namespace inlet::main
