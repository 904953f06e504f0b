// leftover: what the sinks of a journal have not got, for commands that wait until they have it.
//
// Records are counted from cursor and commit mark; bytes are what the sink's shipper last said, as
// only who reads the journal knows them.
//
// One thread.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "main/backlog.h"

namespace inlet::main {

struct Leftover {
  std::string sink;
  Backlog backlog;
  std::uint64_t bytes = 0;
  std::string last_error;  // Of its destination, while something is left.
};

[[nodiscard]] Result<std::vector<Leftover>> read_leftovers(FileSystem& files,
                                                           const std::string& journal,
                                                           const std::vector<std::string>& sinks);
[[nodiscard]] std::uint64_t records_left(const std::vector<Leftover>& leftovers);

// {"delivered":false,"records_left":7,"sinks":[{"sink","records","bytes","last_error"}]}
[[nodiscard]] std::string leftover_json(const std::vector<Leftover>& leftovers);
// A sentence for each sink that has not got all.
[[nodiscard]] std::vector<std::string> leftover_sentences(const std::vector<Leftover>& leftovers);

}  // namespace inlet::main
