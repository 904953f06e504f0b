#include "main/sandbox.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/log.h"
#include "main/file_fence.h"
#include "main/system_call_filter.h"

namespace inlet::main {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

std::string_view environment(std::string_view name) {
  const char* const value = std::getenv(std::string(name).c_str());
  return value == nullptr ? std::string_view() : value;
}

std::string_view name_of(ProcessKind kind) {
  switch (kind) {
    case ProcessKind::supervisor: return "run";
    case ProcessKind::serve: return "serve";
    case ProcessKind::ship: return "ship";
  }
  return "";
}

std::string_view name_of(SystemCalls how) {
  switch (how) {
    case SystemCalls::unfiltered: return "unfiltered";
    case SystemCalls::logged: return "logged";
    case SystemCalls::filtered: return "filtered";
  }
  return "";
}

// The kernel's three sets, 64 capabilities each (capset(2), version 3).
using CapabilitySets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

__user_cap_header_struct own_header() { return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0}; }

bool has_any_capability() {
  __user_cap_header_struct header = own_header();
  CapabilitySets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  return sets[0].permitted != 0 || sets[1].permitted != 0;
}

// The bounding set first: dropping from it needs a capability. Who has none cannot drop it and
// gains nothing by it: no_new_privs ends what it is good for.
Status drop_capabilities() {
  if (!has_any_capability()) return {};
  const auto os_error = [](const char* what) {
    const int os = errno;
    return fail(ErrorKind::reject, std::string(what) + ": " + std::strerror(os), os);
  };
  bool bounded = true;
  for (unsigned long i = 0; ::prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
    bounded = ::prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0 && bounded;
  }
  if (!bounded) log_debug("sandbox", "the bounding set of capabilities stays as it is");
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header = own_header();
  const CapabilitySets none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) return os_error("drop capabilities");
  return {};
}

void warn(const Status& status) {
  if (!status) log_warn("sandbox", status.error().what);
}

}  // namespace

SandboxOptions sandbox_options() {
  SandboxOptions options;
  const std::string_view filter = environment("INLET_SECCOMP");
  if (filter == "log") options.system_calls = SystemCalls::logged;
  if (filter == "off" || sanitized) options.system_calls = SystemCalls::unfiltered;
  options.core_dumps = environment("INLET_CORE_DUMPS") == "1";
  return options;
}

void protect_files_and_memory(const SandboxOptions& options) {
  ::umask(077);
  if (options.core_dumps) return;
  const rlimit none{};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) log_warn("sandbox", "cannot limit core files");
  // Also for cores that are piped to a program, which no limit holds back; and against being traced
  // or read by other processes of our user.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) log_warn("sandbox", "cannot forbid core files");
}

void enter_sandbox(ProcessKind kind, const SandboxOptions& options) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    log_warn("sandbox", "programs we start may gain privileges");
  }
  warn(drop_capabilities());
  const std::string_view left = has_any_capability() ? "some" : "none";  // serve may not ask later.
  int fence = 0;
  if (kind == ProcessKind::serve && !options.writable.empty()) {
    const auto fenced = fence_files({options.writable, options.readable});
    if (fenced) {
      fence = *fenced;
    } else {
      log_warn("sandbox", fenced.error().what);
    }
  }
  SystemCalls calls = options.system_calls;
  if (calls != SystemCalls::unfiltered) {
    const Status filtered = filter_system_calls(kind, calls);
    if (!filtered) calls = SystemCalls::unfiltered;
    warn(filtered);
  }
  log_info("sandbox", "in force",
           {{"process", name_of(kind)},
            {"system_calls", name_of(calls)},
            {"landlock", fence},
            {"capabilities", left},
            {"core_dumps", options.core_dumps ? 1 : 0}});
}

}  // namespace inlet::main
