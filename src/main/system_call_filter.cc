#include "main/system_call_filter.h"

#include <fmt/format.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <string_view>
#include <vector>

namespace inlet::main {
namespace {

// Calls that this kind of machine does not have are negative numbers and passed over.
constexpr int serve_calls[] = {
    // Files: what base/posix_file.cc calls, and the C library for it, for OpenSSL and for logs.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwritev),
    SCMP_SYS(pwritev2), SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    SCMP_SYS(lseek), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(flock), SCMP_SYS(getdents64),
    SCMP_SYS(statfs), SCMP_SYS(fcntl), SCMP_SYS(fchmod),
    // Memory; mmap and mprotect are below.
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    // Threads and signals.
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(futex), SCMP_SYS(exit),
    SCMP_SYS(exit_group), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(gettid),
    SCMP_SYS(getpid), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(restart_syscall),
    // Time, where the kernel's page for it does not do.
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
    // Connections that others opened.
    SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(sendmsg),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(getpeername), SCMP_SYS(shutdown),
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(eventfd2),
    // Randomness; sysinfo is the C library's, when it sorts.
    SCMP_SYS(getrandom), SCMP_SYS(sysinfo)};

// The same under two names: the second where the machine has no first.
constexpr int serve_either[][2] = {{SCMP_SYS(rename), SCMP_SYS(renameat)},
                                   {SCMP_SYS(unlink), SCMP_SYS(unlinkat)},
                                   {SCMP_SYS(mkdir), SCMP_SYS(mkdirat)},
                                   {SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait)}};

struct Refusal {
  int call;
  int error;
};
// What the C library tries and can do without. clone3 takes its flags where no filter sees them;
// without it, clone is used.
constexpr Refusal serve_refusals[] = {
    {SCMP_SYS(clone3), ENOSYS},    {SCMP_SYS(statx), ENOSYS},      {SCMP_SYS(faccessat2), ENOSYS},
    {SCMP_SYS(faccessat), EACCES}, {SCMP_SYS(access), EACCES},     {SCMP_SYS(readlink), EACCES},
    {SCMP_SYS(ioctl), ENOTTY},     {SCMP_SYS(readlinkat), EACCES}, {SCMP_SYS(prlimit64), EPERM}};

// What none of ours has a use for: other processes' memory, the kernel's modules, clocks, keys and
// mounts, other identities, and calls whose own arguments no filter sees (io_uring).
constexpr int intruders_calls[] = {SCMP_SYS(acct),
                                   SCMP_SYS(add_key),
                                   SCMP_SYS(adjtimex),
                                   SCMP_SYS(bpf),
                                   SCMP_SYS(chroot),
                                   SCMP_SYS(clock_adjtime),
                                   SCMP_SYS(clock_settime),
                                   SCMP_SYS(delete_module),
                                   SCMP_SYS(fanotify_init),
                                   SCMP_SYS(finit_module),
                                   SCMP_SYS(fsconfig),
                                   SCMP_SYS(fsmount),
                                   SCMP_SYS(fsopen),
                                   SCMP_SYS(fspick),
                                   SCMP_SYS(init_module),
                                   SCMP_SYS(io_uring_enter),
                                   SCMP_SYS(io_uring_register),
                                   SCMP_SYS(io_uring_setup),
                                   SCMP_SYS(ioperm),
                                   SCMP_SYS(iopl),
                                   SCMP_SYS(kcmp),
                                   SCMP_SYS(kexec_file_load),
                                   SCMP_SYS(kexec_load),
                                   SCMP_SYS(keyctl),
                                   SCMP_SYS(lookup_dcookie),
                                   SCMP_SYS(migrate_pages),
                                   SCMP_SYS(mknod),
                                   SCMP_SYS(mknodat),
                                   SCMP_SYS(modify_ldt),
                                   SCMP_SYS(mount),
                                   SCMP_SYS(mount_setattr),
                                   SCMP_SYS(move_mount),
                                   SCMP_SYS(move_pages),
                                   SCMP_SYS(name_to_handle_at),
                                   SCMP_SYS(open_by_handle_at),
                                   SCMP_SYS(open_tree),
                                   SCMP_SYS(perf_event_open),
                                   SCMP_SYS(personality),
                                   SCMP_SYS(pidfd_getfd),
                                   SCMP_SYS(pivot_root),
                                   SCMP_SYS(process_madvise),
                                   SCMP_SYS(process_vm_readv),
                                   SCMP_SYS(process_vm_writev),
                                   SCMP_SYS(ptrace),
                                   SCMP_SYS(quotactl),
                                   SCMP_SYS(reboot),
                                   SCMP_SYS(request_key),
                                   SCMP_SYS(setdomainname),
                                   SCMP_SYS(setfsgid),
                                   SCMP_SYS(setfsuid),
                                   SCMP_SYS(setgid),
                                   SCMP_SYS(setgroups),
                                   SCMP_SYS(sethostname),
                                   SCMP_SYS(setns),
                                   SCMP_SYS(setregid),
                                   SCMP_SYS(setresgid),
                                   SCMP_SYS(setresuid),
                                   SCMP_SYS(setreuid),
                                   SCMP_SYS(settimeofday),
                                   SCMP_SYS(setuid),
                                   SCMP_SYS(swapoff),
                                   SCMP_SYS(swapon),
                                   SCMP_SYS(syslog),
                                   SCMP_SYS(umount2),
                                   SCMP_SYS(unshare),
                                   SCMP_SYS(uselib),
                                   SCMP_SYS(userfaultfd),
                                   SCMP_SYS(vhangup),
                                   SCMP_SYS(vmsplice)};

// A ship starts nothing and is called by nobody.
constexpr int beyond_a_ship[] = {SCMP_SYS(execve),  SCMP_SYS(execveat), SCMP_SYS(fork),
                                 SCMP_SYS(vfork),   SCMP_SYS(listen),   SCMP_SYS(accept),
                                 SCMP_SYS(accept4), SCMP_SYS(chmod),    SCMP_SYS(chown)};

// Namespaces in which one would have capabilities again (user_namespaces(7)).
constexpr unsigned long long namespaces[] = {CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET,
                                             CLONE_NEWNS,     CLONE_NEWPID, CLONE_NEWUSER,
                                             CLONE_NEWUTS};

constexpr unsigned long long vma_name_option = 0x53564d41;  // PR_SET_VMA, not in every prctl.h.

constexpr int sent_by_filter = 1;  // SYS_SECCOMP, sigaction(2); not in the C library's headers.
constexpr unsigned long long c_library_signals[] = {32, 33};  // nptl(7): cancellation, setuid().

constexpr std::size_t names_max = 512;
// Made before a filter is in force, as a signal handler can make none.
std::array<const char*, names_max> call_names;
const char* process_name = "";

bool exists(int call) { return call >= 0; }

// Made without memory from the heap; what does not fit is left out.
struct Sentence {
  std::array<char, 200> text{};
  std::size_t length = 0;

