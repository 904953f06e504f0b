// node_state: what a supervisor says about itself to other commands of ours.
//
// <data>/run.state, replaced whole: lines of a key and its value, for `inlet upgrade` and `inlet
// drain`, which may be of another version. Keys nobody knows are passed over, missing ones are
// empty. (run.json, for people and scripts, has the same and the children.)
//
// Wishes go the other way by SIGUSR2 with a value: no file can ask anything of a supervisor.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/time.h"

namespace inlet::main {

enum class Wish : int {
  upgrade = 0,  // Also by `kill -USR2`.
  drain = 1,    // Deliver everything, then wait to be ended.
};

struct UpgradeNote {
  Microseconds id = 0;  // Wall clock when it began; 0: there was none.
  std::string stage;    // While it is under way: "testing", "serve", "ships", ...; else "".
  std::string outcome;  // "": under way. "upgraded", "refused", "returned", "interrupted".
  std::string from;     // Versions.
  std::string to;
  std::string why;  // Unless upgraded.

  bool operator==(const UpgradeNote&) const = default;
};

struct NodeState {
  long pid = 0;
  std::string version;
  std::string phase;    // "running", "draining", "delivering", "emptying", "empty", "stopping".
  std::string journal;  // Directory.
  std::vector<std::string> sinks;
  UpgradeNote upgrade;

  bool operator==(const NodeState&) const = default;
};

inline constexpr std::string_view node_state_file = "run.state";
// The node's name, as it is part of the names of what it delivers; stays when the node ends.
inline constexpr std::string_view node_name_file = "node";

[[nodiscard]] std::string encode_node_state(const NodeState& state);
[[nodiscard]] NodeState decode_node_state(std::string_view text);

// Of the supervisor that holds the lock of `data`. ErrorKind::reject if none does, or if it is of a
// version that says nothing.
[[nodiscard]] Result<NodeState> read_node_state(FileSystem& files, const std::string& data);

[[nodiscard]] Status ask_node(const NodeState& node, Wish wish);

}  // namespace inlet::main
