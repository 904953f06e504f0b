#include "serve/replica_watch.h"

#include <algorithm>
#include <map>

namespace inlet::serve {

void ReplicaProgress::observe(const journal::CursorState& state, std::uint64_t journal_id) {
  if (state.journal_id != journal_id) return;
  const std::uint64_t next = state.next.sequence;
  const std::uint64_t not_delivered =
      state.records_rejected + state.records_lost + state.records_skipped;
  // A cursor that was made anew, or a replay, starts again from below.
  if (!seen_ || next < next_ || not_delivered < not_delivered_) {
    doubtful_.clear();
    known_from_ = next;
  } else if (not_delivered != not_delivered_) {
    doubtful_.push_back({next_, next});
    if (doubtful_.size() > doubtful_max) {
      known_from_ = doubtful_.front().end;
      doubtful_.pop_front();
    }
  }
  seen_ = true;
  next_ = next;
  not_delivered_ = not_delivered;
}

ReplicaProgress::Verdict ReplicaProgress::of(std::uint64_t sequence) const {
  if (!seen_ || sequence >= next_) return Verdict::pending;
  if (sequence < known_from_) return Verdict::unknown;
  const bool doubtful = std::ranges::any_of(doubtful_, [&](const Stretch& stretch) {
    return sequence >= stretch.first && sequence < stretch.end;
  });
  return doubtful ? Verdict::unknown : Verdict::replicated;
}

ReplicaWatch::ReplicaWatch(FileSystem& files, Clock& clock, std::uint64_t journal_id,
                           ReplicaWatchOptions options, Done done)
    : files_(files),
      clock_(clock),
      journal_id_(journal_id),
      options_(std::move(options)),
      done_(std::move(done)) {
  look();  // What is passed before the first waiter comes is known from here on.
  thread_ = std::thread([this] { run(); });
}

ReplicaWatch::~ReplicaWatch() { stop(); }

bool ReplicaWatch::wait(ReplicaWaiter& waiter) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    waiting_.push_back(&waiter);
    if (waiting_.size() > 1) return true;
  }
  changed_.notify_one();
  return true;
}

void ReplicaWatch::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
  }
  changed_.notify_one();
  thread_.join();
  hand_back(std::exchange(waiting_, {}));
}

void ReplicaWatch::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
      if (stopped_) return;
    }
    look();
    const Microseconds now_us = clock_.steady_us();
    std::deque<ReplicaWaiter*> done;
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(waiting_, [&](ReplicaWaiter* waiter) {
        const auto verdict = progress_.of(waiter->sequence);
        waiter->replicated = verdict == ReplicaProgress::Verdict::replicated;
        const bool over =
            verdict != ReplicaProgress::Verdict::pending || waiter->deadline_us <= now_us;
        if (over) done.push_back(waiter);
        return over;
      });
    }
    hand_back(std::move(done));
    clock_.sleep(options_.poll_us);
  }
}

void ReplicaWatch::look() {
  const auto cursor = journal::read_cursor(files_, options_.journal_directory, options_.sink);
  if (cursor && *cursor) progress_.observe((*cursor)->latest, journal_id_);
}

void ReplicaWatch::hand_back(std::deque<ReplicaWaiter*> done) {
  std::map<unsigned, ReplicaWaiter*> lists;
  for (auto waiter = done.rbegin(); waiter != done.rend(); ++waiter) {
    ReplicaWaiter*& list = lists[(*waiter)->loop];
    (*waiter)->next = list;
    list = *waiter;
  }
  for (const auto& [loop, list] : lists) done_(loop, list);
}

}  // namespace inlet::serve
