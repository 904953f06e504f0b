// verify: checks every committed byte of a journal.
//
// Stricter than reading: pads and gaps must be zero, commits must start on block boundaries and
// sequences must be without holes. Reads only, also while the journal is being written.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"

namespace inlet::journal {

struct VerifyReport {
  std::uint64_t segments = 0;
  std::uint64_t commits = 0;
  std::uint64_t records = 0;
  std::uint64_t body_bytes = 0;
  std::uint64_t records_lost = 0;
  std::vector<std::string> findings;  // One sentence each, with file and offset.
};

[[nodiscard]] Result<VerifyReport> verify(FileSystem& files, const std::string& directory);

}  // namespace inlet::journal
