// replica_watch: lets requests that asked for `replicated` wait until the replica's sink has passed
// their record.
//
// serve talks to nobody: what the distributed engine has confirmed is read from the cursor that the
// sink's shipper keeps. The cursor also passes records that were set aside or lost; while it does,
// no record of that stretch is called replicated, so a few may get `disk` though they arrived, and
// none `replicated` though it did not.
//
// Every waiter is handed back exactly once: replicated, or at its deadline, or at stop(). One
// thread of its own, asleep while nobody waits.

#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/time.h"
#include "journal/cursor.h"

namespace inlet::serve {

struct ReplicaWaiter {
  ReplicaWaiter* next = nullptr;
  std::uint64_t sequence = 0;
  Microseconds deadline_us = 0;  // On the steady clock.
  unsigned loop = 0;
  bool replicated = false;  // The outcome.
};

// What one cursor's movements say about records. Pure.
class ReplicaProgress {
 public:
  enum class Verdict : unsigned char { pending, replicated, unknown };

  // A look at the cursor; `journal_id` is that of the journal the records are in.
  void observe(const journal::CursorState& state, std::uint64_t journal_id);
  [[nodiscard]] Verdict of(std::uint64_t sequence) const;

 private:
  struct Stretch {
    std::uint64_t first;
    std::uint64_t end;
  };
  static constexpr std::size_t doubtful_max = 64;  // Then older ones all are.

  bool seen_ = false;
  std::uint64_t known_from_ = 1;  // Nothing is known of records before.
  std::uint64_t next_ = 1;
  std::uint64_t not_delivered_ = 0;  // Rejected, lost and skipped so far.
  std::deque<Stretch> doubtful_;
};

struct ReplicaWatchOptions {
  std::string journal_directory;
  std::string sink;
  Microseconds poll_us = 1'000;  // Between looks at the cursor while somebody waits.
};

class ReplicaWatch {
 public:
  // Takes lists of waiters that are done, of one loop each; called on the watch's thread.
  using Done = std::function<void(unsigned loop, ReplicaWaiter* list)>;

  ReplicaWatch(FileSystem& files, Clock& clock, std::uint64_t journal_id,
               ReplicaWatchOptions options, Done done);
  ReplicaWatch(const ReplicaWatch&) = delete;
  ReplicaWatch& operator=(const ReplicaWatch&) = delete;
  ~ReplicaWatch();

  // The waiter lives until it is handed back. False after stop(): it was not taken. Any thread.
  [[nodiscard]] bool wait(ReplicaWaiter& waiter);
  void stop();

 private:
  void run();
  void look();
  void hand_back(std::deque<ReplicaWaiter*> done);

  FileSystem& files_;
  Clock& clock_;
  const std::uint64_t journal_id_;
  const ReplicaWatchOptions options_;
  const Done done_;
  ReplicaProgress progress_;  // The thread's.

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ReplicaWaiter*> waiting_;  // In the order they came.
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace inlet::serve
