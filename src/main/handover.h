// handover: what a supervisor leaves to the program that takes its place in the same process.
//
// exec keeps the pid, so children stay children and are waited for by who comes next. Descriptors
// are kept under their numbers; everything else is written to a file in memory, lines of words,
// whose number the next program gets on its command line. A later version may add lines: those
// nobody knows are passed over. What a reader could not do without is a new handover_version.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "main/listeners.h"
#include "main/node_state.h"

namespace inlet::main {

inline constexpr int handover_version = 1;

struct Handover {
  struct Socket {
    std::string name;  // Of a listener.
    int fd = -1;

    bool operator==(const Socket&) const = default;
  };
  struct Process {
    std::string name;  // "serve", "ship-archive".
    pid_t pid = 0;
    Microseconds started_us = 0;  // On the steady clock, which goes on.
    std::uint64_t restarts = 0;

    bool operator==(const Process&) const = default;
  };

  int lock = -1;           // Of the data directory.
  int notifications = -1;  // The socket on which serve says that it is ready.
  int configuration = -1;  // The copy that is in force; -1: there is no file.
  std::vector<Socket> sockets;
  std::vector<Process> processes;
  UpgradeNote upgrade;
  std::uint64_t upgrades = 0;  // Of this process until now.

  bool operator==(const Handover&) const = default;
};

[[nodiscard]] std::string encode_handover(const Handover& handover);
// ErrorKind::reject if it is of another handover_version or lacks what is needed.
[[nodiscard]] Result<Handover> decode_handover(std::string_view text);

// Writes it to a file in memory. Neither that nor the descriptors it names close on exec now.
[[nodiscard]] Result<Descriptor> leave_handover(const Handover& handover);
// They close on exec again: the exec failed.
void withdraw_handover(const Handover& handover);
// Reads it and closes `fd`; the descriptors close on exec again.
[[nodiscard]] Result<Handover> take_handover(int fd);

}  // namespace inlet::main
