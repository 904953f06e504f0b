// process: starting a child process of ours, and what its end means.
//
// Every child gets its own process group (a Ctrl-C in the terminal reaches the supervisor alone),
// no signal blocked but those it waits for itself, /dev/null to read, only the descriptors it is
// meant to have, and is killed by the kernel when its parent dies: nothing of ours runs unowned.
//
// One thread, and no other may be running: it forks.

#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "main/listeners.h"

namespace inlet::main {

struct Command {
  std::string path;
  std::string name;  // What it is called in the list of processes.
  std::vector<std::string> arguments;
  int kept = -1;  // A descriptor it keeps under its number, above the sockets'; -1: none.
  bool holds_signals = false;  // As hold_signals() does, from its first moment.

  bool operator==(const Command&) const = default;
};

struct Inheritance {
  std::span<const Listener> listeners;  // Passed as in listeners.h; empty: none.
  std::string notify_socket;            // For NOTIFY_SOCKET; "": none.
  int output = -1;                      // For what it prints; -1: where ours goes.
};

// The child's pid, once the program is running in it; an error if it cannot be.
[[nodiscard]] Result<pid_t> spawn(const Command& command, const Inheritance& inheritance);

// A child that ended, and its wait status.
struct Ended {
  pid_t pid = 0;  // 0: none has.
  int status = 0;
};
// Takes the next ended child, ours or adopted (we may be process 1), without waiting.
[[nodiscard]] Ended reap();

// Blocks the signals that our long-lived processes wait for, so that one that comes before they do
// is kept rather than deadly. First in main().
void hold_signals();

// Each connection takes a descriptor: use all we may have. Children inherit it.
void raise_descriptor_limit();

// The file of a program of ours: in the directory of the running one.
[[nodiscard]] std::string sibling_program(const std::string& name);

// The file this process was started from, as a shell would find it again: links are not followed,
// so it may meanwhile lead to another version.
[[nodiscard]] std::string started_from();

// "exit code 1", "signal 9 (Killed)".
[[nodiscard]] std::string describe_status(int status);

}  // namespace inlet::main
