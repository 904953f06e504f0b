// Goal: what a process gives up is gone: for what it may not do it dies, and says so; what it needs
// goes on.
// Method: a forked child enters the sandbox, does one thing and ends; how it ended and what it said
// is looked at. Children that are to live do all that their kind does.

#include "main/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "main/file_fence.h"
#include "main/system_call_filter.h"

namespace inlet::main {
namespace {

// How a child ended and what it wrote to standard error.
struct End {
  int status = 0;
  std::string said;

  [[nodiscard]] bool is_fine() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
};

// `work` returns whether all is well. It runs in a child of one thread.
End in_child(const std::function<bool()>& work) {
  int ends[2];
  if (::pipe(ends) != 0) return {-1, "no pipe"};
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    ::dup2(ends[1], STDERR_FILENO);
    ::_exit(work() ? 0 : 1);
  }
  ::close(ends[1]);
  End end;
  std::array<char, 256> piece{};
  ssize_t got = 0;
  while ((got = ::read(ends[0], piece.data(), piece.size())) > 0) {
    end.said.append(piece.data(), static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  ::waitpid(child, &end.status, 0);
  return end;
}

// Files as serve uses them, through the same code.
bool use_files(const std::string& directory) {
  PosixFileSystem files;
  if (!files.make_directories(directory + "/a/b")) return false;
  {
    auto file = files.open(directory + "/a/b/f", {.write = true, .create = true});
    if (!file || !write_all(**file, as_bytes("hello"), 0, Flush::yes)) return false;
    if (!(*file)->sync() || !(*file)->size()) return false;
  }
  if (!files.lock(directory + "/lock") || !files.space(directory)) return false;
  if (!files.rename(directory + "/a/b/f", directory + "/a/g")) return false;
  if (!files.sync_directory(directory + "/a")) return false;
  const auto names = files.list(directory + "/a");
  return names && names->size() == 2 && files.remove(directory + "/a/g");
}

// The runtimes of sanitizers make calls of their own, and the filters are off with them.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

End filtered(ProcessKind kind, const std::function<bool()>& work) {
  return in_child([&] { return filter_system_calls(kind, SystemCalls::filtered) && work(); });
}

// It died of `call`, and its last words name the process and the call.
void expect_forbidden(ProcessKind kind, const std::string& call, const std::function<bool()>& work,
                      const std::string& process) {
  const End end = filtered(kind, work);
  EXPECT_TRUE(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGSYS)
      << process << " made " << call << ": status " << end.status << ", " << end.said;
  EXPECT_TRUE(end.said.starts_with("inlet: " + process + " made the forbidden system call "))
      << end.said;
  EXPECT_TRUE(end.said.ends_with(" (" + call + ") and is ended\n")) << end.said;
}

// With no argument that could do harm if it were let through.
std::function<bool()> call(long number) {
  return [number] { return ::syscall(number, -1L, 0L, 0L, 0L, 0L, 0L) != 0; };
}

struct Forbidden {
  std::string name;
  long number;
};

const Forbidden beyond_serve[] = {{"execve", SYS_execve},
                                  {"connect", SYS_connect},
                                  {"bind", SYS_bind},
                                  {"listen", SYS_listen},
                                  {"ptrace", SYS_ptrace},
                                  {"kill", SYS_kill},
                                  {"mount", SYS_mount},
                                  {"setuid", SYS_setuid},
                                  {"capset", SYS_capset},
                                  {"bpf", SYS_bpf},
                                  {"unshare", SYS_unshare},
                                  {"io_uring_setup", SYS_io_uring_setup},
                                  {"memfd_create", SYS_memfd_create},
                                  {"seccomp", SYS_seccomp},
                                  {"fchmodat", SYS_fchmodat},
                                  {"symlinkat", SYS_symlinkat},
                                  {"linkat", SYS_linkat},
                                  {"socketpair", SYS_socketpair}};

TEST(ServeFilter, a_call_that_is_not_on_the_list_ends_the_process_and_is_named) {
  for (const Forbidden& forbidden : beyond_serve) {
    expect_forbidden(ProcessKind::serve, forbidden.name, call(forbidden.number), "serve");
  }
}

TEST(ServeFilter, arguments_are_looked_at) {
  const auto expect = [](const std::string& name, const std::function<bool()>& work) {
    expect_forbidden(ProcessKind::serve, name, work, "serve");
  };
  expect("socket", [] { return ::socket(AF_INET, SOCK_STREAM, 0) < 0; });
  expect("socket", [] { return ::socket(AF_UNIX, SOCK_STREAM, 0) < 0; });
  expect("clone", [] { return ::fork() < 0; });
  expect("mmap", [] {
    return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
           MAP_FAILED;
  });
  expect("mprotect", [] {
    void* const page =
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return ::mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0;
  });
  expect("tgkill", [] { return ::syscall(SYS_tgkill, 1, 1, 0) != 0; });
  expect("rt_sigaction", [] { return std::signal(SIGSYS, SIG_IGN) == SIG_ERR; });
  expect("prctl", [] { return ::prctl(PR_SET_DUMPABLE, 1) != 0; });
}

TEST(ServeFilter, a_signal_number_that_the_kernel_cuts_down_to_sigsys_does_not_pass) {
  expect_forbidden(
      ProcessKind::serve, "rt_sigaction",
      [] {
        struct sigaction ignore{};
        return ::syscall(SYS_rt_sigaction, (1L << 32) + SIGSYS, &ignore, nullptr, 8) != 0;
      },
      "serve");
}

TEST(ServeFilter, any_thread_is_under_it_and_ends_the_whole_process) {
  std::atomic<bool> started = false;
  const End end = in_child([&] {
    std::thread early([&] {
      started = true;
      started.notify_all();
      while (true) ::syscall(SYS_connect, -1, nullptr, 0);
    });
    started.wait(false);
    if (!filter_system_calls(ProcessKind::serve, SystemCalls::filtered)) return false;
    early.join();
    return true;
  });
  EXPECT_TRUE(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGSYS) << end.status;
}

// A connection to a socket that was opened before.
bool use_sockets(int listener, int client) {
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{.events = EPOLLIN, .data = {.fd = listener}};
  if (::epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event) != 0) return false;
  if (::epoll_wait(poll, &event, 1, 5'000) != 1) return false;
  const int served = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  std::array<char, 8> text{};
  if (::send(served, "hello", 5, MSG_NOSIGNAL) != 5) return false;
  if (::recv(client, text.data(), text.size(), 0) != 5) return false;
  const int told = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return ::shutdown(served, SHUT_RD) == 0 && told >= 0 && ::close(told) == 0;
}

bool use_threads() {
  int sum = 0;
  std::jthread([&] {
    ::pthread_setname_np(::pthread_self(), "worker");
    sum = static_cast<int>(std::vector<int>(1 << 20, 1).size());
  }).join();
  return sum == 1 << 20;
}

TEST(ServeFilter, what_serve_does_all_day_goes_on) {
  const std::string directory = make_test_directory("sandbox_test");
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{.sin_family = AF_INET,
                      .sin_port = 0,
                      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
                      .sin_zero = {}};
  socklen_t bytes = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener, any, bytes), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, any, &bytes), 0);
  ASSERT_EQ(::connect(client, any, bytes), 0);
  const End end = in_child([&] {
    enter_sandbox(ProcessKind::serve, {.writable = {directory}});
    return use_files(directory) && use_sockets(listener, client) && use_threads();
  });
  EXPECT_TRUE(end.is_fine()) << "status " << end.status << ": " << end.said;
  ::close(listener);
  ::close(client);
  std::filesystem::remove_all(directory);
}

TEST(ServeFilter, a_tracer_may_skip_a_call_and_abort_still_works) {
  EXPECT_TRUE(filtered(ProcessKind::serve, [] {
                return ::syscall(-1) == -1 && errno == ENOSYS;
              }).is_fine());
  const End aborted = filtered(ProcessKind::serve, []() -> bool { std::abort(); });
  EXPECT_TRUE(WIFSIGNALED(aborted.status) && WTERMSIG(aborted.status) == SIGABRT)
      << aborted.status << aborted.said;
}

TEST(ServeFilter, the_list_stays_short) { EXPECT_LE(calls_of_serve(), 61U); }

const Forbidden intruders[] = {{"ptrace", SYS_ptrace},
                               {"mount", SYS_mount},
                               {"bpf", SYS_bpf},
                               {"unshare", SYS_unshare},
                               {"setns", SYS_setns},
                               {"io_uring_setup", SYS_io_uring_setup},
                               {"keyctl", SYS_keyctl},
                               {"process_vm_readv", SYS_process_vm_readv},
                               {"setresuid", SYS_setresuid}};

TEST(OtherFilters, what_only_an_intruder_would_call_ends_them_too) {
  for (const Forbidden& forbidden : intruders) {
    expect_forbidden(ProcessKind::supervisor, forbidden.name, call(forbidden.number), "run");
    expect_forbidden(ProcessKind::ship, forbidden.name, call(forbidden.number), "ship");
  }
  const auto new_namespace = [] {
    return ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) < 0;
  };
  expect_forbidden(ProcessKind::supervisor, "clone", new_namespace, "run");
  const auto packets = [] { return ::socket(AF_PACKET, SOCK_RAW, 0) < 0; };
  expect_forbidden(ProcessKind::supervisor, "socket", packets, "run");
}

