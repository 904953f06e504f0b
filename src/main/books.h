// books: the arithmetic of an audit: whether every record a sink has passed is accounted for.
//
// Three accounts exist of one sink's work: the cursor's counts, the ledger's lines, and the journal
// itself for as long as it reaches back. They were written at different moments and must agree:
//
//   1. every sequence behind the cursor is delivered, rejected, lost or skipped, in exactly one way
//   2. the ledger's lines up to the cursor follow one another without gap or overlap, each accounts
//      for every sequence in it, and their sums are the cursor's counts
//   3. a line whose whole range stands in the journal says of each stream what the journal says
//   4. no more dead letters are there than a line counts; fewer may be: they were redriven
//   5. what was delivered stands in the archive once, if there is one to look at
//
// Nothing here reads a file. What is given is a snapshot: the cursor first, then the ledger, then
// the journal's end; so what moves meanwhile lies beyond the cursor or is gone from the journal,
// and neither is held against anyone.
//
// Memory: the ledger, a few words a stream, two bits a record with an archive. One thread.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "journal/cursor.h"
#include "journal/ledger.h"
#include "journal/reader.h"
#include "load/ledger.h"

namespace inlet::main {

inline constexpr std::size_t findings_told_max = 100;  // Of one sink; the rest is counted.
inline constexpr std::size_t records_named_max = 10;

// Which records of [first, end) stand in an archive, and which more than once.
class ArchiveMarks {
 public:
  ArchiveMarks(std::uint64_t journal_id, std::uint64_t first, std::uint64_t end);

  // One line with envelope (sinks/events.h). Of a split body the event ID.0 stands for the record.
  void take_line(std::string_view line);

  [[nodiscard]] bool is_found(std::uint64_t sequence) const;
  [[nodiscard]] bool is_twice(std::uint64_t sequence) const;
  [[nodiscard]] std::uint64_t lines() const { return lines_; }
  [[nodiscard]] std::uint64_t lines_foreign() const { return lines_foreign_; }

 private:
  const std::uint64_t journal_id_;
  const std::uint64_t first_;
  const std::uint64_t end_;
  loader::NumberSet found_;
  loader::NumberSet twice_;
  std::uint64_t lines_ = 0;
  std::uint64_t lines_foreign_ = 0;  // Without a record id at their start.
};

// One record of the journal.
struct Stored {
  std::uint64_t sequence = 0;
  Microseconds received_us = 0;
  std::string_view tenant;
  std::string_view stream;
  std::uint64_t bytes = 0;  // Of the body.
};

// One dead letter that is there.
struct SetAside {
  std::uint64_t sequence = 0;
  std::string stream;  // "TENANT/STREAM"

  auto operator<=>(const SetAside&) const = default;
};

// What is known of one sink.
struct Accounts {
  std::string sink;
  std::vector<std::string> patterns;  // Streams that go to it.
  journal::CursorState cursor;
  journal::LedgerView ledger;
  std::vector<SetAside> set_aside;  // Of this journal, in any order.
};

struct JournalEnd {
  std::uint64_t journal_id = 0;  // 0: nothing was ever stored.
  std::uint64_t sequence = 1;    // Of the first record not yet committed.
};

// Records of one stream, or of all.
struct StreamBook {
  std::uint64_t stored = 0;     // In the journal, as far back as it reaches.
  std::uint64_t delivered = 0;  // Since the cursor was made, like the dead.
  std::uint64_t pending = 0;
  std::uint64_t dead = 0;

  bool operator==(const StreamBook&) const = default;
};

struct ArchiveBook {
  std::uint64_t looked_for = 0;
  std::uint64_t missing = 0;
  std::uint64_t twice = 0;
  std::vector<std::uint64_t> first_missing;  // Sequences; at most records_named_max.
  std::vector<std::uint64_t> first_twice;
};

struct Balance {
  std::string sink;
  std::uint64_t next_sequence = 1;
  std::map<std::string, StreamBook> streams;  // Those that go or went to the sink.
  StreamBook total;
  std::uint64_t lost = 0;
  std::uint64_t skipped = 0;
  std::uint64_t dead_letters = 0;  // There now.
  std::uint64_t pending_bytes = 0;
  Microseconds oldest_pending_us = 0;  // When it was received; 0: nothing is pending.
  std::optional<ArchiveBook> archive;
  std::vector<std::string> findings;  // One sentence each: what does not balance.
  std::uint64_t findings_untold = 0;
  std::vector<std::string> notes;  // What is worth knowing and no fault.

