// system_call_filter: which system calls a process of ours may make (seccomp(2)).
//
// serve has a list of what it may call, what it needs and no more: it starts no program, opens no
// connection, signals nobody but itself and maps no memory that it could write and run. The
// supervisor's filter holds in every process it starts, and name services and client libraries load
// what they like; so the supervisor and the ships may make every call but those on lists of what
// only an intruder would make.
//
// A forbidden call is not made; it raises SIGSYS, whose handler writes one sentence that names the
// call, and ends the process by that signal. serve cannot take the handler away.
//
// One thread, or all of them at once: the filter is put on every thread there is.

#pragma once

#include <cstddef>

#include "base/result.h"
#include "main/sandbox.h"

namespace inlet::main {

// An error where the kernel has no filters or a container forbids them. `how` is not unfiltered.
[[nodiscard]] Status filter_system_calls(ProcessKind kind, SystemCalls how);

// How many calls serve may make on this kind of machine.
[[nodiscard]] std::size_t calls_of_serve();

}  // namespace inlet::main
