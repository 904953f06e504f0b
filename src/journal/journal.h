// journal: accepted records to stable storage; many waiting appends, one write.
//
// Loops append; the committer thread writes everything that waits as one block-aligned, flushed
// write, publishes the commit mark and hands the tickets back. There is no timer and no delay: the
// next write starts when the last one returned, with what came meanwhile. A second thread keeps
// house (segment_store.h).
//
// Invariants:
//   - a ticket completes as committed only after the write that holds it was flushed.
//   - the commit mark never leads what was flushed.
//   - a failed write is never tried again: its tickets fail, its segment is left behind, the next
//     batch starts on a fresh one.
//   - every ticket appended completes exactly once.
//
// Without start() nothing runs by itself: tests drive commit_once() and keep_house().

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/time.h"
#include "journal/batch.h"
#include "journal/recovery.h"
#include "journal/segment_store.h"

namespace inlet::journal {

struct JournalOptions {
  StoreOptions store;
  unsigned loops = 1;                         // Tickets carry a loop below this.
  Microseconds stalled_after_us = 2'000'000;  // A write that takes longer makes the node refuse.
  double full_ratio = 0.95;                   // Refuse everything from here on.
};

// Gets tickets back. Called on the committer's thread, once per loop and commit at most.
class CommitListener {
 public:
  virtual ~CommitListener() = default;
  virtual void on_commits(unsigned loop, Ticket* tickets) = 0;
  // A flushed write of records has returned, well or not.
  virtual void on_write(Microseconds /*took_us*/) {}
};

// May a record be taken at this moment?
enum class Admission : std::uint8_t {
  open,
  full,     // Undelivered records fill the space there is.
  stalled,  // The disk has not answered for stalled_after_us.
  failing,  // The last write failed; a probe goes out every second.
};

struct JournalStatus {
  Admission admission;
  Fullness fullness;
  std::uint64_t next_sequence;
  std::uint64_t commits;
  std::uint64_t commits_failed;
  std::uint64_t records;
  std::uint64_t body_bytes;
  std::uint64_t written_bytes;
  std::uint64_t commit_us_total;  // Time spent in writes.
  std::uint64_t records_lost;     // To damage found when the journal was opened.
  std::uint64_t segments_quarantined;
  bool direct;
};

class Journal {
 public:
  // Opens or creates the journal in options.store.directory and takes its lock. Fails only if
  // another process holds it, if it was written by a newer version, or if the directory cannot be
  // used at all; never for what crashes and damage left in it.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> open(FileSystem& files, Clock& clock,
                                                             BufferPool& pool,
                                                             CommitListener& listener,
                                                             JournalOptions options);
  ~Journal();

  void start();
  // Commits what waits, then ends both threads. Appends after it are refused.
  void stop();

  // Queues a record; its ticket comes back through the listener. False: no memory at this moment,
  // or stopped; the ticket stays the caller's. Never blocks on the disk. Any thread.
  [[nodiscard]] bool append(Ticket& ticket, const Metadata& metadata, Bytes body,
                            Microseconds received_us);
  [[nodiscard]] bool append(Ticket& ticket, RecordBuffer& record, std::size_t body_bytes,
                            Microseconds received_us);

  // Any thread; cheap enough for every request.
  [[nodiscard]] Admission admission() const;
  // Seconds, at least 1: when a refusal for the present reason is likely to be over.
  [[nodiscard]] std::uint32_t retry_after_s() const;
  [[nodiscard]] JournalStatus status() const;
  [[nodiscard]] std::uint64_t journal_id() const { return journal_id_; }
  // Of the record after the last committed one. A record appended from now on does not get less.
  [[nodiscard]] std::uint64_t next_sequence() const { return next_sequence_; }
  // Segments with records from this sequence on are kept; see SegmentStore::set_floor().
  void set_floor(std::uint64_t sequence) { store_.set_floor(sequence); }
  // The largest body that fits.
  [[nodiscard]] std::uint64_t body_bytes_max() const;

  // Commits one batch if one waits; when idle, probes a failing disk and publishes a mark that
  // could not be published. True if it did any of it.
  bool commit_once();
  void keep_house();

 private:
  Journal(FileSystem& files, Clock& clock, BufferPool& pool, CommitListener& listener,
          JournalOptions options);

  struct Current {
    std::unique_ptr<File> file;
    std::uint64_t salt = 0;
    std::uint64_t number = 0;
    std::uint64_t offset = 0;
    std::uint64_t file_bytes = 0;
    bool header_due = false;  // The header goes out with the first commit.
  };

  [[nodiscard]] Status recover();
  [[nodiscard]] Status continue_last(const CatalogEntry& entry,
                                     const std::optional<CommitMark>& mark,
                                     std::uint64_t known_end);
  [[nodiscard]] Status make_mark_durable();
  void publish_mark();

  template <typename Add>
  bool enqueue(Add add);
  [[nodiscard]] std::unique_ptr<Batch> next_batch();
  void recycle(std::unique_ptr<Batch> batch);
  [[nodiscard]] bool make_room(std::uint64_t bytes);
  [[nodiscard]] std::optional<Spare> wait_for_spare();
  [[nodiscard]] bool write(std::span<const iovec> parts, std::uint64_t bytes);
  void leave_segment(bool poisoned);
  void complete(Ticket* tickets, CommitResult result);
  bool probe();
  void committer_loop();
  void housekeeper_loop();

  FileSystem& files_;
  Clock& clock_;
  BufferPool& pool_;
  CommitListener& listener_;
  const JournalOptions options_;
  SegmentStore store_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<File> mark_file_;
  std::uint64_t journal_id_ = 0;
  Buffer header_block_;

  mutable std::mutex mutex_;  // Guards the queue.
  std::condition_variable wake_committer_;
  std::deque<std::unique_ptr<Batch>> queue_;
  std::vector<std::unique_ptr<Batch>> idle_batches_;
  bool committer_waits_ = false;
  bool stopping_ = false;

  std::mutex house_mutex_;
  std::condition_variable wake_housekeeper_;
  std::condition_variable spare_made_;
  bool house_wanted_ = false;
  bool house_stopping_ = false;
  std::uint64_t house_rounds_ = 0;

  // The committer's alone, but for reading the atomics.
  Current current_;
  std::uint64_t number_next_ = 1;
  Microseconds probed_us_ = 0;
  bool mark_due_ = false;  // The last mark could not be written.
  std::vector<Ticket*> first_of_loop_;
  std::vector<Ticket*> last_of_loop_;
  std::vector<iovec> parts_;
  std::atomic<std::uint64_t> next_sequence_{1};
  std::atomic<std::uint64_t> current_offset_{0};
  std::atomic<Microseconds> write_started_us_{0};  // 0: none under way.
  std::atomic<bool> failing_{false};
  std::atomic<bool> full_{false};
  std::atomic<bool> starved_{false};  // There was no segment to go on in.
  std::atomic<std::uint64_t> commits_{0};
  std::atomic<std::uint64_t> commits_failed_{0};
  std::atomic<std::uint64_t> records_{0};
  std::atomic<std::uint64_t> body_bytes_{0};
  std::atomic<std::uint64_t> written_bytes_{0};
  std::atomic<std::uint64_t> commit_us_total_{0};
  std::uint64_t records_lost_ = 0;

  std::thread committer_;
  std::thread housekeeper_;
};

}  // namespace inlet::journal