TEST(OtherFilters, a_ship_starts_no_process_and_listens_to_nobody) {
  expect_forbidden(ProcessKind::ship, "execve", call(SYS_execve), "ship");
  expect_forbidden(ProcessKind::ship, "clone", [] { return ::fork() < 0; }, "ship");
  expect_forbidden(ProcessKind::ship, "listen", call(SYS_listen), "ship");
}

TEST(OtherFilters, the_supervisor_starts_programs_and_a_ship_connects) {
  const End run = filtered(ProcessKind::supervisor, [] {
    return std::system("exec 3<>/dev/null; /bin/true | /bin/true") == 0;
  });
  EXPECT_TRUE(run.is_fine()) << run.status << run.said;
  const End ship = filtered(ProcessKind::ship, [] {
    const int socket = ::socket(AF_INET6, SOCK_STREAM, 0);
    const int routes = ::socket(AF_NETLINK, SOCK_RAW, 0);
    return socket >= 0 && routes >= 0 && use_threads();
  });
  EXPECT_TRUE(ship.is_fine()) << ship.status << ship.said;
}

TEST(OtherFilters, a_child_of_the_supervisor_adds_its_own) {
  const End end = filtered(ProcessKind::supervisor, [] {
    return filter_system_calls(ProcessKind::serve, SystemCalls::filtered) && use_threads();
  });
  EXPECT_TRUE(end.is_fine()) << end.status << end.said;
}