  void find(std::string sentence);
};

// False if a line lies across the cursor: the ledger was folded after the cursor was read. Then
// both are to be read again.
[[nodiscard]] bool are_of_one_moment(const journal::CursorState& cursor,
                                     const journal::LedgerView& ledger);

class Books {
 public:
  // `archive` may be null, and outlives the books.
  Books(Accounts accounts, const JournalEnd& journal, const ArchiveMarks* archive);

  // The journal from its oldest record to its end, in order; everything is in one of the two.
  void add(const Stored& record);
  void add(const journal::Damage& damage);

  // After the last of them. `standing`: of the segments in which damage was met, those that are
  // still there; what was met in the others was no damage but the file being used again.
  [[nodiscard]] Balance close(const std::set<std::uint64_t>& standing);

 private:
  // What the journal holds of one stream in the line at hand.
  struct Tally {
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
    std::uint64_t missing = 0;  // From the archive, and not among the dead letters.
    std::vector<std::uint64_t> first_missing;
  };
  struct Row {
    bool for_us = false;
    StreamBook book;
    Tally tally;
  };
  using Rows = std::map<std::string, Row, std::less<>>;
  // What the streams of one line come to.
  struct Weighing {
    std::uint64_t left_out = 0;  // Not for the sink, and not in the ledger.
    std::uint64_t withheld = 0;  // For the sink, and not in the ledger.
    std::vector<std::string> findings;
  };
  // What holds only if the damage is still there in the end.
  struct Suspicion {
    std::set<std::uint64_t> segments;
    std::vector<std::string> findings;
  };

  void check_cursor(const JournalEnd& journal);
  void check_ledger();
  void find_gap(std::uint64_t first, std::uint64_t end);
  void check_sums();
  void check_set_aside();

  Rows::value_type& row_of(std::string_view tenant, std::string_view stream);
  [[nodiscard]] Row& row_named(const std::string& name);
  [[nodiscard]] const journal::LedgerLine* line_at(std::uint64_t sequence) const;
  void pass_to(std::uint64_t sequence);
  void look_in_archive(std::uint64_t sequence, Tally& tally);
  void close_line();
  void count_missing(const journal::LedgerLine& line, bool whole);
  [[nodiscard]] std::vector<std::string> compare(const journal::LedgerLine& line);
  void weigh(const Rows::value_type& entry, const journal::LedgerCounts& counts,
             Weighing& weighing);
  void conclude_archive();

  Accounts accounts_;
  const ArchiveMarks* archive_;
  Balance balance_;
  std::uint64_t next_ = 1;                  // The cursor's, if it is of this journal.
  std::vector<journal::LedgerLine> lines_;  // Up to it, without those that overlap.
  std::vector<SetAside> set_aside_;         // Up to it, in order, each once.
  std::map<std::pair<std::uint64_t, std::string>, std::uint64_t> dead_there_;  // By line's first.

  Rows rows_;
  Rows::value_type* last_row_ = nullptr;  // Neighbours are mostly of one stream.
  std::string last_tenant_;
  std::string last_stream_;
  std::optional<std::uint64_t> begin_;  // The oldest sequence in the journal.

  // The line at hand.
  std::size_t at_ = 0;
  std::vector<Rows::value_type*> touched_;
  std::uint64_t damaged_ = 0;
  std::set<std::uint64_t> damaged_segments_;
  bool has_hole_ = false;  // Part of it is not in the journal any more.

  std::size_t next_set_aside_ = 0;
  std::uint64_t earlier_patterns_ = 0;  // Delivered though the patterns leave them out now.
  std::vector<Suspicion> suspicions_;
  std::map<std::uint64_t, std::uint64_t> pending_damage_;  // Records by segment.
};

}  // namespace inlet::main
