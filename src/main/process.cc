#include "main/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/file.h"
#include "base/log.h"

namespace inlet::main {
namespace {

constexpr int first_passed_fd = 3;
constexpr int exec_failed = 127;

std::vector<std::string> child_environment(const Inheritance& inheritance) {
  std::vector<std::string> out;
  for (char** entry = ::environ; *entry != nullptr; entry++) {
    const std::string_view text = *entry;
    if (text.starts_with("LISTEN_FDS=") || text.starts_with("LISTEN_PID=") ||
        text.starts_with("LISTEN_FDNAMES=") || text.starts_with("NOTIFY_SOCKET=")) {
      continue;
    }
    out.emplace_back(text);
  }
  if (!inheritance.notify_socket.empty()) {
    out.push_back("NOTIFY_SOCKET=" + inheritance.notify_socket);
  }
  if (inheritance.listeners.empty()) return out;
  std::string names;
  for (const Listener& listener : inheritance.listeners) {
    if (!names.empty()) names += ':';
    names += listener.name;
  }
  out.push_back(fmt::format("LISTEN_FDS={}", inheritance.listeners.size()));
  out.push_back(fmt::format("LISTEN_PID={}", ::getpid()));
  out.push_back("LISTEN_FDNAMES=" + names);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

sigset_t held_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&set, signal);
  return set;
}

bool settle_in(pid_t parent, const Command& command, int output) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return false;
  if (::getppid() != parent) ::_exit(exec_failed);  // It died before we asked.
  if (::setpgid(0, 0) != 0) return false;
  sigset_t blocked;
  ::sigemptyset(&blocked);
  if (command.holds_signals) blocked = held_signals();
  if (::sigprocmask(SIG_SETMASK, &blocked, nullptr) != 0) return false;
  for (const int own : {STDOUT_FILENO, STDERR_FILENO}) {
    if (output >= 0 && ::dup2(output, own) != own) return false;
  }
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  return null >= 0 && ::dup2(null, STDIN_FILENO) == STDIN_FILENO;
}

// Puts the sockets at 3, 4, ... by way of numbers above them all; `report` moves out of their way.
bool place_sockets(std::span<const Listener> listeners, int& report) {
  const int above = first_passed_fd + static_cast<int>(listeners.size());
  report = ::fcntl(report, F_DUPFD_CLOEXEC, above);
  if (report < 0) return false;
  std::vector<int> high;
  for (const Listener& listener : listeners) {
    high.push_back(::fcntl(listener.socket.get(), F_DUPFD_CLOEXEC, above));
    if (high.back() < 0) return false;
  }
  for (std::size_t i = 0; i < high.size(); i++) {
    if (::dup2(high[i], first_passed_fd + static_cast<int>(i)) < 0) return false;
  }
  // What we ourselves were started with is not the child's; kernels before 5.11 cannot do this.
  (void)::close_range(static_cast<unsigned>(above), ~0U, CLOSE_RANGE_CLOEXEC);
  return true;
}

// Writes errno to `report` if it comes back from this alive.
[[noreturn]] void become(const Command& command, const Inheritance& inheritance, pid_t parent,
                         int report) {
  const auto keep = [&] {
    return command.kept < 0 || ::fcntl(command.kept, F_SETFD, 0) == 0;  // Not close-on-exec.
  };
  if (settle_in(parent, command, inheritance.output) &&
      place_sockets(inheritance.listeners, report) && keep()) {
    std::vector<std::string> arguments = {command.name};
    arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
    std::vector<std::string> environment = child_environment(inheritance);
    ::execve(command.path.c_str(), pointers(arguments).data(), pointers(environment).data());
  }
  const int os = errno;
  [[maybe_unused]] const ssize_t told = ::write(report, &os, sizeof os);
  ::_exit(exec_failed);
}

}  // namespace

Result<pid_t> spawn(const Command& command, const Inheritance& inheritance) {
  const auto os_error = [&](int os) {
    return fail(ErrorKind::retry,
                fmt::format("cannot start {}: {}", command.path, std::strerror(os)), os);
  };
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return os_error(errno);
  const Descriptor from_child(ends[0]);
  Descriptor to_parent(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return os_error(errno);
  if (child == 0) become(command, inheritance, parent, to_parent.get());

  to_parent = Descriptor();  // So that the pipe ends when the child's side closes at exec.
  int os = 0;
  ssize_t got = 0;
  do {
    got = ::read(from_child.get(), &os, sizeof os);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return child;
  ::waitpid(child, nullptr, 0);
  return os_error(got == sizeof os ? os : EIO);
}

Ended reap() {
  Ended ended;
  const pid_t pid = ::waitpid(-1, &ended.status, WNOHANG);
  if (pid > 0) ended.pid = pid;
  return ended;
}

void hold_signals() {
  const sigset_t set = held_signals();
  (void)::sigprocmask(SIG_BLOCK, &set, nullptr);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) log_warn("run", "cannot raise the descriptor limit");
}

std::string sibling_program(const std::string& name) {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0) return name;
  const std::string own(path.data(), static_cast<std::size_t>(length));
  return parent_directory(own) + "/" + name;
}

std::string started_from() {
  // The kernel passes it as a number.
  const auto* const path =
      reinterpret_cast<const char*>(::getauxval(AT_EXECFN));  // NOLINT(performance-no-int-to-ptr)
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path == nullptr ? "" : path, error);
  // Started through /proc or from a place that is gone.
  if (error || absolute.string().starts_with("/proc/") ||
      !std::filesystem::equivalent(absolute, "/proc/self/exe", error)) {
    return std::filesystem::read_symlink("/proc/self/exe", error).string();
  }
  return absolute.string();
}

std::string describe_status(int status) {
  if (WIFEXITED(status)) return fmt::format("exit code {}", WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  const char* const why = signal == SIGSYS ? ": it made a system call that it may not make" : "";
  return fmt::format("signal {} ({}){}", signal, ::strsignal(signal), why);
}

}  // namespace inlet::main