  void add(std::string_view words) {
    const std::size_t count = std::min(words.size(), text.size() - length);
    std::memcpy(text.data() + length, words.data(), count);
    length += count;
  }
  void add(unsigned number) {
    std::array<char, 10> digits{};
    std::size_t at = digits.size();
    do digits[--at] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    add(std::string_view(digits.data() + at, digits.size() - at));
  }
};

// Allocates nothing and takes no lock. Not called again: SA_RESETHAND.
void on_forbidden_call(int signal, siginfo_t* info, void*) {
  if (info->si_code != sent_by_filter) {  // Somebody sent the signal.
    ::raise(signal);
    return;
  }
  Sentence sentence;
  const auto call = static_cast<unsigned>(info->si_syscall);
  sentence.add("inlet: ");
  sentence.add(process_name);
  sentence.add(" made the forbidden system call ");
  sentence.add(call);
  if (call < names_max && call_names[call] != nullptr) {
    sentence.add(" (");
    sentence.add(call_names[call]);
    sentence.add(")");
  }
  sentence.add(" and is ended\n");
  [[maybe_unused]] const ssize_t put =
      ::write(STDERR_FILENO, sentence.text.data(), sentence.length);
  ::raise(signal);
}

void name_calls(ProcessKind kind) {
  process_name = kind == ProcessKind::serve ? "serve" : kind == ProcessKind::ship ? "ship" : "run";
  if (call_names[0] != nullptr) return;
  for (std::size_t i = 0; i < names_max; i++) {
    call_names[i] = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, static_cast<int>(i));
  }
}

struct Release {
  void operator()(void* filter) const { ::seccomp_release(filter); }
};

// Collects rules; remembers the first that is refused.
class Filter {
 public:
  using Condition = scmp_arg_cmp;

  explicit Filter(std::uint32_t action) : filter_(::seccomp_init(action)) {
    if (!filter_) error_ = -ENOMEM;
  }

  void set(scmp_filter_attr attribute, std::uint32_t value) {
    if (error_ == 0) error_ = ::seccomp_attr_set(filter_.get(), attribute, value);
  }
  void add(std::uint32_t action, int call, const std::vector<Condition>& conditions = {}) {
    if (error_ != 0 || (!exists(call) && call != skipped_call)) return;
    error_ = ::seccomp_rule_add_array(filter_.get(), action, call,
                                      static_cast<unsigned>(conditions.size()), conditions.data());
  }
  [[nodiscard]] int load() {
    if (error_ == 0) error_ = ::seccomp_load(filter_.get());
    return error_;
  }

  static constexpr int skipped_call = -1;  // What a tracer makes of a call it does not let through.

 private:
  std::unique_ptr<void, Release> filter_;
  int error_ = 0;
};

Filter::Condition is(unsigned argument, unsigned long long value) {
  return {argument, SCMP_CMP_EQ, value, 0};
}
Filter::Condition has_all(unsigned argument, unsigned long long bits) {
  return {argument, SCMP_CMP_MASKED_EQ, bits, bits};
}
Filter::Condition has_none(unsigned argument, unsigned long long bits) {
  return {argument, SCMP_CMP_MASKED_EQ, bits, 0};
}

