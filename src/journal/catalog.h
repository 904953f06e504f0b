// catalog: which segments there are, found by looking at their files.
//
// Nothing else records it, so nothing can disagree with it. A file whose header block is damaged is
// identified by the frames in it, which carry salt, number and sequence too.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "journal/format.h"

namespace inlet::journal {

struct CatalogEntry {
  std::string path;
  std::uint64_t slot;
  SegmentHeader header;
  bool header_damaged;  // `header` was put together from frames; journal id and time are 0.
};

struct Catalog {
  std::vector<CatalogEntry> segments;      // By number; every number once.
  std::vector<std::uint64_t> blank_slots;  // Files that hold no segment: made ready, never used.
  std::vector<std::string> unreadable;     // Paths of segment files that could not be read at all.
  std::uint64_t journal_id = 0;            // 0 if no header tells.
  std::uint64_t slot_next = 1;             // Free for a new file.
};

// How hard to look at a file without a valid header: its first MiB, or all of it.
enum class Look : bool { quick, thorough };

// Lists `directory`. ErrorKind::reject if a segment was written by a newer version. Files with
// other names are left alone.
[[nodiscard]] Result<Catalog> read_catalog(FileSystem& files, const std::string& directory,
                                           Look look);

// The commit mark; empty if missing or damaged.
[[nodiscard]] std::optional<CommitMark> read_commit_mark(File& file);
[[nodiscard]] std::optional<CommitMark> read_commit_mark(FileSystem& files,
                                                         const std::string& directory);

}  // namespace inlet::journal
