// reader: committed records in order, from a position onward.
//
// Used by shippers (in their own process, while serve goes on writing) and by `inlet journal`. It
// never shows a byte beyond the commit mark, never an altered record, and gets past damage: what it
// could not read it reports as a Damage and skips.
//
// Invariants:
//   - sequences returned by next() only go up.
//   - every sequence below the commit mark is either returned or inside a reported Damage.
//
// One thread.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "journal/format.h"

namespace inlet::journal {

// Acknowledged bytes that could not be read back.
struct Damage {
  std::uint64_t segment;         // 0 if the segment is missing altogether.
  std::uint64_t offset;          // Where the damage starts.
  std::uint64_t first_sequence;  // Records lost: [first_sequence, end_sequence).
  std::uint64_t end_sequence;
  std::string why;
};

class Reader {
 public:
  // `directory` is the journal's. Both outlive the reader.
  Reader(FileSystem& files, std::string directory);
  ~Reader();

  // The next record returned is the first with a sequence >= from.sequence; segment and offset only
  // save the search.
  void seek(Position from);

  // The next committed record; empty when there is none yet, so ask again later. Views live until
  // the next call of next() or seek(). An error means the journal cannot be read at this moment.
  [[nodiscard]] Result<std::optional<Record>> next();

  // Of the record that next() returns next.
  [[nodiscard]] Position position() const;

  // The commit mark as last seen by next(): sequence of the first record not yet committed.
  [[nodiscard]] std::uint64_t committed_sequence() const;
  // Bytes between position() and the commit mark, as last seen by next(); an estimate that counts
  // whole segments in between.
  [[nodiscard]] std::uint64_t bytes_behind() const;
  // 0 until next() has seen the journal.
  [[nodiscard]] std::uint64_t journal_id() const;

  // Damage met since the last call.
  [[nodiscard]] std::vector<Damage> take_damage();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace inlet::journal
