// shipper: one sink's work: read, batch, plan, deliver, advance.
//
// A batch goes through four phases, each ended by something durable:
//
//   collect   records are copied out of the journal until the batch is full or due
//   plan      the cursor is saved with planned_end, before the first byte is sent
//   deliver   the sink is asked until it has taken the batch
//   settle    rejected records go to the dead letters, then the cursor is saved behind the batch
//
// A failure in any phase waits and repeats that phase; a crash repeats the planned batch exactly,
// whatever the limits are by then. Damage in the journal is logged, counted and written to the
// damage log before the cursor can pass it.
//
// Invariants:
//   - the cursor passes a record only when it was delivered, set aside, or reported as damage.
//   - a batch that was planned is repeated as the same range of sequences.
//   - memory: batch_bytes and one record.
//
// run_once() never sleeps; the owner waits as long as it says. One thread.

#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/time.h"
#include "journal/cursor.h"
#include "ship/batcher.h"
#include "ship/damage_log.h"
#include "ship/dead_letters.h"
#include "ship/record_arena.h"
#include "ship/record_source.h"
#include "ship/retry.h"
#include "sinks/sink.h"

namespace inlet::ship {

struct ShipperOptions {
  std::string sink;  // Its name.
  std::string node;
  BatchLimits batch;
  RetryOptions retry;
  Microseconds poll_us = 20'000;  // Between looks at a journal that had nothing new.
  std::uint64_t seed = 1;         // Of the jitter.
};

// normal: batches wait until they are full or due. flush: what is there goes out.
enum class Pace : unsigned char { normal, flush };

struct Step {
  Microseconds wait_us = 0;  // Before the next run_once(); 0: go on at once.
  bool caught_up = false;    // All that is committed has been dealt with.
};

// What operators see; counts of records and bytes since the cursor was made.
struct Figures {
  std::uint64_t journal_id = 0;
  std::uint64_t next_sequence = 1;
  std::uint64_t committed_sequence = 1;
  std::uint64_t delivered_records = 0;
  std::uint64_t delivered_bytes = 0;
  std::uint64_t pending_records = 0;
  std::uint64_t pending_bytes = 0;
  Microseconds lag_us = 0;    // Age of the oldest record not yet delivered.
  std::uint64_t retries = 0;  // Since the start of the process.
  std::uint64_t dead_records = 0;
  std::uint64_t lost_records = 0;
  std::string last_error;          // The latest, also when it is over.
  Microseconds last_error_us = 0;  // 0: none since the start.
};

class Shipper {
 public:
  // All references outlive the shipper.
  Shipper(Clock& clock, RecordSource& source, journal::Cursor& cursor, sinks::Sink& sink,
          DeadLetters& dead_letters, DamageLog& damage_log, ShipperOptions options);

  // One turn: at most one batch, no sleep.
  [[nodiscard]] Step run_once(Pace pace);

  [[nodiscard]] Figures figures() const;

 private:
  enum class Phase : unsigned char { collect, plan, deliver, settle };
  enum class Collected : unsigned char { complete, caught_up };

  [[nodiscard]] std::optional<Step> run_collect(Pace pace);
  [[nodiscard]] Result<Collected> collect();
  [[nodiscard]] bool is_complete() const;
  [[nodiscard]] Status note_damage(const std::vector<journal::Damage>& damages);
  [[nodiscard]] bool journal_changed();
  void take(const journal::Record& record);
  [[nodiscard]] Status save(journal::CursorState state);
  [[nodiscard]] Status plan();
  [[nodiscard]] std::optional<Step> deliver();
  [[nodiscard]] Status settle();
  void start_batch();
  [[nodiscard]] sinks::Batch batch() const;
  // Says how long to wait after a failure.
  Step back_off(sinks::Outcome outcome, const std::string& why, Microseconds asked_us);
  Step back_off(const Error& error);

  Clock& clock_;
  RecordSource& source_;
  journal::Cursor& cursor_;
  sinks::Sink& sink_;
  DeadLetters& dead_letters_;
  DamageLog& damage_log_;
  const ShipperOptions options_;

  journal::CursorState state_;  // As last saved, but for a journal that turned out to be another.

  // The batch in hand: sequences [state_.next, end_).
  Phase phase_ = Phase::collect;
  Batcher batcher_;
  RecordArena arena_;
  std::uint64_t end_ = 1;
  std::uint64_t body_bytes_ = 0;
  std::uint64_t lost_ = 0;
  bool saved_twice_ = false;       // Both slots of the cursor stand where state_ does.
  std::uint64_t planned_end_ = 0;  // Of a batch found planned in the cursor; 0: none.
  std::string node_;               // With the journal's id.
  std::vector<sinks::Rejection> rejected_;

  std::uint64_t attempts_ = 0;  // Failed ones in a row.
  Microseconds not_before_us_ = 0;
  std::mt19937_64 random_;
  std::uint64_t retries_ = 0;
  std::string last_error_;
  Microseconds last_error_us_ = 0;
};

}  // namespace inlet::ship
