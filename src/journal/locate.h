// locate: where a record stands, found by halving instead of reading its segment from the start.
//
// Frames say where they stand and go up in sequence, so a frame met anywhere tells in which half to
// go on. What is found is a hint for Reader::seek(), which looks for itself whether it is true.
//
// Any thread.

#pragma once

#include <optional>
#include <string>

#include "base/file.h"
#include "base/result.h"
#include "journal/format.h"

namespace inlet::journal {

struct Located {
  bool is_gone = false;        // Before the oldest segment there is.
  std::optional<Position> at;  // Empty: no frame of it was found.
};

// Reads the first block of every segment, and of one a few pieces of a MiB, more where records are
// larger than that.
[[nodiscard]] Result<Located> locate(FileSystem& files, const std::string& directory,
                                     std::uint64_t sequence);

}  // namespace inlet::journal
