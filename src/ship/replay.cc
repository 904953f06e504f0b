#include "ship/replay.h"

#include <algorithm>

#include "base/names.h"
#include "ship/record_arena.h"

namespace inlet::ship {
namespace {

class Replay {
 public:
  Replay(RecordSource& source, std::uint64_t end_sequence,
         const std::vector<journal::LedgerLine>& ledger, Courier& courier,
         DeadLetters& dead_letters, const ReplayOptions& options, const OnReplayed& on_replayed)
      : source_(source),
        end_(end_sequence),
        ledger_(ledger),
        courier_(courier),
        dead_letters_(dead_letters),
        options_(options),
        on_replayed_(on_replayed),
        arena_(options.batch.batch_bytes) {}

  Result<ReplaySummary> run() {
    source_.seek({.sequence = 1});
    while (true) {
      const auto record = source_.next();
      count_damage();
      if (!record) return fail(record);
      const bool over = !*record || (*record)->sequence >= end_;
      const std::uint64_t sequence = over ? end_ : (*record)->sequence;
      const bool first = summary_.oldest_us == 0;
      if (!over && first) note_oldest(**record);
      // A batch of the first delivery ends where the ledger says, any other when it is full.
      if (!is_open(sequence) || over) {
        if (const Status sent = send(); !sent) return fail(sent);
        if (summary_.stopped || over) break;
        open(sequence);
      }
      summary_.stopped = !courier_.keep_going();
      if (summary_.stopped) break;
      take(**record);
      on_replayed_(sequence - summary_.oldest_sequence, end_ - summary_.oldest_sequence);
    }
    return summary_;
  }

 private:
  void count_damage() {
    for (const journal::Damage& damage : source_.take_damage()) {
      summary_.damaged += damage.end_sequence - damage.first_sequence;
    }
  }

  void note_oldest(const journal::Record& record) {
    summary_.oldest_sequence = record.sequence;
    summary_.oldest_us = record.received_us;
    node_ = sinks::node_name(options_.node, source_.journal_id());
    replay_node_ = node_ + "-replay";
  }

  [[nodiscard]] bool is_open(std::uint64_t sequence) const {
    if (sequence >= batch_end_) return false;
    return original_ || !batcher_full();
  }
  [[nodiscard]] bool batcher_full() const {
    return bytes_ >= options_.batch.batch_bytes ||
           arena_.records().size() >= options_.batch.batch_records;
  }

  // The batch that `sequence` belongs to.
  void open(std::uint64_t sequence) {
    first_ = sequence;
    batch_end_ = end_;
    original_ = false;
    if (!options_.replaces) return;
    const auto line = std::ranges::upper_bound(ledger_, sequence, {}, &journal::LedgerLine::first);
    if (line == ledger_.begin()) return;
    const journal::LedgerLine& found = *std::prev(line);
    original_ = !found.is_sum && found.first >= summary_.oldest_sequence && sequence < found.end &&
                found.end <= end_;
    if (original_) {
      first_ = found.first;
      batch_end_ = found.end;
      whole_ = found.end - found.first - found.lost;
    }
    // What no line describes ends where a line begins.
    if (!original_ && line != ledger_.end()) batch_end_ = std::min(batch_end_, line->first);
  }

  void take(const journal::Record& record) {
    const bool in_range =
        record.received_us >= options_.from_us && record.received_us < options_.to_us;
    wanted_ = wanted_ || in_range;
    last_ = record.sequence;
    seen_++;
    if ((!in_range && !original_) || !matches_any(options_.streams, record.metadata.stream)) return;
    bytes_ += arena_.add(record);
  }

  Status send() {
    const bool anything = wanted_ && !arena_.records().empty();
    if (anything) {
      // What damage has made smaller must not take the place of what was whole.
      const bool again = original_ && seen_ >= whole_;
      const sinks::Batch batch{.name = {.node = again ? node_ : replay_node_,
                                        .first = first_,
                                        .last = again ? batch_end_ - 1 : last_},
                               .journal_id = source_.journal_id(),
                               .records = arena_.records()};
      const auto rejected = courier_.deliver(batch);
      summary_.stopped = !rejected;
      if (!rejected) return {};
      if (!rejected->empty()) {
        if (const Status kept = dead_letters_.keep(batch, *rejected); !kept) return kept;
      }
      summary_.batches++;
      summary_.records += arena_.records().size() - rejected->size();
      summary_.dead += rejected->size();
    }
    arena_.clear();
    bytes_ = 0;
    seen_ = 0;
    wanted_ = false;
    return {};
  }

  RecordSource& source_;
  const std::uint64_t end_;
  const std::vector<journal::LedgerLine>& ledger_;
  Courier& courier_;
  DeadLetters& dead_letters_;
  const ReplayOptions& options_;
  const OnReplayed& on_replayed_;
  ReplaySummary summary_;
  std::string node_;  // With the journal's id.
  std::string replay_node_;

  // The batch in hand.
  RecordArena arena_;
  std::size_t bytes_ = 0;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t batch_end_ = 0;
  bool original_ = false;    // As it was first delivered; then it had so many records, for
  std::uint64_t whole_ = 0;  // all sinks,
  std::uint64_t seen_ = 0;   // and so many were met.
  bool wanted_ = false;      // A record of it is in the range.
};

}  // namespace

Result<ReplaySummary> replay(RecordSource& source, std::uint64_t end_sequence,
                             const std::vector<journal::LedgerLine>& ledger, Courier& courier,
                             DeadLetters& dead_letters, const ReplayOptions& options,
                             const OnReplayed& on_replayed) {
  return Replay(source, end_sequence, ledger, courier, dead_letters, options, on_replayed).run();
}

}  // namespace inlet::ship