TEST(Filter, when_only_logging_nothing_is_stopped) {
  const End end = in_child([] {
    return filter_system_calls(ProcessKind::serve, SystemCalls::logged) &&
           ::socket(AF_INET, SOCK_STREAM, 0) >= 0;
  });
  EXPECT_TRUE(end.is_fine()) << end.status << end.said;
}

#endif

TEST(Fence, only_what_it_encloses_can_be_used) {
  const std::string directory = make_test_directory("sandbox_test");
  for (const char* name : {"/mine", "/read", "/outside"}) {
    std::filesystem::create_directory(directory + name);
    std::ofstream(directory + name + "/file") << "text";
  }
  std::filesystem::create_symlink(directory + "/read/file", directory + "/link");
  const End end = in_child([&] {
    const auto fenced = fence_files({{directory + "/mine"}, {directory + "/read/file"}});
    if (!fenced) return false;
    if (*fenced == 0) return true;  // The kernel has no Landlock; the log says so when it starts.
    PosixFileSystem files;
    const OpenOptions writing{.write = true, .create = true, .truncate = true};
    const auto opens = [&](const std::string& path, OpenOptions options) {
      return files.open(directory + path, options).has_value();
    };
    return use_files(directory + "/mine") && opens("/mine/file", writing) &&
           opens("/read/file", {}) && !opens("/read/file", {.write = true}) &&
           !opens("/read/new", writing) && !opens("/outside/file", {}) &&
           !opens("/outside/new", writing) && !files.remove(directory + "/outside/file") &&
           !files.rename(directory + "/mine/file", directory + "/outside/file") &&
           ::execl("/bin/true", "true", nullptr) != 0 && ::access("/proc/self/stat", R_OK) == 0;
  });
  EXPECT_TRUE(end.is_fine()) << end.status << end.said;
  std::filesystem::remove_all(directory);
}

// Replaces what the link `live` leads to when a byte comes, and answers with one; not fenced.
void replace_when_told(const std::string& directory, int told, int done) {
  if (::fork() != 0) return;
  char byte = 0;
  if (::read(told, &byte, 1) == 1) {
    std::ofstream(directory + "/archive/2") << "second";
    std::filesystem::create_symlink("../archive/2", directory + "/live/next");
    std::filesystem::rename(directory + "/live/next", directory + "/live/certificate");
  }
  ::_exit(::write(done, &byte, 1) == 1 ? 0 : 1);
}

