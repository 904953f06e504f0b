// ledger: what became of each batch of one sink, by tenant and stream; for audits and receipts.
//
// `cursors/SINK.ledger`: a first line that names the journal, then a line per batch, written and
// flushed before the cursor passes the batch, so every record behind the cursor is accounted for:
//
//   inlet-ledger 1 JOURNAL
//   [sum] FIRST END TIME_US LOST SKIPPED [TENANT/STREAM DELIVERED BYTES DEAD]… CRC
//
// Sequences [FIRST, END). LOST were damaged in the journal, SKIPPED are of streams that do not go
// to this sink or were gone before it was configured, DEAD were set aside. CRC: crc32c of what
// stands before it and its space, in hex.
//
// Invariants:
//   - a batch that is repeated after a crash writes its line again: of lines with the same FIRST
//     the last counts, so nothing is counted twice.
//   - a line torn by a crash is dropped; the batch it was for comes again.
//   - the file stays small: beyond bytes_max its older half becomes one line, the sum.
//   - a ledger of another journal is begun anew.
//
// One process writes a ledger; any may read it. One thread.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/time.h"

namespace inlet::journal {

struct LedgerCounts {
  std::uint64_t delivered = 0;  // Records.
  std::uint64_t bytes = 0;      // Of the bodies delivered.
  std::uint64_t dead = 0;       // Records set aside.

  bool operator==(const LedgerCounts&) const = default;
};

struct LedgerLine {
  bool is_sum = false;  // Of several batches.
  std::uint64_t first = 1;
  std::uint64_t end = 1;
  Microseconds at_us = 0;  // When the batch was settled; of a sum, its last.
  std::uint64_t lost = 0;
  std::uint64_t skipped = 0;
  std::map<std::string, LedgerCounts, std::less<>> streams;  // By "TENANT/STREAM".

  bool operator==(const LedgerLine&) const = default;
};

// Adds `more`, which begins where `sum` ends or later.
void add_to(LedgerLine& sum, const LedgerLine& more);

[[nodiscard]] std::string format_ledger_line(const LedgerLine& line);

struct LedgerView {
  std::uint64_t journal_id = 0;   // 0: there is no ledger.
  std::vector<LedgerLine> lines;  // In order, each sequence in one line at most.
};
[[nodiscard]] Result<LedgerView> read_ledger(FileSystem& files, const std::string& directory,
                                             const std::string& sink);

class Ledger {
 public:
  // Touches nothing until the first add(). `directory` is the journal's.
  Ledger(FileSystem& files, const std::string& directory, const std::string& sink);

  // Makes the line durable. On error calling again is allowed.
  [[nodiscard]] Status add(std::uint64_t journal_id, const LedgerLine& line);

  static constexpr std::uint64_t bytes_max = 4U << 20;

 private:
  [[nodiscard]] Status open(std::uint64_t journal_id);
  [[nodiscard]] Status rewrite(std::uint64_t journal_id, const std::vector<LedgerLine>& lines);
  [[nodiscard]] Status fold(std::uint64_t journal_id);

  FileSystem& files_;
  const std::string directory_;  // The journal's.
  const std::string sink_;
  const std::string path_;
  std::unique_ptr<File> file_;
  std::uint64_t journal_id_ = 0;
  std::uint64_t end_bytes_ = 0;  // Of the lines that count.
};

}  // namespace inlet::journal