// Of a call that serve may make with some arguments only.
struct Narrow {
  int call;
  std::vector<Filter::Condition> conditions;
};

std::vector<Narrow> narrow_calls_of_serve() {
  return {
      // No process of its own.
      {SCMP_SYS(clone), {has_all(0, CLONE_THREAD)}},
      // Memory is written or run, and what is run comes from a file.
      {SCMP_SYS(mmap), {has_none(2, PROT_EXEC)}},
      {SCMP_SYS(mmap), {has_none(3, MAP_ANONYMOUS)}},
      {SCMP_SYS(mprotect), {has_none(2, PROT_EXEC)}},
      // Readiness is told to a socket of this kind (listeners.h). No other can be made, and none
      // connected.
      {SCMP_SYS(socket), {is(0, AF_UNIX), has_all(1, SOCK_DGRAM)}},
      {SCMP_SYS(tgkill), {is(0, static_cast<unsigned long long>(::getpid()))}},
      // All but SIGSYS; the C library's threads use two more.
      {SCMP_SYS(rt_sigaction), {{0, SCMP_CMP_LT, SIGSYS, 0}}},
      {SCMP_SYS(rt_sigaction), {is(0, c_library_signals[0])}},
      {SCMP_SYS(rt_sigaction), {is(0, c_library_signals[1])}},
      {SCMP_SYS(prctl), {is(0, PR_SET_NAME)}},
      {SCMP_SYS(prctl), {is(0, vma_name_option)}},
  };
}

// Of two names that which this machine has.
int either(const int (&calls)[2]) { return exists(calls[0]) ? calls[0] : calls[1]; }

Filter filter_of_serve(std::uint32_t forbidden) {
  Filter filter(forbidden);
  filter.set(SCMP_FLTATR_API_TSKIP, 1);
  filter.add(SCMP_ACT_ALLOW, Filter::skipped_call);
  for (const int call : serve_calls) filter.add(SCMP_ACT_ALLOW, call);
  for (const auto& calls : serve_either) filter.add(SCMP_ACT_ALLOW, either(calls));
  for (const Narrow& narrow : narrow_calls_of_serve()) {
    filter.add(SCMP_ACT_ALLOW, narrow.call, narrow.conditions);
  }
  for (const Refusal& refusal : serve_refusals) {
    filter.add(SCMP_ACT_ERRNO(static_cast<unsigned>(refusal.error)), refusal.call);
  }
  return filter;
}

Filter filter_of_others(ProcessKind kind, std::uint32_t forbidden) {
  Filter filter(SCMP_ACT_ALLOW);
  for (const int call : intruders_calls) filter.add(forbidden, call);
  filter.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  for (const unsigned long long bit : namespaces) {
    filter.add(forbidden, SCMP_SYS(clone), {has_all(0, bit)});
  }
  // Packets, virtual machines, radio: all kinds above netlink, which the resolver uses.
  filter.add(forbidden, SCMP_SYS(socket), {{0, SCMP_CMP_GT, AF_NETLINK, 0}});
  if (kind != ProcessKind::ship) return filter;
  for (const int call : beyond_a_ship) filter.add(forbidden, call);
  filter.add(forbidden, SCMP_SYS(clone), {has_none(0, CLONE_THREAD)});
  return filter;
}

}  // namespace

Status filter_system_calls(ProcessKind kind, SystemCalls how) {
  name_calls(kind);
  struct sigaction action{};
  action.sa_sigaction = on_forbidden_call;
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_RESETHAND | SA_NODEFER);
  ::sigaction(SIGSYS, &action, nullptr);

  const std::uint32_t forbidden = how == SystemCalls::logged ? SCMP_ACT_LOG : SCMP_ACT_TRAP;
  Filter filter =
      kind == ProcessKind::serve ? filter_of_serve(forbidden) : filter_of_others(kind, forbidden);
  filter.set(SCMP_FLTATR_ACT_BADARCH,
             how == SystemCalls::logged ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS);
  filter.set(SCMP_FLTATR_CTL_TSYNC, 1);
  // Kernels before 5.16 would slow all our code down with the mitigation otherwise (prctl(2),
  // PR_SPEC_STORE_BYPASS); it is for processes that run others' code.
  filter.set(SCMP_FLTATR_CTL_SSB, 1);
  filter.set(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // A tree of comparisons.
  if (const int error = filter.load(); error != 0) {
    return fail(ErrorKind::reject,
                fmt::format("cannot filter system calls: {}", std::strerror(-error)), -error);
  }
  return {};
}

std::size_t calls_of_serve() {
  std::vector<int> calls(std::begin(serve_calls), std::end(serve_calls));
  for (const auto& names : serve_either) calls.push_back(either(names));
  for (const Narrow& narrow : narrow_calls_of_serve()) calls.push_back(narrow.call);
  std::erase_if(calls, [](int call) { return !exists(call); });
  std::ranges::sort(calls);
  return static_cast<std::size_t>(std::ranges::unique(calls).begin() - calls.begin());
}

}  // namespace inlet::main
