// recovery: where an opened journal ends, and what of its end may be believed.
//
// Opening walks the last segment once, frame by frame, and asks decide() about each place. The
// policy is the table in recovery.cc; the test proves that every combination of facts matches
// exactly one row. Older segments are not read: start-up does not grow with the backlog, and
// readers find and report damage there.
//
// Invariants:
//   - nothing acknowledged is cut: cut and end are possible only where no later commit and no
//     commit mark proves an acknowledgement.
//   - nothing found on disk is an error: the worst outcome is damage, reported and stepped over.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.h"
#include "journal/format.h"

namespace inlet::journal {

// What is known about one place in the last segment.
struct FrameFacts {
  bool intact;        // A valid frame stands here (format.h, rules 1 to 4).
  bool in_order;      // It carries the sequence and commit that are due here.
  bool acknowledged;  // The commit mark lies beyond, or a frame of a later commit does.
  bool leftovers;     // Frames of this life of the segment stand further on, in no later commit.
};

enum class Decision : std::uint8_t {
  keep,     // A good frame: go on behind it.
  end,      // Nothing was written here: the journal ends and goes on here.
  cut,      // A torn commit nobody was told about: the journal ends here and goes on elsewhere.
  damaged,  // Acknowledged bytes are unreadable: step over them and say so.
};

[[nodiscard]] Decision decide(FrameFacts facts);

struct SegmentEnd {
  std::uint64_t offset;         // After the last kept frame.
  std::uint64_t next_sequence;  // After the last kept record.
  bool clean;                   // The segment may be appended to at `offset`.
  bool torn;                    // A torn commit was cut.
  std::uint64_t records_lost;   // To damage, in this segment.
};

// Walks the segment. `mark` is the commit mark if there is one, of whatever segment.
[[nodiscard]] Result<SegmentEnd> find_segment_end(File& file, const SegmentHeader& header,
                                                  const std::optional<CommitMark>& mark);

}  // namespace inlet::journal
