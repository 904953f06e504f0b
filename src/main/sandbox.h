// sandbox: what a process of ours gives up before it meets the outside.
//
// So that a bug in it is worth little to who finds it.
//
// Every process: new files are its owner's alone, no core file, no privilege to be gained by exec,
// no capability left (nor any to get, if it was root), and a filter of system calls. serve may make
// only the calls on its list, and where the kernel has Landlock it reads and writes only what it is
// told here. The supervisor and the ships, whose libraries and descendants need more, may make all
// but the calls on theirs. Forbidden calls end the process by SIGSYS, and its last line says which.
//
// Invariants:
//   - nothing given up comes back: not by exec, not in a child.
//   - what the kernel or a container does not let us give up is logged and does not stop the start.
//
// One thread, before any other starts, once a process; log_info() says what is in force.

#pragma once

#include <string>
#include <vector>

namespace inlet::main {

enum class ProcessKind : unsigned char { supervisor, serve, ship };

enum class SystemCalls : unsigned char {
  unfiltered,
  logged,    // The kernel's audit log names what would be forbidden.
  filtered,  // Forbidden ones end the process.
};

struct SandboxOptions {
  SystemCalls system_calls = SystemCalls::filtered;
  bool core_dumps = false;  // They hold customers' bodies and our keys.
  // Of serve, with Landlock: files or directories with all below them. They exist.
  std::vector<std::string> writable;
  std::vector<std::string> readable;
};

// As INLET_SECCOMP=off|log|on and INLET_CORE_DUMPS=1 say. Filters are off with a sanitizer, whose
// runtime makes calls of its own.
[[nodiscard]] SandboxOptions sandbox_options();

// First in every process: what holds before anything is read, opened or created.
void protect_files_and_memory(const SandboxOptions& options);

// Last before threads start and requests come.
void enter_sandbox(ProcessKind kind, const SandboxOptions& options);

}  // namespace inlet::main
