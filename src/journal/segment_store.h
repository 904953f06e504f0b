// segment_store: the files of the journal over their lives: made ready, written, delivered, used
// again.
//
//   blank ──take_spare──▶ current ──ended──▶ sealed ──every cursor past it──▶ delivered
//     ▲                                                                          │ retention over
//     └────────────── as it is, without a write ◀────────────────────────────────┘
//
// A new file is filled with zeros and flushed, entry and all, before it may be used, so a commit
// never waits for the file system to allocate. A delivered file is used again as it is: frames of
// its earlier life carry another salt. Files that failed a flush are removed, never used again;
// files in which a shipper met damage are set aside in quarantine/ for the operator.
//
// Invariants:
//   - a segment is reused or removed only when every configured sink's durable cursor is past it,
//     and the floor; with no sink configured, never.
//   - retention never refuses a record: delivered segments give way when space is needed.
//   - headroom_bytes of the file system stay free for cursors and logs.
//
// Threads: the committer calls take_spare(), started(), ended(); the housekeeper turn(); any may
// read fullness().

#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/time.h"
#include "journal/catalog.h"
#include "journal/cursor.h"

namespace inlet::journal {

struct StoreOptions {
  std::string directory;
  std::uint64_t segment_bytes = 64U << 20;
  std::uint64_t bytes_max = std::uint64_t{10} << 30;  // All files of the journal together.
  Microseconds retain_us = 0;                         // Delivered segments are kept this long.
  bool direct = true;                                 // Use O_DIRECT where the file system has it.
  std::vector<std::string> sinks;                     // Whose cursors hold segments back.
  std::uint64_t floor = UINT64_MAX;                   // See set_floor(); UINT64_MAX: there is none.
};

struct Spare {
  std::unique_ptr<File> file;
  std::string path;
  std::uint64_t slot;
};

// How full the journal is, as of the last turn.
struct Fullness {
  std::uint64_t undelivered_bytes = 0;
  std::uint64_t capacity_bytes = 0;  // By quota and by the file system, whichever is less.
  std::uint64_t delivered_sequence = 1;
  double drain_bytes_per_s = 0;  // Of the slowest sink, lately.
  double fill_bytes_per_s = 0;

  [[nodiscard]] double ratio() const {
    if (capacity_bytes == 0) return 1;
    return static_cast<double>(undelivered_bytes) / static_cast<double>(capacity_bytes);
  }
};

class SegmentStore {
 public:
  SegmentStore(FileSystem& files, Clock& clock, StoreOptions options);

  // Before everything else: cursors of another journal count as not there.
  void set_journal_id(std::uint64_t journal_id) { journal_id_ = journal_id; }
  // Takes over what is on disk: catalogued segments are sealed, blank files become spares.
  void adopt(const Catalog& catalog, std::uint64_t current_number);

  // A file ready to be written from its start; empty if there is none at the moment.
  [[nodiscard]] std::optional<Spare> take_spare();
  [[nodiscard]] bool has_spare() const;

  void started(const Spare& spare, std::uint64_t number, std::uint64_t first_sequence);
  // `poisoned`: a flush of it failed; the file is never used again.
  void ended(std::uint64_t number, std::uint64_t end_sequence, bool poisoned);

  // One round of housekeeping: reads cursors, releases delivered segments, makes spares, looks at
  // space. `next_sequence` and `current_offset` say how far the committer is.
  void turn(std::uint64_t next_sequence, std::uint64_t current_offset);

  // Records from this sequence on are still needed by this process, whatever the sinks have: like
  // a cursor of its own, but kept in memory only. Whoever sets one must keep moving it. Any thread.
  void set_floor(std::uint64_t sequence) { floor_ = sequence; }

  [[nodiscard]] Fullness fullness() const;
  [[nodiscard]] bool direct() const { return direct_; }
  // The furthest any cursor points to: sequences and segment numbers beyond it are free.
  [[nodiscard]] Position cursors_end() const;
  // Every sink is durably past the records below this one.
  [[nodiscard]] std::uint64_t delivered_sequence() const;
  [[nodiscard]] std::uint64_t segments_quarantined() const { return quarantined_; }

 private:
  [[nodiscard]] std::optional<CursorView> cursor_of(const std::string& sink) const;

  struct Segment {
    std::uint64_t slot = 0;
    std::string path;
    std::uint64_t number = 0;
    std::uint64_t first_sequence = 0;
    std::uint64_t end_sequence = 0;  // 0: current.
    Microseconds ended_us = 0;
    bool poisoned = false;
  };
  struct FreeFile {
    std::uint64_t slot;
    std::string path;
  };

  [[nodiscard]] std::vector<std::uint64_t> damaged_segments() const;
  void release_delivered(std::uint64_t delivered);
  void release(Segment segment, bool damaged);
  void quarantine(const Segment& segment);
  void make_spares();
  [[nodiscard]] Result<Spare> open_spare(const FreeFile& from);
  [[nodiscard]] Result<Spare> make_file();
  [[nodiscard]] Status fill_with_zeros(File& file) const;
  [[nodiscard]] bool room_for_file(const Space& space) const;
  void trim_free_files();
  void measure(std::uint64_t next_sequence, std::uint64_t current_offset, std::uint64_t delivered);

  std::uint64_t journal_id_ = 0;
  FileSystem& files_;
  Clock& clock_;
  const StoreOptions options_;
  bool direct_;

  mutable std::mutex mutex_;      // Guards what follows; never held over I/O.
  std::deque<Segment> segments_;  // By number; the last may be current.
  std::deque<FreeFile> free_;
  std::deque<Spare> spares_;
  Fullness fullness_;

  // The housekeeper's alone.
  std::uint64_t slot_next_ = 1;
  bool complained_ = false;  // That no spare can be made; once per spell.
  Microseconds measured_us_ = 0;
  std::uint64_t measured_next_ = 0;
  std::uint64_t measured_delivered_ = 0;
  std::atomic<std::uint64_t> quarantined_{0};
  std::atomic<std::uint64_t> floor_;
};

}  // namespace inlet::journal
