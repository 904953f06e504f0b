// backlog: how many committed records one sink has still to get, read from the outside.
//
// Looks at the commit mark and the sink's cursor only, so it works whatever state the processes
// that write them are in.
//
// Any thread.

#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"

namespace inlet::main {

// Sequences [next, end); the count is an upper bound while damage lies between them.
struct Backlog {
  std::uint64_t next = 1;
  std::uint64_t end = 1;

  [[nodiscard]] std::uint64_t records() const { return end > next ? end - next : 0; }
  bool operator==(const Backlog&) const = default;
};

// Empty backlog if the journal was never written.
[[nodiscard]] Result<Backlog> read_backlog(FileSystem& files, const std::string& journal,
                                           const std::string& sink);

// "3 records stay behind for sink archive, sequence 7 to 9; the next start goes on there".
[[nodiscard]] std::string describe_backlog(const Backlog& backlog, const std::string& sink);

}  // namespace inlet::main
