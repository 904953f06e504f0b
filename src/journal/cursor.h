// cursor: how far one sink has durably got, and the batch it is working on.
//
// The file cursors/SINK.cursor has two slots of one block each. A save writes the slot that is not
// the latest and flushes it, so a torn or damaged slot leaves the state before it, and:
//
//   - load() returns the valid slot with the higher generation;
//   - durable_sequence() returns the smaller `next` of the valid slots: a slot only gets
//     overwritten after the other was flushed, so the smaller one is on stable storage for certain.
//     serve recycles by it.
//
// A batch is planned (its end is in planned_ends) and saved before its first byte is sent, and its
// plan is dropped by the save that advances `next` past it. After a crash the shipper therefore
// repeats exactly the same batches, and a sink that names what it writes after the batch overwrites
// its own work.
//
// Slot (little-endian, zeros to the end of the block):
//
//    0  u64 magic "INLETCUR"        8  u32 version            12  u32 crc of bytes 0..11, 16..191
//   16  u64 generation             24  u64 journal id
//   32  u64 next segment           40  u64 next offset        48  u64 next sequence
//   56  u64 records not for this sink
//   64  u64 records delivered      72  u64 bytes delivered    80  u64 records rejected
//   88  u64 records lost to damage 96  i64 time of the save, us
//  104  u64 planned end sequence, eight times (0: none)                    168  zeros
//
// One process writes a cursor; any may read it. One thread.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/time.h"
#include "journal/format.h"

namespace inlet::journal {

inline constexpr std::size_t planned_batches_max = 8;

struct CursorState {
  std::uint64_t journal_id = 0;
  Position next;  // Of the first record not yet delivered.
  // Where the batches in hand end, in order, then zeros: the first is [next.sequence, its end),
  // each of the others begins where the one before ends.
  std::array<std::uint64_t, planned_batches_max> planned_ends{};
  std::uint64_t records_skipped = 0;  // Not for this sink, or gone before it was configured.
  std::uint64_t records_delivered = 0;
  std::uint64_t bytes_delivered = 0;   // Of bodies.
  std::uint64_t records_rejected = 0;  // Set aside as dead letters.
  std::uint64_t records_lost = 0;      // Skipped because the journal was damaged.
  Microseconds saved_us = 0;

  // Where everything sent so far ends, at least.
  [[nodiscard]] std::uint64_t planned_end() const { return std::ranges::max(planned_ends); }

  bool operator==(const CursorState&) const = default;
};

class Cursor {
 public:
  // Opens `<directory>/cursors/<sink>.cursor`, making it if missing (file and directory entry are
  // durable on return). Damaged slots are reported in the log and ignored; with no valid slot left
  // the cursor starts at the beginning of the journal: records may repeat, none is skipped.
  [[nodiscard]] static Result<std::unique_ptr<Cursor>> open(FileSystem& files,
                                                            const std::string& directory,
                                                            const std::string& sink);

  [[nodiscard]] const CursorState& state() const { return state_; }

  // Makes `state` durable. On error the old state holds; calling again is allowed.
  [[nodiscard]] Status save(const CursorState& state);

 private:
  Cursor(std::unique_ptr<File> file, CursorState state, std::uint64_t generation)
      : file_(std::move(file)), state_(state), generation_(generation) {}

  std::unique_ptr<File> file_;
  CursorState state_;
  std::uint64_t generation_;
};

// Reads a cursor without opening it for writing. Missing file: empty.
struct CursorView {
  CursorState latest;
  std::uint64_t durable_sequence;  // See above; 1 if not both slots are valid.
};
[[nodiscard]] Result<std::optional<CursorView>> read_cursor(FileSystem& files,
                                                            const std::string& directory,
                                                            const std::string& sink);

}  // namespace inlet::journal
