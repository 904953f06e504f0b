// edition: which of two builds of our programs a process runs.
//
// A supervisor and what it starts are of one build, the running edition, whatever meanwhile happens
// to the files they came from. The other one exists while an upgrade is under way (rollout.h).

#pragma once

namespace inlet::main {

enum class Edition : unsigned char {
  running,    // The supervisor's own.
  candidate,  // What stands now where the supervisor was started from.
};

}  // namespace inlet::main
