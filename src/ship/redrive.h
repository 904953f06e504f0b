// redrive: sends a sink's dead letters to it again, when what was wrong has been put right.
//
// Works file by file, beside the running shipper. What the sink takes is removed from the file,
// what it still refuses stays, with the new reason; a file with nothing left is removed. A crash
// repeats the file, under the same batch name.
//
// Batches are named NODE-redrive-FIRST-LAST, so no object of the first delivery is touched; ids are
// the records' own.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "ship/courier.h"

namespace inlet::ship {

struct RedriveSummary {
  std::uint64_t delivered = 0;
  std::uint64_t refused_again = 0;
  std::vector<std::string> damaged;  // Files that hold a line that is not a dead letter; untouched.
  bool stopped = false;              // Before the end.
};

// Of the sink's own folder, by name. A folder that is not there has none.
[[nodiscard]] Result<std::vector<std::string>> dead_letter_files(FileSystem& files,
                                                                 const std::string& directory);

// Told after each file how many bytes of how many are done.
using OnRedriven = std::function<void(std::uint64_t bytes_done, std::uint64_t bytes_total)>;

[[nodiscard]] Result<RedriveSummary> redrive(FileSystem& files, const std::string& directory,
                                             const std::string& sink, Courier& courier,
                                             const OnRedriven& on_redriven);

}  // namespace inlet::ship