TEST(Fence, a_file_to_be_read_may_be_replaced_where_it_is_and_where_its_link_leads) {
  const std::string directory = make_test_directory("sandbox_test");
  for (const char* name : {"/live", "/archive"}) {
    std::filesystem::create_directory(directory + name);
  }
  std::ofstream(directory + "/archive/1") << "first";
  std::filesystem::create_symlink("../archive/1", directory + "/live/certificate");
  const End end = in_child([&] {
    int go[2];
    int done[2];
    if (::pipe(go) != 0 || ::pipe(done) != 0) return false;
    replace_when_told(directory, go[0], done[1]);
    if (!fence_files({{}, {directory + "/live/certificate"}})) return false;
    char byte = 'x';
    if (::write(go[1], &byte, 1) != 1 || ::read(done[0], &byte, 1) != 1) return false;
    std::string text;
    std::ifstream(directory + "/live/certificate") >> text;
    return text == "second";
  });
  EXPECT_TRUE(end.is_fine()) << end.status << end.said;
  std::filesystem::remove_all(directory);
}

TEST(Fence, a_place_that_does_not_exist_is_an_error_and_leaves_no_fence) {
  const End end = in_child([] {
    const auto fenced = fence_files({{"/nowhere/at/all"}, {}});
    const bool open = std::filesystem::exists(std::filesystem::temp_directory_path());
    return open && (!fenced || *fenced == 0);
  });
  EXPECT_TRUE(end.is_fine()) << end.status << end.said;
}

// A line of /proc/self/status.
std::string status_of(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  }
  return "";
}

TEST(Sandbox, no_privilege_is_left_and_none_comes_back_by_starting_a_program) {
  for (const ProcessKind kind : {ProcessKind::supervisor, ProcessKind::ship}) {
    const End end = in_child([&] {
      enter_sandbox(kind, {});
      const std::string none(16, '0');
      bool fine = status_of("NoNewPrivs") == "1" && status_of("Seccomp") == "2";
      for (const char* set : {"CapEff", "CapPrm", "CapInh", "CapAmb"}) {
        fine = fine && status_of(set) == none;
      }
      if (::geteuid() == 0) fine = fine && status_of("CapBnd") == none;
      if (kind == ProcessKind::ship) return fine;
      return fine && std::system("grep -q '^CapEff:.0000000000000000$' /proc/self/status") == 0;
    });
    EXPECT_TRUE(end.is_fine()) << end.status << end.said;
  }
}

TEST(Sandbox, files_are_the_owners_alone_and_no_core_is_written) {
  const End end = in_child([] {
    protect_files_and_memory({});
    rlimit limit{};
    ::getrlimit(RLIMIT_CORE, &limit);
    return ::umask(0) == 077 && limit.rlim_cur == 0 && limit.rlim_max == 0 &&
           ::prctl(PR_GET_DUMPABLE) == 0;
  });
  EXPECT_TRUE(end.is_fine()) << end.status;
  const End with_cores = in_child([] {
    protect_files_and_memory({.core_dumps = true});
    return ::umask(0) == 077 && ::prctl(PR_GET_DUMPABLE) == 1;
  });
  EXPECT_TRUE(with_cores.is_fine()) << with_cores.status;
}

TEST(Sandbox, the_environment_says_what_is_left_out) {
  const auto options = [](const char* filter, const char* cores) {
    ::setenv("INLET_SECCOMP", filter, 1);
    ::setenv("INLET_CORE_DUMPS", cores, 1);
    const SandboxOptions made = sandbox_options();
    ::unsetenv("INLET_SECCOMP");
    ::unsetenv("INLET_CORE_DUMPS");
    return made;
  };
  EXPECT_EQ(options("off", "").system_calls, SystemCalls::unfiltered);
  EXPECT_FALSE(options("on", "0").core_dumps);
  EXPECT_TRUE(options("on", "1").core_dumps);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_EQ(options("log", "").system_calls, SystemCalls::logged);
  for (const char* other : {"", "on", "OFF", "0"}) {
    EXPECT_EQ(options(other, "").system_calls, SystemCalls::filtered) << other;
  }
#endif
}

}  // namespace
}  // namespace inlet::main
